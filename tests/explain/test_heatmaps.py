import numpy as np
import pytest

from fashionprobe.errors import UserError
from fashionprobe.explain.heatmaps import heatmap, normalize, resize, strength


def test_each_map_is_scaled_by_its_own_range():
    maps = np.array([[[0.0, 1.0], [2.0, 4.0]], [[-6.0, -2.0], [-4.0, -6.0]]])
    found = normalize(maps)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[[0, 0.25], [0.5, 1]], [[0, 1], [0.5, 0]]])


def test_a_constant_map_stays_zero_without_a_warning():
    assert not normalize(np.full((2, 3, 3), 7.0)).any()
    assert not heatmap(np.zeros((1, 2, 2)), (8, 8)).any()


def test_very_large_and_very_small_values():
    maps = np.array([[[1e30, 2e30]], [[1e-30, 2e-30]]], np.float32)
    np.testing.assert_allclose(normalize(maps), [[[0, 1]], [[0, 1]]])


def test_resizing_is_bilinear_between_the_centres_of_the_cells():
    # Half-pixel centres: cell centres of two cells lie at pixels 0.5 and 2.5 of four, with the ends repeated.
    found = resize(np.array([[[0.0, 4.0]]]), (1, 4))
    np.testing.assert_allclose(found, [[[0.0, 1.0, 3.0, 4.0]]])


def test_a_heatmap_has_the_size_of_the_image_and_reaches_one():
    found = heatmap(np.random.default_rng(0).random((2, 3, 5)), (12, 20))
    assert found.shape == (2, 12, 20)
    assert (found.min(axis=(1, 2)) == 0).all() and (found.max(axis=(1, 2)) == 1).all()


def test_strength_is_the_greatest_size_of_the_colours():
    gradient = np.zeros((10, 10, 3))
    gradient[:5] = (0.5, -2.0, 1.0)
    gradient[5:] = (0.0, 1.0, 0.0)
    found = strength(gradient)
    assert (found[:5] == 1).all() and (found[5:] == 0.5).all()
    assert not strength(np.zeros((4, 4, 1))).any()


def test_gradients_become_their_strength():
    gradients = np.random.default_rng(0).normal(size=(2, 6, 5, 3))
    np.testing.assert_array_equal(heatmap(gradients), [strength(each) for each in gradients])
    np.testing.assert_array_equal(heatmap(gradients, (6, 5)), heatmap(gradients))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3, 3), r"`size` is missing: maps of a layer .*GradCAM\(model\)\.heatmap\(images\)"),
        ((3, 3), r"`maps` must be \(batch, height, width\).*Received: \[3, 3\]. Add the batch axis: maps\[None\]"),
    ],
)
def test_first_mistakes_are_answered(shape, message):
    with pytest.raises(UserError, match=message):
        heatmap(np.zeros(shape))
