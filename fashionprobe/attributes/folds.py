"""The folds of cross-validation: stratified, with copies of one picture in one fold."""

from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import StratifiedKFold

from fashionprobe.errors import UserError
from fashionprobe.groups import join


def assign_folds(numbers: np.ndarray, *, folds: int, seed: int, same: np.ndarray) -> np.ndarray:
    """Draw the test fold of each item, stratified; items of one group share a fold.

    Args:
        numbers: Class number of each item.
        folds: Number of folds.
        seed: Seed of the draw.
        same: For each item the index of the first item that it must share its fold with (itself when alone).

    Returns:
        int (items,), 0 to folds - 1.
    """
    fold = np.empty(len(numbers), np.intp)
    splitter = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    for number, (_, test) in enumerate(splitter.split(np.zeros(len(numbers)), numbers)):
        fold[test] = number
    return fold[same]


def fitting_folds(given: int | None, default: int, counts: Sequence[int], *, nested: bool = False) -> int:
    """Return the number of folds: the one given, or a default, lowered where no class is large enough for it.

    Where some are, a small one is better left out than measured by: then the default stays, and is refused later.

    Args:
        given: The number; None for the default.
        default: The default.
        counts: Items of each class.
        nested: Whether folds are drawn again among the items outside each fold.
    """
    if given is not None:
        return given

    def fits(count: int, folds: int) -> bool:
        return (count - -(-count // folds) if nested else count) >= folds

    if any(fits(count, default) for count in counts):
        return default
    return next((folds for folds in range(default - 1, 2, -1) if fits(min(counts, default=0), folds)), 2)


def fitting_neighbours(given: Sequence[int] | None, default: Sequence[int], smallest: int) -> list[int]:
    """Return the values of k for k-NN: those given, or those of a default that a set allows.

    Args:
        given: The values; None for the default.
        default: The default, ascending.
        smallest: Items of the smallest training set.

    Raises:
        UserError: If a value that was given is below 1, or larger than the smallest training set.
    """
    if given is None:
        return [k for k in default if k <= smallest] or [1]
    if not given or min(given) < 1 or max(given) > smallest:
        raise UserError("neighbours", expected=f"numbers in 1 to {smallest}", received=list(given))
    return list(given)


def check_two(name: str, classes: np.ndarray) -> None:
    """Check that there are two classes or more: among images of one, every answer is right.

    Raises:
        UserError: If there are not.
    """
    there = np.unique(classes)
    if len(there) < 2:
        raise UserError(name, expected="a column with two classes or more", received=f"one class: {there.tolist()}")


def check_classes(name: str, classes: np.ndarray, numbers: np.ndarray, folds: int, *, optional: bool = True) -> None:
    """Check that every class can have an item in every fold.

    Args:
        name: Name of the label, for messages.
        classes: The classes.
        numbers: Class number of each item.
        folds: Number of folds.
        optional: Whether the caller has --min-images, which leaves rare classes out.

    Raises:
        UserError: If there are fewer than two folds or classes, or a class has fewer items than there are folds.
    """
    if folds < 2:
        raise UserError("folds", expected="an int in the range [2, inf)", received=folds)
    check_two(name, classes)
    counts = np.bincount(numbers)
    rare = [f"{name} ({count})" for name, count in zip(classes, counts, strict=True) if count < folds]
    if rare:
        raise UserError(
            name, expected=f"a column whose classes all have {folds} images or more, one per fold",
            received=f"{len(rare)} with fewer: {', '.join(rare[:10])}"
            + (f" and {len(rare) - 10} more" if len(rare) > 10 else ""),
            remedy=_remedy(np.sort(counts)[::-1], folds, optional),
        )  # fmt: skip


def _remedy(counts: np.ndarray, folds: int, optional: bool) -> str:
    """Say what would work, given the images of each class, the largest class first."""
    fewer = f"pass --folds {counts[-1]}" if counts[-1] >= 2 else ""
    if optional and counts[1] >= folds:
        return f"Leave them out with --min-images {folds}{', or ' + fewer if fewer else ''}."
    if fewer:
        return f"{fewer.capitalize()} or less."
    if optional and counts[1] >= 2:
        return f"Pass --folds {counts[1]} --min-images {counts[1]}."
    return "Two classes with two images or more are needed."


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
