"""Doubted filters, which look at what does not matter, against the network's errors, image by image."""

import numpy as np

from fashionprobe.channels.rankings import standardized
from fashionprobe.errors import UserError


def doubts(features: np.ndarray, is_train: np.ndarray, doubted: np.ndarray) -> np.ndarray:
    """Return how active the doubted filters are in each image: their mean, each in deviations from the training images.

    Args:
        features: float (images, filters): mean activations.
        is_train: bool (images,): the images that mean and deviation are of.
        doubted: bool (filters,): filters that look at what does not matter.

    Returns:
        float64 (images,).

    Raises:
        UserError: If no filter is doubted.
    """
    if not doubted.any():
        raise UserError("doubted", expected="one filter or more", received="none")
    _, values = standardized(features[is_train][:, doubted], features[:, doubted])
    return values.mean(axis=1)


def separation(doubts: np.ndarray, is_right: np.ndarray) -> tuple[float, float]:
    """Return how well the doubts tell wrong images from right ones, and the p-value of that.

    Args:
        doubts: float (images,).
        is_right: bool (images,), of both kinds.

    Returns:
        AUC, the probability that of a wrong and a right image the wrong one has the greater doubts, and the two-sided p
        of the Mann-Whitney U test.
    """
    from scipy.stats import mannwhitneyu

    wrong, right = doubts[~is_right], doubts[is_right]
    statistic, p = mannwhitneyu(wrong, right)
    return float(statistic) / (len(wrong) * len(right)), float(p)
