"""Marks: all of a kind differ, stay in their box, and leave the rest of the picture alone."""

import numpy as np
import pytest

from fashionprobe.records.sources.corner_marks import MOST, SYMBOLS, box, with_mark, with_symbol


@pytest.mark.parametrize("kind", MOST)
@pytest.mark.parametrize("shape", [(60, 80, 3), (120, 90)])
@pytest.mark.parametrize("ground", [0, 255])
def test_marks_differ_by_class_and_stay_in_the_corner(kind, shape, ground):
    picture = np.full(shape, ground, np.uint8)
    top, left, bottom, right = box(*shape[:2])
    count = MOST[kind]
    drawn = [with_mark(picture, kind, number, count) for number in range(count)]
    for marked in drawn:
        corner = marked[top:bottom, left:right]
        assert (corner != ground).any()
        # A margin is left towards the rest of the picture.
        assert (corner[0] == ground).all() and (corner[:, -1] == ground).all()
        outside = np.ones(shape[:2], bool)
        outside[top:bottom, left:right] = False
        assert (marked[outside] == ground).all()
    assert (picture == ground).all()
    flat = np.stack([marked[top:bottom, left:right].ravel() for marked in drawn]).astype(int)
    differences = np.abs(flat[:, None] - flat[None]).max(axis=2)
    assert differences[~np.eye(count, dtype=bool)].min() > 8


def test_dots_are_as_many_as_the_class_says():
    from scipy.ndimage import label

    picture = np.full((224, 224), 255, np.uint8)
    counts = [label(with_mark(picture, "dots", number, 16) < 128)[1] for number in range(16)]
    assert counts == list(range(1, 17))


def test_patches_go_from_dark_to_light():
    picture = np.full((100, 100), 255, np.uint8)
    greys = [with_mark(picture, "patch", number, 4)[88, 11] for number in range(4)]
    assert greys == [20, 90, 160, 230]


def test_a_slash_leans_to_the_right():
    dark = with_symbol(np.full((72, 72), 255, np.uint8), "slash") < 128
    rows, columns = np.nonzero(dark)
    assert columns[rows.argmin()] > columns[rows.argmax()]
    assert set(SYMBOLS) >= {"star", "slash"}
