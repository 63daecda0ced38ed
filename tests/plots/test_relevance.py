import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.relevance import expert_against_ranking, relevance_change, relevance_curve, top_filters

CURVE = pd.DataFrame({
    "order": ["ranked"] * 3 + ["random"] * 3, "filters": [1, 2, 4] * 2,
    "accuracy": [0.5, 0.8, 0.82, 0.3, 0.5, 0.8], "low": [0.4, 0.7, 0.75, 0.2, 0.4, 0.7],
    "high": [0.6, 0.85, 0.9, 0.4, 0.6, 0.85],
})  # fmt: skip
L1 = pd.DataFrame({"filters": [0.0, 2.0], "accuracy": [0.3, 0.7], "low": [0.2, 0.6], "high": [0.4, 0.8]})
RANKS = pd.DataFrame({
    "filter": [0, 1, 2], "mutual_information_rank": [2, 1, 3], "extra_trees_rank": [2, 1, 3],
    "one_filter_rank": [3, 1, 2], "mean_rank": [7 / 3, 1, 8 / 3], "rank": [2, 1, 3],
})  # fmt: skip
EXPERT = pd.DataFrame({
    "filter": [7, 3, 9], "ratio": [2.0, 0.5, np.nan], "relevance_rank": [1, 3, 2], "suspicious": [True, False, False],
})  # fmt: skip


def legend(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_the_curve_shows_both_orders_and_l1_models_with_a_filter():
    figure = relevance_curve(CURVE, L1, chance=0.25, enough=2, measured="60 images", title="T")
    (ax,) = figure.axes
    best, rest = ax.lines[:2]
    np.testing.assert_allclose(best.get_ydata(), [0.5, 0.8, 0.82])
    np.testing.assert_allclose(rest.get_xdata(), [1, 2, 4])
    points = next(line for line in ax.lines if line.get_marker() == "s")
    assert [list(map(float, each)) for each in points.get_data()] == [[2], [0.7]]
    assert legend(figure)[2:] == [
        "left by L1 logistic\nregression (95 %)",
        "largest class (0.25)",
        "2 filters: 95 % of\nthe accuracy of all",
    ]
    assert [list(map(float, each)) for each in ax.lines[-1].get_data()] == [[2], [0.8]]
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("Accuracy\n(60 images)", "Number of filters (of 4)")


def test_the_softmax_layer_and_the_network_itself():
    curve = pd.concat([CURVE, CURVE.head(3).assign(order="softmax", accuracy=[0.4, 0.7, 0.9])])
    (ax,) = relevance_curve(curve, network=0.85, reaching=4).axes
    layer = next(line for line in ax.lines if np.array_equal(line.get_ydata(), [0.4, 0.7, 0.9]))
    assert layer.get_linestyle() == "-"
    assert [list(map(float, line.get_ydata())) for line in ax.lines if line.get_linestyle() == "-."] == [[0.85, 0.85]]
    assert [list(map(float, each)) for each in ax.lines[-1].get_data()] == [[4], [0.9]]
    assert legend(ax.figure)[-2:] == ["the whole network (0.85)", "4 filters: as the network"]


def test_two_networks_each_with_its_own_line_and_mark():
    first = CURVE.head(3).assign(order="softmax")
    second = first.assign(accuracy=[0.6, 0.7, 0.75])
    (ax,) = relevance_change(
        {"before": first, "after": second}, {"before": 0.8, "after": None}, {"before": 2, "after": None},
        measured="60 images",
    ).axes  # fmt: skip
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0.5, 0.8, 0.82])
    assert [list(map(float, each)) for each in ax.lines[2].get_data()] == [[2], [0.8]]
    np.testing.assert_allclose(ax.lines[3].get_ydata(), [0.6, 0.7, 0.75])
    names = [text.split("\n")[0] for text in legend(ax.figure)]
    assert names == ["before", "the whole network (0.8)", "2 filters: as the network", "after"]


def test_the_curve_without_l1_and_chance():
    assert len(legend(relevance_curve(CURVE))) == 2
    assert len(legend(relevance_curve(CURVE, L1.head(1)))) == 2


def test_top_filters_best_on_top_with_each_criterion():
    figure = top_filters(RANKS, count=2, title="T")
    (ax,) = figure.axes
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["1", "0"]
    np.testing.assert_allclose(ax.lines[2].get_xdata(), [1, 3])
    assert "of 3" not in ax.get_xlabel()
    assert "3 filters" in ax.get_xlabel()


def test_the_expert_figure_marks_suspicious_filters():
    figure = expert_against_ranking(EXPERT, agreement="Spearman +0.50", title="T")
    (ax,) = figure.axes
    others, suspicious = ax.collections
    np.testing.assert_allclose(others.get_offsets(), [[0.5, 3]])
    np.testing.assert_allclose(suspicious.get_offsets(), [[2, 1]])
    assert {"7", "Spearman +0.50"} == {text.get_text() for text in ax.texts}
    assert legend(figure)[:2] == ["other filters (1)", "irrelevant to the expert,\nrelevant by the ranking (1)"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: relevance_curve(CURVE[CURVE["order"] == "random"]), "`curve` must be a table with ranked rows"),
        (lambda: top_filters(RANKS.head(0)), "`table` must be a table with one filter or more"),
        (lambda: top_filters(RANKS, count=0), "`table` must be a table with one filter or more"),
        (lambda: expert_against_ranking(EXPERT.tail(1)), "`table` must be a filter that is active in a masked image"),
    ],
)
def test_bad_tables(call, message):
    with pytest.raises(UserError, match=message):
        call()
