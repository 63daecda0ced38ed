import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots import save
from fashionprobe.plots.channels import all_channels, class_profiles, separating_channels


def names(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def test_lines_are_sorted_by_mean_and_marks_are_at_the_peaks():
    means = np.array([[1.0, 5, 3], [2.0, 7, 2]])
    peaks = np.array([[False, True, True], [False, True, False]])
    upper, lower, _ = class_profiles(means, peaks, ["$a", "_b"], title="colour").axes
    # Channels by mean: 1 (6), 2 (2.5), 0 (1.5).
    assert [label.get_text() for label in lower.get_xticklabels()] == ["1", "2", "0"]
    first, own, second, _, common = upper.lines
    assert first.get_ydata().tolist() == [5, 3, 1]
    assert second.get_ydata().tolist() == [7, 2, 2]
    assert (own.get_xdata().tolist(), own.get_ydata().tolist()) == ([1], [3])
    assert common.get_xdata().tolist() == [0]
    assert [text.get_text() for text in upper.get_legend().get_texts()] == ["$a", "_b"]
    np.testing.assert_allclose(lower.images[0].get_array(), [[-1, 0.5, -0.5], [1, -0.5, 0.5]])
    assert names(lower) == ["$a", "_b"]


def test_every_channel_is_drawn_in_a_panel_per_class():
    means = np.arange(80.0).reshape(2, 40) % 17
    panels = all_channels(means, ["$a", "b"]).axes[:2]
    for ax, row, name in zip(panels, means, ["$a", "b"], strict=True):
        drawn = ax.collections[0].get_paths()[0].vertices
        assert set(row) <= set(drawn[:, 1]) and ax.get_xlim() == (-0.5, 39.5)
        assert ax.get_title(loc="left") == name or ax.get_title() == name
        assert {text.get_text() for text in ax.texts} == {str(n) for n in np.argsort(-row, kind="stable")[:3]}


def test_the_strongest_channels_and_the_most_different_classes_are_drawn():
    means = np.ones((15, 60)) + np.arange(60) / 100
    means[[2, 9], 59] += [3, -1]
    figure = class_profiles(means, np.zeros((15, 60), bool), [f"class {n}" for n in range(15)], most=10)
    upper, lower, _ = figure.axes
    assert lower.get_xlabel() == "Channel (the 10 strongest of 60, sorted by mean activation)"
    assert len(names(lower)) == 12
    assert {"class 2", "class 9"} <= set(names(lower))
    assert "(12 of 15 classes: those that differ most)" in upper.get_title(loc="left")
    assert "no channel is a peak of every class" in upper.texts[0].get_text()
    # Drawn twice, as SVG and as PNG, the axes keep their size.
    save.svg(figure)
    height = upper.get_position().height
    save.png(figure, dpi=50)
    assert upper.get_position().height == pytest.approx(height, rel=0.02)
    assert height > 0.3


def areas(count):
    rows = [
        (f"class {n}", channel, rank, 0.6 + n / 100 - rank / 100, "silent" if channel == 7 else "active", 0.62)
        for n in range(count)
        for rank, channel in enumerate((7, 3, 12, 5), start=1)
    ]
    return pd.DataFrame(rows, columns=["class", "channel", "rank", "separation", "direction", "luck"])


def test_best_channels_are_named_and_luck_is_marked():
    (ax,) = separating_channels(areas(2), title="colour").axes
    assert names(ax) == ["class 1", "class 0"]
    assert [text.get_text() for text in ax.texts] == ["7↓, 3, 12", "7↓, 3, 12", "best channels"]
    every, best, luck = ax.lines[:3]
    np.testing.assert_allclose(every.get_xdata(), [0.6, 0.59, 0.58, 0.57])
    np.testing.assert_allclose(best.get_xdata(), [0.6, 0.59, 0.58])
    assert luck.get_xdata() == [0.62]
    assert "(0.5: tells nothing, 1: separates)" in ax.get_xlabel()


def test_many_classes_are_cut():
    (ax,) = separating_channels(areas(34)).axes
    assert len(names(ax)) == 30
    assert names(ax)[0] == "class 33"
    assert "30 of 34 classes" in ax.get_xlabel()


def test_wrong_arguments_are_refused():
    with pytest.raises(UserError, match="no rows"):
        separating_channels(areas(0))
    with pytest.raises(UserError, match=r"`means` must be \(classes, channels\), as peaks"):
        class_profiles(np.ones((2, 3)), np.ones((2, 2), bool), ["a", "b"])
    with pytest.raises(UserError, match="`means`"):
        class_profiles(np.ones((2, 3)), np.ones((2, 3), bool), ["a"])
