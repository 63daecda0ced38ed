"""What the channels of a block do for each class: mean activations, their peaks, and which channel tells it apart."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from fashionprobe.errors import UserError

CHUNK = 256
"""Channels that are ranked at a time."""

BATCH = 10
"""Shuffles of the labels that are computed at a time."""

DEVIATIONS = 2.0
"""A channel is a peak of a class when its mean activation is this many deviations above that of the channels."""


@dataclass(frozen=True)
class Profiles:
    """Mean activations of the channels of a block by class.

    Attributes:
        classes: Names of the classes, sorted.
        means: float64 (classes, channels), in the units of the descriptors.
        peaks: bool (classes, channels), where the class has a peak.
        common: Channels that are a peak of every class, the strongest first, int (n,).
    """

    classes: tuple[str, ...]
    means: np.ndarray
    peaks: np.ndarray
    common: np.ndarray


@dataclass(frozen=True)
class Separation:
    """How well each channel alone separates one class from the rest.

    Attributes:
        classes: Names of the classes, sorted.
        auc: Area under the ROC curve, float64 (classes, channels): 0.5 tells nothing, 1 is a channel that is always
            stronger for the class, 0 one that always falls silent for it.
        luck: The distance from 0.5 that the best of all channels and classes reaches by luck, given per class, float64
            (classes,): with shuffled labels, the given quantile. 0.5 means that with so few images any value can be
            luck.
    """

    classes: tuple[str, ...]
    auc: np.ndarray
    luck: np.ndarray

    def table(self) -> pd.DataFrame:
        """Return one row per class and channel, the best of each class first.

        Returns:
            Columns class, channel, rank (1 is the best), auc, separation (the larger of AUC and 1 - AUC), direction
            ("active" or "silent" for the class), luck (the separation that luck reaches), beyond_luck.
        """
        strength = np.abs(self.auc - 0.5)
        order = np.argsort(-strength, axis=1, kind="stable")
        auc = np.take_along_axis(self.auc, order, axis=1)
        away = np.take_along_axis(strength, order, axis=1)
        classes, channels = auc.shape
        luck = np.repeat(self.luck, channels)
        return pd.DataFrame({
            "class": np.repeat(np.array(self.classes, dtype=object), channels),
            "channel": order.ravel(),
            "rank": np.tile(np.arange(1, channels + 1), classes),
            "auc": auc.ravel(),
            "separation": 0.5 + away.ravel(),
            "direction": np.where(auc.ravel() >= 0.5, "active", "silent"),
            "luck": 0.5 + luck,
            "beyond_luck": away.ravel() > luck,
        })  # fmt: skip


def profiles(descriptors: np.ndarray, labels: np.ndarray, *, deviations: float = DEVIATIONS) -> Profiles:
    """Average each channel over the images of each class, and find the peaks.

    Args:
        descriptors: float32 (items, channels) of one block.
        labels: Class of each item, (items,).
        deviations: How many standard deviations over the channels a peak is above their mean.

    Raises:
        UserError: If there is no item.
    """
    classes, numbers = _classes(descriptors, labels)
    member = np.eye(len(classes))[numbers]
    means = (member.T @ descriptors) / member.sum(axis=0)[:, None]
    level = means.mean(axis=1, keepdims=True) + deviations * means.std(axis=1, keepdims=True)
    # Where all channels are equal, none stands out.
    peaks = (means >= level) & (np.ptp(means, axis=1, keepdims=True) > 0)
    common = np.flatnonzero(peaks.all(axis=0))
    common = common[np.argsort(-means[:, common].mean(axis=0), kind="stable")]
    return Profiles(classes, means, peaks, common)


def separation(
    descriptors: np.ndarray, labels: np.ndarray, *, shuffles: int = 200, quantile: float = 0.95, seed: int = 0
) -> Separation:
    """Measure how well each channel alone separates each class from the rest, and how well luck would.

    The area under the ROC curve is the statistic of Mann and Whitney, with average ranks for ties. Thousands of
    channels and classes hold good areas by luck alone: labels are shuffled, and the best of all channels and classes
    noted each time, in units of each class's own deviation under chance, which is large for a rare class.

    Args:
        descriptors: float32 (items, channels) of one block.
        labels: Class of each item, (items,); two classes or more.
        shuffles: How often the labels are shuffled.
        quantile: Part of the shuffles whose best stays below the level of luck, in (0, 1).
        seed: Seed of the shuffles.

    Raises:
        UserError: If there are not two classes.

    Reference:
        Hanley and McNeil, The meaning and use of the area under a ROC curve, Radiology 1982,
        https://doi.org/10.1148/radiology.143.1.7063747. Westfall and Young, Resampling-based multiple testing, 1993
        (the maximum over all tests).
    """
    classes, numbers = _classes(descriptors, labels)
    if len(classes) < 2:
        raise UserError("labels", expected="of two classes or more", received=f"one class: {list(classes)}")
    member = _members(numbers, len(classes))
    items = len(numbers)
    inside = member.sum(axis=1, keepdims=True)
    # Of the area, under chance and without ties.
    deviation = np.sqrt((items + 1) / (12 * inside * (items - inside)))
    random = np.random.default_rng(seed)
    shuffled = [numbers[random.permutation(items)] for _ in range(shuffles)]
    areas, best = [], np.zeros(shuffles)
    for start in range(0, descriptors.shape[1], CHUNK):
        ranks = rankdata(descriptors[:, start : start + CHUNK], axis=0)
        areas.append(_area(member, ranks))
        for first in range(0, shuffles, BATCH):
            # One product for several shuffles: (shuffles * classes, items) by (items, channels).
            others = np.concatenate([_members(each, len(classes)) for each in shuffled[first : first + BATCH]])
            away = np.abs(_area(others, ranks) - 0.5).max(axis=1).reshape(-1, len(classes)) / deviation[:, 0]
            best[first : first + BATCH] = np.maximum(best[first : first + BATCH], away.max(axis=1))
    luck = np.minimum(np.quantile(best, quantile, method="higher") * deviation[:, 0], 0.5)
    return Separation(classes, np.concatenate(areas, axis=1), luck)


def _members(numbers: np.ndarray, classes: int) -> np.ndarray:
    """Return 1 where an item is of a class, float64 (classes, items)."""
    return (np.arange(classes)[:, None] == numbers).astype(np.float64)


def _area(member: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve of each class (rows) and channel, from the ranks of its items."""
    inside = member.sum(axis=1, keepdims=True)
    return (member @ ranks - inside * (inside + 1) / 2) / (inside * (member.shape[1] - inside))


def _classes(descriptors: np.ndarray, labels: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    if not len(labels) or len(labels) != len(descriptors):
        raise UserError("labels", expected=f"one for each of {len(descriptors)} items", received=len(labels))
    classes, numbers = np.unique(labels, return_inverse=True)
    return tuple(str(name) for name in classes), numbers
