import numpy as np
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.save import png
from fashionprobe.plots.sheets import Row, contact_sheet


def picture(height=8, width=8, value=100):
    return np.full((height, width, 3), value, np.uint8)


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_every_picture_has_its_caption_and_every_row_its_name():
    rows = [Row("first\nrow", [picture(value=1), picture(value=2)], ["a", "b\nc"]), Row("$x$", [picture()], [""])]
    figure = contact_sheet(rows, title="Title", remark="Remark.")
    assert [image.get_array()[0, 0, 0] for image in figure.axes[0].images] == [1, 2, 100]
    assert texts(figure) == ["Title", "first\nrow", "a", "b\nc", "$x$", "Remark."]
    assert png(figure)[:4] == b"\x89PNG"


def test_nothing_overlaps_or_is_cut_off():
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    rows = [
        Row(f"a long name\nof row {number}", [picture(12, 8)] * 5, ["a caption that is much too long\nline 2"] * 5)
        for number in range(3)
    ]
    figure = contact_sheet(rows, title="a title " * 8, remark="a remark " * 40)
    FigureCanvasAgg(figure).draw()
    [ax] = figure.axes
    found = [drawn.get_window_extent().extents for drawn in (*ax.images, *ax.texts)]
    width, height = figure.canvas.get_width_height()
    for place, (left, bottom, right, top) in enumerate(found):
        assert left >= 0 and bottom >= 0 and right <= width and top <= height
        for other_left, other_bottom, other_right, other_top in found[place + 1 :]:
            apart = right <= other_left + 1 or other_right <= left + 1 or top <= other_bottom + 1
            assert apart or other_top <= bottom + 1


def test_pictures_keep_their_shape():
    figure = contact_sheet([Row("", [picture(20, 10), picture(10, 20)], ["", ""])])
    for image, ratio in zip(figure.axes[0].images, (2, 0.5), strict=True):
        left, right, bottom, top = image.get_extent()
        assert (bottom - top) / (right - left) == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "`rows` must be rows with one picture or more"),
        ([Row("a", [], [])], "`rows` must be rows with one picture or more"),
        ([Row("a", [picture()[..., 0]], [""])], r"`images` must be uint8 .*Received: uint8 \[8, 8\]"),
        ([Row("a", [picture() / 255.0], [""])], "`images` must be uint8 .*Received: float64"),
        ([Row("a", [picture()], ["", ""])], "`captions` must be one per picture, 1. Received: 2"),
    ],
)
def test_bad_input(rows, message):
    with pytest.raises(UserError, match=message):
        contact_sheet(rows)
