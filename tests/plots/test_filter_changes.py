import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.relevance import filter_histograms, mean_changes

TABLE = pd.DataFrame({
    "filter": [1, 0, 2], "change": [0.2, -0.5, 0.0], "change_error": [0.1, 0.1, 0.1],
    "inside_change": [-1.0, -0.5, 0.3], "inside_change_error": [0.2, 0.1, np.nan],
})  # fmt: skip
BARS = pd.DataFrame({
    "filter": [0, 0, 1, 1], "low": [0, 1, 0, 2], "high": [1, 2, 2, 4], "before": [3, 1, 2, 2], "after": [1, 3, 4, 0],
})  # fmt: skip


def test_each_line_is_sorted_and_says_how_many_fall():
    (ax,) = mean_changes(TABLE, title="T").axes
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [-0.5, 0, 0.2])
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [-1, -0.5, 0.3])
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["over all images\n(33% of filters fall)", "inside the masks\n(67% of filters fall)", "no change"]


def test_without_masks_there_is_one_line():
    (ax,) = mean_changes(TABLE[["filter", "change", "change_error"]]).axes
    assert len(ax.get_legend().get_texts()) == 2


def test_histograms_in_the_order_asked_for():
    figure = filter_histograms(BARS, [1, 0], names=("before", "after $x$"), title="T")
    one, two = figure.axes
    assert (one.get_title(loc="left"), two.get_title(loc="left")) == ("filter 1", "filter 0")
    before, after = (patch.get_data() for patch in one.patches)
    assert (before.values.tolist(), after.values.tolist()) == ([2, 2], [4, 0])
    assert before.edges.tolist() == [0, 2, 4]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["before", "after $x$"]


def test_five_filters_fill_two_rows():
    table = pd.concat([BARS[BARS["filter"] == 0].assign(filter=number) for number in range(5)])
    axes = filter_histograms(table, range(5)).axes
    assert (len(axes), sum(ax.axison for ax in axes)) == (8, 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_changes(TABLE.head(0)), "`table` must be a table with one filter or more"),
        (lambda: filter_histograms(BARS, []), "`filters` must be filters of the table, one or more. Received: none"),
        (lambda: filter_histograms(BARS, [0, 5]), r"`filters` must be filters of the table, .* Received: \[5\]"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(UserError, match=message):
        call()
