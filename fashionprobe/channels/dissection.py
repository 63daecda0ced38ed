"""Network dissection: which concept each channel detects, by masks that say to the pixel where the concepts are."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from fashionprobe.errors import UserError
from fashionprobe.explain.activations import activations

QUANTILE = 0.005
"""Share of all places, over the data set, at which a unit counts as active."""

DETECTS = 0.04
"""A unit whose best IoU is above this is a detector of that concept."""

TOGETHER = 128
"""Units of an image whose maps are enlarged at once."""


@dataclass(frozen=True)
class Dissection:
    """What the units, the channels of one layer, detect.

    Attributes:
        layer: Name of the layer.
        thresholds: The activation above which a unit is active, float32 (units,).
        iou: Intersection over union of the active pixels with those of each concept, float64 (units, concepts).
    """

    layer: str
    thresholds: np.ndarray
    iou: np.ndarray

    @property
    def best(self) -> np.ndarray:
        """The concept of each unit, int64 (units,): the one with the highest IoU."""
        return self.iou.argmax(axis=1)

    def detected(self, least: float = DETECTS) -> np.ndarray:
        """Return the concepts that are the best one of a unit with an IoU above the least: the unique detectors."""
        return np.unique(self.best[self.iou.max(axis=1) > least])


def dissect(
    model: keras.Model,
    layers: Sequence[str],
    batches: Callable[[], Iterable[np.ndarray]],
    masks: Callable[[], Iterable[np.ndarray]],
    *,
    count: int,
    quantile: float = QUANTILE,
) -> list[Dissection]:
    """Compare where each unit of some layers is active with where concepts are, over a data set.

    A unit is active where its map, enlarged to the size of the masks bilinearly, is above T. T is the least value that
    at most the share `quantile` of all values of the unit's map exceeds, over all images and places. It is exact: of
    the stream only the highest values, that share of them, are kept. The sums of the IoU run over all images, and the
    maps of a batch are the most that is in memory.

    Args:
        model: A functional or sequential model; one image input.
        layers: Names of layers with a feature map.
        batches: Starts the stream, once for T and once for the IoU: images, float (batch, height, width, channels).
        masks: Starts the stream of the masks, in the same batches: bool (batch, rows, columns, concepts), of any size.
        count: Images in the stream.
        quantile: The share, in (0, 1).

    Returns:
        The units of each layer.

    Raises:
        UserError: If a layer is not there or has no feature map, images do not fit, or their number is not `count`.

    Reference:
        Bau et al., Network Dissection: Quantifying Interpretability of Deep Visual Representations, CVPR 2017,
        https://arxiv.org/abs/1704.05796. There the enlarged map is anchored at the centres of the receptive fields.
    """
    if not 0 < quantile < 1:
        raise UserError("quantile", expected="a number in (0, 1)", received=quantile)
    forward = activations(model, layers)
    limits = thresholds(forward, batches(), count, quantile)
    both: list[np.ndarray | float] = [0.0] * len(layers)
    areas: list[np.ndarray | float] = [0.0] * len(layers)
    concepts: np.ndarray | float = 0.0
    for images, where in zip(batches(), masks(), strict=True):
        concepts = concepts + where.sum(axis=(0, 1, 2), dtype=np.float64)
        for place, maps in enumerate(forward(images)):
            shared, own = _overlap(maps.numpy(), limits[place], where)
            both[place], areas[place] = both[place] + shared, areas[place] + own
    found = []
    for layer, limit, shared, own in zip(layers, limits, both, areas, strict=True):
        union = np.asarray(own)[:, None] + concepts - shared
        found.append(Dissection(layer, limit, np.divide(shared, union, out=np.zeros_like(union), where=union > 0)))
    return found


def thresholds(
    forward: Callable[[np.ndarray], list[tf.Tensor]], batches: Iterable[np.ndarray], count: int, quantile: float
) -> list[np.ndarray]:
    """Return the least value that at most a share of all values of each channel exceeds, float32 (channels,) a layer.

    Args:
        forward: What `explain.activations.activations` returns.
        batches: The images.
        count: Their number.
        quantile: The share.

    Raises:
        UserError: If there are more or fewer images.
    """
    highest: list[np.ndarray] = []
    seen = 0
    for images in batches:
        seen += len(images)
        for place, maps in enumerate(forward(images)):
            found = maps.numpy()
            # At most `floor` of the values are above the next one.
            keep = int(np.floor(quantile * count * found.shape[1] * found.shape[2] + 1e-9)) + 1
            values = found.reshape(-1, found.shape[-1]).T
            if len(highest) > place:
                values = np.concatenate([highest[place], values], axis=1)
            values = np.partition(values, -keep, axis=1)[:, -keep:] if values.shape[1] > keep else values
            highest[place : place + 1] = [values]
    if seen != count:
        raise UserError("count", expected="the number of images in the stream", received=f"{count} for {seen} images")
    return [values.min(axis=1) for values in highest]


def enlarged(maps: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Enlarge the maps of one image, float (rows, columns, units), bilinearly: float32 (*size, units)."""
    return tf.image.resize(maps[None], size, method="bilinear").numpy()[0]


def _overlap(maps: np.ndarray, limits: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels of a batch where units are active, with each concept (units, concepts) and in all (units,)."""
    units, concepts = maps.shape[-1], where.shape[-1]
    shared, own = np.zeros((units, concepts)), np.zeros(units)
    for each, mask in zip(maps, where, strict=True):
        pixels = mask.reshape(-1, concepts).astype(np.float32)
        # An enlarged map is nowhere above the map itself: most units need no look.
        alive = np.flatnonzero(each.max(axis=(0, 1)) > limits)
        for start in range(0, len(alive), TOGETHER):
            some = alive[start : start + TOGETHER]
            active = (enlarged(each[..., some], mask.shape[:2]) > limits[some]).reshape(-1, len(some))
            shared[some] += active.astype(np.float32).T @ pixels
            own[some] += active.sum(axis=0)
    return shared, own
