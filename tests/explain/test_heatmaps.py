import numpy as np

from fashionprobe.explain.heatmaps import heatmap, normalize, resize


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
