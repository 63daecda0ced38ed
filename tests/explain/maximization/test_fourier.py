import numpy as np
import pytest
import tensorflow as tf

from fashionprobe.errors import UserError
from fashionprobe.explain.maximization.fourier import Fourier


def noise(space, batch=2, scale=1.0):
    return tf.constant(scale * np.random.default_rng(0).standard_normal((batch, *space.shape)), tf.float32)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (6, 5)])
@pytest.mark.parametrize(("channels", "decorrelate"), [(3, True), (3, False), (1, False)])
def test_pictures_survive_the_way_to_coefficients_and_back(size, channels, decorrelate):
    space = Fourier(*size, channels, decorrelate)
    pictures = np.random.default_rng(0).uniform(-0.9, 0.9, (2, *size, channels)).astype(np.float32)
    coefficients = space.encode(tf.constant(pictures))
    assert coefficients.shape == (2, *space.shape)
    np.testing.assert_allclose(space.decode(coefficients), pictures, atol=1e-4)


def test_pictures_are_real_and_in_range():
    space = Fourier(16, 12)
    pictures = space.decode(noise(space, scale=5)).numpy()
    assert (pictures.dtype, pictures.shape) == (np.float32, (2, 16, 12, 3))
    assert 0.9 < np.abs(pictures).max() <= 1


def test_full_brightness_has_finite_coefficients():
    space = Fourier(8, 8)
    coefficients = space.encode(tf.ones((1, 8, 8, 3)))
    assert np.isfinite(coefficients).all()
    np.testing.assert_allclose(space.decode(coefficients), 1, atol=1e-3)


def test_zero_is_grey():
    space = Fourier(8, 8)
    np.testing.assert_array_equal(space.decode(tf.zeros((1, *space.shape))), 0)


def test_one_coefficient_is_one_wave():
    space = Fourier(8, 8, 1, decorrelate=False)
    coefficients = np.zeros((1, *space.shape), np.float32)
    coefficients[0, 0, 0, 2, 0] = 3
    # Two waves across 8 pixels; the pair of coefficients gives twice the cosine, over 64 pixels.
    wave = 3 * space.scale[0, 2] * 2 * np.cos(2 * np.pi * 2 * np.arange(8) / 8) / 64
    expected = np.tile(2 / (1 + np.exp(-wave)) - 1, (8, 1))
    np.testing.assert_allclose(space.decode(tf.constant(coefficients))[0, ..., 0], expected, atol=1e-6)


def test_the_spectrum_falls_as_one_over_the_frequency():
    space = Fourier(64, 64, 1, decorrelate=False)
    planes = 2 * np.arctanh(space.decode(noise(space, batch=64))[..., 0].numpy().astype(np.float64))
    power = np.sqrt((np.abs(np.fft.fft2(planes)) ** 2).mean(axis=0))
    frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64))
    inside = (frequency > 0.05) & (frequency < 0.5)
    slope = np.polyfit(np.log(frequency[inside]), np.log(power[inside]), 1)[0]
    assert slope == pytest.approx(-1, abs=0.05)
    assert planes.std() == pytest.approx(1, abs=0.1)


def test_colours_vary_as_those_of_photographs_do():
    space = Fourier(32, 32)
    colours = 2 * np.arctanh(space.decode(noise(space, batch=64)).numpy().astype(np.float64)).reshape(-1, 3)
    covariance = space.mixing @ space.mixing.T
    spread = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(np.corrcoef(colours.T), covariance / np.outer(spread, spread), atol=0.05)
    assert np.corrcoef(colours.T)[0, 2] > 0.6


def test_decorrelated_colours_need_three():
    with pytest.raises(UserError, match="`decorrelate` must be False for images that are not RGB"):
        Fourier(8, 8, 1)
