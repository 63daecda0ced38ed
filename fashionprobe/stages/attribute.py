"""Stages `attribute add`, `attribute remove`, `attribute list`: classes that come and go without any training."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import fashionprobe.inputs.arguments as shared
from fashionprobe.artifacts import locked
from fashionprobe.backbones.pooling import sources
from fashionprobe.errors import UserError, check_one, missing, unknown_name
from fashionprobe.inputs.descriptors import poolings_of, read_descriptors
from fashionprobe.inputs.index import STORE, class_names, group_of, learn, open_classes, open_index
from fashionprobe.inputs.new_images import describe_files, resizing_of

if TYPE_CHECKING:
    from fashionprobe.attributes.index import Index

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AttributeClass:
    """A class of a group.

    Attributes:
        group: The group.
        name: The class.
        images: Images it was learned from.
        reach: Distance from its mean within which an image counts as one of it.
        added: Whether a person added it; otherwise the index came with it.
    """

    group: str
    name: str
    images: int
    reach: float
    added: bool


@shared.stage
def add(
    *,
    run: shared.Place,
    name: str,
    group: str,
    images: list[str] | str | None = None,
    id: list[str] | str | None = None,
    backbone: str | None = None,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> AttributeClass:
    """Give an index a new class from a handful of images.

    Nothing is trained, and no other class changes.

    Args:
        images: At least two image files; ten are a good number.
        id: Or the ids of images that were extracted.
        backbone: Name or path of the backbone that described the run; needed when it was moved.
        overwrite: Replace a class of this name.

    Returns:
        The class.

    Raises:
        UserError: If there is no such group, the class is there already, an image cannot be read, or all are copies.

    Example:
        fashionprobe attribute add "tie dye" --group pattern --run colour --images one.jpg two.jpg three.jpg
    """
    from fashionprobe.attributes import added_classes

    check_one(images=images, id=id)
    name, group = shared.spelled(" ".join(name.split())), shared.spelled(group)
    if not name:
        raise missing("name", "a class needs one")
    folder = shared.run_path(run, runs_root)
    index = open_index(folder)
    of = group_of(index, group)
    if not overwrite:
        _check_new(folder, index, group, name)
    if images is not None:
        paths = [images] if isinstance(images, str) else list(images)
        blocks = sources([int(block) for block in index.network["facts"]["blocks"]], poolings_of(index.network))
        resizing = resizing_of(folder, index.network, tfrecords_root)
        descriptors = describe_files(index.network, paths, blocks, resizing=resizing, backbone=backbone, trust=trust)
        ids = tuple(Path(path).name for path in paths)
    else:
        ids = tuple(shared.listed("id", id) or [])
        described = read_descriptors(folder)
        descriptors = described.of_ids(ids, sources(described.blocks, described.poolings))
    started = time.perf_counter()
    descriptors, ids = _distinct(descriptors, ids)
    made = added_classes.AddedClass(group, name, ids, index.network["weights_sha256"], descriptors)
    learned = learn(made, of, index)
    with locked(folder / STORE, patience=10):
        if not overwrite:
            # Again: another process may have added it meanwhile.
            _check_new(folder, index, group, name)
        added_classes.save(folder / STORE, made)
    log.info(
        "added %s %s from %d images in %.2f s; it reaches %.2f. Next: fashionprobe tag --run %s --image IMAGE",
        group, name, len(ids), time.perf_counter() - started, learned.reach[0], folder.name,
    )  # fmt: skip
    return AttributeClass(group, name, len(ids), float(learned.reach[0]), True)


@shared.stage
def remove(*, run: shared.Place, name: str, group: str, runs_root: str = "runs") -> None:
    """Take a class out of an index.

    The images of the index stay, and so do all other classes.

    Raises:
        UserError: If there is no such group or class.

    Example:
        fashionprobe attribute remove "tie dye" --group pattern --run colour
    """
    from fashionprobe.attributes import added_classes

    folder = shared.run_path(run, runs_root)
    index = open_index(folder)
    name, group = shared.spelled(name), shared.spelled(group)
    group_of(index, group)
    with locked(folder / STORE, patience=10):
        there = class_names(folder, index, group)
        if name not in there:
            listing = f"`fashionprobe attribute list --run {folder.name}` lists them all."
            raise unknown_name("name", name, there, what=f"a class of {group}", listing=listing)
        added_classes.remove(folder / STORE, group, name)
    log.info("removed %s %s. Next: fashionprobe attribute list --run %s", group, name, folder.name)


@shared.stage
def list_classes(*, run: shared.Place, group: str | None = None, runs_root: str = "runs") -> tuple[AttributeClass, ...]:
    """List the classes of an index.

    They are listed group by group.

    Args:
        group: One group alone.

    Returns:
        The classes.

    Raises:
        UserError: If there is no index or group.

    Example:
        fashionprobe attribute list --run colour
    """
    folder = shared.run_path(run, runs_root)
    index = open_index(folder)
    names = [group_of(index, shared.spelled(group)).name] if group is not None else [*index.groups]
    known = open_classes(folder, index)
    added = {(each.group, each.name) for each in known.added}
    found = []
    for each in names:
        classes = known.classes[each]
        if not classes.names:
            log.info("%s has no class yet", each)
        for place, name in enumerate(classes.names):
            made = AttributeClass(
                each, name, int(classes.images[place]), float(classes.reach[place]), (each, name) in added
            )
            origin = ", added" if made.added else ""
            log.info("%s %s: %d images, reaches %.2f%s", each, name, made.images, made.reach, origin)
            found.append(made)
    return tuple(found)


def _check_new(folder: Path, index: "Index", group: str, name: str) -> None:
    if name in class_names(folder, index, group):
        raise UserError(
            "name", expected=f"a new class of {group}", received=f"'{name}', which is there",
            remedy="Pass --overwrite to replace it, or choose another name.",
        )  # fmt: skip


def _distinct(descriptors: dict, ids: tuple[str, ...]) -> tuple[dict, tuple[str, ...]]:
    """Leave copies of a picture out: with one left out, its copy would make the class look tighter than it is."""
    import numpy as np

    from fashionprobe.attributes.folds import identical

    same = identical(list(descriptors.values())[-1])
    kept = np.flatnonzero(same == np.arange(len(same)))
    if len(kept) < len(ids):
        log.info("%d of the images are copies of another and count once", len(ids) - len(kept))
    return {block: matrix[kept] for block, matrix in descriptors.items()}, tuple(ids[place] for place in kept)
