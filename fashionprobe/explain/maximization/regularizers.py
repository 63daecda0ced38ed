"""What keeps a maximized picture from being noise: penalties on it, and changes made to it every few steps.

Pictures are float32 (batch, height, width, channels) in [-1, 1], and 0 is grey, whatever range the network takes.
A penalty is any function of them that returns one number per picture, (batch,); it is taken off the activation.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import tensorflow as tf

from fashionprobe.errors import UserError

Penalty = Callable[[tf.Tensor], tf.Tensor]
"""Pictures -> float32 (batch,), in units of the activation."""


@runtime_checkable
class Transform(Protocol):
    """A change made to the pictures after every so many steps."""

    @property
    def every(self) -> int:
        """Steps from one change to the next."""
        ...

    def apply(self, pictures: tf.Tensor, gradients: tf.Tensor) -> tf.Tensor:
        """Return the changed pictures.

        Args:
            pictures: float32 (batch, height, width, channels) in [-1, 1], after the step.
            gradients: float32, same shape: of the activation alone, at the pictures before the step.
        """
        ...


@dataclass(frozen=True)
class L2:
    """Penalty on colour: `weight * mean(x ** 2)`, which draws each pixel to grey.

    Attributes:
        weight: Its weight against the activation.

    Reference:
        Simonyan et al., Deep Inside Convolutional Networks, 2014, https://arxiv.org/abs/1312.6034, who sum where this
        takes the mean, so that the weight does not depend on the size.
    """

    weight: float

    def __post_init__(self) -> None:
        _check_weight(self.weight)

    def __call__(self, pictures: tf.Tensor) -> tf.Tensor:
        """Return the penalty of each picture."""
        return self.weight * tf.reduce_mean(pictures**2, axis=(1, 2, 3))


@dataclass(frozen=True)
class TotalVariation:
    """Penalty on roughness: the mean absolute difference of vertical neighbours plus that of horizontal ones.

    Attributes:
        weight: Its weight against the activation.

    Reference:
        Rudin, Osher, Fatemi, 1992, here in its anisotropic form; for networks: Mahendran and Vedaldi, Understanding
        Deep Image Representations by Inverting Them, CVPR 2015, https://arxiv.org/abs/1412.0035.
    """

    weight: float

    def __post_init__(self) -> None:
        _check_weight(self.weight)

    def __call__(self, pictures: tf.Tensor) -> tf.Tensor:
        """Return the penalty of each picture."""
        down = tf.abs(pictures[:, 1:] - pictures[:, :-1])
        right = tf.abs(pictures[:, :, 1:] - pictures[:, :, :-1])
        # A picture of one row has no vertical neighbours, and the mean of nothing is NaN.
        means = [
            tf.math.divide_no_nan(tf.reduce_sum(part, axis=(1, 2, 3)), float(math.prod(part[0].shape)))  # pyright: ignore[reportArgumentType, reportCallIssue]
            for part in (down, right)
        ]
        return self.weight * (means[0] + means[1])


@dataclass(frozen=True)
class Blur:
    """Gaussian blur; the border is continued by its mirror image.

    Attributes:
        sigma: Standard deviation in pixels.
        every: Steps from one blur to the next.

    Reference:
        Yosinski et al., Understanding Neural Networks Through Deep Visualization, 2015,
        https://arxiv.org/abs/1506.06579, section 4, like the two that follow.
    """

    sigma: float
    every: int = 4

    def __post_init__(self) -> None:
        _check_every(self.every)
        if not 0 < self.sigma < math.inf:
            raise UserError("sigma", expected="a number of pixels in the range (0, inf)", received=self.sigma)

    def apply(self, pictures: tf.Tensor, gradients: tf.Tensor) -> tf.Tensor:
        """Return the blurred pictures."""
        height, width = (int(side) for side in pictures.shape[1:3])  # pyright: ignore[reportArgumentType]
        # Mirrored at most once: a window may not be larger than the picture.
        reach = [min(math.ceil(3 * self.sigma), side - 1) for side in (height, width)]
        pictures = tf.pad(pictures, [[0, 0], [reach[0]] * 2, [reach[1]] * 2, [0, 0]], mode="REFLECT")
        for axis, (length, side) in enumerate(zip(reach, (height, width), strict=True), start=1):
            parts = [slice(None)] * 4
            blurred = 0.0
            for place, weight in enumerate(_bell(self.sigma, length)):
                parts[axis] = slice(place, place + side)
                blurred = blurred + weight * pictures[tuple(parts)]
            pictures = blurred  # pyright: ignore[reportAssignmentType]
        return pictures


@dataclass(frozen=True)
class DropSmallNorm:
    """Make the pixels grey that are nearly so: those whose norm over the colours is below a quantile of the picture's.

    Attributes:
        quantile: Share of the pixels that go, in [0, 1).
        every: Steps from one time to the next.
    """

    quantile: float
    every: int = 4

    def __post_init__(self) -> None:
        _check_every(self.every)
        _check_quantile(self.quantile)

    def apply(self, pictures: tf.Tensor, gradients: tf.Tensor) -> tf.Tensor:
        """Return the pictures without those pixels."""
        return _drop(pictures, tf.norm(pictures, axis=-1), self.quantile)


@dataclass(frozen=True)
class DropSmallContribution:
    """Make the pixels grey that the activation would hardly miss: those whose `|sum over colours of x * gradient|` is
    below a quantile of the picture's.

    Attributes:
        quantile: Share of the pixels that go, in [0, 1).
        every: Steps from one time to the next.
    """  # noqa: D205

    quantile: float
    every: int = 4

    def __post_init__(self) -> None:
        _check_every(self.every)
        _check_quantile(self.quantile)

    def apply(self, pictures: tf.Tensor, gradients: tf.Tensor) -> tf.Tensor:
        """Return the pictures without those pixels."""
        return _drop(pictures, tf.abs(tf.reduce_sum(pictures * gradients, axis=-1)), self.quantile)


def _drop(pictures: tf.Tensor, importance: tf.Tensor, quantile: float) -> tf.Tensor:
    """Make the pixels grey whose importance, (batch, height, width), is among the least of their picture."""
    ranked: Any = tf.sort(tf.reshape(importance, (tf.shape(importance)[0], -1)), axis=1)
    # Of pixels that are alike all stay, so a picture of one colour is not emptied.
    threshold = ranked[:, int(quantile * ranked.shape[1])]
    return tf.where((importance >= threshold[:, None, None])[..., None], pictures, 0.0)


def _bell(sigma: float, reach: int) -> np.ndarray:
    """Return the weights of a Gaussian window of `2 * reach + 1` pixels; their sum is 1."""
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    return weights / weights.sum()


def _check_weight(weight: float) -> None:
    if not 0 <= weight < math.inf:
        raise UserError("weight", expected="a number in the range [0, inf)", received=weight)


def _check_every(every: int) -> None:
    if not isinstance(every, int) or every < 1:
        raise UserError("every", expected="an int in the range [1, inf)", received=every)


def _check_quantile(quantile: float) -> None:
    if not 0 <= quantile < 1:
        raise UserError("quantile", expected="a number in the range [0, 1)", received=quantile)
