import numpy as np
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.save import png
from fashionprobe.plots.sheets import mosaic


def pictures(count):
    return np.random.default_rng(0).integers(0, 256, (count, 6, 8, 3), dtype=np.uint8)


def grid_of(figure):
    """Return the number of rows and columns, by where the pictures lie."""
    left, _, _, top = zip(*(image.get_extent() for image in figure.axes[0].images), strict=True)
    return len({round(each, 6) for each in top}), len({round(each, 6) for each in left})


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize(
    ("count", "columns", "grid"),
    [(1, None, (1, 1)), (2, None, (1, 2)), (5, None, (2, 3)), (64, None, (16, 4)), (5, 2, (3, 2)), (3, 9, (1, 3))],
)
def test_the_grid(count, columns, grid):
    figure = mosaic(pictures(count), [str(place) for place in range(count)], columns=columns)
    assert grid_of(figure) == grid
    assert len(figure.axes[0].images) == count


def test_each_picture_stands_under_its_title():
    images = pictures(3)
    figure = mosaic(images, ["channel 7", "a_$b$_", "x" * 50], title="mini: block 5")
    (ax,) = figure.axes
    for shown, text, image in zip(ax.images, ax.texts, images, strict=False):
        np.testing.assert_array_equal(shown.get_array(), image)
        left, right, _, top = shown.get_extent()
        assert text.get_position()[0] == pytest.approx((left + right) / 2)
        assert 0 < top - text.get_position()[1] < 0.1
    assert texts(figure)[:2] == ["channel 7", "a_$b$_"] and texts(figure)[3] == "mini: block 5"
    assert len(texts(figure)[2]) < 30
    assert png(figure).startswith(b"\x89PNG")


def test_pictures_keep_their_shape_and_stay_inside():
    figure = mosaic(pictures(7), [str(place) for place in range(7)], title="x")
    (ax,) = figure.axes
    for image in ax.images:
        left, right, bottom, top = image.get_extent()
        assert (bottom - top) / (right - left) == pytest.approx(6 / 8)
        assert left >= 0 and right <= figure.get_figwidth() and top >= 0 and bottom <= figure.get_figheight()


def test_titles_can_be_read_at_phone_size():
    # On a screen as wide as the figure is drawn, 400 pixels of 2.7 inches: letters of 4 points or more.
    figure = mosaic(pictures(64), ["channel 1"] * 64)
    assert figure.axes[0].texts[0].get_fontsize() * 2.7 / figure.get_figwidth() >= 4


@pytest.mark.parametrize(
    ("images", "titles", "columns", "message"),
    [
        (pictures(2) / 255, ["a", "b"], None, r"`images` must be uint8 \(n, height, width, 3\).*Received: float64"),
        (pictures(2)[0], ["a"], None, r"Received: uint8 \[6, 8, 3\]"),
        (pictures(0), [], None, r"Received: uint8 \[0, 6, 8, 3\]"),
        (pictures(2), ["a"], None, "`titles` must be one per picture, 2. Received: 1"),
        (pictures(2), ["a", "b"], 0, "`columns` must be an int"),
    ],
)
def test_wrong_arguments_are_refused(images, titles, columns, message):
    with pytest.raises(UserError, match=message):
        mosaic(images, titles, columns=columns)
