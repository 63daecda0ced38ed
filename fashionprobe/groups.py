"""Groups of items that belong together, each known by its first item."""

import numpy as np


def join(first: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Join the groups of pairs of items.

    Args:
        first: int (items,), the first item of the group of each; changed in place.
        one: int (pairs,), an item of each pair.
        other: int (pairs,), its partner.

    Returns:
        int (items,): `first` once each of `one` is in the group of its partner.
    """
    while (first[one] != first[other]).any():
        least = np.minimum(first[one], first[other])
        np.minimum.at(first, first[one], least)
        np.minimum.at(first, first[other], least)
        first = first[first]
    return first
