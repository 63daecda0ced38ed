"""The index of a run with its classes, as `search`, `tag` and `attribute` open it."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fashionprobe.artifacts import MANIFEST, load
from fashionprobe.backbones.pooling import Block
from fashionprobe.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from fashionprobe.attributes.added_classes import AddedClass
    from fashionprobe.attributes.classes import Classes
    from fashionprobe.attributes.index import Group, Index

STORE = "attributes"
"""Folder of a run that holds the classes a person added or took away; it is not an artifact, for it changes."""

NONE = "none of these"
"""The answer for an image beyond the reach of the nearest class."""


def open_index(run: Path) -> "Index":
    """Open the index of a run, or say which command makes it."""
    from fashionprobe.attributes import index

    remedy = f"Make it first: fashionprobe index --run {run.name}"
    manifest = run / "index" / MANIFEST
    if manifest.is_file():
        before = manifest.stat().st_mtime_ns
        try:
            load(run / "index", stage="index", remedy=remedy)
        except UserError:
            if manifest.stat().st_mtime_ns == before:
                raise
            # Made compact by another process between its list of files and the files.
            return open_index(run)
        remedy = f"Make it again with --overwrite: fashionprobe index --run {run.name}"
    return index.open_index(run / "index", remedy=remedy)


def group_of(index: "Index", name: str) -> "Group":
    """Return a group by its name.

    Raises:
        UserError: If the index has no such group.
    """
    from fashionprobe.errors import unknown_name

    if name not in index.groups:
        remedy = "A new group needs a new index: fashionprobe index --run RUN --groups ... --overwrite."
        raise unknown_name("group", name, index.groups, what="a group of the index", remedy=remedy)
    return index.groups[name]


def normalized(index: "Index", descriptors: "Mapping[Block, np.ndarray]") -> "dict[str, np.ndarray]":
    """Return the points of new images to search with, by group, float32 (images, directions)."""
    return {name: group.normalization(descriptors[group.block]) for name, group in index.groups.items()}


def readable(index: "Index", descriptors: "Mapping[Block, np.ndarray]") -> "dict[str, np.ndarray]":
    """Return the points of images to compare with classes, by group, float32 (images, directions)."""
    return {name: group.reading(descriptors[group.block]) for name, group in index.groups.items()}


@dataclass(frozen=True)
class KnownClasses:
    """The classes of an index.

    Attributes:
        classes: The classes of each group that count now.
        added: Those among them that a person added.
    """

    classes: "dict[str, Classes]"
    added: "list[AddedClass]"


def open_classes(run: Path, index: "Index") -> KnownClasses:
    """Read the classes that the index came with, less those taken away, and those that were added.

    Raises:
        UserError: If one was added by another network, or a file is damaged.
    """
    from fashionprobe.attributes import added_classes

    added, removed = added_classes.read(run / STORE)
    classes = {}
    for name, group in index.groups.items():
        mine = [each for each in added if each.group == name]
        gone = [other for of, other in removed if of == name] + [each.name for each in mine]
        found = given_classes(index.folder, name).without(gone)
        for each in mine:
            found += learn(each, group, index)
        classes[name] = found
    return KnownClasses(classes, [each for each in added if each.group in index.groups])


def class_names(run: Path, index: "Index", group: str) -> list[str]:
    """Return the names of a group's classes, also of those that another network described and that cannot be used."""
    from fashionprobe.attributes import added_classes

    added, removed = added_classes.read(run / STORE)
    mine = added_classes.names_of(added, group)
    given = [name for name in given_classes(index.folder, group).names if (group, name) not in removed]
    return sorted({*given, *mine})


def learn(added: "AddedClass", group: "Group", index: "Index") -> "Classes":
    """Learn a class that was added, in the space of its group."""
    import numpy as np

    from fashionprobe.attributes import added_classes, classes

    descriptors = added_classes.learned_from(added, group.block, index.network["weights_sha256"])
    numbers = np.zeros(len(descriptors), np.intp)
    return classes.learn(descriptors, numbers, [added.name], group.reading, coverage=index.coverage)


def given_classes(folder: Path, group: str) -> "Classes":
    """Read the classes that an index came with."""
    import numpy as np

    from fashionprobe.attributes.classes import Classes

    path = folder / f"classes-{group}.npz"
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            names = tuple(str(name) for name in arrays["names"])
            # Earlier versions kept no temperature.
            heat = float(arrays["temperature"]) if "temperature" in arrays else float("nan")
            return Classes(names, arrays["images"], arrays["means"], arrays["reach"], heat)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            str(path), expected="as `fashionprobe index` wrote it", received=f"a damaged file ({error})",
            remedy="Make the index again with --overwrite.",
        ) from error  # fmt: skip
