"""Active learning: which images are worth asking the expert about."""

from collections.abc import Sequence

import numpy as np

from fashionprobe.errors import UserError

CRITERIA = ("heat", "uncertainty", "disagreement")


def unusual_heat(heatmaps: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return which share of each heatmap's mass is where the heat of its class is not, in [0, 1].

    The consensus of a class is the mean of its heatmaps, each of mass 1; the share is 1 minus the sum over the places
    of the smaller of the two. Where a class has one image, that is its consensus.

    Args:
        heatmaps: Relevance of 0 or more, float (n, rows, columns).
        numbers: Class number of each, int (n,).

    Returns:
        float64 (n,); 1 for a heatmap that is 0 everywhere.
    """
    mass = heatmaps.sum(axis=(1, 2), dtype=np.float64)
    shares = np.divide(
        heatmaps, mass[:, None, None], out=np.zeros(heatmaps.shape), where=mass[:, None, None] > 0, dtype=np.float64
    )
    found = np.ones(len(heatmaps))
    for number in np.unique(numbers):
        rows = np.flatnonzero((numbers == number) & (mass > 0))
        if len(rows):
            consensus = shares[rows].mean(axis=0)
            found[rows] = 1 - np.minimum(shares[rows], consensus).sum(axis=(1, 2))
    return found.clip(0, 1)


def uncertainty(probabilities: np.ndarray) -> np.ndarray:
    """Return the entropy of the class probabilities as a share of the greatest, in [0, 1].

    Args:
        probabilities: float (n, classes).

    Reference:
        Settles, Active Learning Literature Survey, 2009, section 3.1.
    """
    return _entropy(probabilities) / np.log(probabilities.shape[1])


def disagreement(probabilities: np.ndarray) -> np.ndarray:
    """Return how far several networks differ: the Jensen-Shannon divergence of what they say, in [0, 1].

    Args:
        probabilities: float (networks, n, classes), of two networks or more.

    Reference:
        McCallum and Nigam, Employing EM and pool-based active learning for text classification, ICML 1998.
    """
    if len(probabilities) < 2:
        raise UserError("probabilities", expected="those of two networks or more", received=len(probabilities))
    apart = _entropy(probabilities.mean(axis=0)) - np.mean([_entropy(each) for each in probabilities], axis=0)
    return (apart / np.log(min(len(probabilities), probabilities.shape[2]))).clip(0, 1)


def rank(scores: Sequence[np.ndarray]) -> np.ndarray:
    """Return the place of each image, 1 for the one most worth asking about: by its mean place in all scores.

    Args:
        scores: float (n,) each, the higher the more worth asking about. Equal ones share their mean place, and of
            images with equal means the earlier comes first.

    Returns:
        int (n,), each of 1 to n once.
    """
    from scipy.stats import rankdata

    mean = np.mean([rankdata(-score) for score in scores], axis=0)
    places = np.empty(len(mean), int)
    places[np.argsort(mean, kind="stable")] = np.arange(1, len(mean) + 1)
    return places


def _entropy(probabilities: np.ndarray) -> np.ndarray:
    """Return the entropy in nats, float64 (n,)."""
    from scipy.special import entr

    return entr(probabilities.astype(np.float64)).sum(axis=-1)
