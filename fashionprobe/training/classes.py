"""The classes that a classifier is trained on: which images count, and what becomes of rare classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from fashionprobe.errors import UserError

OTHER = "other"
"""The class that rare ones are merged into."""


@dataclass(frozen=True)
class Classes:
    """The classes of one label column.

    Attributes:
        label: The label column.
        names: Their names, sorted; the number of a class is its place here.
        numbers: The number that each value of the column is trained as; merged values share one.
        rare: Number of images of each value that was merged or dropped.
        merged: Whether they were merged.
        missing: Number of images without this label, which are left out.
    """

    label: str
    names: tuple[str, ...]
    numbers: Mapping[str, int]
    rare: Mapping[str, int]
    merged: bool
    missing: int


def choose(
    items: pd.DataFrame,
    label: str,
    *,
    min_images: int = 2,
    rare: Literal["drop", "merge"] = "drop",
    needed: Sequence[str] = ("train", "val"),
    counted: Sequence[str] = ("train", "val", "test"),
) -> Classes:
    """Choose the classes that can be trained and measured.

    A value is rare when fewer than `min_images` images of the splits that count have it, or when a split that is
    needed has none of it.

    Args:
        items: One row per image: the label column and `split`, text; "" is a missing label.
        label: The label column.
        min_images: Images that a class needs.
        rare: Leave rare values out, or merge them into the class "other".
        needed: The splits that must have images of each class.
        counted: The splits whose images count for `min_images`.

    Returns:
        The classes.

    Raises:
        UserError: If fewer than two classes are left.
    """
    table = pd.crosstab(items[label], items["split"]).reindex(columns=["train", "val", "test"], fill_value=0)
    missing = int((items[label] == "").sum())
    table = table.drop(index="", errors="ignore")
    total = table[list(counted)].sum(axis=1)
    is_rare = (total < min_images) | (table[list(needed)] == 0).any(axis=1)
    kept = {str(name) for name in table.index[~is_rare]}
    merged = {str(name): OTHER for name in table.index[is_rare]} if rare == "merge" else {}
    names = tuple(sorted(kept | {*merged.values()}))
    if len(names) < 2:
        raise UserError(
            "label", expected=f"a column with two classes or more that have images in {' and in '.join(needed)}",
            received=f"{label}, with {_described(table, is_rare, min_images, needed)}",
            remedy="Choose another column, lower --min-images, or ingest with another --split.",
        )  # fmt: skip
    numbers = {name: names.index(merged.get(name, name)) for name in sorted(kept | {*merged})}
    counts = {str(name): int(total[name]) for name in table.index[is_rare]}
    return Classes(label, names, numbers, counts, bool(merged), missing)


def _described(table: pd.DataFrame, is_rare: pd.Series, min_images: int, needed: Sequence[str]) -> str:
    """Say what a column holds when it cannot be trained on."""
    kept = [str(name) for name in table.index[~is_rare]]
    text = f"one class, {kept[0]}" if kept else "none"
    return f"{text} ({int(is_rare.sum())} rarer than {min_images} images or missing in {' or '.join(needed)})"
