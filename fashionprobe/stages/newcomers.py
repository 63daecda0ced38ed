"""New images, described by the network that described a run, so that they can be compared with it."""

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fashionprobe import progress
from fashionprobe.errors import UserError

if TYPE_CHECKING:
    import numpy as np

BATCH = 32
"""Images that go through the network, and are in memory, together."""


def describe_files(
    manifest: Mapping[str, Any], paths: Sequence[str], blocks: Sequence[int], *, backbone: str | None = None
) -> "dict[int, np.ndarray]":
    """Describe image files as `extract` described the images of a run.

    Args:
        manifest: The manifest that `extract` wrote, or what an index kept of it.
        paths: The image files, one or more.
        blocks: The blocks that are wanted.
        backbone: Name or path of the backbone; None for the one that the run names, which a moved file makes wrong.

    Returns:
        Descriptors by block, float32 (files, channels).

    Raises:
        UserError: If a file is no image, or the network is not the one that described the run.
    """
    import numpy as np
    import tensorflow as tf

    from fashionprobe import backbones
    from fashionprobe.descriptors import extractor
    from fashionprobe.records.files import read_files

    if not paths:
        raise UserError("images", expected="one image file or more", received="nothing")
    network: dict[str, Any] = manifest["run"]["settings"].get("network") or {}
    arguments = manifest["arguments"]
    name = backbone or network.get("backbone")
    if name is None:
        raise UserError(
            "backbone", expected="given: these descriptors do not say which network made them", received="nothing",
            remedy=f"Pass --backbone with {manifest['facts']['backbone']}.",
        )  # fmt: skip
    size = tuple(arguments["size"])
    starts = range(0, len(paths), BATCH)
    batches = (read_files(paths[start : start + BATCH], size, arguments["fit"]) for start in starts)
    # Before the network is loaded, which takes seconds: most calls bring a few images, and one may be none.
    first = next(batches)
    loaded = backbones.load(
        name,
        weights=network.get("weights", "pretrained"),
        taps=network.get("taps"),
        preprocessing=network.get("preprocessing", "auto"),
        size=size,
        seed=network.get("seed", 0),
    )
    if loaded.weights_sha256 != manifest["weights_sha256"]:
        raise UserError(
            "backbone", expected=f"the network that described the run (weights {manifest['weights_sha256'][:12]})",
            received=f"{loaded.name} with weights {loaded.weights_sha256[:12]}",
            remedy="Descriptors of two networks cannot be compared: pass the --backbone of `fashionprobe extract`.",
        )  # fmt: skip
    forward = extractor(loaded, blocks, precision=arguments["precision"])
    found: list[list[np.ndarray]] = [[] for _ in blocks]
    with progress.bar(total=len(paths), unit="image", description="describe") as bar:
        for images in itertools.chain([first], batches):
            for place, tensor in enumerate(forward(tf.constant(images))):
                found[place].append(tensor.numpy())
            bar.update(len(images))
    return {block: np.concatenate(parts) for block, parts in zip(blocks, found, strict=True)}
