import math

import keras
import numpy as np
import pytest

from fashionprobe.errors import UserError
from fashionprobe.feedback.masks.regions import above, at_tap, background, filter_maps, inside_box, outside_box


def by_average(mask, size):
    """The area average of a mask over the cells, exact: pixels and cells are cut into their common parts."""
    parts = [math.lcm(pixels, cells) for pixels, cells in zip(mask.shape, size, strict=True)]
    fine = np.kron(mask, np.ones([part // pixels for part, pixels in zip(parts, mask.shape, strict=True)]))
    return fine.reshape(size[0], parts[0] // size[0], size[1], parts[1] // size[1]).mean(axis=(1, 3))


def test_any_overlap_counts():
    mask = np.zeros((1, 5, 5), bool)
    mask[0, 2, 0] = True  # the middle row reaches into both halves
    assert at_tap(mask, (2, 2)).tolist() == [[[1, 0], [1, 0]]]
    mask = np.zeros((1, 4, 4), bool)
    mask[0, 1, 2] = True  # touches the cell below, without overlapping it
    found = at_tap(mask, (2, 2))
    assert found.tolist() == [[[0, 1], [0, 0]]] and found.dtype == np.float32


@pytest.mark.parametrize("size", [(7, 7), (3, 5), (20, 24), (40, 11), (1, 1)])
def test_at_tap_is_the_area_average_above_0(size):
    masks = np.random.default_rng(1).random((4, 20, 24)) > 0.97
    wanted = [by_average(mask, size) > 0 for mask in masks]
    assert np.array_equal(at_tap(masks, size), np.array(wanted, np.float32))


def test_at_tap_refuses_other_shapes():
    with pytest.raises(UserError, match=r"`masks` must be bool \(batch, height, width\)\. Received: bool \[4, 4\]"):
        at_tap(np.zeros((4, 4), bool), (2, 2))
    with pytest.raises(UserError, match=r"`size` must be \(rows, columns\), each 1 or more\. Received: \(0, 2\)"):
        at_tap(np.zeros((1, 4, 4), bool), (0, 2))


def test_background_is_where_the_border_is():
    image = np.full((6, 8, 3), 240.0)
    image[2:5, 2:6] = 10
    image[3, 3] = 235  # a hole through which the ground is seen
    image[0, 5] = 20  # the object may touch the border
    wanted = image[..., 0] > 100
    masks = background(np.stack([image, 255 - image]))  # light ground, and dark
    assert np.array_equal(masks, np.stack([wanted, wanted])) and masks.dtype == bool


def test_background_looks_at_the_grey_level():
    image = np.zeros((5, 5, 3), np.uint8)
    image[..., 1] = 200  # grey 117
    image[2, 2] = (0, 0, 255)  # grey 29, although its greatest value is higher
    mask = background(image[None])[0]
    assert not mask[2, 2] and mask.sum() == 24


def test_image_of_one_grey_level_is_background():
    assert background(np.full((1, 4, 4, 3), 80)).all()


def test_boxes():
    # The lower left quarter; the middle of a pixel decides.
    inside = inside_box((2, 4, 5), (0.5, 0, 1, 0.5))
    assert inside.shape == (2, 4, 5)
    assert inside[1].astype(int).tolist() == [[0] * 5, [0] * 5, [1, 1, 0, 0, 0], [1, 1, 0, 0, 0]]
    assert np.array_equal(outside_box((2, 4, 5), (0.5, 0, 1, 0.5)), ~inside)
    assert inside_box((1, 3, 3), (0, 0, 1, 1)).all()


@pytest.mark.parametrize("box", [(0.5, 0, 0.5, 1), (0, 0.8, 1, 0.2), (0, 0, 1, 1.1), (-0.1, 0, 1, 1), (0, 1), ()])
def test_what_is_no_box_is_refused(box):
    with pytest.raises(UserError, match=r"`box` must be \(top, left, bottom, right\).*top < bottom"):
        inside_box((1, 4, 4), box)


@pytest.fixture(scope="module")
def halving():
    """A network whose layer `half` holds red and green, averaged over squares of two pixels."""
    inputs = keras.Input((8, 8, 3))
    pooled = keras.layers.AveragePooling2D(2)(inputs)
    half = keras.layers.Conv2D(2, 1, use_bias=False, name="half")
    model = keras.Model(inputs, half(pooled))
    half.set_weights([np.eye(3, 2)[None, None]])
    return model


def test_filter_region_is_above_its_own_percentile(halving):
    images = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    pooled = images[..., 1].reshape(2, 4, 2, 4, 2).mean(axis=(2, 4))
    # Bilinear by hand: pixel i of 8 lies at (i + 0.5) / 2 - 0.5 of 4.
    place = np.clip((np.arange(8) + 0.5) / 2 - 0.5, 0, 3)
    weights = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(4)))
    wide = weights @ pooled @ weights.T
    masks = above(filter_maps(halving, "half", 1)(images), 70)
    for mask, values in zip(masks, wide, strict=True):
        assert np.array_equal(mask, values > np.percentile(values, 70))
        assert mask.mean() == pytest.approx(0.3, abs=0.02)
    assert above(filter_maps(halving, "half", 1)(images), 90).mean() == pytest.approx(0.1, abs=0.02)


def test_silent_filter_masks_nothing(halving):
    assert not above(filter_maps(halving, "half", 0)(np.zeros((1, 8, 8, 3))), 70).any()


def test_filter_that_is_not_there(halving):
    images = np.zeros((1, 8, 8, 3))
    with pytest.raises(UserError, match=r"`channel` must be in the range \[0, 2\) for half\. Received: 2"):
        filter_maps(halving, "half", 2)(images)
    with pytest.raises(UserError, match=r"`layer` must be a layer of .*\. Received: halves"):
        filter_maps(halving, "halves", 0)(images)
    with pytest.raises(UserError, match=r"`percentile` must be in the range \[0, 100\]\. Received: 170"):
        above(filter_maps(halving, "half", 0)(images), 170)
