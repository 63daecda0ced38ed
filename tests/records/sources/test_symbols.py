"""Drawn letters: the marks follow the class at the rate asked for, and nothing else tells the class away."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fashionprobe.errors import UserError
from fashionprobe.records.sources import symbols
from fashionprobe.records.sources.corner_marks import CORNER, box


def pixels(catalogue, name):
    return np.asarray(Image.open(io.BytesIO(catalogue.read(name))))


def in_corner(image):
    top, left, bottom, right = box(*image.shape)
    return image[top:bottom, left:right]


def test_items_hold_class_mark_and_split():
    items = symbols.catalogue(300).items
    assert list(items) == ["id", "class", "mark", "marks", "split"]
    assert items["id"].is_unique
    train = items[items["split"] == "train"]
    assert set(train["class"].value_counts()) == {70}
    assert (items["split"] == "val").sum() == 30
    # Each of the 60 test letters comes with a random mark and without one, side by side.
    test = items[items["split"] == "test"]
    assert test["marks"].tolist() == ["random", "without"] * 60
    assert test["id"].str.removesuffix("-marked").str.removesuffix("-plain").value_counts().eq(2).all()
    assert (test.loc[test["marks"] == "without", "mark"] == "none").all()


@pytest.mark.parametrize("rate", [0.0, 0.5, 0.9, 1.0])
def test_the_mark_tells_the_class_at_the_rate_in_train_and_never_in_test(rate):
    items = symbols.catalogue(9000, rate=rate).items
    agrees = items["mark"] == items["class"].map(symbols.MARKS)
    shown = items["split"] != "test"
    # A random mark is the class' own in a third of the cases; 6,300 letters: 3 standard errors are below 0.02.
    assert agrees[shown].mean() == pytest.approx(rate + (1 - rate) / 3, abs=0.02)
    assert (items.loc[shown, "marks"] == "by class").mean() == pytest.approx(rate, abs=0.02)
    drawn = items[(items["split"] == "test") & (items["marks"] == "random")]
    table = pd.crosstab(drawn["class"], drawn["mark"], normalize="index")
    np.testing.assert_allclose(table, 1 / 3, atol=0.06)


def test_another_rate_or_no_marks_leaves_the_letters_as_they_are():
    marked, plain = symbols.catalogue(60), symbols.catalogue(60, marks="none")
    assert set(plain.items["mark"]) == {"none"} and set(plain.items["marks"]) == {"without"}
    assert len(plain.items) == 60
    both = marked.items.merge(plain.items, on="id", suffixes=("", "_plain"))
    assert len(both) == 60 and (both["split"] == both["split_plain"]).all()
    for row in both.head(30).itertuples():
        with_mark, without = pixels(marked, row.id), pixels(plain, row.id)
        assert (in_corner(without) == 255).all()
        assert (in_corner(with_mark).min() < 80) == (row.mark != "none")
        in_corner(cleared := with_mark.copy())[:] = 255
        np.testing.assert_array_equal(cleared, without)


def test_marks_of_one_kind_are_the_same_pixels_and_keep_off_the_edge_of_their_box():
    catalogue = symbols.catalogue(120)
    for mark in ("star", "slash"):
        names = catalogue.items.loc[catalogue.items["mark"] == mark, "id"].head(5)
        corners = np.stack([in_corner(pixels(catalogue, name)) for name in names])
        assert (corners == corners[0]).all()
        assert (corners[0, 0] == 255).all() and (corners[0, :, -1] == 255).all()


@pytest.mark.parametrize("size", [(72, 72), (40, 64), (144, 100)])
def test_no_letter_reaches_the_corner_and_all_are_in_the_centre(size):
    catalogue = symbols.catalogue(45, size, marks="none")
    for name in catalogue.items["id"]:
        image = pixels(catalogue, name)
        assert image.shape == size and image.dtype == np.uint8
        assert (in_corner(image) == 255).all()
        rows, columns = np.nonzero(image < 128)
        # Turned letters have their middle a little beside that of their box.
        for found, side in ((rows, size[0]), (columns, size[1])):
            assert abs((found.min() + found.max() + 1) / 2 - side / 2) < 0.08 * min(size)


def test_neither_size_nor_ink_tells_the_class():
    catalogue = symbols.catalogue(120, marks="none")
    ink = {kind: [] for kind in symbols.MARKS}
    for name, kind in zip(catalogue.items["id"], catalogue.items["class"], strict=True):
        rows, _ = np.nonzero(pixels(catalogue, name) < 128)
        ink[kind].append(np.ptp(rows))
    middle = {kind: np.median(heights) for kind, heights in ink.items()}
    spread = np.std(np.concatenate(list(ink.values())))
    assert max(middle.values()) - min(middle.values()) < spread


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    first, again, other = (symbols.catalogue(9, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first.items, again.items)
    assert all(first.read(name) == again.read(name) for name in first.items["id"])
    assert first.read("symbol-000000") != other.read("symbol-000000")


def test_the_split_asked_for_is_taken():
    items = symbols.catalogue(40, split=[1, 1, 0]).items
    assert items["split"].value_counts().to_dict() == {"train": 20, "val": 20}


def test_the_note_names_the_corner_in_pixels():
    (note,) = symbols.catalogue(3).notes
    assert note == ("The marks lie in the lower left corner: rows 54 to 71 and columns 0 to 17 of 72 x 72 pixels.")
    assert CORNER == (0.75, 0, 1, 0.25)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, r"`count` must be a whole number of 1 or more. Received: 0."),
        ({"size": (72, 10)}, r"`size` must be \[height, width\], each in \[24, 2048\] pixels, for symbols"),
        ({"seed": -1}, r"`seed` must be a whole number of 0 or more"),
        ({"rate": 1.5}, r"`rate` must be a number in \[0, 1\]. Received: 1.5."),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        symbols.catalogue(**options)


def test_an_unknown_id_is_refused():
    with pytest.raises(UserError, match=r"`id` must be an id of this catalogue"):
        symbols.catalogue(3).read("symbol-000009")
