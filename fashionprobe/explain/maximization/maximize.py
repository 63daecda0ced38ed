"""Activation maximization: the pictures that channels, neurons and classes respond to most, many at once."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from fashionprobe import progress
from fashionprobe.backbones.graph import kept_random_state
from fashionprobe.errors import UserError, unknown_name
from fashionprobe.explain.maximization.fourier import Fourier
from fashionprobe.explain.maximization.regularizers import Penalty, Transform
from fashionprobe.explain.maximization.units import Unit, Units
from fashionprobe.explain.targets import Channel, Neuron

STRIDE = 16
"""Steps a call of the compiled function, between two looks of the progress bar."""

NOISE = 0.2
"""The noise to start from reaches this far to both sides of grey, in pictures of [-1, 1]."""

SPREAD = 0.01
"""Standard deviation of the Fourier coefficients of the noise to start from."""

WAKING = 16
"""Steps at the start in which a ReLU that ends the layer is passed by."""

PIXEL_RATE, FOURIER_RATE = 0.05, 0.1
"""Default learning rates."""


@dataclass(frozen=True)
class Maximization:
    """Pictures and how strongly the units respond to them.

    Attributes:
        images: float32 (units, height, width, channels), in the range of values asked for.
        scores: float32 (units,), the activation, without penalties, of each unit by its image.
        history: float32 (units, steps), the activation before each step, of the image as it was shifted then.
    """

    images: np.ndarray
    scores: np.ndarray
    history: np.ndarray


@kept_random_state()
def maximize(
    model: keras.Model,
    targets: Sequence[Unit],
    *,
    size: int | tuple[int, int] | None = None,
    steps: int = 64,
    learning_rate: float | None = None,
    start: Literal["noise", "grey"] = "noise",
    regularizers: Sequence[Penalty | Transform] = (),
    jitter: int = 8,
    fourier: bool = False,
    decorrelate: bool = True,
    value_range: tuple[float, float] = (0.0, 255.0),
    batch_size: int = 16,
    seed: int = 0,
) -> Maximization:
    """Make the picture that each unit responds to most, by gradient ascent of `mean(A) - R(x)`.

    A is the map of a channel (one value for a neuron or a class), R the sum of the penalties. A picture depends on its
    unit and the seed, not on the other units. Where a ReLU ends the layer, a place at which the unit is silent has no
    gradient; so that all of the picture takes part, the mean before that ReLU is raised in the first 16 steps, and
    longer where the unit stays silent everywhere. All scores are those behind the ReLU.

    In pixels, each step goes `learning_rate` along the gradient that was divided by its root mean square, picture by
    picture, so that no unit needs a rate of its own. Fourier coefficients are moved by Adam.

    Args:
        model: A functional or sequential model with one image input and one output.
        targets: The units, of one layer or several.
        size: (height, width) of the pictures, or one number for a square. Default: the model's own, or 128.
        steps: Number of steps.
        learning_rate: Size of a step, in pictures of [-1, 1], or in Fourier coefficients.
        start: Where to start: noise about grey, or grey.
        regularizers: Penalties and transforms, applied in this order; see `regularizers`.
        jitter: Each step looks at the picture shifted by a random number of pixels, up to this one, in both directions.
        fourier: Look for Fourier coefficients instead of pixels.
        decorrelate: With `fourier`, whether colours are decorrelated as well; only for RGB.
        value_range: Least and greatest value that the model takes.
        batch_size: Pictures made at the same time; it changes time and memory, and the last digits of the pictures.
        seed: Seed of the noise and the shifts.

    Returns:
        The pictures.

    Raises:
        UserError: If a unit is not there, or an argument does not fit.

    Reference:
        Erhan et al., Visualizing Higher-Layer Features of a Deep Network, 2009; regularisers: Yosinski et al. 2015,
        https://arxiv.org/abs/1506.06579; jitter: Mordvintsev et al., Inceptionism, 2015; Fourier coefficients: Olah et
        al., Feature Visualization, Distill 2017, whose code passes by the ReLU in the first 16 steps, too.
    """
    rate = (FOURIER_RATE if fourier else PIXEL_RATE) if learning_rate is None else learning_rate
    _check(
        targets, start, value_range, steps=steps, learning_rate=rate, jitter=jitter, batch_size=batch_size, seed=seed
    )
    units = Units(model, targets, size)
    space = Fourier(*units.shape, decorrelate=decorrelate) if fourier else None
    climb = _climber(units, space, rate, regularizers, jitter, value_range, seed)
    measure = tf.function(units.__call__)
    batch, found = min(batch_size, len(targets)), []
    with progress.bar(total=math.ceil(len(targets) / batch) * steps, unit="step", description="maximize") as bar:
        for first in range(0, len(targets), batch):
            # The last batch is filled up, so that one compiled function serves all.
            rows = units.rows[np.minimum(np.arange(first, first + batch), len(targets) - 1)]
            begun = tf.constant(np.stack([_begin(row, units.shape, space, start, seed) for row in rows]))
            state = (begun, tf.zeros_like(begun), tf.zeros_like(begun))
            history = []
            for step in range(0, steps, STRIDE):
                count = min(STRIDE, steps - step)
                state, scores = climb(state, tf.constant(rows), tf.constant(step), tf.constant(count))
                history.append(scores.numpy())
                bar.update(count)
            pictures = space.decode(state[0]) if space else state[0]
            images = to_range(pictures, value_range)
            found.append((images.numpy(), measure(images, tf.constant(rows))[0].numpy(), np.concatenate(history).T))
    images, scores, history = (np.concatenate(parts)[: len(targets)] for parts in zip(*found, strict=True))
    return Maximization(images, scores, history)


def _climber(
    units: Units,
    space: Fourier | None,
    rate: float,
    regularizers: Sequence[Penalty | Transform],
    jitter: int,
    value_range: tuple[float, float],
    seed: int,
) -> Callable[..., Any]:
    """Return the compiled function that makes some steps: (state, rows, first, count) -> (state, (count, batch))."""
    penalties = [each for each in regularizers if not isinstance(each, Transform)]
    transforms = [each for each in regularizers if isinstance(each, Transform)]
    decode, encode = (space.decode, space.encode) if space else (tf.identity, tf.identity)

    def step(state: Any, rows: tf.Tensor, number: Any) -> Any:
        place, first, second = state
        with tf.GradientTape() as way:
            way.watch(place)
            pictures = decode(place)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(pictures)
            shifted = tf.roll(pictures, shift(seed, number, jitter), (1, 2))
            activation, before_relu = units(to_range(shifted, value_range), rows)
            awake = (activation > 0) & (number >= WAKING)
            drive = tf.where(awake, activation, before_relu)
            penalty = tf.add_n([each(pictures) for each in penalties]) if penalties else tf.zeros(len(rows))
        up: Any = tape.gradient(drive, pictures)
        down: Any = tape.gradient(penalty, pictures, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        gradient = way.gradient(pictures, place, output_gradients=up - down)
        if space:
            change, first, second = _adam(gradient, first, second, number)
        else:
            change = unit_gradient(gradient)
        place = place + rate * change
        if not space:
            place = tf.clip_by_value(place, -1.0, 1.0)
        for each in transforms:
            due = tf.equal((number + 1) % each.every, 0)
            place = tf.cond(
                due, lambda each=each, now=place: encode(each.apply(decode(now), up)), lambda now=place: now
            )
        return (place, first, second), activation

    @tf.function
    def climb(state: Any, rows: tf.Tensor, begin: tf.Tensor, count: tf.Tensor) -> Any:
        history = tf.TensorArray(tf.float32, count)

        def body(done: tf.Tensor, state: Any, history: Any) -> Any:
            state, activation = step(state, rows, begin + done)
            return done + 1, state, history.write(done, activation)

        _, state, history = tf.while_loop(lambda done, *_: done < count, body, (tf.constant(0), state, history))
        return state, history.stack()

    return climb


def _adam(gradient: tf.Tensor, first: tf.Tensor, second: tf.Tensor, step: tf.Tensor) -> Any:
    """Return the change that Adam makes for a rate of 1, and its two moments."""
    gradient = unit_gradient(gradient)
    count: Any = tf.cast(step + 1, tf.float32)
    first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
    change = first / (1 - 0.9**count) / (tf.sqrt(second / (1 - 0.999**count)) + 1e-8)
    return change, first, second


def unit_gradient(gradient: tf.Tensor) -> tf.Tensor:
    """Divide the gradient of each picture by its root mean square; one that is 0 everywhere stays so."""
    axes = list(range(1, len(gradient.shape)))
    # By the greatest value first, because squares overflow sooner than values.
    gradient = tf.math.divide_no_nan(gradient, tf.reduce_max(tf.abs(gradient), axes, keepdims=True))
    return tf.math.divide_no_nan(gradient, tf.sqrt(tf.reduce_mean(gradient**2, axes, keepdims=True)))


def shift(seed: int, step: tf.Tensor, jitter: int) -> tf.Tensor:
    """Return how far the pictures are rolled at a step, down and right, in pixels: int32 (2,)."""
    key = tf.stack([tf.constant(seed31(seed)), tf.cast(step, tf.int32)])
    return tf.random.stateless_uniform((2,), key, -jitter, jitter + 1, tf.int32)


def seed31(seed: int) -> int:
    """Return a seed of 31 bits, the most that TensorFlow takes."""
    return int(np.random.SeedSequence(seed).generate_state(1)[0]) >> 1


def to_range(pictures: tf.Tensor, value_range: tuple[float, float]) -> tf.Tensor:
    """Bring pictures from [-1, 1] to the values that the model takes."""
    low, high = value_range
    return low + (pictures + 1) * ((high - low) / 2)


def _begin(row: np.ndarray, shape: tuple[int, int, int], space: Fourier | None, start: str, seed: int) -> np.ndarray:
    """Return what one picture starts from: float32 pixels or coefficients."""
    shape_of = space.shape if space else shape
    if start == "grey":
        return np.zeros(shape_of, np.float32)
    random = np.random.default_rng([seed, *(int(number) + 1 for number in row[1:])])
    if space:
        return (SPREAD * random.standard_normal(shape_of)).astype(np.float32)
    return random.uniform(-NOISE, NOISE, shape_of).astype(np.float32)


def _check(targets: Sequence[Unit], start: str, value_range: Sequence[float], **numbers: float) -> None:
    """Check what does not depend on the model."""
    if (
        isinstance(targets, str)
        or not targets
        or not all(isinstance(unit, Channel | Neuron | int | np.integer) for unit in targets)
    ):
        raise UserError(
            "targets", expected="a list of Channel, Neuron and class numbers", received=f"{targets!r:.60}",
            remedy='Such as [Channel("conv5_block3_out", 0)], from fashionprobe.explain.targets import Channel.',
        )  # fmt: skip
    if start not in ("noise", "grey"):
        raise unknown_name("start", start, ["noise", "grey"])
    check_range(value_range)
    check_numbers(**numbers)


def check_range(value_range: Sequence[float]) -> None:
    """Check a range of pixel values."""
    if len(value_range) != 2 or not all(map(math.isfinite, value_range)) or value_range[0] >= value_range[1]:
        raise UserError("value_range", expected="two numbers, the lower first", received=value_range)


def check_numbers(**numbers: float) -> None:
    """Check the numbers of an ascent by their names."""
    for name, value in numbers.items():
        if name == "learning_rate":
            if not 0 < value < math.inf:
                raise UserError(name, expected="a number in the range (0, inf)", received=value)
            continue
        least = 0 if name in ("jitter", "seed") else 1
        if not isinstance(value, int) or value < least:
            raise UserError(name, expected=f"an int in the range [{least}, inf)", received=value)
