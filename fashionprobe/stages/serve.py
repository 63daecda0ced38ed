"""Stage `serve`: the index of a run as an HTTP service: search, tags and heatmaps for other programs."""

import contextlib
import functools
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe
import fashionprobe.inputs.arguments as shared
from fashionprobe.artifacts import MANIFEST
from fashionprobe.errors import UserError, require
from fashionprobe.inputs.classifier import find_trained
from fashionprobe.inputs.network import LoadedNetwork, NetworkSpec
from fashionprobe.inputs.searcher import Searcher

if TYPE_CHECKING:
    import pandas as pd

    from fashionprobe.app.endpoints import Service
    from fashionprobe.app.served_classifier import ServedClassifier

log = logging.getLogger(__name__)

PATIENCE = 5
"""Seconds that requests in progress are given at the end."""


@dataclass(frozen=True)
class ServedRun:
    """What was served.

    Attributes:
        run: The folder of the run.
        url: Where it was.
    """

    run: Path
    url: str


@shared.stage
def serve(
    *,
    run: shared.Place,
    host: str = "127.0.0.1",
    port: int = 8000,
    token_file: str | None = None,
    backbone: str | None = None,
    trust: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> ServedRun:
    """Answer other programs over HTTP: search, tag, explain.

    It runs until Ctrl-C. POST /search takes an image file or an id, /tag and /explain take an image file, GET /healthz
    says that it is up, and /openapi.json describes them all. Index and network stay in memory; what other commands add
    to the index counts from the next request on. Nothing leaves this machine, and no other machine can ask unless
    --host says so.

    Args:
        host: Network interface to listen on. One that other machines can reach, such as 0.0.0.0, demands a token.
        port: Its port.
        token_file: File with the token that each request must show as "Authorization: Bearer TOKEN"; only you may be
            able to read it. Default: the environment variable FASHIONPROBE_TOKEN, else no token. The connection is not
            encrypted: put a proxy with TLS before it.
        backbone: Name or path of the backbone that described the run; needed when it was moved.

    Returns:
        What was served, when it is closed.

    Raises:
        UserError: If there is no index, its network is gone, an argument does not fit, or the port is taken.

    Example:
        fashionprobe serve --run colour
    """
    for package in ("fastapi", "uvicorn", "python_multipart"):
        require(package, extra="serve", purpose="`fashionprobe serve`")
    from fashionprobe.app.access import check_token, listening, need_free

    access = check_token(host, port, token_file)
    need_free(access)
    folder = shared.run_path(run, runs_root)
    service = open_service(folder, backbone=backbone, trust=trust, tfrecords_root=tfrecords_root)

    import uvicorn

    from fashionprobe.app.endpoints import application

    server = uvicorn.Server(uvicorn.Config(
        application(service, access), log_config=None, access_log=False, server_header=False, ws="none",
        timeout_graceful_shutdown=PATIENCE,
    ))  # fmt: skip
    with listening(access) as opened, contextlib.suppress(KeyboardInterrupt):
        log.info("%s: %d images at %s. Stop it with Ctrl-C.", folder, service.images(), access.url)
        server.run([opened])
    return ServedRun(folder, access.url)


def open_service(folder: Path, *, backbone: str | None, trust: bool, tfrecords_root: str) -> "Service":
    """Open what a run has for other programs: its index with the network, and its classifier when it is asked for.

    Args:
        folder: Folder of the run.
        backbone: Name or path of the backbone that described it; None for the one that it names.
        trust: Whether networks may hold more than layers of Keras.
        tfrecords_root: Folder that holds the record sets.

    Raises:
        UserError: If there is no index, or a network is gone or refused.
    """
    trained = (folder / "train" / MANIFEST).is_file()
    if trained:
        find_trained(folder, trust=trust)
    searcher = Searcher(folder / "index", backbone=backbone, trust=trust, tfrecords_root=tfrecords_root)
    _warm_up(searcher)

    from fashionprobe.app.endpoints import Service
    from fashionprobe.app.served_classifier import ServedClassifier

    @functools.cache
    def opened() -> "tuple[ServedClassifier, Callable[[str], int]]":
        network, fit = _classifier(folder, searcher.index.network, trained, backbone, trust)
        names = [network.class_name(number) for number in range(network.model.output_shape[-1])]
        return ServedClassifier(network.backbone, names, fit), lambda name: network.class_number(name, "class")

    def classifier() -> "tuple[ServedClassifier, Callable[[str], int]]":
        with lock:
            return opened()

    def search(images: Any = None, *, by: str, where: str | None, **options: Any) -> "pd.DataFrame":
        where = where and shared.spelled(where)
        return searcher.search(images, by=shared.spelled(by), where=where, **options)

    lock = threading.Lock()
    return Service(
        folder.name, fashionprobe.__version__, images=lambda: len(searcher.index), search=search,
        tag=lambda image: searcher.tag(image), classifier=classifier,
    )  # fmt: skip


def _classifier(
    folder: Path, described: Mapping[str, Any], trained: bool, backbone: str | None, trust: bool
) -> tuple[LoadedNetwork, Literal["pad", "stretch"]]:
    """Open the classifier that `train` wrote, else the network that described the run; and say how it takes pictures.

    Raises:
        UserError: If the latter ends in features.
    """
    if trained:
        made = find_trained(folder, trust=trust)
        network = NetworkSpec(str(made.path / "model.keras"), trust=trust).open()
        return network, made.manifest["arguments"]["fit"]
    network = NetworkSpec.of_manifest(described, backbone, trust=trust).open()
    if not network.is_classifier:
        raise UserError(
            "run", expected="one with a classifier",
            received=f"{folder.name}, described by {network.backbone.name}, which ends in features",
            remedy=f"Train one: fashionprobe train --dataset DATASET --run {folder.name}.",
        )  # fmt: skip
    return network, described["arguments"]["fit"]


def _warm_up(searcher: Searcher) -> None:
    """Load the network now: the first request shall not wait for it, and one that is gone is said at once."""
    import numpy as np

    searcher.describe(np.full((32, 32, 3), 255, np.uint8))
