"""X-rays: what a file's name says, and that a file and its copies stay together."""

import os
from pathlib import Path

import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.records.sources import xray

FLIPS = ("", "L", "U", "A")


def files(splits=("train",), classes=("gun", "razor"), count=20):
    """An original and its three copies, `count` times a class and split, each with a name of its own."""
    series = {"gun": "B0049", "razor": "B0081"}
    return {
        f"{split}/{kind}/{letter}{series[kind]}_{place * 1000 + number:04d}.png": f"{split}{kind}{number}{letter}"
        for place, split in enumerate(splits)
        for kind in classes
        for number in range(count)
        for letter in FLIPS
    }


def test_names_say_series_original_and_flip(put):
    names = ("B0049_0001.jpg", "LB0080_0002.jpg", "UB0078_0003.jpg", "AB0999_0004.jpg", "Label.jpg")
    items = xray.catalogue(put({f"train/gun/{name}": name for name in names})).items.set_index("id")
    assert list(items) == ["class", "series", "background", "original", "flipped", "split"]
    found = [tuple(items.loc[f"train/gun/{name}", ["series", "background", "original", "flipped"]]) for name in names]
    assert found == [
        ("B0049", "plain", "B0049_0001", "no"),
        ("B0080", "cluttered", "B0080_0002", "upside down"),
        ("B0078", "mixed", "B0078_0003", "mirrored"),
        ("B0999", "unknown", "B0999_0004", "both"),
        ("unknown", "unknown", "train/gun/Label.jpg", "no"),
    ]


def test_a_tenth_of_the_originals_becomes_val_with_their_copies(put):
    items = xray.catalogue(put(files(("train", "test")))).items
    assert (items.groupby("original")["split"].nunique() == 1).all()
    counts = pd.crosstab(items["class"], items["split"])[["train", "val", "test"]]
    assert counts.to_numpy().tolist() == [[72, 8, 80]] * 2
    assert set(items.loc[items["id"].str.startswith("test/"), "split"]) == {"test"}


def test_a_copy_whose_original_is_not_there_stays_with_the_other_copies(put):
    names = {name: data for name, data in files(count=40).items() if "/B" not in name}
    items = xray.catalogue(put(names)).items
    assert (items.groupby("original")["split"].nunique() == 1).all()
    assert (items["split"] == "val").sum() == 24


def test_the_seed_draws_val_and_folders_of_their_own_are_kept(put):
    source = put(files())
    splits = [xray.catalogue(source, seed).items["split"] for seed in (0, 0, 1)]
    assert splits[0].equals(splits[1]) and not splits[0].equals(splits[2])
    own = xray.catalogue(put(files(("train", "val")), "own")).items
    assert (own["split"] == own["id"].str.partition("/")[0]).all()


def test_without_split_folders_the_contents_keep_copies_together(put):
    source = put({name.partition("/")[2]: data for name, data in files().items()})
    catalogue = xray.catalogue(source)
    assert "split" not in catalogue.items
    names = ["gun/B0049_0001.png", "gun/LB0049_0001.png", "gun/B0049_0002.png"]
    keys = catalogue.contents(names)
    assert keys[0] == keys[1] != keys[2]


def test_notes_name_what_is_not_as_it_should_be(put):
    assert xray.catalogue(put(files(("train", "test")))).notes == ()
    names = ("train/gun/B0049_0001.png", "test/gun/LB0049_0001.png", "train/gun/x.png")
    torn = xray.catalogue(put({name: name for name in names}, "torn"))
    assert torn.notes == (
        "1 files are not named as in GDXray: their series is unknown.",
        "1 X-rays have copies in several of the split folders: scores on them are too good.",
    )


def test_a_missing_path_is_refused():
    with pytest.raises(
        UserError, match=r"`path` is missing: pass a folder of images, best with one sub-folder per class."
    ):
        xray.catalogue(None)


def test_the_real_objects():
    root = os.environ.get("FASHIONPROBE_REAL_DATA")
    if not root:
        pytest.skip("set FASHIONPROBE_REAL_DATA to the folder with gdxray_objects.zip")
    items = xray.catalogue(Path(root) / "gdxray_objects.zip").items
    assert (items.groupby("original")["split"].nunique() == 1).all()
    counts = pd.crosstab(items["class"], items["split"])
    assert counts["test"].to_dict() == {"gun": 100, "other": 400, "razor_blade": 100, "shuriken": 100}
    assert (counts["train"] + counts["val"] == 600).all()
    assert counts["val"].between(50, 70).all()
    assert set(items["series"]) == set(xray.BACKGROUNDS)
