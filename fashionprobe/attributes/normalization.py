"""What is done to descriptors before distances are taken: nothing, roots, unit length, standardization or whitening."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import block_diag

from fashionprobe.errors import UserError, unknown_name

NORMALIZATIONS = ("none", "l2", "standard", "whiten", "sqrt", "sqrt_whiten")

ROOTED = ("sqrt", "sqrt_whiten")
"""Those that take the signed square root first."""

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

    @property
    def root(self) -> bool:
        """Whether the signed square root of each value is taken before all else."""
        return self.name in ROOTED

    def __call__(self, descriptors: np.ndarray) -> np.ndarray:
        """Return the normalized descriptors, float32 (items, channels or directions); rows of zeros stay zero."""
        return self.apply(np.asarray(descriptors, np.float32))

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Do the same in the precision of the values, which makes float64 of float64."""
        if self.root:
            values = signed_root(values)
        if self.mean is not None:
            values = values - self.mean
        if self.scale is not None:
            values = values * self.scale if self.scale.ndim == 1 else values @ self.scale
        if self.unit:
            length = np.linalg.norm(values, axis=1, keepdims=True)
            values = values / np.where(length > 0, length, 1)
        return values


def fit(
    name: str, descriptors: np.ndarray, *, shrinkage: float = SHRINKAGE, widths: Sequence[int] | None = None
) -> Normalization:
    """Fit a normalization.

    Args:
        name: "none"; "l2", unit length; "standard", each channel to mean 0 and deviation 1; "whiten", PCA whitening
            with a shrunk covariance `(1 - s) C + s trace(C) / channels`, then unit length; "sqrt", the signed square
            root of each value, then unit length; or "sqrt_whiten", the root, then whitening.
        descriptors: float32 (items, channels): those of the training items alone, where something is evaluated.
        shrinkage: s, in [0, 1].
        widths: Number of channels of each block, where several are joined: each is normalized by itself and brought to
            a mean square length of 1, so that all weigh alike; then the whole to unit length, where the normalization
            does so.

    Returns:
        The normalization, a function of descriptors.

    Raises:
        UserError: If there is no such normalization, or no item.

    Reference:
        Kessy, Lewin and Strimmer, Optimal whitening and decorrelation, The American Statistician 2018.
        https://doi.org/10.1080/00031305.2016.1277159. The signed square root: Perronnin, Sánchez and Mensink, Improving
        the Fisher Kernel for Large-Scale Image Classification, ECCV 2010.
    """
    if name not in NORMALIZATIONS:
        raise unknown_name("normalization", name, NORMALIZATIONS)
    if not len(descriptors):
        raise UserError("descriptors", expected="those of one item or more", received="none")
    if widths is not None:
        return _joined(name, descriptors, widths, shrinkage)
    if name == "none":
        return Normalization(name)
    if name == "l2":
        return Normalization(name, unit=True)
    if name == "sqrt":
        return Normalization(name, unit=True)
    values = np.array(descriptors, np.float64)
    if name in ROOTED:
        values = signed_root(values)
    mean = values.mean(axis=0)
    values -= mean
    if name == "standard":
        deviation = values.std(axis=0)
        # A dead channel says nothing; a rare pixel that wakes it later should not outweigh all others.
        scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 1e-7 * deviation.max())
        return Normalization(name, mean.astype(np.float32), scale.astype(np.float32))
    return Normalization(name, mean.astype(np.float32), _whitening(values, shrinkage).astype(np.float32), unit=True)


def _joined(name: str, descriptors: np.ndarray, widths: Sequence[int], shrinkage: float) -> Normalization:
    """Fit each block by itself, and put them side by side."""
    parts, means, scales = np.split(descriptors, np.cumsum(widths)[:-1], axis=1), [], []
    for part in parts:
        alone = replace(fit(name, part, shrinkage=shrinkage), unit=False)
        length = np.sqrt((alone(part).astype(np.float64) ** 2).sum(axis=1).mean())
        width = part.shape[1]
        scale = np.ones(width, np.float32) if alone.scale is None else alone.scale
        means.append(np.zeros(width, np.float32) if alone.mean is None else alone.mean)
        scales.append(scale / np.float32(length or 1))
    scale = np.concatenate(scales) if scales[0].ndim == 1 else np.asarray(block_diag(*scales))
    return Normalization(name, np.concatenate(means), scale.astype(np.float32), unit=name not in ("none", "standard"))


def signed_root(values: np.ndarray) -> np.ndarray:
    """Return the square root of the size of each value, with its sign: a few strong channels drown the rest less."""
    return np.sign(values) * np.sqrt(np.abs(values))


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
