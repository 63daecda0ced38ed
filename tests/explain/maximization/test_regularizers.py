import numpy as np
import pytest
import tensorflow as tf

from fashionprobe.errors import UserError
from fashionprobe.explain.maximization.regularizers import (
    L2,
    Blur,
    DropSmallContribution,
    DropSmallNorm,
    TotalVariation,
    Transform,
)


def picture(*rows):
    """One grey picture, its values row by row: float32 (1, height, width, 1)."""
    return tf.constant(rows, tf.float32)[None, ..., None]


def values(pictures):
    return np.asarray(pictures)[0, ..., 0]


def test_l2_is_the_mean_of_squares():
    pictures = tf.concat([picture([1, -1], [0, 0.5]), picture([0, 0], [0, 0])], axis=0)
    np.testing.assert_allclose(L2(2.0)(pictures), [2 * 2.25 / 4, 0])


def test_total_variation_is_the_mean_difference_of_neighbours():
    # Down: |1-0|, |3-1| (mean 1.5); right: |1-0|, |3-1| (mean 1.5).
    pictures = tf.concat([picture([0, 1], [1, 3]), picture([5, 5], [5, 5])], axis=0)
    np.testing.assert_allclose(TotalVariation(10.0)(pictures), [30, 0])


def test_total_variation_of_one_row():
    np.testing.assert_allclose(TotalVariation(1.0)(picture([0, 1, 3])), [1.5])


def test_blur_of_a_dot_is_the_bell():
    dot = np.zeros((1, 9, 9, 1), np.float32)
    dot[0, 4, 4, 0] = 1
    bell = np.exp(-(np.arange(-4, 5) ** 2) / 2.0)
    bell[[0, -1]] = 0  # cut at three standard deviations
    bell /= bell.sum()
    np.testing.assert_allclose(
        values(Blur(1.0).apply(tf.constant(dot), tf.constant(dot))), np.outer(bell, bell), atol=1e-7
    )


def test_blur_leaves_a_plain_picture_alone_and_treats_pictures_apart():
    pictures = tf.concat([tf.fill((1, 5, 3, 3), 0.25), tf.fill((1, 5, 3, 3), -1.0)], axis=0)
    np.testing.assert_allclose(Blur(4.0).apply(pictures, pictures), pictures, atol=1e-6)


def test_blur_mirrors_the_border():
    # Pixel 0 sees 1 on both sides: e = exp(-1/2), weights (e, 1, e) / (1 + 2 e) of a window cut at the picture's width.
    e = np.exp(-0.5)
    blurred = values(Blur(1.0).apply(picture([0, 1]), picture([0, 0])))
    np.testing.assert_allclose(blurred, [[2 * e / (1 + 2 * e), 1 / (1 + 2 * e)]], rtol=1e-6)


def test_small_norms_go():
    pictures = tf.constant([[[[0.3, 0.4, 0.0], [0.1, 0.0, 0.0]], [[-0.2, 0.0, 0.0], [1.0, 1.0, 1.0]]]])
    expected = pictures.numpy().copy()
    expected[0, 0, 1] = expected[0, 1, 0] = 0  # norms 0.5, 0.1, 0.2, 1.7: the lower half
    np.testing.assert_array_equal(DropSmallNorm(0.5).apply(pictures, pictures * 0), expected)


def test_small_contributions_go():
    pictures = tf.constant([[[[1.0, 1.0], [0.5, 0.0]], [[0.1, 0.1], [0.2, 0.0]]]])
    gradients = tf.constant([[[[1.0, -1.0], [-2.0, 9.0]], [[3.0, 4.0], [0.5, 0.0]]]])
    # |1 - 1| = 0, |-1| = 1, 0.7, 0.1: of four the two least are the first and the last.
    expected = pictures.numpy().copy()
    expected[0, 0, 0] = expected[0, 1, 1] = 0
    np.testing.assert_array_equal(DropSmallContribution(0.5).apply(pictures, gradients), expected)


def test_a_quantile_is_that_of_each_picture():
    pictures = tf.concat([picture([1, 2], [3, 4]), picture([0.1, 0.2], [0.3, 0.4])], axis=0)
    kept = np.asarray(DropSmallNorm(0.25).apply(pictures, pictures))[..., 0]
    np.testing.assert_allclose(kept, [[[0, 2], [3, 4]], [[0, 0.2], [0.3, 0.4]]])


def test_a_plain_picture_is_not_emptied():
    pictures = tf.fill((1, 4, 4, 3), 0.5)
    np.testing.assert_array_equal(DropSmallNorm(0.9).apply(pictures, pictures), pictures)


def test_penalties_and_transforms_are_told_apart():
    assert all(isinstance(each, Transform) for each in (Blur(1.0), DropSmallNorm(0.1), DropSmallContribution(0.1)))
    assert not any(isinstance(each, Transform) for each in (L2(1.0), TotalVariation(1.0), lambda pictures: 0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: L2(-1.0), r"`weight` must be a number in the range \[0, inf\). Received: -1.0"),
        (lambda: TotalVariation(float("nan")), "`weight` must be"),
        (lambda: Blur(0.0), r"`sigma` must be a number of pixels in the range \(0, inf\)"),
        (lambda: Blur(1.0, 0), r"`every` must be an int in the range \[1, inf\). Received: 0"),
        (lambda: DropSmallNorm(1.0), r"`quantile` must be a number in the range \[0, 1\). Received: 1.0"),
        (lambda: DropSmallContribution(-0.1), "`quantile` must be"),
    ],
)
def test_wrong_numbers_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()
