"""Images in class folders, with or without a level of split folders above: `[train/]cat/1.jpg`."""

import os

import pandas as pd

from fashionprobe.errors import UserError
from fashionprobe.records.sources import Catalogue
from fashionprobe.records.sources.tree import FileTree

SPLITS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


def catalogue(path: str | os.PathLike[str] | None) -> Catalogue:
    """List the images of a folder, or zip file, that has one sub-folder a class.

    Args:
        path: The folder or zip file. A single folder that wraps everything is looked through.

    Returns:
        One item a file: `id` is the path below the folder, `class` the name of the class folder, and `split` is there
        when the folders of the first level are named train, val (valid, validation) and test.

    Raises:
        UserError: If `path` is missing or holds no file in a class folder.
    """
    if path is None:
        raise UserError(
            "path",
            expected="a folder with one sub-folder a class",
            received="nothing",
            remedy="Pass --path FOLDER.",
        )
    tree = FileTree(path)
    parts = _unwrapped([tuple(name.split("/")) for name in tree.sizes])
    names = dict(zip(parts, tree.sizes, strict=True))
    with_split = _has_split_level(parts)
    depth = 3 if with_split else 2
    kept = [part for part in parts if len(part) >= depth]
    if not kept:
        raise UserError(
            "path", expected="a folder with one sub-folder of images a class",
            received=f"{str(path)!r}, without a file in a sub-folder",
            remedy="Arrange the images as FOLDER/<class>/<image>.",
        )  # fmt: skip
    ids = ["/".join(part) for part in kept]
    by_id = {name: names[part] for name, part in zip(ids, kept, strict=True)}
    items = pd.DataFrame({"id": ids, "class": [part[depth - 2] for part in kept]})
    if with_split:
        items["split"] = [SPLITS[part[0].lower()] for part in kept]
    left_out = tuple(("/".join(part), "not in a class folder") for part in parts if len(part) < depth)
    return Catalogue(
        items=items,
        read=lambda name: tree.read(by_id[name]),
        left_out=left_out,
        fingerprint=tree.fingerprint(),
    )


def _has_split_level(parts: list[tuple[str, ...]]) -> bool:
    tops = {part[0].lower() for part in parts if len(part) > 1}
    return bool(tops) and tops <= SPLITS.keys() and any(len(part) > 2 for part in parts)


def _unwrapped(parts: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Drop a single outer folder, as zip programs add it, unless it is itself the class or split folder."""
    while parts and len({part[0] for part in parts}) == 1 and all(len(part) > 2 for part in parts):
        if parts[0][0].lower() in SPLITS:
            break
        parts = [part[1:] for part in parts]
    return parts
