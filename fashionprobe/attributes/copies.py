"""Images that are one and the same picture: a catalogue may list a photo under two ids."""

import numpy as np

from fashionprobe.groups import join

CHUNK = 4096
"""Rows compared at a time when looking for copies."""


def identical(descriptors: np.ndarray) -> np.ndarray:
    """Find items with one and the same picture.

    The same picture in another batch has descriptors that differ in the last digits. Only rows of nearly the same sum
    are compared, so that most are compared with none.

    Args:
        descriptors: float32 (items, channels) of any block.

    Returns:
        For each item the index of the first item with the same picture; itself when there is none.
    """
    items, width = descriptors.shape
    sums = descriptors.sum(axis=1, dtype=np.float64)
    order = np.argsort(sums, kind="stable")
    tolerance = 1e-5 * max(descriptors.max(initial=0), -descriptors.min(initial=0))
    same = np.arange(items)
    for step in range(1, items):
        close = np.flatnonzero(sums[order[step:]] - sums[order[:-step]] <= tolerance * np.sqrt(width))
        if not len(close):
            break
        one, other = order[close], order[close + step]
        unknown = np.flatnonzero(same[one] != same[other])
        for part in np.array_split(unknown, len(unknown) // CHUNK + 1):
            near = np.abs(descriptors[one[part]] - descriptors[other[part]]).max(axis=1, initial=0) <= tolerance
            same = join(same, one[part][near], other[part][near])
    return same
