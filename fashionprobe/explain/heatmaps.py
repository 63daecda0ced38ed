"""Heatmaps: a method's raw map brought to the size of the image and to [0, 1]."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from fashionprobe.errors import UserError, missing

# A few pixels far out would leave all others grey.
_CLIPPED = 99.0


def heatmap(maps: np.ndarray, size: Sequence[int] | None = None) -> np.ndarray:
    """Bring raw maps to the size of the image, bilinearly, and then to [0, 1]; of gradients, how strong they are.

    Args:
        maps: float (batch, height, width), any range; or (batch, height, width, channels), as of methods that return
            one number per pixel and colour, which have the size of the image.
        size: (height, width) of the image in pixels; may be left out for the second kind.

    Returns:
        float32 (batch, *size) in [0, 1]; the highest value of each image is 1, unless its map is constant. For the
        second kind `strength` says what is 1.

    Raises:
        UserError: If the maps have neither shape, or the size is missing.
    """
    maps = np.asarray(maps)
    if maps.ndim == 4:
        return np.stack([strength(each) for each in maps])
    if maps.ndim != 3:
        raise UserError(
            "maps", expected="(batch, height, width), or (batch, height, width, channels)", received=list(maps.shape),
            remedy="Add the batch axis: maps[None]." if maps.ndim == 2 else "",
        )  # fmt: skip
    if size is None:
        raise missing(
            "size", "maps of a layer do not know the (height, width) of the images",
            "Pass images.shape[1:3], or let the method do it: GradCAM(model).heatmap(images).",
        )  # fmt: skip
    return normalize(resize(maps, size))


def strength(gradient: np.ndarray) -> np.ndarray:
    """Return how strong a gradient is at each pixel, in [0, 1]: the greatest size of its colours.

    Args:
        gradient: float (height, width, channels), any range.

    Returns:
        float32 (height, width); the 99th percentile, and all above, is 1; a gradient of zeros stays 0.
    """
    size = np.abs(gradient).max(axis=-1).astype(np.float32)
    most = np.percentile(size, _CLIPPED)
    return np.clip(size / most, 0, 1) if most > 0 else np.zeros_like(size)


def resize(maps: np.ndarray, size: Sequence[int]) -> np.ndarray:
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
