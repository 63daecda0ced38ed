import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.embedding import grid, trials

TABLE = pd.DataFrame({
    "margin": [0.1, 1.0, 10.0], "dimension": [2, 8, 2], "mean": [0.7, 0.9, 0.4], "std": [0.01, 0.02, 0.0],
    "pruned": [False, False, True],
})  # fmt: skip


def test_a_panel_a_setting_with_a_star_for_the_best():
    margin, dimension = trials(TABLE, ["margin", "dimension"], logarithmic=["margin"], title="t").axes
    assert margin.get_xscale() == "log" and dimension.get_xscale() == "linear"
    assert list(dimension.get_xticks()) == [2, 8]
    assert "0.2" in [label.get_text() for label in margin.get_xticklabels()]
    star = margin.lines[-1]
    assert star.get_marker() == "*" and star.get_xydata().tolist() == [[1.0, 0.9]]
    cut = next(line for line in margin.lines if line.get_markerfacecolor() == "white")
    assert cut.get_xydata().tolist() == [[10.0, 0.4]]


def test_bad_tables():
    with pytest.raises(UserError, match=r"a trial with all its folds or more. Received: none"):
        trials(TABLE[TABLE["pruned"]], ["margin"])
    with pytest.raises(UserError, match=r"Did you mean 'margin'\?"):
        trials(TABLE, ["margins"])


GRID = pd.DataFrame({
    "point": [1, 2, 3, 4], "margin": [0.01, 0.01, 0.001, 0.001], "learning_rate": [0.1, 0.001, 0.1, 0.001],
    "dimension": [2, 2, 2, 3], "loss": [0.02, 0.01, 0.002, 0.001], "loss_std": [0.002, 0.03, 0.0, 0.0005],
    "accuracy": [0.2, 0.3, 0.4, 0.5], "accuracy_std": [0.01, 0.02, 0.03, 0.04],
})  # fmt: skip


def test_a_grid_has_a_column_per_dimension_and_a_line_per_margin():
    figure = grid(GRID, best=3, neighbours=3, title="of $class$")
    two, three, below, _ = figure.axes
    figure.draw_without_rendering()
    assert two.get_yscale() == "log"
    assert [label.get_text() for label in below.get_xticklabels()] == ["0.001", "0.1"]
    lines = [bars.lines[0] for bars in two.containers]
    assert [line.get_ydata().tolist() for line in lines] == [[0.002], [0.01, 0.02]]
    np.testing.assert_allclose(lines[1].get_xdata(), [0, 1], atol=0.05)
    assert [bars.lines[0].get_ydata().tolist() for bars in three.containers] == [[0.001], []]
    stars = [line.get_xydata()[:, 1].tolist() for line in (*two.lines, *below.lines) if line.get_marker() == "*"]
    assert [star for star in stars if star] == [[0.002], [0.4]]
    assert [text.get_text() for text in three.get_legend().get_texts()] == ["0.001", "0.01"]
    assert below.get_ylabel() == "Accuracy of 3-NN" and two.get_title(loc="left") == "2 dimensions"
    # A deviation larger than its mean does not stretch the axis to nothing.
    assert two.get_ylim()[0] > 1e-4


def test_a_grid_of_soft_margins_needs_no_legend_and_its_best_point_is_there():
    (above, _) = grid(GRID.iloc[:2].drop(columns="margin"), best=1, neighbours=5).axes
    assert above.get_legend() is None
    with pytest.raises(UserError, match=r"`best` must be a point of the table. Received: 9"):
        grid(GRID, best=9, neighbours=5)
