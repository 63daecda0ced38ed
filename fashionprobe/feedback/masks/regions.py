"""Masks of irrelevant regions: brought to the cells of a feature map, and found without an expert."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from fashionprobe.errors import UserError
from fashionprobe.explain.activations import activations
from fashionprobe.explain.explained_model import find_map, flat
from fashionprobe.explain.heatmaps import resize

LUMA = (0.299, 0.587, 0.114)
"""Share of red, green and blue in the grey level. Reference: ITU-R BT.601."""


def at_tap(masks: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Bring masks to the cells of a feature map: the area average, and all above 0 becomes 1.

    So a cell is 1 where it overlaps a masked pixel at all, also when the sizes are not multiples of each other.

    Args:
        masks: bool (batch, height, width), True where a pixel is irrelevant.
        size: (rows, columns) of the feature map.

    Returns:
        float32 (batch, rows, columns) of 0 and 1.

    Raises:
        UserError: If `masks` has no three axes, or a side is below 1.
    """
    masks = np.asarray(masks)
    if masks.ndim != 3 or not all(masks.shape[1:]):
        received = list(masks.shape)
        raise UserError("masks", expected="bool (batch, height, width)", received=f"{masks.dtype} {received}")
    if len(size) != 2 or min(size) < 1:
        raise UserError("size", expected="(rows, columns), each 1 or more", received=size)
    return _any(_any(masks != 0, size[0], axis=1), size[1], axis=2).astype(np.float32)


def _any(masks: np.ndarray, cells: int, axis: int) -> np.ndarray:
    """Tell along one axis which cells overlap a True, when pixels and cells divide the same length."""
    # Whole numbers: with shares of a length, rounding would add neighbours that only touch.
    ends = np.arange(cells + 1) * masks.shape[axis]
    first, behind = ends[:-1] // cells, -(-ends[1:] // cells)
    counts = np.cumsum(masks, axis=axis, dtype=np.int32)
    start = np.zeros_like(counts.take([0], axis))
    counts = np.concatenate([start, counts], axis)
    return counts.take(behind, axis) > counts.take(first, axis)


def background(images: np.ndarray) -> np.ndarray:
    """Mask the background: the side of Otsu's threshold of the grey level that most of the image's border is on.

    Right for an object on a plain ground that differs from it in grey, whole or nearly so within the image. Holes of
    the object through which the ground is seen are ground.

    Args:
        images: float or uint8 (batch, height, width, 3), RGB in [0, 255].

    Returns:
        bool (batch, height, width). An image of one grey level is background all over.
    """
    grey = np.asarray(images, np.float64) @ LUMA
    cut = np.array([threshold(image) for image in grey]).reshape(-1, 1, 1)
    upper = grey > cut
    edge = np.zeros(grey.shape[1:], bool)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    is_light = upper[:, edge].mean(axis=1) > 0.5
    return upper == is_light[:, None, None]


def inside_box(shape: Sequence[int], box: Sequence[float]) -> np.ndarray:
    """Mask a box.

    Args:
        shape: (batch, height, width) of the masks.
        box: (top, left, bottom, right) as shares of the height and the width, in [0, 1].

    Returns:
        bool (batch, height, width), the same for each image: True where the middle of the pixel is in the box.

    Raises:
        UserError: If the box has no extent, or reaches out of the image.
    """
    sides = [float(side) for side in box]
    top, left, bottom, right = sides if len(sides) == 4 else (0.0, 0.0, 0.0, 0.0)
    if not (0 <= top < bottom <= 1 and 0 <= left < right <= 1):
        raise UserError(
            "box", expected="(top, left, bottom, right), shares of the image's sides in [0, 1], top < bottom and "
            "left < right", received=list(box), remedy="The lower left quarter is [0.5, 0, 1, 0.5].",
        )  # fmt: skip
    batch, height, width = shape
    row, column = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    inside = ((row >= top) & (row < bottom))[:, None] & ((column >= left) & (column < right))
    return np.repeat(inside[None], batch, axis=0)


def outside_box(shape: Sequence[int], box: Sequence[float]) -> np.ndarray:
    """Mask everything outside a box; arguments and errors as those of `inside_box`, and its opposite."""
    return ~inside_box(shape, box)


def filter_maps(model: keras.Model, layer: str, channel: int) -> Callable[[np.ndarray | tf.Tensor], np.ndarray]:
    """Make the function from images to the map of one filter, enlarged bilinearly to the size of the image.

    Args:
        model: A functional or sequential model.
        layer: Name of a layer with a feature map.
        channel: Number of the filter, from 0.

    Returns:
        A function of images (batch, height, width, channels) that returns float32 (batch, height, width).

    Raises:
        UserError: If there is no such layer or channel.
    """
    channels = find_map(flat(model), layer).output.shape[-1]
    if not 0 <= channel < channels:
        raise UserError("channel", expected=f"in the range [0, {channels}) for {layer}", received=channel)
    forward = activations(model, [layer])

    def maps(images: np.ndarray | tf.Tensor) -> np.ndarray:
        height, width = np.shape(images)[1:3]
        return resize(forward(images)[0].numpy()[..., channel], (height, width))

    return maps


def above(maps: np.ndarray, percentile: float) -> np.ndarray:
    """Mask where a map is above its own percentile.

    Args:
        maps: float (batch, height, width).
        percentile: In [0, 100], interpolated linearly between two values.

    Returns:
        bool (batch, height, width).

    Raises:
        UserError: If the percentile is out of range.
    """
    if not 0 <= percentile <= 100:
        raise UserError("percentile", expected="in the range [0, 100]", received=percentile)
    return maps > np.percentile(maps, percentile, axis=(1, 2), keepdims=True)


BINS = 256


def threshold(values: np.ndarray) -> float:
    """Return the value that cuts an array best in two: the variance between the two groups is greatest.

    The cut is sought between 256 bins of equal width from the least to the greatest value; the bins hold the values'
    true means. What is returned is in the middle between the greatest value below the cut and the least above it.

    Args:
        values: float or int of any shape, finite.

    Returns:
        The threshold: the upper group is `values > threshold`, and both groups have a member. All values of a
        constant array are equal to it, so that no value is above.

    Raises:
        UserError: If there is no value, or one is not finite.

    Reference:
        Otsu, "A Threshold Selection Method from Gray-Level Histograms", 1979.
        https://doi.org/10.1109/TSMC.1979.4310076

    Example:
        >>> threshold(np.array([0, 1, 9, 10]))
        5.0
    """
    numbers = np.asarray(values, np.float64).ravel()
    if not numbers.size or not np.isfinite(numbers).all():
        received = "NaN or infinity among them" if numbers.size else "none"
        raise UserError("values", expected="one finite number or more", received=received)
    low, high = numbers.min(), numbers.max()
    if low == high:
        return float(low)
    bins = np.minimum((numbers - low) / (high - low) * BINS, BINS - 1).astype(np.intp)
    below = np.bincount(bins, minlength=BINS).cumsum()[:-1]
    mean = (numbers - low).mean()
    total = np.bincount(bins, numbers - low, BINS).cumsum()[:-1]
    # (n0 n1 / N^2) (mean0 - mean1)^2, with mean1 written by way of the mean of all: no difference of large sums.
    between = (mean * below - total) ** 2 / (below * (numbers.size - below))
    lower = bins <= between.argmax()
    return float((numbers[lower].max() + numbers[~lower].min()) / 2)
