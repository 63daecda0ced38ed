"""New images, described by the network that described a run, so that they can be compared with it."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fashionprobe import architectures, progress
from fashionprobe.errors import UserError

if TYPE_CHECKING:
    import numpy as np

BATCH = 32
"""Images that go through the network, and are in memory, together."""


Describe = Callable[["np.ndarray"], "dict[int, np.ndarray]"]
"""Takes images, float32 (batch, *size, 3), RGB in [0, 255], and returns their descriptors by block."""


def describe_files(
    manifest: Mapping[str, Any],
    paths: Sequence[str],
    blocks: Sequence[int],
    *,
    backbone: str | None = None,
    trust: bool = False,
) -> "dict[int, np.ndarray]":
    """Describe image files as `extract` described the images of a run.

    Args:
        manifest: The manifest that `extract` wrote, or what an index kept of it.
        paths: The image files, one or more.
        blocks: The blocks that are wanted.
        backbone: Name or path of the backbone; None for the one that the run names, which a moved file makes wrong.
        trust: Whether its file may hold more than layers of Keras.

    Returns:
        Descriptors by block, float32 (files, channels).

    Raises:
        UserError: If a file is no image, or the network is not the one that described the run.
    """
    import numpy as np

    from fashionprobe.records.files import read_files

    if not paths:
        raise UserError("images", expected="one image file or more", received="nothing")
    name, network = _name(manifest, backbone), manifest["run"]["settings"].get("network") or {}
    architectures.check(name, weights=network.get("weights", "pretrained"), taps=network.get("taps"), trust=trust,
                        preprocessing=network.get("preprocessing", "auto"))  # fmt: skip
    arguments = manifest["arguments"]
    size = tuple(arguments["size"])
    starts = range(0, len(paths), BATCH)
    batches = (read_files(paths[start : start + BATCH], size, arguments["fit"]) for start in starts)
    # Before the network is loaded, which takes seconds: most calls bring a few images, and one may be none.
    first = next(batches)
    describe = describer(manifest, blocks, backbone=backbone, trust=trust)
    found: list[dict[int, np.ndarray]] = []
    with progress.bar(total=len(paths), unit="image", description="describe") as bar:
        for images in itertools.chain([first], batches):
            found.append(describe(images))
            bar.update(len(images))
    return {block: np.concatenate([each[block] for each in found]) for block in blocks}


def describer(
    manifest: Mapping[str, Any], blocks: Sequence[int], *, backbone: str | None = None, trust: bool = False
) -> Describe:
    """Load the network that described a run.

    Args:
        manifest: As for `describe_files`.
        blocks: The blocks that are wanted.
        backbone: As for `describe_files`.
        trust: As for `describe_files`.

    Raises:
        UserError: If the network is not the one that described the run.
    """
    import tensorflow as tf

    from fashionprobe import backbones
    from fashionprobe.descriptors import extractor

    network: dict[str, Any] = manifest["run"]["settings"].get("network") or {}
    arguments = manifest["arguments"]
    loaded = backbones.load(
        _name(manifest, backbone),
        weights=network.get("weights", "pretrained"),
        taps=network.get("taps"),
        preprocessing=network.get("preprocessing", "auto"),
        size=tuple(arguments["size"]),
        seed=network.get("seed", 0),
        trust=trust,
    )
    if loaded.weights_sha256 != manifest["weights_sha256"]:
        raise UserError(
            "backbone", expected=f"the network that described the run (weights {manifest['weights_sha256'][:12]})",
            received=f"{loaded.name} with weights {loaded.weights_sha256[:12]}",
            remedy="Descriptors of two networks cannot be compared: pass the --backbone of `fashionprobe extract`.",
        )  # fmt: skip
    forward = extractor(loaded, blocks, precision=arguments["precision"])
    return lambda images: {
        block: tensor.numpy() for block, tensor in zip(blocks, forward(tf.constant(images)), strict=True)
    }


def _name(manifest: Mapping[str, Any], backbone: str | None) -> str:
    """Return the name or path of the backbone.

    Raises:
        UserError: If it is not known.
    """
    name = (
        architectures.named(backbone)
        if backbone
        else (manifest["run"]["settings"].get("network") or {}).get("backbone")
    )
    if name is None:
        raise UserError(
            "backbone", expected="given: these descriptors do not say which network made them", received="nothing",
            remedy=f"Pass --backbone with {manifest['facts']['backbone']}.",
        )  # fmt: skip
    return name
