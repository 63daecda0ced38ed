"""Images in class folders, with or without a level of split folders above, `[train/]cat/1.jpg`; or flat, unlabelled."""

import os

import pandas as pd

from fashionprobe.errors import UserError, missing
from fashionprobe.records.sources import Catalogue
from fashionprobe.records.sources.tree import FileTree

SPLITS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")


def catalogue(path: str | os.PathLike[str] | None) -> Catalogue:
    """List the images of a folder, or zip file, that has one sub-folder per class, or no sub-folders with images.

    Args:
        path: The folder or zip file. A single folder that wraps everything is looked through.

    Returns:
        One item a file: `id` is the path below the folder, `class` the name of the class folder, and `split` is there
        when the folders of the first level are named train, val (valid, validation) and test. Of a flat folder the
        items have no `class`.

    Raises:
        UserError: If `path` is missing or holds no image.
    """
    if path is None:
        raise missing("path", "pass a folder of images, best with one sub-folder per class", "Such as --path FOLDER.")
    tree = FileTree(path)
    parts = [tuple(name.split("/")) for name in tree.sizes]
    # A README or a table of labels says nothing about the levels.
    images = [part for part in parts if part[-1].lower().endswith(SUFFIXES)] or parts
    outer = _wrapping(images)
    with_split = _has_split_level([part[outer:] for part in images])
    # The class folder is the last level that counts; more folders may be below it.
    depth = outer + (3 if with_split else 2)
    wrapper = images[0][:outer] if images else ()
    kept = [part for part in parts if len(part) >= depth and part[:outer] == wrapper]
    if with_split:
        kept = [part for part in kept if part[outer].lower() in SPLITS]
    if not kept and any(part[-1].lower().endswith(SUFFIXES) for part in images):
        return _flat(tree, images, parts, outer)
    if not kept:
        raise UserError(
            "path", expected="a folder with one sub-folder of images per class",
            received=f"{str(path)!r}, without an image",
            remedy="Arrange the images as FOLDER/<class>/<image>.",
        )  # fmt: skip
    by_id = {"/".join(part[outer:]): "/".join(part) for part in kept}
    items = pd.DataFrame({"id": list(by_id), "class": [part[depth - 2] for part in kept]})
    if with_split:
        items["split"] = [SPLITS[part[outer].lower()] for part in kept]
    left_out = tuple(("/".join(part), "not in a class folder") for part in sorted({*parts} - {*kept}))
    return Catalogue(
        items=items,
        read=lambda name: tree.read(by_id[name]),
        contents=lambda names: tree.contents([by_id[name] for name in names]),
        stratify="class",
        left_out=left_out,
        newer=tree.newer,
        fingerprint=tree.fingerprint(),
    )


def _flat(
    tree: FileTree, images: list[tuple[str, ...]], parts: list[tuple[str, ...]], outer: int
) -> Catalogue:  # fmt: skip
    """List images that are in no class folder: they have no label."""
    by_id = {"/".join(part[outer:]): "/".join(part) for part in images if part[-1].lower().endswith(SUFFIXES)}
    left_out = tuple(("/".join(part), "not called like an image") for part in sorted({*parts} - {*images}))
    return Catalogue(
        items=pd.DataFrame({"id": list(by_id)}),
        read=lambda name: tree.read(by_id[name]),
        contents=lambda names: tree.contents([by_id[name] for name in names]),
        left_out=left_out,
        notes=("No sub-folders: the images have no label.",),
        newer=tree.newer,
        fingerprint=tree.fingerprint(),
    )


def _has_split_level(parts: list[tuple[str, ...]]) -> bool:
    tops = {part[0].lower() for part in parts if len(part) > 1}
    return bool(tops) and tops <= SPLITS.keys() and any(len(part) > 2 for part in parts)


def _wrapping(parts: list[tuple[str, ...]]) -> int:
    """Count the single outer folders, as zip programs add them, that are themselves no class or split folder."""
    outer = 0
    while (
        all(len(part) > outer + 2 for part in parts)
        and len({part[outer] for part in parts}) == 1
        and parts[0][outer].lower() not in SPLITS
    ):
        outer += 1
    return outer
