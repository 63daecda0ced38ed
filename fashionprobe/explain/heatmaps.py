"""Heatmaps: a method's raw map brought to the size of the image and to [0, 1]."""

import numpy as np
import tensorflow as tf


def heatmap(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring raw maps to the size of the image, bilinearly, and then to [0, 1].

    Args:
        maps: float (batch, height, width), any range.
        size: (height, width) of the image in pixels.

    Returns:
        float32 (batch, *size) in [0, 1]; the highest value of each image is 1, unless its map is constant.
    """
    return normalize(resize(maps, size))


def resize(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize maps bilinearly, keeping their values: float32 (batch, *size)."""
    wide = tf.image.resize(np.asarray(maps, np.float32)[..., None], size, method="bilinear")
    return wide.numpy()[..., 0]


def normalize(maps: np.ndarray) -> np.ndarray:
    """Bring each map to [0, 1] by its own least and greatest value; a constant one becomes 0.

    Args:
        maps: float (batch, height, width), any range.

    Returns:
        float32 (batch, height, width) in [0, 1].
    """
    maps = np.asarray(maps, np.float64)
    low = maps.min(axis=(1, 2), keepdims=True)
    spread = maps.max(axis=(1, 2), keepdims=True) - low
    return ((maps - low) / np.where(spread > 0, spread, 1.0)).astype(np.float32)
