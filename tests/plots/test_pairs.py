import warnings

import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.per_class import confused_pairs
from fashionprobe.plots.save import svg


def table(*rows):
    """Make a table from rows of true class, predicted class, images, of."""
    pairs = pd.DataFrame(list(rows), columns=["true", "predicted", "images", "of"])
    share = pairs["images"] / pairs["of"]
    return pairs.assign(share=share, low=(share - 0.05).clip(0), high=(share + 0.1).clip(None, 1))


def many(count):
    """Make pairs of classes i and i+1 with i+1 of 100 images each."""
    return table(*((f"class {place}", f"class {place + 1}", place + 1, 100) for place in range(count)))


def names(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def widths(ax):
    return [bar.get_width() for bar in ax.patches]


def test_bars_are_shares_sorted_by_images():
    # The pair with the greatest share is not the one with the most images.
    (ax,) = confused_pairs(table(("a", "b", 3, 4), ("b", "a", 7, 42), ("c", "a", 5, 50))).axes
    assert names(ax) == ["b → a", "c → a", "a → b"]
    np.testing.assert_allclose(widths(ax), [7 / 42, 0.1, 0.75])
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_equal_counts_are_sorted_by_share_and_then_by_name():
    (ax,) = confused_pairs(table(("b", "x", 2, 9), ("a", "y", 2, 9), ("a", "x", 2, 9), ("c", "x", 2, 4))).axes
    assert names(ax) == ["c → x", "a → x", "a → y", "b → x"]


def test_counts_stand_beside_their_bars_under_a_heading():
    (ax,) = confused_pairs(table(("a", "b", 3, 4), ("b", "a", 7, 42))).axes
    assert texts(ax) == ["7 of 42", "3 of 4", "images", "true → predicted"]
    assert [text.get_position()[1] for text in ax.texts[:2]] == [0, 1]
    assert all(text.get_position()[0] > 1 for text in ax.texts[:3])


def test_lines_end_at_low_and_high():
    (ax,) = confused_pairs(table(("a", "b", 20, 100), ("b", "a", 10, 100))).axes
    segments = ax.containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose([segment[:, 0] for segment in segments], [[0.15, 0.3], [0.05, 0.2]])
    assert "95 % Wilson interval" in ax.get_xlabel()


def test_an_interval_rounded_to_the_wrong_side_is_drawn():
    pairs = table(("a", "b", 1, 2)).assign(low=0.5 + 1e-16, high=0.5 - 1e-16)
    assert len(confused_pairs(pairs).axes[0].patches) == 1


@pytest.mark.parametrize(("share", "end"), [(0.02, 0.126), (0.3, 0.42), (1.0, 1.0)])
def test_the_axis_ends_soon_after_the_longest_line(share, end):
    (ax,) = confused_pairs(table(("a", "b", round(100 * share), 100))).axes
    assert ax.get_xlim() == (0, pytest.approx(end))


def test_only_the_first_are_drawn_and_the_rest_is_counted():
    (ax,) = confused_pairs(many(61), most=10).axes
    assert names(ax)[::9] == ["class 60 → class 61", "class 51 → class 52"]
    assert "… 51 more pairs of 51 images or fewer" in texts(ax)
    # The remark has a row of its own below the last bar.
    assert ax.texts[-1].get_position()[1] == 10
    assert ax.get_ylim()[0] > 10


@pytest.mark.parametrize(("count", "most", "bars"), [(15, 15, 15), (16, 15, 15), (3, 15, 3), (3, 1, 1)])
def test_the_number_of_bars(count, most, bars):
    (ax,) = confused_pairs(many(count), most=most).axes
    assert len(ax.patches) == bars
    assert any("more pair" in text for text in texts(ax)) == (count > most)


def test_fifteen_are_drawn_unless_told():
    assert len(confused_pairs(many(61)).axes[0].patches) == 15


def test_one_pair_of_one_image_left_out_is_singular():
    (ax,) = confused_pairs(many(2), most=1).axes
    assert texts(ax)[-1] == "… 1 more pair of 1 image"


@pytest.mark.parametrize("pairs", [table(), table(("a", "b", 0, 4))])
def test_no_pair_gives_a_figure_that_says_so(pairs):
    figure = confused_pairs(pairs, title="colour")
    (ax,) = figure.axes
    assert texts(ax) == ["No image was taken for another class."]
    assert not ax.axison
    assert ax.get_title(loc="left") == "colour"
    assert svg(figure).startswith(b"<?xml")


def test_pairs_without_images_are_not_drawn():
    (ax,) = confused_pairs(table(("a", "b", 0, 4), ("b", "a", 1, 4))).axes
    assert names(ax) == ["b → a"]


def test_names_and_title_are_shown_as_they_are_on_one_line():
    figure = confused_pairs(table(("$a$\nb", "_c", 1, 2), (3, "an endless name of a class", 2, 2)), title="$x$ _y\nz")
    (ax,) = figure.axes
    assert names(ax) == ["3 → an endless …of a class", "$a$ b → _c"]
    assert ax.get_title(loc="left") == "$x$ _y z"
    assert svg(figure).startswith(b"<?xml")


@pytest.mark.parametrize("pairs", [many(1), many(40), table(("W" * 40, "チ" * 40, 12345, 67890))])
def test_nothing_is_cut(pairs):
    figure = confused_pairs(pairs, title="long title " * 10)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.draw_without_rendering()
    (ax,) = figure.axes
    page = figure.bbox
    for artist in [*ax.texts, *ax.get_yticklabels(), ax.xaxis.label, ax._left_title]:
        box = artist.get_window_extent()
        assert page.x0 <= box.x0 and box.x1 <= page.x1, artist
        assert page.y0 <= box.y0 and box.y1 <= page.y1, artist
    # The title stands above the headings of the columns, and the axes keep room for the bars.
    assert ax._left_title.get_window_extent().y0 > max(text.get_window_extent().y1 for text in ax.texts)
    assert ax.get_window_extent().width > 2 * figure.dpi
    assert ax.get_window_extent().height > 0.3 * figure.dpi * len(ax.patches)


def test_no_room_for_pairs_is_refused():
    with pytest.raises(UserError, match=r"`most` must be a positive number of pairs. Received: 0."):
        confused_pairs(many(3), most=0)
