"""The vote of k nearest neighbours, with one rule for ties wherever a class is guessed by it."""

from collections.abc import Collection, Iterator

import numpy as np


def majority(nearest: np.ndarray, classes: int, ks: Collection[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Guess each item's class by the most frequent one among its k nearest neighbours.

    Of classes with equally many votes the one with the nearest neighbour wins. So two neighbours decide as one does,
    as in table 5.3 of the attribute thesis, whose rows for k = 1 and k = 2 are equal.

    Args:
        nearest: Class numbers of the neighbours of each item, the nearest first, int (items, neighbours).
        classes: Number of classes.
        ks: Values of k to answer for, each up to the number of neighbours.

    Yields:
        k, ascending, and the class numbers, int (items,).
    """
    items, most = nearest.shape
    rows = np.arange(items)
    # Every vote counts as much as there are neighbours; the first one of a class less its place, which breaks ties.
    score = np.zeros((items, classes), np.int32)
    for place in range(most):
        voted = nearest[:, place]
        given = score[rows, voted]
        score[rows, voted] = given + most - np.where(given == 0, place, 0)
        if place + 1 in ks:
            yield place + 1, score.argmax(axis=1)
