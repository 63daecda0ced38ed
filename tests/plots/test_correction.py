from dataclasses import replace

import numpy as np
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.correction import Corrected, before_after
from fashionprobe.plots.overlays import overlay

IMAGE = np.full((8, 6, 3), 200, np.uint8)
CORNER = np.zeros((8, 6), bool)
CORNER[5:, :2] = True
BEFORE, AFTER = CORNER.astype(float), 1.0 - CORNER
ROW = Corrected("a $gun$", IMAGE, CORNER, (BEFORE, AFTER), (0.93, 0.714), (1.0, np.nan), note="id 7")


def captions(figure):
    return [ax.get_title(loc="left") for ax in figure.axes if ax.images]


def test_a_row_is_image_before_and_after():
    figure = before_after([ROW, replace(ROW, name="blade", inside=(0.416, 0.0))], title="PASA", scale="Grad-CAM")
    assert captions(figure)[:3] == [
        "a $gun$\nid 7",
        "before: p = 0.93\n100 % of heat in mask",
        "after: p = 0.71\nno heat",
    ]
    assert captions(figure)[3:] == ["blade\nid 7", captions(figure)[4], "after: p = 0.71\n0 % of heat in mask"]
    assert "42 % of heat in mask" in captions(figure)[4]
    shown = [np.asarray(ax.images[0].get_array()) for ax in figure.axes[:3]]
    for found, expected in zip(shown, (IMAGE, overlay(IMAGE, BEFORE), overlay(IMAGE, AFTER)), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert figure.axes[-1].get_xlabel().startswith("Grad-CAM;")
    assert figure.get_suptitle() == "PASA"


def test_the_mask_is_outlined_up_to_the_edge_of_the_image():
    ax = before_after([ROW]).axes[0]
    white, black = ax.collections
    corners = np.vstack([path.vertices for path in black.get_paths()])
    # The mask fills rows 5 to 7 and columns 0 and 1: its outline lies half a pixel around their centres.
    np.testing.assert_allclose(corners.min(axis=0), [-0.5, 4.5])
    np.testing.assert_allclose(corners.max(axis=0), [1.5, 7.5])
    assert white.get_linewidths()[0] > black.get_linewidths()[0]
    assert ax.get_xlim() == (-0.5, 5.5) and ax.get_ylim() == (7.5, -0.5)


def test_an_empty_mask_has_no_outline_and_images_may_differ_in_size():
    wide = np.zeros((4, 12), bool)
    other = Corrected("b", np.zeros((4, 12, 3), np.uint8), wide, (wide * 1.0, wide * 1.0), (0.1, 0.2), (0.0, 0.0))
    figure = before_after([ROW, other])
    assert not figure.axes[3].collections
    figure.draw_without_rendering()
    assert all(ax.get_tightbbox().y0 >= 0 and ax.get_tightbbox().y1 <= figure.bbox.y1 for ax in figure.axes)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([], "`rows` must be one masked image or more"),
        ([replace(ROW, mask=CORNER[1:])], r"`mask` must be of the image's size \(8, 6\). Received: \(7, 6\)."),
        ([replace(ROW, heatmaps=(BEFORE, AFTER.T))], r"`heatmaps` must be .* Received: \(6, 8\)."),
    ],
)
def test_wrong_rows_are_refused(rows, text):
    with pytest.raises(UserError, match=text):
        before_after(rows)
