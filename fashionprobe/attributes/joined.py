"""Descriptors of several blocks side by side, of which no copy is made as long as they are not read."""

from collections.abc import Sequence
from typing import Any

import numpy as np


class Joined:
    """Descriptors that are read like one matrix; each part may be a memory map.

    Args:
        matrices: float32 (items, channels) each, of the same items.

    Attributes:
        widths: Number of channels of each part.
    """

    def __init__(self, matrices: Sequence[np.ndarray]) -> None:
        self._matrices = list(matrices)
        self.widths = tuple(int(matrix.shape[1]) for matrix in matrices)

    @property
    def shape(self) -> tuple[int, int]:
        """Items and channels."""
        return len(self), sum(self.widths)

    def __len__(self) -> int:
        return len(self._matrices[0])

    def __getitem__(self, rows: Any) -> np.ndarray:
        return np.concatenate([matrix[rows] for matrix in self._matrices], axis=-1)


def widths_of(matrix: "np.ndarray | Joined") -> tuple[int, ...] | None:
    """Return the number of channels of each part; None for one matrix."""
    return matrix.widths if isinstance(matrix, Joined) else None
