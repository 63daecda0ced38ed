"""Confidence intervals."""

import numpy as np


def wilson(correct: np.ndarray, total: np.ndarray, z: float = 1.959964) -> tuple[np.ndarray, np.ndarray]:
    """Return the Wilson score interval of a share.

    Args:
        correct: Number of successes.
        total: Number of trials, >= 1.
        z: Quantile of the normal distribution; the default gives 95 %.

    Returns:
        Lower and upper bound, each in [0, 1].

    Reference:
        Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927.
        https://doi.org/10.1080/01621459.1927.10502953
    """
    share = correct / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z * np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2)) / (1 + z**2 / total)
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def wilson_of_folds(correct: int, total: int, folds: int) -> tuple[float, float]:
    """Return the Wilson interval of a share that cross-validation found, wider by what its folds have in common.

    The training sets of the folds overlap, so their scores rise and fall together: the variance of the mean is
    `1 / J + n_test / n_train` of that of a fold, and not `1 / J`. For J folds that is `1 + J / (J - 1)` times as much,
    as though there were so many times fewer images.

    Args:
        correct: Number of successes over all folds.
        total: Number of trials, >= 1.
        folds: Number of folds, J >= 2.

    Returns:
        Lower and upper bound, each in [0, 1].

    Reference:
        Nadeau and Bengio, Inference for the Generalization Error, Machine Learning 2003.
        https://doi.org/10.1023/A:1024068626366

    Example:
        >>> [round(bound, 3) for bound in wilson_of_folds(120, 160, 5)]
        [0.64, 0.835]
    """
    wider = 1 + folds / (folds - 1)
    low, high = wilson(np.array(correct / wider), np.array(total / wider))
    return float(low), float(high)


def newcombe(correct: int, total: int, other_correct: int, other_total: int) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two shares of independent trials, from their Wilson intervals.

    With shares p and q and Wilson bounds (l, u) of p and (m, v) of q, the difference p - q is between
    `p - q - sqrt((p - l)^2 + (v - q)^2)` and `p - q + sqrt((u - p)^2 + (q - m)^2)`.

    Args:
        correct: Number of successes.
        total: Number of trials, >= 1.
        other_correct: Number of successes of the share that is subtracted.
        other_total: Number of its trials, >= 1.

    Returns:
        Lower and upper bound, each in [-1, 1].

    Reference:
        Newcombe, Interval estimation for the difference between independent proportions: comparison of eleven methods,
        Statistics in Medicine 1998, method 10. https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I

    Example:
        >>> [round(bound, 4) for bound in newcombe(56, 70, 48, 80)]
        [0.0524, 0.3339]
    """
    shares = np.array([correct / total, other_correct / other_total])
    low, high = wilson(np.array([correct, other_correct]), np.array([total, other_total]))
    difference, below, above = shares[0] - shares[1], shares - low, high - shares
    return (
        float(difference - np.hypot(below[0], above[1])),
        float(difference + np.hypot(above[0], below[1])),
    )
