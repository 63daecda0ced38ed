"""Channels over many images: those that activate each channel most, and what a channel lets through of an image."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from fashionprobe.channels.receptive_field import ReceptiveField, receptive_fields
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
    how: Literal["bilinear", "receptive_field"] = "bilinear",
) -> np.ndarray:
    """Show what one channel lets through: the pixels where its map is high stay, all others become black (0).

    Bilinearly, the channel's map is brought to the size of the images, and a pixel stays where it is at least the
    limit. By receptive fields, the image is black, and for each place of the map that is at least the limit all pixels
    that it can depend on are uncovered: in deep layers that is most of the image.

    Args:
        model: A functional or sequential model; one image input.
        layer: Name of a layer with a feature map.
        channel: Number of the channel, from 0.
        images: Float (batch, height, width, channels), values as the model takes them, with 0 for black.
        threshold: The limit, in the units of the activation: the same for all images.
        quantile: In [0, 1]; the limit is this quantile of each image's own map, bilinearly at the size of the image, so
            that about 1 - quantile of the pixels stay. More stay where a larger share of the map has the same value:
            where a ReLU gives 0 in more than that share of the image, all of it stays.
        how: "bilinear", or "receptive_field", the channel mask of the attribute thesis.

    Returns:
        The masked images, float32 (batch, height, width, channels).

    Raises:
        UserError: If not exactly one of `threshold` and `quantile` is given, the layer or the channel is not there, or
            the images do not fit.

    Reference:
        The channel masks of docs/formulas.md, "Channels".
    """
    if how not in ("bilinear", "receptive_field"):
        raise unknown_name("how", how, ["bilinear", "receptive_field"])
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
    size = (pixels.shape[1], pixels.shape[2])
    wide = feature_map[..., channel]
    if how == "bilinear":
        wide = resize(wide, size)
    limit: Any = threshold if quantile is None else np.quantile(wide, quantile, axis=(1, 2), keepdims=True)
    stays = wide >= limit
    if how == "receptive_field":
        stays = uncovered(stays, receptive_fields(opened, [layer], size=size)[layer], size)
    return np.where(stays[..., None], pixels, np.float32(0))


def uncovered(active: np.ndarray, field: ReceptiveField, size: tuple[int, int]) -> np.ndarray:
    """Return the pixels in the receptive field of any active place of a feature map.

    Args:
        active: bool (batch, rows, columns).
        field: The receptive field.
        size: (height, width) of the images in pixels.

    Returns:
        bool (batch, *size).
    """
    numbers, rows, columns = np.nonzero(active)
    top, left, bottom, right = field.box(rows, columns)
    top, bottom = (np.clip(np.broadcast_to(side, rows.shape), 0, size[0]) for side in (top, bottom))
    left, right = (np.clip(np.broadcast_to(side, rows.shape), 0, size[1]) for side in (left, right))
    # Steps up and down at the corners of each box; their sums count the boxes over each pixel.
    steps = np.zeros((len(active), size[0] + 1, size[1] + 1), np.int32)
    for row, column, step in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
        np.add.at(steps, (numbers, row, column), step)
    return steps.cumsum(axis=1).cumsum(axis=2)[:, :-1, :-1] > 0


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
