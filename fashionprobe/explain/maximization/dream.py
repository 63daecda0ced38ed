"""DeepDream: a photograph in which a layer sees more of what it knows, at several scales."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fashionprobe import progress
from fashionprobe.backbones.graph import kept_random_state
from fashionprobe.errors import UserError
from fashionprobe.explain.explained_model import Network, check_images, find_layer, flat
from fashionprobe.explain.maximization.maximize import check_numbers, check_range, shift, to_range, unit_gradient
from fashionprobe.explain.targets import Channel

OCTAVES = 4
"""Scales for a network that takes images of any size."""

MIN_SIDE = 32
"""Pixels below which the default makes no further octave."""


@kept_random_state()
def dream(
    model: keras.Model,
    images: np.ndarray,
    target: Channel | str,
    *,
    octaves: int | None = None,
    octave_scale: float = 1.4,
    steps: int = 20,
    learning_rate: float = 0.02,
    jitter: int = 16,
    value_range: tuple[float, float] = (0.0, 255.0),
    seed: int = 0,
    after_octave: Callable[[np.ndarray], None] | None = None,
) -> np.ndarray:
    """Change photographs so that a channel, or a whole layer, answers more.

    The smallest octave comes first. Before each next one the picture is enlarged, and the detail of the photograph that
    the smaller size had lost is put back. Each step goes `learning_rate` along the gradient, which is divided by its
    root mean square, picture by picture.

    A network whose input has a fixed size shows its patterns at one scale only, so it does one octave; for more, load
    it with an input of any size: `include_top=False, input_shape=(None, None, 3)`.

    Args:
        model: A functional or sequential model with one image input and one output.
        images: float (batch, height, width, channels), values in `value_range`.
        target: A channel, whose mean is raised, or the name of a layer, whose mean of squares is.
        octaves: Number of scales. Default: 4, fewer for small images, 1 for a fixed input size.
        octave_scale: Factor from one to the next.
        steps: Steps an octave.
        learning_rate: Size of a step, in pictures of [-1, 1].
        jitter: Each step looks at the picture shifted by a random number of pixels, up to this one, in both directions.
        value_range: Least and greatest value that the model takes.
        seed: Seed of the shifts.
        after_octave: Gets the pictures after each octave, at the size of that octave.

    Returns:
        float32, shape of the images, values in `value_range`.

    Raises:
        UserError: If the layer or the channel is not there, or an argument does not fit.

    Reference:
        Mordvintsev, Olah, Tyka: Inceptionism, 2015,
        https://research.google/blog/inceptionism-going-deeper-into-neural-networks
    """
    check_range(value_range)
    check_numbers(steps=steps, learning_rate=learning_rate, jitter=jitter, seed=seed)
    network, objective = _objective(model, target)
    pixels = check_images(network.model, images)
    low, high = value_range
    if float(tf.reduce_min(pixels)) < low or float(tf.reduce_max(pixels)) > high:
        found = f"values from {float(tf.reduce_min(pixels)):g} to {float(tf.reduce_max(pixels)):g}"
        raise UserError("images", expected=f"in the range of values [{low:g}, {high:g}]", received=found)
    sizes = _sizes(network.model, tuple(pixels.shape.as_list()[1:3]), octaves, octave_scale)
    climb = _climber(objective, learning_rate, jitter, value_range, seed)
    photograph = (pixels - low) * (2 / (high - low)) - 1
    picture = shrunk = _resized(photograph, sizes[0])
    with progress.bar(total=len(sizes) * steps, unit="step", description="dream") as bar:
        for place, size in enumerate(sizes):
            if place:
                at_size = _resized(photograph, size)
                picture = _resized(picture, size) + at_size - _resized(shrunk, size)
                shrunk = at_size
            picture = climb(picture, tf.constant(place * steps), tf.constant(steps))
            bar.update(steps)
            if after_octave is not None:
                after_octave(to_range(picture, value_range).numpy())
    return to_range(picture, value_range).numpy()


def _objective(model: keras.Model, target: Channel | str) -> tuple[Network, Callable[[tf.Tensor], tf.Tensor]]:
    """Return the opened network, and the function from its images to what is raised, (batch,)."""
    if isinstance(target, Channel):
        network = Network(model, target=target)
        return network, lambda images: network.score(network(images)[1], tf.fill((len(images),), -1))
    if not isinstance(target, str):
        raise UserError("target", expected="a Channel or the name of a layer", received=target)
    opened = flat(model)
    find_layer(opened, target, argument="target")
    # Channel 0 exists in every layer; it only marks where to cut the model.
    network = Network(opened, target=Channel(target, 0))

    def squares(images: tf.Tensor) -> tf.Tensor:
        output = network(images)[1]
        return tf.reduce_mean(tf.reshape(output, (len(images), -1)) ** 2, axis=1)

    return network, squares


def _climber(
    objective: Callable[[tf.Tensor], tf.Tensor], rate: float, jitter: int, value_range: tuple[float, float], seed: int
) -> Callable[..., tf.Tensor]:
    """Return the compiled function that makes the steps of one octave: (pictures, first, count) -> pictures."""

    @tf.function
    def climb(pictures: tf.Tensor, first: tf.Tensor, count: tf.Tensor) -> Any:
        def body(done: tf.Tensor, pictures: tf.Tensor) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(pictures)
                shifted = tf.roll(pictures, shift(seed, first + done, jitter), (1, 2))
                score = objective(to_range(shifted, value_range))
            gradient: Any = tape.gradient(score, pictures)
            pictures += rate * unit_gradient(gradient)
            return done + 1, tf.clip_by_value(pictures, -1.0, 1.0)

        return tf.while_loop(lambda done, _: done < count, body, (tf.constant(0), tf.clip_by_value(pictures, -1, 1)))[1]

    def once(pictures: tf.Tensor, *steps: tf.Tensor) -> Any:
        # Called through `climb`, several dreams one after another would pass for needless retracing.
        return climb.get_concrete_function(pictures, *steps)(pictures, *steps)

    return once


def _sizes(model: keras.Model, size: Any, octaves: int | None, scale: float) -> list[tuple[int, int]]:
    """Return the size of each octave in pixels, the smallest first."""
    if not 1 < scale <= 4:
        raise UserError("octave_scale", expected="a number in the range (1, 4]", received=scale)
    fixed = None not in model.input_shape[1:3]
    if octaves is None:
        octaves = 1 if fixed else OCTAVES
        while octaves > 1 and min(size) / scale ** (octaves - 1) < MIN_SIDE:
            octaves -= 1
    check_numbers(octaves=octaves)
    if fixed and octaves > 1:
        raise UserError(
            "octaves", expected=f"1 for {model.name}, whose input has a fixed size", received=octaves,
            remedy="Or load it with an input of any size: include_top=False, input_shape=(None, None, 3).",
        )  # fmt: skip
    sizes = [tuple(round(side / scale**power) for side in size) for power in reversed(range(octaves))]
    if min(sizes[0]) < 8:
        raise UserError("octaves", expected="few enough that the smallest has 8 pixels a side", received=octaves)
    return sizes  # pyright: ignore[reportReturnType]


def _resized(pictures: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    if tuple(pictures.shape[1:3]) == tuple(size):
        return pictures
    return tf.image.resize(pictures, size, method="bilinear", antialias=True)
