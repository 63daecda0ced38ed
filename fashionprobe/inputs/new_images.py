"""New images, described by the network that described a run, so that they can be compared with it."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashionprobe import progress
from fashionprobe.artifacts import MANIFEST, Artifact, read_manifest
from fashionprobe.backbones.pooling import Block, Source
from fashionprobe.errors import UserError, missing
from fashionprobe.inputs.descriptors import poolings_of, records_of
from fashionprobe.inputs.network import NetworkSpec

if TYPE_CHECKING:
    import numpy as np

    from fashionprobe.backbones import Backbone
    from fashionprobe.records.image_files.info import Resizing

FEW = 8
"""Images below which a batch of its own would take longer than each alone."""

Describe = Callable[["np.ndarray"], "dict[Block, np.ndarray]"]
"""Takes images, float32 (batch, *size, 3), RGB in [0, 255], and returns their descriptors by block."""


def describe_files(
    manifest: Mapping[str, Any],
    paths: Sequence[str],
    blocks: Sequence[Block],
    *,
    resizing: "Resizing | None",
    backbone: str | None = None,
    trust: bool = False,
) -> "dict[Block, np.ndarray]":
    """Describe image files as `extract` described the images of a run: one file, one descriptor, to the bit.

    Args:
        manifest: The manifest that `extract` wrote, or what an index kept of it.
        paths: The image files, one or more.
        blocks: The blocks that are wanted, or sources such as 3+4/mean_std.
        resizing: What `resizing_of` returned for the run.
        backbone: Name or path of the backbone; None for the one that the run names, which a moved file makes wrong.
        trust: Whether its file may hold more than layers of Keras.

    Returns:
        Descriptors by block, float32 (files, channels).

    Raises:
        UserError: If a file is not an image, or the network is not the one that described the run.
    """
    if not paths:
        raise missing("images", "pass one image file or more")
    check_describer(manifest, backbone, trust=trust)

    import numpy as np

    from fashionprobe.records.image_files.read import read_files

    arguments = manifest["arguments"]
    size = tuple(arguments["size"])
    together = _together(manifest)
    starts = range(0, len(paths), together)
    batches = (
        read_files(paths[start : start + together], size, arguments["fit"], resizing=resizing) for start in starts
    )
    # Before the network is loaded, which takes seconds: most calls bring a few images, and one may be none.
    first = next(batches)
    describe = describer(manifest, blocks, backbone=backbone, trust=trust)
    found: list[dict[Block, np.ndarray]] = []
    with progress.bar(total=len(paths), unit="image", description="describe") as bar:
        for images in itertools.chain([first], batches):
            found.append(describe(images))
            bar.update(len(images))
    return {block: np.concatenate([each[block] for each in found]) for block in blocks}


def check_describer(manifest: Mapping[str, Any], backbone: str | None, *, trust: bool) -> None:
    """Judge the network that described a run before Keras is imported, as far as its name or file tells.

    Args:
        manifest: As for `describe_files`.
        backbone: As for `describe_files`.
        trust: As for `describe_files`.

    Raises:
        UserError: If there is no such network, or its file is refused.
    """
    NetworkSpec.of_manifest(manifest, backbone, trust=trust).check()


def resizing_of(run: Path, manifest: Mapping[str, Any], tfrecords_root: str) -> "Resizing | None":
    """Return how the record set of a run was resized when it was made; None where it was not, or nothing tells.

    Args:
        run: Folder of the run.
        manifest: As for `describe_files`.
        tfrecords_root: Folder that holds the record sets: descriptors of earlier versions do not say it themselves.
    """
    from fashionprobe.records.image_files.info import Resizing
    from fashionprobe.records.pack import resizing

    known = manifest["facts"].get("resizing")
    if known:
        return Resizing(tuple(known["size"]), known["fit"])
    extracted = run / "extract"
    if not (extracted / MANIFEST).is_file():
        return None
    artifact = Artifact(extracted, read_manifest(extracted, remedy="Delete the folder."))
    records = records_of(artifact, tfrecords_root)
    return resizing(records) if records else None


def describer(
    manifest: Mapping[str, Any],
    blocks: Sequence[Block],
    *,
    backbone: str | None = None,
    trust: bool = False,
    one_by_one: bool = False,
) -> Describe:
    """Load the network that described a run.

    A batch is filled up to the shape in which `extract` saw each image, and all of its blocks are computed: the same
    graph, and the same bits.

    Args:
        manifest: As for `describe_files`.
        blocks: The blocks that are wanted.
        backbone: As for `describe_files`.
        trust: As for `describe_files`.
        one_by_one: Describe fewer than `FEW` images each alone: sooner than a batch filled up, and equal to its last
            digits but not to the bit.

    Raises:
        UserError: If the network is not the one that described the run.
    """
    import numpy as np
    import tensorflow as tf

    from fashionprobe.backbones.descriptors import extractor, same_shape

    arguments = manifest["arguments"]
    loaded = load_describer(manifest, backbone=backbone, trust=trust)
    described, together = [int(block) for block in manifest["facts"]["blocks"]], _together(manifest)
    ways = poolings_of(manifest)
    forward = extractor(
        loaded, described, poolings=ways, precision=arguments["precision"], xla=arguments.get("xla", False)
    )
    places = {(block, way): place for place, (block, way) in enumerate(itertools.product(described, ways))}
    sources = {block: Source.of(block) for block in blocks}
    needed = {
        block: [places[number, source.pooling or ways[0]] for number in source.blocks]
        for block, source in sources.items()
    }

    def describe(images: "np.ndarray") -> "dict[Block, np.ndarray]":
        found: dict[Block, list[np.ndarray]] = {block: [] for block in blocks}
        step = 1 if one_by_one and len(images) < FEW else together
        for start in range(0, len(images), step):
            batch = images[start : start + step]
            tensors = forward(tf.constant(same_shape(batch, step)))
            for block, parts in needed.items():
                joined = np.concatenate([tensors[place].numpy() for place in parts], axis=1)
                found[block].append(joined[: len(batch)])
        return {block: np.concatenate(parts) for block, parts in found.items()}

    return describe


def load_describer(manifest: Mapping[str, Any], *, backbone: str | None = None, trust: bool = False) -> "Backbone":
    """Load the network that described a run, as it stands, and make sure that it is that one.

    Args:
        manifest: As for `describe_files`.
        backbone: As for `describe_files`.
        trust: As for `describe_files`.

    Raises:
        UserError: If it is another network.
    """
    loaded = NetworkSpec.of_manifest(manifest, backbone, trust=trust).load()
    if loaded.weights_sha256 != manifest["weights_sha256"]:
        raise UserError(
            "backbone", expected=f"the network that described the run (weights {manifest['weights_sha256'][:12]})",
            received=f"{loaded.name} with weights {loaded.weights_sha256[:12]}",
            remedy="Descriptors of two networks cannot be compared: pass the --backbone of `fashionprobe extract`.",
        )  # fmt: skip
    return loaded


def _together(manifest: Mapping[str, Any]) -> int:
    """Return the number of images in each batch of `extract`, which fills up the last one."""
    return min(manifest["run"]["settings"].get("batch_size", 32), manifest["facts"]["rows"])
