"""Whether a classifier is as often right as it says: the expected calibration error and its reliability diagram."""

import numpy as np
import pandas as pd

BINS = 15
"""Bins of equal width, as in the paper."""


def calibration(confidence: np.ndarray, correct: np.ndarray, *, bins: int = BINS) -> pd.DataFrame:
    """Compare what a classifier says with how often it is right, in bins of confidence of equal width.

    Args:
        confidence: Probability of the predicted class, float (images,), in [0, 1].
        correct: Whether the predicted class is the true one, bool (images,).
        bins: Number of bins M; bin m holds the images with a confidence in ((m - 1) / M, m / M].

    Returns:
        One row per bin: low, high (its ends), images, confidence and accuracy (means; NaN in an empty bin).

    Reference:
        Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017.
        https://arxiv.org/abs/1706.04599
    """
    # float64: in float32 a confidence of exactly m / M may fall into the next bin.
    place = np.ceil(np.asarray(confidence, np.float64) * bins).astype(int)
    place = np.clip(place, 1, bins) - 1
    images = np.bincount(place, minlength=bins)
    sums = [np.bincount(place, weights=each, minlength=bins) for each in (confidence, correct)]
    said, right = (np.divide(each, images, out=np.full(bins, np.nan), where=images > 0) for each in sums)
    ends = np.arange(bins + 1) / bins
    return pd.DataFrame({"low": ends[:-1], "high": ends[1:], "images": images, "confidence": said, "accuracy": right})


def expected_calibration_error(table: pd.DataFrame) -> float:
    """Return the expected calibration error (ECE), the mean distance of accuracy and confidence over the images.

    Formula:
        `ECE = sum_m |B_m| / n * |accuracy(B_m) - confidence(B_m)|`, B_m the images of bin m, n all images.

    Args:
        table: What `calibration` returned.

    Returns:
        In [0, 1]; 0 for a classifier that is as often right as it says.

    Reference:
        Guo et al. 2017, equation 3, https://arxiv.org/abs/1706.04599

    Example:
        >>> round(expected_calibration_error(calibration(np.array([0.9, 0.9, 0.5]), np.array([1, 0, 1]))), 4)
        0.4333
    """
    there = table[table["images"] > 0]
    apart = (there["accuracy"] - there["confidence"]).abs()
    return float((there["images"] * apart).sum() / there["images"].sum())
