import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.correction import confusion_change


def matrix(count, name="c"):
    names = [f"{name} {place}" for place in range(count)]
    return pd.DataFrame(np.eye(count, dtype=int) * 3, index=names, columns=names)


@pytest.mark.parametrize(("count", "name", "stacked"), [(3, "c", False), (3, "a longer name", True), (5, "c", True)])
def test_both_matrices_are_drawn_and_nothing_is_cut(count, name, stacked):
    before = matrix(count, name)
    after = before.iloc[::-1].set_axis(before.index)
    figure = confusion_change(before, after, title="Test $images$")
    first, second = figure.axes[:2]
    assert (first.get_title(loc="left"), second.get_title(loc="left")) == ("Before", "After")
    np.testing.assert_allclose(np.asarray(first.images[0].get_array()), np.eye(count))
    np.testing.assert_allclose(np.asarray(second.images[0].get_array()), np.eye(count)[::-1])
    assert figure.get_suptitle() == "Test $images$"
    figure.draw_without_rendering()
    assert (first.get_window_extent().x0 == pytest.approx(second.get_window_extent().x0)) == stacked
    boxes = [ax.get_tightbbox() for ax in figure.axes]
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 for box in boxes)


def test_matrices_of_other_classes_are_refused():
    with pytest.raises(UserError, match=r"of the same classes as `before`: c 0, c 1. Received: d 0, d 1."):
        confusion_change(matrix(2), matrix(2, "d"))
    with pytest.raises(UserError, match="`matrix` must be a table of one class or more"):
        confusion_change(pd.DataFrame(), pd.DataFrame())
