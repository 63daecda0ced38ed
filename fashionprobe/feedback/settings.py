"""Settings of PASA to start from, by how large its penalty would be."""

from typing import Any

import numpy as np

DOCUMENTED: dict[str, tuple[float, float]] = {
    "animals (0.4, 0.7)": (0.4, 0.7), "symbols (0.8, 2)": (0.8, 2.0), "X-ray (5, 0.8)": (5.0, 0.8),
}  # fmt: skip
"""B and th of the visual-feedback thesis, by experiment."""

LEAST, MOST = 0.1, 10.0
"""Bounds of a B that is suggested."""


def penalties(act: np.ndarray, certain: np.ndarray, b: float, th: float) -> np.ndarray:
    """Return Act * b^(p / th) of each image, float64 (n,).

    Args:
        act: Act inside the masks (`losses.mean_inside`), float (n,).
        certain: Probability of the true class, in [0, 1], float (n,).
        b: Base.
        th: Threshold.
    """
    return act.astype(np.float64) * b ** (certain / th)


def suggest(act: np.ndarray, certain: np.ndarray, entropy: float) -> tuple[float, float]:
    """Return B and th to start a search from; ours, a rule of thumb.

    Whether B is below or above 1 follows the thesis: below for images that the network is not sure of, which it may
    escape by growing sure (its animals), above for those that it is sure of for the wrong reason (its X-rays). How far
    from 1 is chosen so that the mean penalty is as large as the cross-entropy, as Ross et al. (2017) weigh theirs, as
    far as `LEAST` and `MOST` allow.

    Args:
        act: Act inside the masks, float (n,), not all 0.
        certain: Probability of the true class, float (n,).
        entropy: Mean cross-entropy of the network on its training images.

    Returns:
        B and th.
    """
    from scipy.optimize import brentq

    sure = float(np.median(certain)) > 0.5
    th = 0.8 if sure else 0.7
    low, high = (1.0, MOST) if sure else (LEAST, 1.0)

    def surplus(log_b: float) -> float:
        return float(penalties(act, certain, float(np.exp(log_b)), th).mean()) - entropy

    if surplus(np.log(low)) >= 0:
        return low, th
    if surplus(np.log(high)) <= 0:
        return high, th
    root: Any = brentq(surplus, float(np.log(low)), float(np.log(high)))
    return float(np.exp(root)), th
