"""Stage `app`: a run in the browser: mark what is irrelevant, explore, search, look at maps, judge filters."""

import importlib.util
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fashionprobe.inputs.arguments as shared
from fashionprobe.artifacts import MANIFEST
from fashionprobe.errors import UserError, not_installed
from fashionprobe.inputs.descriptors import read_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable

    from fashionprobe.app.access import Access
    from fashionprobe.app.marking import Marking
    from fashionprobe.app.server import Server

log = logging.getLogger(__name__)

TABS = {
    "mark": ("Here you mark what a classifier should not look at, and correct it.", ("train",)),
    "explore": ("Here you see what a network looks at.", ("train", "extract")),
    "search": ("Here you find similar images, and name new classes.", ("index",)),
    "map": ("Here you see all images at once, similar ones side by side.", ("reduce", "wall")),
    "filters": ("Here you judge what single filters of a classifier respond to.", ("relevance",)),
}
"""What each tab is for, and the stages of which one must have been there."""


@dataclass(frozen=True)
class AppSession:
    """What was shown.

    Attributes:
        run: The folder of the run.
        url: Where the page was.
    """

    run: Path
    url: str


@shared.stage
def app(
    *,
    run: shared.Place,
    dataset: shared.Place | None = None,
    host: str = "127.0.0.1",
    port: int = 7860,
    auth: str | None = None,
    trust: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> AppSession:
    """Show a run in the browser: mark, refit, explore, search.

    It runs until Ctrl-C, and also has maps of the images. Nothing leaves this machine: the page needs no network, and
    no other machine can open it unless --host says so. Masks are saved at every stroke, to runs/NAME/marks;
    `fashionprobe masks --source app` makes an artifact of them. Verdicts on filters are saved as well, to
    runs/NAME/verdicts; `fashionprobe relevance` compares them with its ranking. With --json, run and address are
    printed at the end.

    Args:
        dataset: Record set whose images are shown. Default: the one that the run is about.
        host: Network interface to listen on. One that other machines can reach, such as 0.0.0.0, demands --auth.
        port: Its port.
        auth: File with a line USER:PASSWORD for each person who may connect; only you may be able to read it. Default:
            the environment variable FASHIONPROBE_AUTH, else no password.

    Returns:
        What was shown, when it is closed.

    Raises:
        UserError: If there is no such run, an argument does not fit, or the port is taken.
        OSError: If a folder may not be read.

    Example:
        fashionprobe app --run symbols
    """
    _need_gradio()
    from fashionprobe.app.access import check_access, need_free

    access = check_access(host, port, auth)
    folder = shared.run_path(run, runs_root)
    if not folder.is_dir():
        raise UserError(
            "run", expected="a run", received=f"{folder}, which does not exist",
            remedy=f"Make one first: fashionprobe train --dataset DATASET --run {folder.name}",
        )  # fmt: skip
    need_free(access)
    with serve(folder, access, dataset=dataset, tfrecords_root=tfrecords_root, trust=trust) as server:
        log.info("%s is open at %s. Stop it with Ctrl-C.", folder, server.url)
        server.wait()
    return AppSession(folder, server.url)


def serve(
    folder: Path, access: "Access", *, dataset: shared.Place | None, tfrecords_root: str, trust: bool = False
) -> "Server":
    """Open what a run holds and start its server, which runs in threads until it is closed.

    Args:
        folder: Folder of the run.
        access: Where to listen, and who may connect.
        dataset: Record set whose images are shown; None for the one that the run is about.
        tfrecords_root: Folder that holds the record sets.
        trust: Whether networks of the run may hold more than layers of Keras.
    """
    from fashionprobe.app.access import quiet

    quiet()
    from fashionprobe.app.page import Parts
    from fashionprobe.app.server import start
    from fashionprobe.stages.app import parts as app_parts

    place = app_parts.Place(folder, dataset, tfrecords_root, trust)
    empty = empty_tabs(folder, dataset)
    marking = empty.get("mark") or _tried(lambda: app_parts.marking(place))
    if not isinstance(marking, str):
        marking.start()
    correcting = marking if isinstance(marking, str) else app_parts.correcting(place, marking)
    trained = None if isinstance(marking, str) else marking
    # A network that is there and cannot be opened: the words of the tab Mark say why.
    looked = _tried(lambda: app_parts.exploring(place, trained)) if trained or _has(folder, "extract") else marking
    exploring = empty.get("explore") or looked
    searching = empty.get("search") or _tried(lambda: app_parts.searching(place))
    mapping = empty.get("map") or _tried(lambda: app_parts.mapping(place))
    judging = empty.get("filters") or _tried(lambda: app_parts.judging(place))
    parts = Parts(
        run=folder.name, lead=_lead(marking), marking=marking, correcting=correcting, exploring=exploring,
        searching=searching, mapping=mapping, judging=judging,
    )  # fmt: skip
    return start(parts, access, folder)


def _need_gradio() -> None:
    if importlib.util.find_spec("gradio") is None:
        raise not_installed("gradio", extra="app", purpose="`fashionprobe app`")


def _has(folder: Path, *stages: str) -> bool:
    """Tell whether a run has what one of these stages writes."""
    return any((folder / stage / MANIFEST).is_file() for stage in stages)


def empty_tabs(folder: Path, dataset: shared.Place | None) -> dict[str, str]:
    """Return for each tab that has nothing to show what it is for, and the command to go on with."""
    described = _tried(lambda: read_descriptors(folder)) if _has(folder, "extract") else ""
    data, label = "DATASET" if dataset is None else Path(dataset).name, ""
    if not isinstance(described, str):
        data = data if dataset else described.artifact.facts["dataset"]
        label = f" --label {described.labels[0]}" if described.labels else ""
    run, extracted, trained = folder.name, _has(folder, "extract"), _has(folder, "train")
    extract = f"extract --dataset {data} --run {run}"
    train = f"train --dataset {data} --run {run}{label}"
    commands = {
        "mark": train, "explore": extract, "search": f"index --run {run}" if extracted else extract,
        "map": f"wall --run {run}" if extracted else extract, "filters": f"relevance --run {run}" if trained else train,
    }  # fmt: skip
    return {
        tab: f"{words} This run has nothing for it yet. Next: fashionprobe {commands[tab]}"
        for tab, (words, stages) in TABS.items() if not _has(folder, *stages)
    }  # fmt: skip


def _tried(make: "Callable[[], Any]") -> Any:
    """Return what is made; where something is missing, the words that say which command makes it."""
    try:
        return make()
    except UserError as error:
        return str(error)


def _lead(marking: "Marking | str") -> str:
    if isinstance(marking, str):
        return "What there is of this run, tab by tab."
    count = len(marking.items)
    # A label is often called "class".
    of = "" if marking.label.lower() in ("class", "classes") else f" of {marking.label}"
    return f"{len(marking.classifier.classes)} classes{of}, {count:,} images of train and val."
