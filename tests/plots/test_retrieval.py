import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from fashionprobe.errors import UserError
from fashionprobe.plots import style
from fashionprobe.plots.retrieval import Result, precision_by_block, precision_by_descriptor, result_sheet
from fashionprobe.plots.save import png

BLOCKS = pd.DataFrame(
    {
        "block": [1, 1, 2, 2],
        "normalization": ["none", "whiten"] * 2,
        "precision_mean": [0.6, 0.7, 0.3, 0.2],
        "low": [0.55, 0.6, 0.2, 0.1],
        "high": [0.65, 0.8, 0.4, 0.3],
        "chance": 0.1,
    }
)


def test_a_curve_for_each_normalization_with_its_interval():
    figure = precision_by_block(BLOCKS, top=7, title="$colour$")
    (ax,) = figure.axes
    first, second = ax.containers
    np.testing.assert_allclose(first.lines[0].get_ydata().astype(float), [0.6, 0.3])
    np.testing.assert_allclose(second.lines[0].get_ydata().astype(float), [0.7, 0.2])
    segments = second.lines[2][0].get_segments()
    np.testing.assert_allclose([segment[:, 1] for segment in segments], [[0.6, 0.8], [0.1, 0.3]])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["as they are", "whitened", "chance (0.1)"]
    assert list(ax.get_xticks()) == [1, 2]
    assert ax.get_title(loc="left") == "$colour$"
    assert "first 7" in ax.get_ylabel() and "95 % interval" in ax.get_ylabel()
    assert png(figure)[:4] == b"\x89PNG"


def test_one_block():
    (ax,) = precision_by_block(BLOCKS[:1], top=7).axes
    assert ax.get_xlim() == (0.6, 1.4)
    assert ax.get_xlabel() == "Block of the backbone"


def test_bars_for_each_descriptor():
    mean = np.array([0.5, 0.4, 0.2, 0.3])
    table = pd.DataFrame(
        {
            "by": ["colour, block 1", "both"] * 2,
            "scored": ["colour", "colour", "both", "both"],
            "precision_mean": mean,
            "low": mean - 0.05,
            "high": mean + 0.1,
            "chance": 0.1,
        }
    )
    figure = precision_by_descriptor(table, top=10, title="two")
    (ax,) = figure.axes
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], [0.5, 0.2, 0.4, 0.3])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["colour", "both"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["colour\nblock 1", "both", "chance"]
    places = [bar.get_x() + bar.get_width() / 2 for bar in ax.patches]
    np.testing.assert_allclose(places, [-0.2, 0.8, 0.2, 1.2])
    assert png(figure)[:4] == b"\x89PNG"


def test_wrong_results_have_a_cross_and_a_frame():
    grey = np.full((30, 20, 3), 128, np.uint8)
    result = Result(grey, "red", [grey, grey], ["red", "blue"], "1 of 2\nright")
    (ax,) = result_sheet([result], title="Title").axes
    query, right, wrong = (image.get_array() for image in ax.images)
    np.testing.assert_array_equal(query, grey)
    np.testing.assert_array_equal(right, grey)
    np.testing.assert_allclose(wrong[0, 5] / 255, to_rgb(style.VERMILLION))
    np.testing.assert_array_equal(wrong[5:-5, 5:-5], grey[5:-5, 5:-5])
    assert (grey == 128).all()
    assert [text.get_text() for text in ax.texts][1:5] == ["1 of 2\nright", "query: red", "✓ red", "✗ blue"]


@pytest.mark.parametrize("draw", [precision_by_block, precision_by_descriptor])
def test_no_rows(draw):
    with pytest.raises(UserError, match=r"`table` must be a table with one .* Received: no rows"):
        draw(BLOCKS[:0], top=10)
