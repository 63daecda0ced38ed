import numpy as np
import pytest

from fashionprobe.plots.overlays import colour_map, explained, overlay, signed_picture

IMAGE = np.full((8, 6, 3), 200, np.uint8)


def test_an_overlay_has_no_colours_of_the_image_left():
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    found = overlay(red, np.zeros((4, 4)), opacity=0.0)
    # Luma of pure red by BT.601: 0.299 of 255.
    assert (found == 76).all()


def test_an_overlay_shows_where_the_heatmap_is_high():
    heat = np.zeros((8, 6))
    heat[2, 3] = 1.0
    found = overlay(IMAGE, heat)
    assert (found[2, 3] == np.rint(0.4 * 200 + 0.6 * colour_map(np.ones((1, 1)))[0, 0])).all()
    assert (found[0, 0] == found[7, 5]).all() and not (found[0, 0] == found[2, 3]).all()


def test_a_signed_picture_is_grey_at_zero_and_clipped_at_the_99th_percentile():
    gradient = np.zeros((10, 10, 3))
    gradient[0, :, 0] = 2.0
    gradient[1, :, 1] = -2.0
    gradient[5, 5, 2] = 1000.0
    found = signed_picture(gradient)
    assert found[9, 9].tolist() == [128, 128, 128]
    assert (found[0, 0, 0], found[1, 0, 1], found[5, 5, 2]) == (255, 0, 255)
    assert (signed_picture(np.zeros((4, 4, 3))) == 128).all()


@pytest.mark.parametrize(("methods", "rows"), [(1, 1), (2, 1), (3, 2), (5, 2), (13, 5)])
def test_the_image_comes_first_and_three_pictures_stand_in_a_row(methods, rows):
    panels = [(f"method {number}", IMAGE) for number in range(methods)]
    figure = explained(IMAGE, panels, title="Shirts 93 %")
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.images]
    assert titles == ["image", *(name for name, _ in panels)]
    assert figure.axes[0].get_gridspec().nrows == rows
    assert "Shirts 93 %" in figure.texts[0].get_text() or figure._suptitle.get_text() == "Shirts 93 %"


def test_titles_can_be_read_at_phone_size():
    figure = explained(IMAGE, [("guided backpropagation", IMAGE)] * 13, title="x")
    # Letters of 10 pixels or more on a screen of 400.
    assert figure.axes[0].title.get_fontsize() / 72 * 400 / figure.get_figwidth() >= 10


def test_the_scale_is_named():
    figure = explained(IMAGE, [("CAM", IMAGE)], title="x", scale="relevance")
    assert "relevance" in [ax.get_xlabel() for ax in figure.axes]
