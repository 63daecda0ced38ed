"""Sources: where images and labels come from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

SOURCES = ("kaggle", "folder", "garments", "symbols", "quickdraw", "xray", "decoy", "fashion_mnist", "sprites", "table")
PROCEDURAL = ("garments", "symbols")
"""Sources that draw their images and so need no path."""

MARKED = {"symbols": ("symbols", "none"), "decoy": ("symbols", "patch", "dots", "none")}
"""Sources that put marks into a corner, which tell the class at a chosen rate: the kinds of marks that each knows."""

TAKEN = ("row", "shard", "image")
"""Names that no label column may have: columns of items.csv, and the name by which a reader asks for the picture."""


@dataclass(frozen=True)
class Catalogue:
    """What a source offers: one row per image, and a way to read each image's bytes.

    Attributes:
        items: One row per image: a unique `id`, one string column per label, optionally `split` (train, val or test).
            A missing label is the empty string.
        read: Returns the encoded bytes of the image with this id. Called from several threads.
        contents: Returns a key for each of these ids; files with the same bytes have the same key. None when no two
            images are the same.
        by_pixels: Whether those keys are of the pixels, so that nothing is left to compare.
        stratify: The label column that the split goes by when the user names none.
        split: Parts of train, val and test when the user names none; in any unit.
        split_is_fixed: Whether the `split` column stands even when the user names parts: the images depend on it.
        left_out: What the source could not use: (name, reason) pairs.
        notes: What the user should know about the source, one sentence each.
        newer: Returns the names of the files that were written after a time, in seconds since 1970. None where that is
            not known.
        fingerprint: SHA-256 of the names and sizes of the source's files; empty for a procedural source.
    """

    items: pd.DataFrame
    read: Callable[[str], bytes]
    contents: Callable[[Sequence[str]], list[str]] | None = None
    by_pixels: bool = False
    stratify: str | None = None
    split: tuple[float, float, float] = (80, 10, 10)
    split_is_fixed: bool = False
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    newer: Callable[[float], list[str]] | None = None
    fingerprint: str = ""
