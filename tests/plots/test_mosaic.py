import numpy as np
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.mosaic import mosaic
from fashionprobe.plots.save import png


def pictures(count):
    return np.random.default_rng(0).integers(0, 256, (count, 6, 8, 3), dtype=np.uint8)


def shown(figure):
    return [ax for ax in figure.axes if ax.images]


@pytest.mark.parametrize(
    ("count", "columns", "grid"),
    [(1, None, (1, 1)), (2, None, (1, 2)), (5, None, (2, 3)), (64, None, (16, 4)), (5, 2, (3, 2)), (3, 9, (1, 3))],
)
def test_the_grid(count, columns, grid):
    figure = mosaic(pictures(count), [str(place) for place in range(count)], columns=columns)
    assert figure.axes[0].get_gridspec().get_geometry() == grid
    assert len(shown(figure)) == count


def test_each_picture_stands_under_its_title():
    images = pictures(3)
    figure = mosaic(images, ["channel 7", "a_$b$_", "x" * 50], title="mini: block 5")
    axes = shown(figure)
    for ax, image in zip(axes, images, strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), image)
    titles = [ax.get_title() for ax in axes]
    assert titles[:2] == ["channel 7", "a_$b$_"]
    assert len(titles[2]) == 20
    assert figure.get_suptitle() == "mini: block 5"
    assert png(figure).startswith(b"\x89PNG")


def test_titles_can_be_read_at_phone_size():
    # On a screen as wide as the figure is drawn, 400 pixels of 2.7 inches: letters of 4 points or more.
    figure = mosaic(pictures(64), ["channel 1"] * 64)
    assert figure.axes[0].title.get_fontsize() * 2.7 / figure.get_figwidth() >= 4


@pytest.mark.parametrize(
    ("images", "titles", "columns", "message"),
    [
        (pictures(2) / 255, ["a", "b"], None, r"`images` must be uint8 \(n, height, width, 3\).*Received: float64"),
        (pictures(2)[0], ["a"], None, r"Received: uint8 \[6, 8, 3\]"),
        (pictures(0), [], None, r"Received: uint8 \[0, 6, 8, 3\]"),
        (pictures(2), ["a"], None, "`titles` must be one a picture, 2. Received: 1"),
        (pictures(2), ["a", "b"], 0, "`columns` must be an int"),
    ],
)
def test_wrong_arguments_are_refused(images, titles, columns, message):
    with pytest.raises(UserError, match=message):
        mosaic(images, titles, columns=columns)
