import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.channels import accuracy_by_channels


@pytest.fixture
def found():
    curve = pd.DataFrame({
        "block": [1, 1, 1, 4, 4], "channels": [1, 3, 64, 1, 128], "accuracy_mean": [0.3, 0.5, 0.5, 0.4, 0.7],
        "accuracy_std": [0.1, 0.0, 0.1, 0.1, 0.06], "folds": 5,
    })  # fmt: skip
    answers = pd.DataFrame({
        "block": [1, 4], "channels": [3, 128], "total": [64, 128], "accuracy": [0.5, 0.7], "full": [0.5, 0.7],
    })  # fmt: skip
    return curve, answers


def test_one_panel_a_block_with_its_curve_band_and_answer(found):
    figure = accuracy_by_channels(*found, share=0.9, chance=0.25, title="Channels that hold $colour")
    first, second = (ax for ax in figure.axes if ax.get_visible())
    assert (first.get_title(loc="left"), second.get_title(loc="left")) == ("block 1: 3 of 64", "block 4: 128 of 128")
    line, least, chance, dot = first.lines
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == ([1, 3, 64], [0.3, 0.5, 0.5])
    assert (least.get_ydata()[0], chance.get_ydata()[0]) == (0.45, 0.25)
    assert (dot.get_xdata(), dot.get_ydata()) == ([3], [0.5])
    band = first.collections[0].get_paths()[0].vertices
    assert {(1.0, 0.2), (1.0, 0.4), (64.0, 0.4), (64.0, 0.6)} <= {tuple(point) for point in np.round(band, 9)}
    assert first.texts[0].get_text() == "--- 0.9 x 0.50   ··· chance 0.25"
    assert first.get_ylim() == (0, 0.9)
    assert [label.get_text() for label in second.get_xticklabels()] == ["1", "4", "16", "64"]
    assert "5 folds" in figure.get_supylabel()


def test_five_blocks_take_two_rows_and_no_empty_axes(found):
    curve, answers = found
    tables = [table[table["block"] == 1] for table in (curve, answers)]
    many = [pd.concat([table.assign(block=block) for block in range(1, 6)]) for table in tables]
    figure = accuracy_by_channels(*many, share=0.99)
    assert sum(ax.get_visible() for ax in figure.axes) == 5
    assert len(figure.axes) == 6


def test_no_block_is_refused(found):
    with pytest.raises(UserError, match="no rows"):
        accuracy_by_channels(found[0], found[1].iloc[:0], share=0.99)
