import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.per_class import accuracy_by_neighbours, per_class


def names(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def test_bars_are_sorted_and_equal_the_table(classes):
    table = classes(3)
    (ax,) = per_class(table).axes
    assert [bar.get_width() for bar in ax.patches] == [0.02, 0.01, 0.0]
    assert names(ax) == ["class 2", "class 1", "class 0"]
    assert [text.get_text() for text in ax.texts] == ["2 of 100", "1 of 100", "0 of 100"]
    assert "95 % Wilson interval" in ax.get_xlabel()


def test_lines_end_at_low_and_high(classes):
    (ax,) = per_class(classes(3)).axes
    segments = ax.containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose([segment[:, 0] for segment in segments], [[0, 0.12], [0, 0.11], [0, 0.1]])


def test_many_classes_show_both_ends(classes):
    (ax,) = per_class(classes(61)).axes
    assert len(ax.patches) == 30
    assert names(ax)[:2] == ["class 60", "class 59"]
    assert names(ax)[-1] == "class 0"
    assert "… 31 more classes between …" in [text.get_text() for text in ax.texts]


@pytest.mark.parametrize(("count", "ends", "bars"), [(30, 15, 30), (31, 15, 30), (7, 2, 4)])
def test_the_number_of_bars(classes, count, ends, bars):
    assert len(per_class(classes(count), ends=ends).axes[0].patches) == bars


def test_chance_is_drawn(classes):
    (ax,) = per_class(classes(2), chance=0.5).axes
    assert any(np.array_equal(line.get_xdata(), [0.5, 0.5]) for line in ax.lines)


@pytest.mark.parametrize(("rows", "ends", "text"), [(0, 15, "no rows"), (2, 0, "`ends` must be a positive")])
def test_wrong_arguments_are_refused(classes, rows, ends, text):
    with pytest.raises(UserError, match=text):
        per_class(classes(rows), ends=ends)


def test_cells_by_class_and_neighbours_equal_the_table():
    rows = [("a", 1, 10, 0.5), ("a", 4, 10, 0.6), ("b", 1, 20, 0.9), ("b", 4, 20, 0.8)]
    table = pd.DataFrame(rows, columns=["class", "k", "images", "accuracy"])
    ax = accuracy_by_neighbours(table).axes[0]
    assert names(ax) == ["b (20)", "a (10)"]
    assert [text.get_text() for text in ax.texts] == ["0.90", "0.80", "0.50", "0.60"]
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.9, 0.8], [0.5, 0.6]])
