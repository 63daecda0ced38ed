"""Convergent learning: whether the channels of two networks, or of two layers, learn the same."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import keras
import numpy as np
from scipy.optimize import linear_sum_assignment

from fashionprobe.errors import UserError, unknown_name
from fashionprobe.explain.activations import activations

POOLS = ("auto", "never", "always")

CONSTANT = 1e-6
"""A channel whose standard deviation is below this share of its mean is constant: the rest is float32 rounding."""


@dataclass(frozen=True)
class Correlations:
    """Correlations between the channels of two layers; those with a constant channel are 0.

    Attributes:
        between: float64 (channels, other channels) in [-1, 1].
        first: Within the first layer, float64 (channels, channels).
        second: Within the other layer, float64 (other channels, other channels).
        alive: Which channels of the first layer are not constant, bool (channels,).
        other_alive: Which channels of the other layer are not constant, bool (other channels,).
        pooled: Whether they are of descriptors, instead of all places of the feature maps.
        samples: Number of descriptors or places.
        means: Mean of each channel of the first layer, float64 (channels,).
        deviations: Its standard deviation, float64 (channels,).
        other_means: Mean of each channel of the other layer, float64 (other channels,).
        other_deviations: Its standard deviation, float64 (other channels,).
    """

    between: np.ndarray
    first: np.ndarray
    second: np.ndarray
    alive: np.ndarray
    other_alive: np.ndarray
    pooled: bool
    samples: int
    means: np.ndarray
    deviations: np.ndarray
    other_means: np.ndarray
    other_deviations: np.ndarray


@dataclass(frozen=True)
class Pairs:
    """Channels of two layers, matched; the most alike first.

    Attributes:
        channels: Channels of the first layer, int64 (pairs,).
        others: Their partners in the other layer, int64 (pairs,).
        correlations: float64 (pairs,), falling.
    """

    channels: np.ndarray
    others: np.ndarray
    correlations: np.ndarray


def correlate(
    model: keras.Model,
    layer: str,
    other_model: keras.Model,
    other_layer: str,
    batches: Iterable[np.ndarray],
    *,
    pool: Literal["auto", "never", "always"] = "auto",
) -> Correlations:
    """Correlate the channels of two layers over a stream of images, in one pass.

    Means and products are summed in float64 about the running mean (Chan, Golub and LeVeque 1983), so that a large mean
    costs no digits. Memory does not grow with the number of images.

    Args:
        model: A functional or sequential model; one image input.
        layer: Name of a layer of it with a feature map.
        other_model: The model to compare with; it may be the same one.
        other_layer: Name of a layer of that with a feature map.
        batches: Batches of images, float (batch, height, width, channels), as both models take them.
        pool: What a sample is. "never": a place of the feature maps, as in the paper, which must have the same height
            and width. "always": an image's descriptor, the mean over the map. "auto": places where that is possible.

    Returns:
        The correlations between the layers and within each.

    Raises:
        UserError: If a layer or the images do not fit, the maps differ in size and may not be pooled, or there are
            less than two samples.

    Reference:
        Li et al., Convergent learning: do different neural networks learn the same representations?, ICLR 2016,
        https://arxiv.org/abs/1511.07543.
    """
    if pool not in POOLS:
        raise unknown_name("pool", pool, POOLS)
    forward, other_forward = activations(model, [layer]), activations(other_model, [other_layer])
    count, pooled, mean, products, width = 0, pool == "always", np.zeros(0), np.zeros((0, 0)), 0
    for images in batches:
        one, other = (each.numpy() for each in (*forward(images), *other_forward(images)))
        if one.shape[1:3] != other.shape[1:3] and pool == "never":
            raise UserError(
                "pool", expected="'auto' or 'always' where the feature maps differ in size", received="never",
                remedy=f"{layer} gives {one.shape[1:3]}, {other_layer} {other.shape[1:3]}.",
            )  # fmt: skip
        pooled = pool == "always" or one.shape[1:3] != other.shape[1:3]
        samples = np.concatenate([_samples(one, pooled), _samples(other, pooled)], axis=1)
        width = one.shape[-1]
        count, mean, products = _joined(count, mean, products, samples)
    if count < 2:
        raise UserError("batches", expected="two images or more", received=f"{count} samples")
    correlations, alive = _correlations(count, mean, products)
    first, second = slice(None, width), slice(width, None)
    deviation = np.sqrt(np.diag(products).clip(0) / count)
    return Correlations(
        correlations[first, second], correlations[first, first], correlations[second, second], alive[first],
        alive[second], pooled, count, mean[first], deviation[first], mean[second], deviation[second],
    )  # fmt: skip


def bipartite(correlation: np.ndarray) -> Pairs:
    """Match channels one to one so that the sum of their correlations is as large as it can be.

    Args:
        correlation: float (channels, others); of the larger side some channels get no partner.

    Returns:
        The pairs, as many as the smaller side has channels.

    Reference:
        Li et al., Convergent learning, ICLR 2016, https://arxiv.org/abs/1511.07543.
    """
    channels, others = linear_sum_assignment(_checked(correlation), maximize=True)
    return _sorted(correlation, channels, others)


def semi_matching(correlation: np.ndarray) -> Pairs:
    """Give each channel the one it correlates with most; several may share a partner.

    Args:
        correlation: float (channels, others).

    Returns:
        The pairs, one per channel of the first layer. Of equal correlations the first channel is taken.

    Reference:
        Li et al., Convergent learning, ICLR 2016, https://arxiv.org/abs/1511.07543.
    """
    others = _checked(correlation).argmax(axis=1)
    return _sorted(correlation, np.arange(len(others)), others)


def _samples(feature_map: np.ndarray, pooled: bool) -> np.ndarray:
    """Return the samples of a batch, float64 (samples, channels)."""
    if pooled:
        return feature_map.mean(axis=(1, 2), dtype=np.float64)
    return feature_map.reshape(-1, feature_map.shape[-1]).astype(np.float64)


def _joined(
    count: int, mean: np.ndarray, products: np.ndarray, samples: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray]:
    """Add samples to a count, a mean and a sum of products of deviations from that mean."""
    own = samples.mean(axis=0)
    deviations = samples - own
    added = deviations.T @ deviations
    if not count:
        return len(samples), own, added
    total, shift = count + len(samples), own - mean
    products += added + np.outer(shift, shift) * (count * len(samples) / total)
    return total, mean + shift * (len(samples) / total), products


def _correlations(count: int, mean: np.ndarray, products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the correlation matrix, 0 for constant channels, and which channels are not constant."""
    deviation = np.sqrt(np.diag(products) / count)
    alive = deviation > CONSTANT * np.abs(mean)
    scale = np.where(alive, deviation, 1.0) * np.sqrt(count)
    both = np.outer(alive, alive)
    # Rounding may put the correlation of a channel with itself slightly above 1.
    return np.where(both, np.clip(products / np.outer(scale, scale), -1, 1), 0.0), alive


def _checked(correlation: np.ndarray) -> np.ndarray:
    if np.ndim(correlation) != 2 or not np.size(correlation) or not np.isfinite(correlation).all():
        raise UserError(
            "correlation", expected="a matrix of finite numbers", received=f"shape {np.shape(correlation)}",
        )  # fmt: skip
    return np.asarray(correlation)


def _sorted(correlation: np.ndarray, channels: np.ndarray, others: np.ndarray) -> Pairs:
    values = np.asarray(correlation, np.float64)[channels, others]
    order = np.argsort(-values, kind="stable")
    return Pairs(channels[order], others[order], values[order])
