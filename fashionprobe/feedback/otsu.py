"""Otsu's threshold: where to cut values in two groups, so that the groups differ most."""

import numpy as np

from fashionprobe.errors import UserError

BINS = 256


def threshold(values: np.ndarray) -> float:
    """Return the value that cuts an array best in two: the variance between the two groups is greatest.

    The cut is sought between 256 bins of equal width from the least to the greatest value; the bins hold the values'
    true means. What is returned lies in the middle between the greatest value below the cut and the least above it.

    Args:
        values: float or int of any shape, finite.

    Returns:
        The threshold: the upper group is `values > threshold`, and both groups have a member. All values of a
        constant array are equal to it, so that no value is above.

    Raises:
        UserError: If there is no value, or one is not finite.

    Reference:
        Otsu, "A Threshold Selection Method from Gray-Level Histograms", 1979.
        https://doi.org/10.1109/TSMC.1979.4310076

    Example:
        >>> threshold(np.array([0, 1, 9, 10]))
        5.0
    """
    numbers = np.asarray(values, np.float64).ravel()
    if not numbers.size or not np.isfinite(numbers).all():
        received = "NaN or infinity among them" if numbers.size else "none"
        raise UserError("values", expected="one finite number or more", received=received)
    low, high = numbers.min(), numbers.max()
    if low == high:
        return float(low)
    bins = np.minimum((numbers - low) / (high - low) * BINS, BINS - 1).astype(np.intp)
    below = np.bincount(bins, minlength=BINS).cumsum()[:-1]
    mean = (numbers - low).mean()
    total = np.bincount(bins, numbers - low, BINS).cumsum()[:-1]
    # (n0 n1 / N^2) (mean0 - mean1)^2, with mean1 written by way of the mean of all: no difference of large sums.
    between = (mean * below - total) ** 2 / (below * (numbers.size - below))
    lower = bins <= between.argmax()
    return float((numbers[lower].max() + numbers[~lower].min()) / 2)
