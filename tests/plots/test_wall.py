import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fashionprobe.errors import UserError
from fashionprobe.plots import style
from fashionprobe.plots.save import png
from fashionprobe.plots.wall import DPI, GAP, layout_scores, layouts, wall

RED, BLUE = (255, 0, 0), (0, 0, 255)


def filled(colour, height=10, width=8) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def pixels(figure) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png(figure, dpi=DPI))).convert("RGB"))


def canvas(figure) -> np.ndarray:
    return np.asarray(figure.axes[0].images[0].get_array())


def rgb(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def test_pictures_stand_in_their_cells_and_the_rest_is_white():
    shown = canvas(wall([filled(RED), filled(BLUE)], np.array([3, 1]), 2, 2, cell=10))
    assert shown.shape == (2 * (10 + GAP), 2 * (8 + GAP), 3)
    assert (shown[12:22, 10:18] == RED).all()
    assert (shown[:10, 10:18] == BLUE).all()
    rest = shown.astype(int).sum(axis=-1) == 3 * 255
    assert rest.sum() == shown[..., 0].size - 2 * 80


def test_pixels_survive_saving():
    picture = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    figure = wall([picture] * 48, np.arange(48), 4, 12, cell=40, title="A title", classes=np.array(["one"] * 48))
    shown, saved = canvas(figure), pixels(figure)
    rows = [top for top in range(len(saved) - len(shown) + 1) if (saved[top + 5, 5:33] == shown[5, 5:33]).all()]
    assert any((saved[top : top + len(shown), : shown.shape[1]] == shown).all() for top in rows)


def test_large_pictures_shrink_and_small_ones_stay():
    shown = canvas(wall([filled(RED, 40, 20), filled(BLUE, 6, 50), filled(RED, 4, 4)], np.arange(3), 1, 3, cell=20))
    assert shown.shape == (20 + GAP, 3 * (20 + GAP), 3)
    # 40 x 20 becomes 20 x 10, 6 x 50 becomes 2 x 20, and 4 x 4 stays.
    assert [(shown[:, left : left + 20] == colour).all(axis=-1).sum() for left, colour in ((0, RED), (44, RED))] == [
        200,
        16,
    ]
    assert (shown == BLUE).all(axis=-1).sum() == 40


def test_frames_tell_classes_apart():
    names = [f"class {number:02}" for number in range(16)]
    figure = wall([filled(RED)] * 16, np.arange(16), 1, 16, cell=10, classes=np.array(names))
    shown = canvas(figure)
    wide = shown.shape[1] // 16
    corners = [shown[0, place * wide].tolist() for place in range(16)]
    assert corners[:7] == [rgb(colour) for colour in style.CYCLE]
    assert corners[7:14] == corners[:7]
    assert corners[14] == corners[15] not in corners[:7]
    top = [(shown[0, place * wide : (place + 1) * wide - GAP] == 255).all(axis=-1).any() for place in range(16)]
    assert top == [False] * 7 + [True] * 7 + [False] * 2
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [*sorted(names)[:14], "other classes"]


def test_the_most_frequent_classes_come_first():
    figure = wall([filled(RED)] * 3, np.arange(3), 1, 3, cell=10, classes=np.array(["a", "_b$", "_b$"]))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["_b$", "a"]


def test_classes_that_are_colours_have_them():
    classes = np.array(["Red", "Navy Blue", "White"])
    shown = canvas(wall([filled((9, 9, 9))] * 3, np.arange(3), 1, 3, cell=10, classes=classes))
    corners = [shown[0, place * shown.shape[1] // 3].tolist() for place in range(3)]
    assert corners == [[255, 0, 0], [0, 17, 70], [218, 220, 224]]
    # One class that is no colour: then none is, so that frames do not mix.
    classes[2] = "Multi"
    shown = canvas(wall([filled((9, 9, 9))] * 3, np.arange(3), 1, 3, cell=10, classes=classes))
    assert shown[0, 0].tolist() != [255, 0, 0]


def scores(blocks=(1, 2)) -> pd.DataFrame:
    rows = [
        (block, layout, 0.1 * block + 0.01 * place, 0.2 * block, np.nan)
        for block in blocks
        for place, layout in enumerate(("las", "random"))
    ]
    return pd.DataFrame(rows, columns=["block", "layout", "neighbours", "dpq", "same_class"])


def test_bars_are_the_scores():
    figure = layout_scores(scores())
    assert len(figure.axes) == 2
    bars = [bar.get_width() for bar in figure.axes[0].patches]
    assert bars == pytest.approx([0.1, 0.2, 0.11, 0.21])
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.100", "0.200", "0.110", "0.210"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["block 1", "block 2"]
    assert "8 nearest" in figure.axes[0].get_xlabel()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["las", "random"]


def test_a_score_that_one_block_lacks():
    table = scores()
    table.loc[table["block"] == 2, "dpq"] = np.nan
    texts = [text.get_text() for text in layout_scores(table).axes[1].texts]
    assert texts == ["0.200", "not defined"] * 2
    with pytest.raises(UserError, match=r"`table` must be a table with a score. Received: 4 rows without"):
        layout_scores(table.assign(neighbours=np.nan, dpq=np.nan))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pictures": []}, r"`pictures` must be one or more. Received: none"),
        ({"pictures": [np.zeros((4, 4), np.uint8)] * 2}, r"Received: uint8 \[4, 4\]"),
        ({"cells": np.array([0, 4])}, r"`cells` must be a cell for each of 2 pictures, 0 to 3. Received: 2, 0 to 4"),
        ({"cells": np.array([0])}, r"Received: 1, 0 to 0"),
        ({"classes": np.array(["a"])}, r"`classes` must be one per picture, 2. Received: 1"),
    ],
)
def test_wrong_arguments(change, message):
    right = {"pictures": [filled(RED)] * 2, "cells": np.arange(2), "rows": 2, "columns": 2}
    with pytest.raises(UserError, match=message):
        wall(**right | change)


def test_layouts_put_each_picture_where_it_is_said_to_be():
    red, blue = filled(RED, 10, 10), filled(BLUE, 10, 10)
    places = np.array([[0.0, 0.0], [1.0, 0.5]])
    figure = layouts([red, blue], [("one", places), ("other", places[::-1])], cell=10, across=4, title="T")
    one, other = (np.asarray(ax.images[0].get_array()) for ax in figure.axes)
    assert one.shape == (40, 40, 3) and (one[:10, :10] == RED).all() and (one[30:, 15:25] == BLUE).all()
    assert (other[:10, :10] == BLUE).all() and [ax.get_title() for ax in figure.axes] == ["one", "other"]
