import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.embedding import trials

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
