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
