"""The global view of a filter: images from its weakest to its strongest, each shown where the filter is active."""

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.explain.heatmaps import resize
from fashionprobe.feedback.otsu import threshold

INTERVALS = 9
DARK = 0.25
"""Share of its light that is left to a pixel outside the mask."""


def intervals(
    values: np.ndarray, *, random: np.random.Generator, count: int = INTERVALS
) -> list[tuple[float, float, int, int | None]]:
    """Cut the range of a filter's activations in equal intervals, and draw an image from each.

    Args:
        values: float (images,): one filter's activation of each image.
        random: Draws the images.
        count: Number of intervals.

    Returns:
        For each interval its ends, the number of images in it, and the row of the one drawn, None where it is empty.
        The greatest value is in the last interval, and any other end belongs to the interval above it.

    Raises:
        UserError: If a value is not finite or there is none, or `count` is below 1.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise UserError("values", expected="finite numbers (images,), one or more", received=list(values.shape))
    if count < 1:
        raise UserError("count", expected="an int in the range [1, inf)", received=count)
    edges = np.linspace(values.min(), values.max(), count + 1)
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, count - 1)
    found = []
    for number in range(count):
        rows = np.flatnonzero(place == number)
        drawn = int(random.choice(rows)) if len(rows) else None
        found.append((float(edges[number]), float(edges[number + 1]), len(rows), drawn))
    return found


def lit(image: np.ndarray, feature_map: np.ndarray) -> np.ndarray:
    """Show an image where a filter is active: its map, enlarged bilinearly, is above its Otsu threshold.

    Args:
        image: float (height, width, 3), RGB in [0, 255].
        feature_map: float (rows, columns): the filter's map of this image.

    Returns:
        uint8 (height, width, 3): the rest is darkened, all of it when the map is constant.
    """
    enlarged = resize(feature_map[None], (image.shape[0], image.shape[1]))[0]
    light = np.where(enlarged > threshold(enlarged), 1.0, DARK)
    return np.rint(np.clip(image, 0, 255) * light[..., None]).astype(np.uint8)
