import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots import style
from fashionprobe.plots.correction import per_class_change


def table(count=3):
    """Class i rises in F1 by 0.01 i, falls in recall, and stays as it is in precision."""
    rows = []
    for place in range(count):
        rows += [
            (f"class {place}", "f1", 0.2, 0.2 + 0.01 * place),
            (f"class {place}", "recall", 0.9, 0.5),
            (f"class {place}", "precision", 0.3, 0.3),
        ]
    return pd.DataFrame(rows, columns=["class", "metric", "before", "after"])


def names(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def test_rings_are_before_and_dots_after():
    figure = per_class_change(table(), title="a $change$")
    precision, recall, f1 = figure.axes
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["Precision", "Recall", "F1"]
    before, after = f1.lines
    assert before.get_markerfacecolor() == "white" and before.get_xdata().tolist() == [0.2] * 3
    np.testing.assert_allclose(after.get_xydata(), [[0.22, 0], [0.21, 1], [0.2, 2]])
    np.testing.assert_allclose(f1.collections[0].get_segments()[0], [[0.2, 0], [0.22, 0]])
    # Falls differ by colour and by shape; what stays is no fall.
    assert (recall.lines[1].get_color(), recall.lines[1].get_marker()) == (style.VERMILLION, "s")
    assert (precision.lines[1].get_color(), precision.lines[1].get_marker()) == (style.BLUE, "o")
    assert names(precision) == ["class 2", "class 1", "class 0"]
    assert figure.get_suptitle() == "a $change$"


def test_many_classes_show_both_ends():
    ax = per_class_change(table(30), ends=3).axes[0]
    assert names(ax) == ["class 29", "class 28", "class 27", "… 24 more …", "class 2", "class 1", "class 0"]
    assert ax.lines[0].get_ydata().tolist() == [0, 1, 2, 4, 5, 6]


def test_a_class_without_a_value_has_no_mark():
    rows = table()
    rows.loc[(rows["class"] == "class 1") & (rows["metric"] == "f1"), "before"] = np.nan
    figure = per_class_change(rows)
    assert names(figure.axes[0]) == ["class 2", "class 0", "class 1"]
    assert figure.axes[2].lines[1].get_ydata().tolist() == [0, 1]


def test_panels_share_the_width():
    # A panel without falls beside one with falls: both have the same room.
    figure = per_class_change(table(40), ends=2)
    figure.draw_without_rendering()
    widths = [ax.get_window_extent().width for ax in figure.axes]
    assert max(widths) - min(widths) < 1
    assert min(widths) > 0.2 * figure.bbox.width


@pytest.mark.parametrize(
    ("rows", "ends", "text"),
    [
        (table().head(0), 12, "no rows"),
        (pd.concat([table(), table().head(1)]), 12, "Received: two for f1 of class 0"),
        (table(), 0, "`ends` must be a positive number of classes"),
    ],
)
def test_wrong_arguments_are_refused(rows, ends, text):
    with pytest.raises(UserError, match=text):
        per_class_change(rows, ends=ends)
