"""Occlusion: how much of the score goes when a window of the image is hidden behind noise."""

import logging
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from fashionprobe import progress
from fashionprobe.errors import UserError, unknown_name
from fashionprobe.explain.explained_model import Classes, ExplainFunction, Network, check_images
from fashionprobe.explain.targets import Target

log = logging.getLogger(__name__)

Score = Literal["probability", "output"]

WINDOWS = (1 / 7, 2 / 7)
"""Sides of the windows, as shares of the image's shorter side: 32 and 64 of 224 pixels."""

MIN_PROBABILITY = 1e-30
"""What counts as no probability at all, so that its inverse stays finite."""

MIN_OUTPUT = 0.01
"""The least output that counts as such, as a share of that of the whole image: 1 / s has a pole at 0."""


def occlusion(
    model: keras.Model,
    *,
    windows: Sequence[float] = WINDOWS,
    strides: Sequence[float] | None = None,
    mean: float = 0.5,
    deviation: float = 0.1,
    value_range: tuple[float, float] = (0.0, 255.0),
    seed: int = 0,
    batch_size: int = 16,
    score: Score = "probability",
    target: Target = None,
) -> ExplainFunction:
    """Make occlusion: square windows are filled with noise one by one, and what that does is added up at their pixels.

    For a class, a window adds 1 / p to its pixels, with p the probability that is left; for other targets, the drop of
    the score. The sum is divided by how many windows cover the pixel: high where the target needs what is there. The
    noise of a pixel is the same in all windows and images.

    With `score="output"`, the rule of the visualization report, a window adds 1 / s, with s the output of the last
    layer before any softmax (or of the target), and the sum is not divided: H[window] += 1 / s. Pixels near the border,
    which fewer windows cover, get less. An output of less than a hundredth of that of the whole image, or below 0,
    counts as that hundredth; where the whole image has no output above 0, its reciprocal says nothing, and the map is
    left 0.

    Args:
        model: The classifier, or any network for a target that is not a class.
        windows: Sides of the windows: below 1 a share of the image's shorter side, else pixels.
        strides: Steps between the windows of each size, in the same units, none greater than its window; half the
            window by default. The last window of a row or column is moved back to end at the border.
        mean: Mean of the Gaussian noise, as a share of `value_range`.
        deviation: Standard deviation of the noise, in the same unit; values outside the range are clipped to it.
        value_range: Least and greatest value of images as the model takes them.
        seed: Seed of the noise.
        batch_size: Hidden images that go through the network at once; more of them take more memory, nothing else.
        score: What a window leaves, "probability" or "output".
        target: What is explained; the probability of a class by default.

    Returns:
        A function of images (batch, height, width, channels) that returns the raw maps, float32 (batch, height,
        width). A probability below 1e-30 counts as 1e-30.

    Raises:
        UserError: If an option is out of range, or the model or the target cannot be explained.

    Reference:
        Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014, section 4.2, where the window
        is grey.
    """
    if score not in ("probability", "output"):
        raise unknown_name("score", score, ["probability", "output"])
    low, high = value_range
    if not low < high:
        raise UserError("value_range", expected="(low, high) with low < high", received=value_range)
    if deviation < 0:
        raise UserError("deviation", expected="at least 0", received=deviation)
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise UserError("batch_size", expected="an int in the range [1, inf)", received=batch_size)
    network = Network(model, target=target)
    whole = _whole(network)
    part = _part(network, batch_size, network.score if score == "output" else network.probability)

    def explain(images: np.ndarray | tf.Tensor, classes: Classes = None) -> np.ndarray:
        pixels: Any = check_images(network.model, images)
        height, width, channels = pixels.shape[1:]
        boxes = windows_of(height, width, windows, strides)
        noise = np.random.default_rng(seed).normal(mean, deviation, (height, width, channels)).clip(0, 1)
        hidden = tf.constant(low + noise * (high - low), tf.float32)
        scores, numbers = whole(pixels, network.check_classes(classes, len(pixels)))
        total, left = len(pixels) * len(boxes), []
        with progress.bar(total=total, unit="image", description="occlusion") as bar:
            for start in range(0, total, batch_size):
                left.append(part(pixels, numbers, hidden, tf.constant(boxes), tf.constant(start)).numpy())
                bar.update(len(left[-1]))
        found = np.concatenate(left).astype(np.float64).reshape(len(pixels), len(boxes))
        if score == "output":
            return _spread(_reciprocals(found, scores.numpy()), boxes, (height, width), divided=False)
        if network.target is None:
            return _spread(1 / np.maximum(found, MIN_PROBABILITY), boxes, (height, width))
        return _spread(scores.numpy()[:, None] - found, boxes, (height, width))

    return explain


def windows_of(
    height: int, width: int, windows: Sequence[float] = WINDOWS, strides: Sequence[float] | None = None
) -> np.ndarray:
    """Lay windows over an image so that each size covers each pixel.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        windows: Sides, as `occlusion` takes them.
        strides: Steps, as `occlusion` takes them.

    Returns:
        int32 (windows, 3): row and column of the upper left corner, and side, in pixels.

    Raises:
        UserError: If a window does not fit into the image, or its stride leaves gaps.
    """
    shorter = min(height, width)
    sides = [_pixels("windows", side, shorter) for side in windows]
    if not sides:
        raise UserError("windows", expected="at least one side", received=windows)
    if strides is not None and len(strides) != len(sides):
        raise UserError("strides", expected=f"as many as windows, {len(sides)}", received=strides)
    steps = [max(1, side // 2) for side in sides]
    if strides is not None:
        steps = [_pixels("strides", step, shorter) for step in strides]
    boxes = []
    for side, step in zip(sides, steps, strict=True):
        if step > side:
            raise UserError("strides", expected=f"at most the window, {side} pixels", received=f"{step} pixels")
        rows, columns = (
            sorted({*range(0, length - side + 1, step), length - side}) for length in (height, width)
        )  # fmt: skip
        boxes += [(row, column, side) for row in rows for column in columns]
    return np.array(boxes, np.int32)


def _pixels(argument: str, length: float, shorter: int) -> int:
    """Return a length in pixels; below 1 it is a share of the image's shorter side."""
    if not 0 < length <= shorter or (length >= 1 and length != int(length)):
        raise UserError(
            argument, expected=f"shares in (0, 1) or whole pixels in [1, {shorter}]", received=length
        )  # fmt: skip
    return int(length) if length >= 1 else max(1, round(length * shorter))


def _whole(network: Network) -> Any:
    """Compile the score of whole images, and the class that is explained."""

    # Any number of images is one trace.
    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec((None, *network.model.input_shape[1:]), tf.float32),
            tf.TensorSpec((None,), tf.int32),
        ],
    )
    def whole(images: tf.Tensor, classes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        _, last = network(images)
        if network.target is not None:
            return network.score(last, classes), classes
        return network.score(last, classes), network.chosen(last, classes)

    return whole


def _reciprocals(left: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return 1 / output for each image and window, 0 for an image without output: float64 (images, windows)."""
    positive = (whole > 0)[:, None]
    if not positive.all():
        log.warning(
            "Occlusion by the output: it is not above 0 for %d of %d images, so 1 / output says nothing there, and the "
            "heatmap is empty.", (~positive).sum(), len(whole),
        )  # fmt: skip
    floor = np.where(positive, MIN_OUTPUT * whole[:, None].astype(np.float64), 1)
    return np.where(positive, 1 / np.maximum(left, floor), 0)


def _part(network: Network, batch_size: int, score: Any) -> Any:
    """Compile what is left of the score of one batch out of all pairs of an image and a window, images first."""
    size = network.model.input_shape[1:]

    # Nothing here has a fixed number of images: the last batch, and batches of users, need no other trace.
    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec((None, *size), tf.float32),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec(size, tf.float32),
            tf.TensorSpec((None, 3), tf.int32),
            tf.TensorSpec((), tf.int32),
        ],
    )
    def part(images: tf.Tensor, classes: tf.Tensor, noise: tf.Tensor, boxes: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
        count = tf.shape(boxes)[0]
        pairs = tf.range(start, tf.minimum(start + batch_size, tf.shape(images)[0] * count))
        top, left, side = tf.unstack(tf.gather(boxes, pairs % count)[:, :, None], axis=1)
        rows, columns = tf.range(tf.shape(images)[1]), tf.range(tf.shape(images)[2])
        inside_rows = (rows >= top) & (rows < top + side)
        inside_columns = (columns >= left) & (columns < left + side)
        inside = (inside_rows[:, :, None] & inside_columns[:, None, :])[..., None]
        owners = pairs // count
        _, last = network(tf.where(inside, noise, tf.gather(images, owners)))
        return score(last, tf.gather(classes, owners))

    return part


def _spread(values: np.ndarray, boxes: np.ndarray, size: tuple[int, int], *, divided: bool = True) -> np.ndarray:
    """Return, at each pixel, the mean or sum of the values (images, windows) of the windows that cover it.

    Returns:
        float32 (images, height, width).
    """
    total, cover = np.zeros((len(values), *size)), np.zeros(size)
    for value, (row, column, side) in zip(values.T, boxes, strict=True):
        total[:, row : row + side, column : column + side] += value[:, None, None]
        cover[row : row + side, column : column + side] += 1
    return (total / cover if divided else total).astype(np.float32)
