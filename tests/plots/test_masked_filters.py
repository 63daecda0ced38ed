import numpy as np
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.relevance import COLOURS, masked_filters

IMAGE = np.full((8, 6, 3), 200, np.uint8)
MASK = np.zeros((8, 6), bool)
MASK[4:, :3] = True
INSIDE, WHOLE, RELEVANCE = np.array([1.0, 3.0, 2.0]), np.array([2.0, 0.5, 1.0]), np.array([3.0, 1.0, 2.0])


def test_the_most_active_filters_are_on_top_in_the_colour_of_their_relevance():
    import matplotlib as mpl

    figure = masked_filters(IMAGE, MASK, INSIDE, WHOLE, RELEVANCE, count=2, title="T")
    left, right, bar = figure.axes
    assert [tick.get_text() for tick in right.get_yticklabels()] == ["1", "2"]
    np.testing.assert_allclose([patch.get_width() for patch in right.patches], [3, 2])
    np.testing.assert_allclose(right.lines[0].get_xdata(), [0.5, 1])
    colours = mpl.colormaps[COLOURS]([0.0, 0.5])
    np.testing.assert_allclose([patch.get_facecolor() for patch in right.patches], colours)
    assert [text.get_text() for text in right.texts] == [" rank 1", " rank 2"]
    np.testing.assert_array_equal(left.images[0].get_array(), IMAGE)
    assert bar.get_ylabel().startswith("Relevance rank")


def test_the_outline_runs_around_the_mask():
    left = masked_filters(IMAGE, MASK, INSIDE, WHOLE, RELEVANCE).axes[0]
    outline = np.concatenate([path.vertices for path in left.collections[0].get_paths()])
    np.testing.assert_allclose([outline.min(axis=0), outline.max(axis=0)], [[-0.5, 3.5], [2.5, 7.5]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": MASK[:4]}, r"`mask` must be of the image's size, \[8, 6\]. Received: \[4, 6\]"),
        ({"whole": WHOLE[:2]}, r"`inside` must be \(filters,\), as `whole` and `relevance`"),
        ({"count": 0}, "`inside` must be"),
    ],
)
def test_bad_input(change, message):
    given = {"image": IMAGE, "mask": MASK, "inside": INSIDE, "whole": WHOLE, "relevance": RELEVANCE, **change}
    with pytest.raises(UserError, match=message):
        masked_filters(**given)
