"""Network inversion: the image that a layer would take for another one, found from its activations alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fashionprobe import progress
from fashionprobe.backbones.graph import kept_random_state
from fashionprobe.errors import UserError
from fashionprobe.explain.explained_model import check_images, find_map, flat
from fashionprobe.explain.maximization.maximize import NOISE, STRIDE, check_numbers, check_range, to_range

POWER = 6
"""Exponent of the norm that keeps pixels in their range, the alpha of the paper."""


@dataclass(frozen=True)
class Inversion:
    """Images made from activations.

    Attributes:
        images: float32 (batch, height, width, channels), in the range of values asked for.
        distances: float32 (batch,), ||phi(x) - phi0||^2 / ||phi0||^2 of each: 0 is the same activations, 1 is as far
            as no activation at all.
    """

    images: np.ndarray
    distances: np.ndarray


@kept_random_state()
def invert(
    model: keras.Model,
    images: np.ndarray,
    layer: str,
    *,
    steps: int = 256,
    learning_rate: float = 0.05,
    total_variation: float = 1.0,
    norm: float = 0.01,
    value_range: tuple[float, float] = (0.0, 255.0),
    seed: int = 0,
) -> Inversion:
    """Make images that a layer answers to as it answers to the given ones, from noise, by Adam.

    It minimizes D + v TV + n N, pixels x in [-1, 1]: D = ||phi(x) - phi0||^2 / ||phi0||^2 is the distance of the
    activations, TV the mean of (x[i, j + 1] - x[i, j])^2 + (x[i + 1, j] - x[i, j])^2 and N the mean of |x|^6. The
    weights v and n are ours, the same for all layers; in the paper they grow with depth. What the layer has lost shows
    as what is not restored.

    Args:
        model: A functional or sequential model with one image input.
        images: float (batch, height, width, channels), values in `value_range`.
        layer: Name of a layer with a feature map, phi.
        steps: Steps of the descent; the learning rate falls to 0 along half a cosine.
        learning_rate: Size of the first steps.
        total_variation: The weight v.
        norm: The weight n.
        value_range: Least and greatest value that the model takes.
        seed: Seed of the noise to start from, the same for all images.

    Returns:
        The images and the distances.

    Raises:
        UserError: If the layer is not there, or an argument does not fit.

    Reference:
        Mahendran and Vedaldi, Understanding Deep Image Representations by Inverting Them, CVPR 2015,
        https://arxiv.org/abs/1412.0035.
    """
    check_range(value_range)
    check_numbers(steps=steps, learning_rate=learning_rate, seed=seed)
    for name, weight in (("total_variation", total_variation), ("norm", norm)):
        if not weight >= 0:
            raise UserError(name, expected="a number in the range [0, inf)", received=weight)
    opened = flat(model)
    cut = keras.Model(opened.input, find_map(opened, layer).output)
    pixels: Any = check_images(opened, images)
    wanted = tf.cast(cut(pixels, training=False), tf.float32)

    def distance(x: tf.Tensor) -> Any:
        found = tf.cast(cut(to_range(x, value_range), training=False), tf.float32)
        axes = list(range(1, len(found.shape)))
        return tf.math.divide_no_nan(
            tf.reduce_sum((found - wanted) ** 2, axes), tf.reduce_sum(wanted**2, axes)
        )  # fmt: skip

    def objective(x: tf.Tensor) -> Any:
        return distance(x) + total_variation * roughness(x) + norm * tf.reduce_mean(tf.abs(x) ** POWER, (1, 2, 3))

    noise = np.random.default_rng(seed).uniform(-NOISE, NOISE, pixels.shape[1:]).astype(np.float32)
    x = tf.constant(np.broadcast_to(noise, pixels.shape))
    descend = _descender(objective, steps, learning_rate)
    state = (x, tf.zeros_like(x), tf.zeros_like(x))
    with progress.bar(total=steps, unit="step", description=f"invert {layer}") as bar:
        for first in range(0, steps, STRIDE):
            count = min(STRIDE, steps - first)
            state = descend(state, tf.constant(first), tf.constant(first + count))
            bar.update(count)
    x = state[0]
    return Inversion(to_range(x, value_range).numpy(), distance(x).numpy())


def roughness(x: Any) -> Any:
    """Return the mean over pixels of the squared differences to the right and below, float32 (batch,)."""
    right, down = (x[:, :, 1:] - x[:, :, :-1]) ** 2, (x[:, 1:] - x[:, :-1]) ** 2
    count = float(np.prod(x.shape[1:]))
    return (tf.reduce_sum(right, (1, 2, 3)) + tf.reduce_sum(down, (1, 2, 3))) / count


def _descender(objective: Callable[[tf.Tensor], Any], steps: int, rate: float) -> Callable[..., Any]:
    """Return the compiled function that makes steps of Adam: (state, first, last) -> state."""

    @tf.function
    def descend(state: Any, first: tf.Tensor, last: tf.Tensor) -> Any:
        def body(step: tf.Tensor, x: tf.Tensor, mean: tf.Tensor, square: tf.Tensor) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = objective(x)
            gradient: Any = tape.gradient(value, x)
            mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
            done: Any = tf.cast(step + 1, tf.float32)
            ahead = (mean / (1 - 0.9**done)) / (tf.sqrt(square / (1 - 0.999**done)) + 1e-12)
            speed = rate * 0.5 * (1 + tf.cos(np.pi * tf.cast(step, tf.float32) / steps))
            return step + 1, tf.clip_by_value(x - speed * ahead, -1.0, 1.0), mean, square

        return tf.while_loop(lambda step, *_: step < last, body, (first, *state))[1:]

    # Called through `descend`, several layers one after another would pass for needless retracing.
    return lambda *arguments: descend.get_concrete_function(*arguments)(*arguments)
