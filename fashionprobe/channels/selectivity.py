"""Neuron features and the selectivity of channels for classes and for colour, over a data set."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from fashionprobe.channels.receptive_field import ReceptiveField, crop, receptive_fields, windows
from fashionprobe.channels.top_images import TopImages, top_images
from fashionprobe.errors import UserError
from fashionprobe.explain.activations import activations

if TYPE_CHECKING:
    import pandas as pd

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the grey version of an image (ITU-R BT.601)."""

TOGETHER = 256
"""Crops that are made at once."""

Pair = tuple[int, int]
Classes = tuple[tuple[str, float], ...]
"""Classes and their shares of the activation, the largest first."""


@dataclass(frozen=True)
class Selectivity:
    """What the channels of one layer select.

    Attributes:
        layer: Name of the layer.
        field: Its receptive field.
        top: The images that activate each channel most.
        features: Neuron features, float32 (channels, height, width, 3), in the range of the images; black for a channel
            that no image activates.
        class_index: Class selectivity index, float64 (channels,); NaN for such a channel, and without labels.
        classes: The classes of each channel's images and their shares of the activation.
        colour_index: Colour selectivity index, float64 (channels,); NaN for a channel that no image activates.
    """

    layer: str
    field: ReceptiveField
    top: TopImages
    features: np.ndarray
    class_index: np.ndarray
    classes: tuple[Classes, ...]
    colour_index: np.ndarray

    @property
    def alive(self) -> np.ndarray:
        """Whether some image activates the channel, bool (channels,)."""
        return self.top.values[:, 0] > 0


def selectivity(
    model: keras.Model,
    layers: Sequence[str],
    batches: Callable[[], Iterable[np.ndarray]],
    labels: Sequence[str] | np.ndarray | None = None,
    *,
    images: int = 100,
    coverage: float = 1.0,
    side: int = 64,
) -> list[Selectivity]:
    """Compute neuron features and selectivity indices of every channel of some layers over a stream of images.

    The first pass over the stream keeps, for each channel, the images with the highest peak and the place of the peak.
    The second runs the network on the grey versions of these images alone, reads the activation at the same place, and
    cuts out the receptive fields. Neither holds more than a batch of images in memory.

    Args:
        model: A functional or sequential model that takes RGB images with black at 0.
        layers: Names of layers with a feature map.
        batches: Starts the stream, once a pass: batches of images, float (batch, height, width, 3), all of one size.
        labels: Class of each image, in the order of the stream; "" for an unlabelled one. None for no class index.
        images: Images a channel, the N of the paper.
        coverage: Share of the activation that the counted classes must cover, the threshold of the paper.
        side: A neuron feature larger than this many pixels is made at this size.

    Returns:
        The selectivity of each layer's channels.

    Raises:
        UserError: If a layer, the images or the labels do not fit, or there are less than two images.

    Reference:
        Rafegas et al., Understanding trained CNNs by indexing neuron selectivity, Pattern Recognition Letters 2020,
        https://arxiv.org/abs/1702.00382. What differs here: grey is the luminance of the whole image instead of the
        first principal component of the crop, and the crop of a field larger than the image is the whole image.
    """
    for name, value in (("images", images), ("side", side)):
        if value < 2:
            raise UserError(name, expected="an int in the range [2, inf)", received=value)
    seen: dict[str, Any] = {"images": 0}
    top = top_images(model, layers, _watched(batches(), seen), count=images)
    if seen["images"] < 2:
        raise UserError("batches", expected="two images or more", received=seen["images"])
    if labels is not None and len(labels) != seen["images"]:
        raise UserError("labels", expected=f"{seen['images']} labels, one per image", received=len(labels))
    fields = receptive_fields(model, layers, size=seen["size"])
    grey, features = _second_pass(model, _watched(batches(), seen), top, fields, seen["size"], side)
    names = None if labels is None else np.asarray(labels, str)
    results = []
    for name in layers:
        found = [
            class_selectivity([] if names is None else names[chosen], values, coverage=coverage)
            for chosen, values in zip(top[name].images, top[name].values, strict=True)
        ]
        index = np.array([index for index, _ in found])
        colour = colour_selectivity(top[name].values, grey[name])
        classes = tuple(shares for _, shares in found)
        results.append(Selectivity(name, fields[name], top[name], features[name], index, classes, colour))
    return results


def class_selectivity(
    labels: Sequence[str] | np.ndarray, activations: np.ndarray, *, coverage: float = 1.0
) -> tuple[float, Classes]:
    """Compute the class selectivity index of one channel: 1 if all its images are of one class, 0 if no two are.

    The share of a class is the sum of its images' activations over that of all. With M the least number of classes
    whose shares add up to the coverage, and N the number of images, the index is (N - M) / (N - 1). So it is never
    below (N - classes) / (N - 1): with few classes it is high for every channel, and only differences say something.

    Args:
        labels: Class of each image that activates the channel most, (images,); unlabelled ones ("") do not count.
        activations: Their activations, (images,); negative ones count as 0.
        coverage: In (0, 1]. At 1, the paper's value, every class with any activation counts.

    Returns:
        The index, NaN with less than two labelled images or without activation, and the shares of the classes.

    Raises:
        UserError: If the coverage is not a share.

    Reference:
        Rafegas et al., Understanding trained CNNs by indexing neuron selectivity, Pattern Recognition Letters 2020,
        https://arxiv.org/abs/1702.00382.
    """
    if not 0 < coverage <= 1:
        raise UserError("coverage", expected="a number in (0, 1]", received=coverage)
    names = np.asarray(labels, str)
    known = names != ""
    weights = np.clip(np.asarray(activations, np.float64)[: len(names)][known], 0, None)
    if len(weights) < 2 or not weights.any():
        return float("nan"), ()
    classes, numbers = np.unique(names[known], return_inverse=True)
    shares = np.bincount(numbers, weights) / weights.sum()
    order = np.argsort(-shares, kind="stable")
    order = order[shares[order] > 0]
    # Sums of shares may miss a coverage of 1 by rounding.
    least = 1 + int(np.searchsorted(np.cumsum(shares[order]), coverage - 1e-9))
    index = (len(weights) - least) / (len(weights) - 1)
    return index, tuple((str(classes[number]), float(shares[number])) for number in order)


def colour_selectivity(activations: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """Compute the colour selectivity index: 1 - (sum of activations on grey versions) / (sum on the images).

    It is 0 for a channel that sees no difference, 1 for one that grey images leave silent, and below 0 for one that
    they activate more.

    Args:
        activations: Activations of the images that activate each channel most, float (channels, images).
        grey: Activations of their grey versions at the same place, float (channels, images); both count as 0 where
            they are negative, and images that do not activate the channel count for nothing.

    Returns:
        float64 (channels,); NaN for a channel that no image activates.

    Reference:
        Rafegas et al., Understanding trained CNNs by indexing neuron selectivity, Pattern Recognition Letters 2020,
        https://arxiv.org/abs/1702.00382.
    """
    counted = np.asarray(activations) > 0
    total = np.sum(activations, axis=1, where=counted, dtype=np.float64)
    left = np.sum(np.clip(grey, 0, None), axis=1, where=counted, dtype=np.float64)
    return np.where(total > 0, 1 - left / np.where(total > 0, total, 1), np.nan)


def grey_version(images: np.ndarray) -> np.ndarray:
    """Return images without colour: the luminance of each pixel in all three channels, float32 (..., 3)."""
    luminance = np.asarray(images, np.float32) @ np.asarray(LUMA, np.float32)
    return np.repeat(luminance[..., None], 3, axis=-1)


def table(results: Sequence[Selectivity], *, most: int = 5) -> "pd.DataFrame":
    """Return one row per channel.

    Args:
        results: What `selectivity` returned.
        most: Classes that are listed for a channel.

    Returns:
        Columns layer, channel, alive, max_activation, class_index, top_class, top_share, classes ("a 0.70; b 0.20"),
        colour_index.
    """
    import pandas as pd

    tables = []
    for found in results:
        first = [shares[0] if shares else ("", np.nan) for shares in found.classes]
        tables.append(pd.DataFrame({
            "layer": found.layer, "channel": range(len(found.alive)), "alive": found.alive,
            "max_activation": found.top.values[:, 0], "class_index": found.class_index,
            "top_class": [name for name, _ in first], "top_share": [share for _, share in first],
            "classes": ["; ".join(f"{name} {share:.2f}" for name, share in shares[:most]) for shares in found.classes],
            "colour_index": found.colour_index,
        }))  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def _watched(batches: Iterable[np.ndarray], seen: dict[str, Any]) -> Iterator[np.ndarray]:
    """Pass on the batches, check that they are RGB and of one size, and note that size and their number."""
    seen["images"] = 0
    for batch in batches:
        shape = tuple(batch.shape)
        if len(shape) != 4 or shape[-1] != 3:
            received = f"shape {shape}"
            raise UserError("batches", expected="RGB images, (batch, height, width, 3)", received=received)
        if shape[1:3] != seen.setdefault("size", shape[1:3]):
            raise UserError("batches", expected=f"images of one size, {seen['size']}", received=shape[1:3])
        seen["images"] += shape[0]
        yield batch


def _second_pass(
    model: keras.Model,
    batches: Iterable[np.ndarray],
    top: dict[str, TopImages],
    fields: dict[str, ReceptiveField],
    size: Pair,
    side: int,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return, by layer, the activations of the grey versions (channels, images) and the neuron features."""
    forward = activations(model, list(top))
    grey = {name: np.zeros(found.values.shape, np.float32) for name, found in top.items()}
    features = {}
    for name, found in top.items():
        shape = [min(reach, full, side) for reach, full in zip(fields[name].size, size, strict=True)]
        features[name] = np.zeros((len(found.values), *shape, 3), np.float32)
    start, last = 0, max(int(found.images.max()) for found in top.values())
    for batch in batches:
        hits = {name: _hits(found, start, len(batch)) for name, found in top.items()}
        wanted = np.unique(np.concatenate([top[name].images[hit] for name, hit in hits.items()]))
        if len(wanted):
            chosen = np.asarray(batch)[wanted - start]
            for (name, hit), feature_map in zip(hits.items(), forward(grey_version(chosen)), strict=True):
                found, numbers = top[name], np.searchsorted(wanted, top[name].images[hit])
                grey[name][hit] = feature_map.numpy()[numbers, found.rows[hit], found.columns[hit], hit[0]]
                boxes = windows(fields[name], found.rows[hit], found.columns[hit], size)
                weights = found.values[hit] / np.sum(np.clip(found.values, 0, None), axis=1)[hit[0]]
                _add(features[name], hit[0], chosen, numbers, boxes, weights)
        start += len(batch)
        if start > last:
            break
    return grey, features


def _hits(found: TopImages, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return channel and rank of the top images that are in a batch and do activate the channel."""
    inside = (found.images >= start) & (found.images < start + count) & (found.values > 0)
    channels, ranks = np.nonzero(inside)
    return channels, ranks


def _add(
    features: np.ndarray,
    channels: np.ndarray,
    images: np.ndarray,
    numbers: np.ndarray,
    boxes: np.ndarray,
    weights: np.ndarray,
) -> None:
    """Add weighted crops to the neuron features of their channels, some at a time."""
    # Image by image, so that few are shrunk for more than one lot.
    order = np.argsort(numbers, kind="stable")
    for first in range(0, len(order), TOGETHER):
        some = order[first : first + TOGETHER]
        used, places = np.unique(numbers[some], return_inverse=True)
        crops = crop(images[used], places, boxes[some], features.shape[1:3])
        for channel, weight, picture in zip(channels[some], weights[some], crops, strict=True):
            features[channel] += weight * picture
