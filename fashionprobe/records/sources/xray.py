"""X-ray images of GDXray in class folders, with the flipped copies that some collections of them hold.

The files are named as in GDXray, `B0049_0001.jpg`: series and number. A letter before it marks a copy: L is turned
upside down, U is mirrored, A is both. A file and its copies are never on two sides of a split that is drawn here.
"""

import os
import re

import pandas as pd

from fashionprobe.records.select import assign_splits
from fashionprobe.records.sources import Catalogue, folder

BACKGROUNDS = {
    "B0049": "plain",  # a gun, turned before an empty ground
    "B0050": "plain",  # a shuriken, likewise
    "B0051": "plain",  # a razor blade, likewise
    "B0078": "mixed",  # other objects: castings, slices of wood, cut-outs of bags
    "B0079": "cluttered",  # guns, cut out of pictures of bags
    "B0080": "cluttered",  # shuriken, likewise
    "B0081": "cluttered",  # razor blades, likewise
    "B0082": "cluttered",  # other cut-outs of bags
}
"""What is around the object, by series, as seen in the images; "unknown" for the series that are not here."""

FLIPS = {"": "no", "L": "upside down", "U": "mirrored", "A": "both"}
VALIDATION = 10
"""Per cent of the originals of train that become val when the folders have none."""

_NAME = re.compile(r"([LUA]?)([BCNSW]\d{4})_(\d+)\.\w+")


def catalogue(path: str | os.PathLike[str] | None, seed: int = 0) -> Catalogue:
    """List the X-rays of a folder, or zip file, that has one sub-folder per class.

    With folders train and test but none for val, a tenth of the originals of each class and series in train, drawn with
    the seed, becomes val together with their copies.

    Args:
        path: The folder or zip file, as for the source `folder`.
        seed: Seed of the draw of val.

    Returns:
        Items with columns id, class, series (B0049), background (`BACKGROUNDS`), original (B0049_0001, of a copy too),
        flipped ("no", "upside down", "mirrored" or "both"), and split when there are split folders.

    Raises:
        UserError: If the path is missing or wrong, or has no class folders.

    Reference:
        Mery et al., GDXray: the database of X-ray images for nondestructive testing, Journal of Nondestructive
        Evaluation 34, 2015, https://doi.org/10.1007/s10921-015-0315-7.
    """
    found = folder.catalogue(path)
    named = pd.DataFrame([_parts(name) for name in found.items["id"]], columns=["flipped", "series", "original"])
    items = found.items.assign(
        series=named["series"],
        background=named["series"].map(BACKGROUNDS).fillna("unknown"),
        original=named["original"],
        flipped=named["flipped"],
    )
    if "split" in items:
        # The last column, as everywhere.
        items["split"] = _with_validation(items, seed) if "val" not in set(items["split"]) else items["split"]
        items = items[[*items.columns.drop("split"), "split"]]
    original_of = dict(zip(items["id"], items["original"], strict=True))
    return Catalogue(
        items=items,
        read=found.read,
        contents=lambda names: [original_of[name] for name in names],
        stratify="class",
        left_out=found.left_out,
        notes=tuple(_notes(items)),
        newer=found.newer,
        fingerprint=found.fingerprint,
    )


def _parts(name: str) -> tuple[str, str, str]:
    """Return how a file is flipped, its series, and the name of its original."""
    file = name.rpartition("/")[2]
    match = _NAME.fullmatch(file)
    if match is None:
        return "no", "unknown", name
    letter, series, number = match.groups()
    return FLIPS[letter], series, f"{series}_{number}"


def _notes(items: pd.DataFrame) -> list[str]:
    notes = []
    if loose := int((items["series"] == "unknown").sum()):
        notes.append(f"{loose} files are not named as in GDXray: their series is unknown.")
    if "split" in items and (torn := int((items.groupby("original")["split"].nunique() > 1).sum())):
        notes.append(f"{torn} X-rays have copies in several of the split folders: scores on them are too good.")
    return notes


def _with_validation(items: pd.DataFrame, seed: int) -> pd.Series:
    """Return the splits with a tenth of train's originals, copies and all, moved to val."""
    train = items[items["split"] == "train"]
    originals = train.drop_duplicates("original")
    stratum = originals.assign(stratum=originals["class"] + "/" + originals["series"])
    drawn = assign_splits(stratum, (100 - VALIDATION, VALIDATION, 0), label="stratum", seed=seed)
    moved = set(originals.loc[drawn == "val", "original"])
    return items["split"].mask((items["split"] == "train") & items["original"].isin(moved), "val")
