"""Pictures as Fourier coefficients with decorrelated colours: a step changes coarse and fine alike."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from fashionprobe.errors import UserError

COLOURS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
"""Square root of the covariance of the colours of ImageNet's pixels, RGB in [0, 1]: rows red, green, blue; columns
light, red against blue, green against both.

Reference: the figure is the one of Lucid, the code of Olah et al. 2017 (github.com/tensorflow/lucid, Apache-2.0).
"""

BRIGHTEST = 0.9999
"""What `encode` takes for full brightness, whose coefficient would be infinite."""


@dataclass(frozen=True)
class Fourier:
    """The way from coefficients to pictures of one size, and back.

    The coefficients of the frequency f are scaled by 1/f, as those of photographs are, so that coefficients drawn from
    a standard normal distribution give a picture whose values have a standard deviation of about 1 before they are
    squashed into the range.

    Attributes:
        height: Height of the pictures in pixels.
        width: Width of the pictures in pixels.
        channels: Number of their colours.
        decorrelate: Whether the coefficients are those of the decorrelated colours of photographs; needs 3 colours.

    Raises:
        UserError: If colours other than three are to be decorrelated.

    Reference:
        Olah, Mordvintsev, Schubert: Feature Visualization, Distill 2017, https://distill.pub/2017/feature-visualization
    """

    height: int
    width: int
    channels: int = 3
    decorrelate: bool = True

    def __post_init__(self) -> None:
        if self.decorrelate and self.channels != 3:
            raise UserError("decorrelate", expected="False for images that are not RGB", received=self.decorrelate)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the coefficients of one picture: (colours, height, width // 2 + 1, 2), real and imaginary part."""
        return (self.channels, self.height, self.width // 2 + 1, 2)

    @cached_property
    def scale(self) -> np.ndarray:
        """The factor of each coefficient, float32 (height, width // 2 + 1); it falls with the frequency f as 1/f."""
        vertical, horizontal = np.fft.fftfreq(self.height)[:, None], np.fft.rfftfreq(self.width)
        # The mean of the picture has frequency 0; it gets the factor of the lowest frequency of a square.
        factor = 1 / np.maximum(np.hypot(vertical, horizontal), 1 / max(self.height, self.width))
        # All but the first column, and the last of an even width, stand for a pair of coefficients.
        pairs = np.full(self.width // 2 + 1, 2)
        pairs[0] = 1
        if self.width % 2 == 0:
            pairs[-1] = 1
        variance = 2 * (factor**2 * pairs).sum() / (self.height * self.width) ** 2
        return (factor / np.sqrt(variance)).astype(np.float32)

    @cached_property
    def mixing(self) -> np.ndarray:
        """The matrix from decorrelated to real colours, float32 (channels, channels)."""
        if not self.decorrelate:
            return np.eye(self.channels, dtype=np.float32)
        return (COLOURS / np.linalg.norm(COLOURS, axis=0).max()).astype(np.float32)

    def decode(self, coefficients: Any) -> tf.Tensor:
        """Return the pictures: float32 (batch, height, width, channels) in (-1, 1).

        Args:
            coefficients: float32 (batch, *shape).
        """
        spectrum = tf.complex(coefficients[..., 0], coefficients[..., 1]) * tf.cast(self.scale, tf.complex64)
        planes = tf.signal.irfft2d(spectrum, fft_length=[self.height, self.width])
        colours = tf.einsum("bchw,rc->bhwr", planes, self.mixing)
        # The sigmoid, stretched from (0, 1) to (-1, 1).
        return tf.tanh(colours / 2)

    def encode(self, pictures: tf.Tensor) -> tf.Tensor:
        """Return the coefficients of pictures: float32 (batch, *shape).

        Args:
            pictures: float32 (batch, height, width, channels) in [-1, 1].
        """
        colours = 2 * tf.atanh(tf.clip_by_value(pictures, -BRIGHTEST, BRIGHTEST))
        planes = tf.einsum("bhwr,cr->bchw", colours, np.linalg.inv(self.mixing))
        spectrum = tf.signal.rfft2d(planes) / tf.cast(self.scale, tf.complex64)
        return tf.stack([tf.math.real(spectrum), tf.math.imag(spectrum)], axis=-1)
