import numpy as np
import pandas as pd
import pytest

from fashionprobe.channels.filters import histograms_by_class
from fashionprobe.errors import UserError
from fashionprobe.feedback.verdicts import scores
from fashionprobe.plots.filter_classes import CLASSES, filter_by_class
from fashionprobe.plots.verdicts import changes_by_kind, doubts_and_errors, verdict_scores

KINDS = pd.DataFrame({
    "kind": ["relevant", "irrelevant"], "filters": [3, 1], "change": [0.5, -1.0], "low": [0.2, -1.0],
    "high": [0.8, -1.0], "rose": [2, 0], "fell": [0, 1],
})  # fmt: skip
CHANGES = {"relevant": np.array([0.1, 0.5, 0.9]), "irrelevant": np.array([-1.0])}


def words(ax):
    return [text.get_text() for text in ax.texts]


def test_the_counts_and_the_scores_of_the_thesis():
    table = scores((np.arange(64) < 20) | (np.arange(64) >= 48), np.arange(64) < 25)
    left, right = verdict_scores(table, title="T").axes
    assert words(left) == ["23", "16", "5", "20"]
    assert words(right) == ["0.82", "0.56", "0.72", "0.59", "0.80", "0.67", "0.69", "0.66", "0.67"]
    assert [label.get_text() for label in right.get_xticklabels()] == [
        "irrelevant\n(39 filters)", "relevant\n(25 filters)", "weighted mean\n(64 filters)",
    ]  # fmt: skip


def test_no_interval_where_the_expert_calls_none_irrelevant():
    _, right = verdict_scores(scores(np.ones(3, bool), np.array([True, False, True]))).axes
    assert words(right)[:2] == ["0.00", "0.67"]


def test_each_kind_has_its_filters_and_its_mean():
    (ax,) = changes_by_kind(KINDS, CHANGES, title="T").axes
    assert [len(each.get_offsets()) for each in ax.collections if len(each.get_offsets())][:2] == [3, 1]
    assert words(ax) == ["2 rose\n0 fell", "0 rose\n1 fell"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["relevant\n(3 filters)", "irrelevant\n(1 filter)"]


def test_right_and_wrong_images():
    is_right = np.array([True, True, True, False])
    (ax,) = doubts_and_errors(np.array([0.0, 1.0, 2.0, 5.0]), is_right, remark="AUC 1.00").axes
    assert words(ax) == ["median 1.00", "median 5.00", "AUC 1.00"]
    with pytest.raises(UserError, match=r"`is_right` must be of images right and wrong\. Received: 2 right of all"):
        doubts_and_errors(np.zeros(2), np.ones(2, bool))


def test_a_filter_by_class_shows_the_most_changed_classes_and_both_rows_of_images():
    random = np.random.default_rng(0)
    labels = np.repeat([f"class {number:02}" for number in range(11)], 6)
    before = random.normal(size=(66, 1))
    after = before.copy()
    after[labels == "class 03"] += 9
    table = histograms_by_class(before, after, labels, numbers=[4])
    image = np.zeros((5, 6, 3), np.uint8)
    figure = filter_by_class(table, [image] * 3, [image] * 2, names=("before", "after"), title="T")
    rows = [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()]
    assert len(rows) == CLASSES and "class 03\n(6 images)" in rows
    assert "8 of 11 classes" in figure.axes[CLASSES - 1].get_xlabel()
    assert sum(bool(ax.images) for ax in figure.axes) == 5
    with pytest.raises(UserError, match="`table` must be a table of one class or more"):
        filter_by_class(table, [], [image])


def test_bad_tables():
    with pytest.raises(UserError, match="`table` must be a table with the rows irrelevant, relevant and mean"):
        verdict_scores(pd.DataFrame({"verdict": ["relevant"]}))
    with pytest.raises(UserError, match="`kinds` must be a table with one kind or more"):
        changes_by_kind(KINDS.head(0), {})
