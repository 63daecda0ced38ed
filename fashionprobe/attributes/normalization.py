"""What is done to descriptors before distances are taken: nothing, unit length, standardization or whitening."""

from dataclasses import dataclass

import numpy as np

from fashionprobe.errors import UserError, unknown_name

NORMALIZATIONS = ("none", "l2", "standard", "whiten")

SHRINKAGE = 0.1
"""Part of the mean variance that is added to each direction before whitening: without it, directions in which the
images hardly differ would be as loud as the rest, and most of them are noise when there are fewer images than channels.
"""


@dataclass(frozen=True)
class Normalization:
    """A fitted normalization.

    Attributes:
        name: One of `NORMALIZATIONS`.
        mean: float32 (channels,), subtracted first; None for nothing.
        scale: float32 (channels,) that the rest is multiplied by, or (channels, directions) to multiply with; None for
            nothing.
        unit: Whether each row is brought to length 1 at the end.
    """

    name: str
    mean: np.ndarray | None = None
    scale: np.ndarray | None = None
    unit: bool = False

    def __call__(self, descriptors: np.ndarray) -> np.ndarray:
        """Return the normalized descriptors, float32 (items, channels or directions); rows of zeros stay zero."""
        return self.apply(np.asarray(descriptors, np.float32))

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Do the same in the precision of the values, which makes float64 of float64."""
        if self.mean is not None:
            values = values - self.mean
        if self.scale is not None:
            values = values * self.scale if self.scale.ndim == 1 else values @ self.scale
        if self.unit:
            length = np.linalg.norm(values, axis=1, keepdims=True)
            values = values / np.where(length > 0, length, 1)
        return values


def fit(name: str, descriptors: np.ndarray, *, shrinkage: float = SHRINKAGE) -> Normalization:
    """Fit a normalization.

    Args:
        name: "none"; "l2", unit length; "standard", each channel to mean 0 and deviation 1; or "whiten", PCA whitening
            with a shrunk covariance `(1 - s) C + s trace(C) / channels`, then unit length.
        descriptors: float32 (items, channels): those of the training items alone, where something is evaluated.
        shrinkage: s, in [0, 1].

    Returns:
        The normalization, a function of descriptors.

    Raises:
        UserError: If there is no such normalization, or no item.

    Reference:
        Kessy, Lewin and Strimmer, Optimal whitening and decorrelation, The American Statistician 2018.
        https://doi.org/10.1080/00031305.2016.1277159
    """
    if name not in NORMALIZATIONS:
        raise unknown_name("normalization", name, NORMALIZATIONS)
    if not len(descriptors):
        raise UserError("descriptors", expected="those of one item or more", received="none")
    if name == "none":
        return Normalization(name)
    if name == "l2":
        return Normalization(name, unit=True)
    values = np.array(descriptors, np.float64)
    mean = values.mean(axis=0)
    values -= mean
    if name == "standard":
        deviation = values.std(axis=0)
        # A dead channel says nothing; a rare pixel that wakes it later should not outweigh all others.
        scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 1e-7 * deviation.max())
        return Normalization(name, mean.astype(np.float32), scale.astype(np.float32))
    return Normalization(name, mean.astype(np.float32), _whitening(values, shrinkage).astype(np.float32), unit=True)


def _whitening(centred: np.ndarray, shrinkage: float) -> np.ndarray:
    """Return the directions of variance of the centred descriptors, each divided by its shrunk deviation."""
    items, channels = centred.shape
    if items < channels:
        # Only as many directions as items have any variance, and the smaller matrix has the same eigenvalues.
        variance, weights = np.linalg.eigh(centred @ centred.T / items)
    else:
        variance, weights = np.linalg.eigh(centred.T @ centred / items)
    shrunk = (1 - shrinkage) * variance + shrinkage * variance.sum() / channels
    kept = variance > 1e-9 * variance.max(initial=0)
    directions = weights[:, kept]
    if items < channels:
        directions = centred.T @ directions / np.sqrt(items * variance[kept])
    return directions / np.sqrt(shrunk[kept])
