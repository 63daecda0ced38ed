"""How sure a tag is: distances to classes turned into probabilities by one number, fitted on images with a label."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from fashionprobe.errors import UserError

RANGE = (-7.0, 3.0)
"""Where a temperature is looked for: natural logarithms of its ratio to the median distance."""


def temperature(distances: np.ndarray, numbers: np.ndarray) -> float:
    """Fit the temperature with which `confidence` explains known classes best.

    Args:
        distances: Distance of each image to the mean of each class, float (images, classes).
        numbers: Number of the class of each image, int (images,).

    Returns:
        The temperature with the least mean negative log-likelihood, above 0, in the unit of the distances.

    Raises:
        UserError: If there is no image, or all distances are 0.

    Reference:
        Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, ICML 2017 (temperature scaling).
        https://proceedings.mlr.press/v70/guo17a.html
    """
    far = np.asarray(distances, np.float64)
    scale = float(np.median(far)) if far.size else 0.0
    if scale <= 0:
        raise UserError("distances", expected="those of one image or more, not all 0", received=f"{far.shape}")
    rows = np.arange(len(far))

    def loss(power: float) -> float:
        return -float(log_softmax(-far / (scale * np.exp(power)), axis=1)[rows, numbers].mean())

    found: float = minimize_scalar(loss, bounds=RANGE, method="bounded").x  # pyright: ignore[reportAttributeAccessIssue]
    return scale * float(np.exp(found))


def confidence(distances: np.ndarray, temperature: float) -> np.ndarray:
    """Return the probability of each class, `softmax(-distance / temperature)`: the nearest is the likeliest.

    Args:
        distances: float (images, classes).
        temperature: From `temperature`.

    Returns:
        float64 (images, classes); each row sums to 1.
    """
    return softmax(-np.asarray(distances, np.float64) / temperature, axis=1)
