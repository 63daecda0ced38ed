"""Channels over many images: those that activate each channel most, and what a channel lets through of an image."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from fashionprobe.errors import UserError, check_one, unknown_name
from fashionprobe.explain.activations import activations
from fashionprobe.explain.explained_model import check_images, find_map, flat
from fashionprobe.explain.heatmaps import resize

STATISTICS = ("max", "mean")


@dataclass(frozen=True)
class TopImages:
    """The images that activate each channel of a layer most, the strongest first.

    Attributes:
        images: Their numbers in the order of the stream, from 0; int64 (channels, count).
        values: Their activations; float32 (channels, count).
        means: The means of the channel's feature map; float32 (channels, count).
        rows: Row of the feature map at which the channel peaks; int64 (channels, count).
        columns: Column of the feature map at which it peaks; int64 (channels, count).
    """

    images: np.ndarray
    values: np.ndarray
    means: np.ndarray
    rows: np.ndarray
    columns: np.ndarray


def top_images(
    model: keras.Model,
    layers: Sequence[str],
    batches: Iterable[np.ndarray | tf.Tensor],
    *,
    count: int = 10,
    statistic: Literal["max", "mean"] = "max",
) -> dict[str, TopImages]:
    """Find the images that activate each channel most, in one pass over a stream, for several layers at once.

    An image counts once a channel. Of images with the same value the one with the higher mean comes first (activations
    such as ReLU6 have a greatest value, which many images reach), then the earlier one. Memory does not grow with the
    number of images.

    Args:
        model: A functional or sequential model; one image input.
        layers: Names of layers with a feature map.
        batches: Batches of images, float (batch, height, width, channels), values as the model takes them.
        count: Images a channel; fewer, if the stream has fewer.
        statistic: What ranks an image: the peak of the channel's feature map, or its mean.

    Returns:
        The images of each layer's channels, by the name of the layer.

    Raises:
        UserError: If a layer is not there or has no feature map, images do not fit, or there are none.
    """
    if count < 1:
        raise UserError("count", expected="an int in the range [1, inf)", received=count)
    if statistic not in STATISTICS:
        raise unknown_name("statistic", statistic, STATISTICS)
    forward = activations(model, layers)
    best: dict[str, TopImages] = {}
    seen = 0
    for images in batches:
        for layer, feature_map in zip(layers, forward(images), strict=True):
            parts = [best[layer]] if layer in best else []
            best[layer] = _merged([*parts, _peaks(feature_map, seen, statistic)], count)
        seen += len(images)
    if not best:
        raise UserError("batches", expected="batches of images", received="none")
    return best


def channel_mask(
    model: keras.Model,
    layer: str,
    channel: int,
    images: np.ndarray | tf.Tensor,
    *,
    threshold: float | None = None,
    quantile: float | None = None,
) -> np.ndarray:
    """Show what one channel lets through: the pixels where its map is high stay, all others become black (0).

    The channel's map is brought to the size of the images bilinearly; a pixel stays where it is at least the limit.

    Args:
        model: A functional or sequential model; one image input.
        layer: Name of a layer with a feature map.
        channel: Number of the channel, from 0.
        images: Float (batch, height, width, channels), values as the model takes them, with 0 for black.
        threshold: The limit, in the units of the activation: the same for all images.
        quantile: In [0, 1]; the limit is this quantile of each image's own map at the size of the image, so that about
            1 - quantile of the pixels stay. More stay where a larger share of the map has the same value: where a
            ReLU gives 0 in more than that share of the image, all of it stays.

    Returns:
        The masked images, float32 (batch, height, width, channels).

    Raises:
        UserError: If not exactly one of `threshold` and `quantile` is given, the layer or the channel is not there, or
            the images do not fit.

    Reference:
        The channel masks of docs/formulas.md, "Correcting a network".
    """
    check_one(threshold=threshold, quantile=quantile)
    if quantile is not None and not 0 <= quantile <= 1:
        raise UserError("quantile", expected="a number in [0, 1]", received=quantile)
    opened = flat(model)
    # Run once: compiling would take longer.
    cut = keras.Model(opened.input, find_map(opened, layer).output)
    feature_map = np.asarray(cut(check_images(opened, images), training=False), np.float32)
    if not 0 <= channel < feature_map.shape[-1]:
        raise UserError("channel", expected=f"in the range [0, {feature_map.shape[-1]}) for {layer}", received=channel)
    pixels = np.asarray(images, np.float32)
    wide = resize(feature_map[..., channel], (pixels.shape[1], pixels.shape[2]))
    limit = threshold if quantile is None else np.quantile(wide, quantile, axis=(1, 2), keepdims=True)
    return np.where((wide >= limit)[..., None], pixels, np.float32(0))


def _peaks(feature_map: Any, start: int, statistic: str) -> TopImages:
    """Return values and peaks of one batch, whose first image has the number `start`."""
    batch, height, width, channels = feature_map.shape
    places = tf.reshape(feature_map, (batch, height * width, channels))
    means = tf.reduce_mean(places, axis=1).numpy().T
    values = means if statistic == "mean" else tf.reduce_max(places, axis=1).numpy().T
    place = tf.argmax(places, axis=1).numpy().T
    numbers = np.broadcast_to(np.arange(start, start + batch), place.shape)
    return TopImages(numbers, values, means, place // width, place % width)


def _merged(parts: Sequence[TopImages], count: int) -> TopImages:
    """Return the best of all; the order is stable, so that earlier images win ties that are left."""

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts], axis=1)

    order = np.lexsort((-joined("means"), -joined("values")), axis=1)[:, :count]
    return TopImages(*(np.take_along_axis(joined(field.name), order, axis=1) for field in fields(TopImages)))
