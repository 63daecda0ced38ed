import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.channels import selectivity_by_block
from fashionprobe.plots.save import svg


@pytest.fixture
def table():
    """Block 1: 0.1, 0.19, 0.5, 1.0; block 3: -0.2, 0.2 and one silent channel."""
    values = [0.1, 0.19, 0.5, 1.0, -0.2, 0.2, np.nan]
    return pd.DataFrame({"block": [1] * 4 + [3] * 3, "class_index": values, "colour_index": values[::-1]})


def widths(ax):
    return np.array([bar.get_width() for bar in ax.patches]).reshape(-1, 5)


def test_bars_are_shares_of_the_channels_that_have_an_index(table):
    (ax,) = selectivity_by_block(table, "class_index").axes
    np.testing.assert_allclose(widths(ax), [[0.5, 0, 0.25, 0, 0.25], [0.5, 0.5, 0, 0, 0]])
    np.testing.assert_allclose(ax.patches[4].get_x(), 0.75)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["block 1", "block 3"]


def test_numbers_of_channels_medians_and_silent_ones_are_written(table):
    (ax,) = selectivity_by_block(table, "class_index", remark="A remark.").axes
    texts = [text.get_text() for text in ax.texts]
    assert "4 channels\nmedian 0.34" in texts
    assert "2 channels\n+ 1 without\nmedian 0.10" in texts
    assert {"50%", "25%", "A remark."} <= set(texts)
    assert ax.get_legend().get_title().get_text() == "Class selectivity index"
    assert [text.get_text() for text in ax.get_legend().get_texts()][::4] == ["0.0 to 0.2", "0.8 to 1.0"]


def test_the_index_is_chosen(table):
    (ax,) = selectivity_by_block(table, "colour_index", title="T").axes
    assert ax.get_legend().get_title().get_text() == "Colour selectivity index"
    assert ax.get_title(loc="left") == "T"
    np.testing.assert_allclose(widths(ax)[0], [1 / 3, 1 / 3, 0, 0, 1 / 3])


def test_a_block_without_any_index(table):
    figure = selectivity_by_block(table.assign(class_index=np.nan), "class_index")
    assert widths(figure.axes[0]).sum() == 0
    assert svg(figure)


def test_an_empty_table(table):
    with pytest.raises(UserError, match="`table` must be a table with one channel or more"):
        selectivity_by_block(table.iloc[:0], "class_index")
