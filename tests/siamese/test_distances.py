import numpy as np
import pytest
import tensorflow as tf

from fashionprobe.siamese.triplets import distances, spread


def test_distances_by_hand():
    points = tf.constant([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    np.testing.assert_allclose(distances(points), [[0, 25, 1], [25, 0, 18], [1, 18, 0]], rtol=1e-6)


def test_cosine_is_one_less_the_cosine():
    points = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    units = points / np.linalg.norm(points, axis=1, keepdims=True)
    np.testing.assert_allclose(distances(tf.constant(points), "cosine"), 1 - units @ units.T, atol=1e-6)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_points_that_coincide_have_no_distance_and_a_finite_gradient(metric):
    points = tf.Variable(np.full((4, 3), 1000.0, np.float32))
    with tf.GradientTape() as tape:
        found = distances(points, metric)
    assert np.asarray(found).min() >= 0
    np.testing.assert_allclose(found, 0, atol=0.5)
    assert np.isfinite(tape.gradient(found, points)).all()


def test_spread_is_the_mean_over_different_members():
    assert float(spread(tf.constant([[0.0, 2.0], [2.0, 0.0]]))) == 2
    assert float(spread(tf.constant([[0.0]]))) == 0
