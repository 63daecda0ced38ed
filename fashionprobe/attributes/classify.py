"""Which block knows an attribute: classification of descriptors without training, in stratified folds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from fashionprobe.errors import UserError
from fashionprobe.intervals import wilson

NEIGHBOURS = (1, 2, 4, 8, 16)

CHUNK = 4096
"""Rows compared at a time when looking for copies."""


@dataclass(frozen=True)
class Scores:
    """What cross-validation found.

    Attributes:
        accuracy: One row a block and classifier: block, classifier ("nearest_mean" or "knn"), parameter (the metric, or
            k), accuracy_mean and accuracy_std over the folds, folds, images.
        confusion: True class (rows) by predicted class (columns) of the best block and classifier, in images.
        per_class: class, images, correct, accuracy, low, high of the best: the 95 % interval is Wilson's.
        best: The row of `accuracy` with the highest mean; the shallowest block and the simplest classifier among
            equals.
    """

    accuracy: pd.DataFrame
    confusion: pd.DataFrame
    per_class: pd.DataFrame
    best: dict[str, object]


def cross_validate(
    blocks: Mapping[int, np.ndarray],
    labels: np.ndarray,
    *,
    rows: np.ndarray | None = None,
    name: str = "labels",
    folds: int = 5,
    neighbours: Sequence[int] = NEIGHBOURS,
    seed: int = 0,
    report: Callable[[], object] = lambda: None,
) -> Scores:
    """Classify every item by the others, by each block and each classifier.

    Args:
        blocks: Descriptors by block, float32 (all, channels); memory maps are read one block at a time.
        labels: Class of each item, (items,).
        rows: The row of each item in the descriptors, int (items,). Default: all rows, in order.
        name: Name of the label, for messages.
        folds: Number of stratified folds.
        neighbours: Values of k for k-NN (euclidean, majority; ties go to the class first in order).
        seed: Seed of the folds.
        report: Called after each fold of each block.

    Raises:
        UserError: If a class has fewer items than there are folds, there is one class only, or k is too large.
    """
    classes, numbers = np.unique(labels, return_inverse=True)
    rows = np.arange(len(labels)) if rows is None else rows
    _check(name, classes, numbers, folds)
    fold = assign_folds(numbers, folds=folds, seed=seed, same=identical(blocks[min(blocks)][rows]))
    _check_folds(name, np.bincount(fold, minlength=folds), neighbours)
    found, predictions = [], []
    for block, matrix in blocks.items():
        descriptors = _rescaled(np.asarray(matrix[rows]))
        predicted: dict[tuple[str, str], np.ndarray] = {}
        for number in range(folds):
            train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
            answers = _predict(descriptors[train], numbers[train], descriptors[test], len(classes), neighbours)
            for key, answer in answers:
                predicted.setdefault(key, np.empty(len(numbers), np.intp))[test] = answer
            report()
        for (classifier, parameter), answer in predicted.items():
            right = answer == numbers
            by_fold = [right[fold == number].mean() for number in range(folds)]
            found.append((block, classifier, parameter, np.mean(by_fold), np.std(by_fold), folds, len(numbers)))
            predictions.append(answer)
    columns = ["block", "classifier", "parameter", "accuracy_mean", "accuracy_std", "folds", "images"]
    accuracy = pd.DataFrame(found, columns=columns)
    best = int(accuracy["accuracy_mean"].to_numpy().argmax())
    confusion = pd.DataFrame(
        confusion_matrix(numbers, predictions[best], labels=range(len(classes))),
        index=classes,
        columns=classes,
    )
    return Scores(accuracy, confusion, _per_class(confusion), dict(zip(columns, found[best], strict=True)))


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


def identical(descriptors: np.ndarray) -> np.ndarray:
    """Find items with one and the same picture: a catalogue may list a photo under two ids.

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
            same = _joined(same, one[part][near], other[part][near])
    return same


def _joined(same: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return `same` once each of `one` is in the group of its partner in `other`."""
    while (same[one] != same[other]).any():
        first = np.minimum(same[one], same[other])
        np.minimum.at(same, same[one], first)
        np.minimum.at(same, same[other], first)
        same = same[same]
    return same


def _rescaled(descriptors: np.ndarray) -> np.ndarray:
    """Divide by the power of two that brings the largest value into [0.5, 1), which changes no classifier's answer.

    Untrained networks give values of 1e-19, whose norms scikit-learn takes for zero.
    """
    exponent = int(np.frexp(np.abs(descriptors).max(initial=0))[1])
    return np.ldexp(descriptors, -exponent)


def _predict(
    train: np.ndarray, numbers: np.ndarray, test: np.ndarray, classes: int, neighbours: Sequence[int]
) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
    """Yield ((classifier, parameter), predicted class numbers) for each classifier."""
    # The nearest class mean is the nearest of one neighbour a class. (NearestCentroid knows no cosine, and warns about
    # channels that are always zero, which dead channels are.)
    present = np.unique(numbers)
    means = np.stack([train[numbers == number].mean(axis=0, dtype=np.float64) for number in present])
    for metric in ("euclidean", "cosine"):
        nearest = KNeighborsClassifier(n_neighbors=1, metric=metric).fit(means, present)
        yield ("nearest_mean", metric), nearest.predict(test)
    # One search for the largest k serves them all; the nearest k are the first k columns.
    found = NearestNeighbors(n_neighbors=max(neighbours)).fit(train).kneighbors(test, return_distance=False)
    votes = np.zeros((len(test), classes), np.int32)
    rows = np.arange(len(test))
    for place in range(max(neighbours)):
        votes[rows, numbers[found[:, place]]] += 1
        if place + 1 in neighbours:
            yield ("knn", str(place + 1)), votes.argmax(axis=1)


def _per_class(confusion: pd.DataFrame) -> pd.DataFrame:
    images, correct = confusion.to_numpy().sum(axis=1), np.diag(confusion.to_numpy())
    low, high = wilson(correct, images)
    table = {"class": confusion.index, "images": images, "correct": correct, "accuracy": correct / images}
    return pd.DataFrame(table | {"low": low, "high": high})


def _check(name: str, classes: np.ndarray, numbers: np.ndarray, folds: int) -> None:
    if folds < 2:
        raise UserError("folds", expected="an int in the range [2, inf)", received=folds)
    if len(classes) < 2:
        raise UserError(name, expected="a column with two classes or more", received=f"one class: {classes.tolist()}")
    counts = np.bincount(numbers)
    rare = [f"{name} ({count})" for name, count in zip(classes, counts, strict=True) if count < folds]
    if rare:
        raise UserError(
            name, expected=f"a column whose classes all have {folds} images or more, one a fold",
            received=f"{len(rare)} with fewer: {', '.join(rare[:10])}"
            + (f" and {len(rare) - 10} more" if len(rare) > 10 else ""),
            remedy=f"Leave them out with --min-images {folds}, or lower --folds.",
        )  # fmt: skip


def _check_folds(name: str, sizes: np.ndarray, neighbours: Sequence[int]) -> None:
    """Check the folds as drawn: images that are one and the same, which stay together, may leave some without any."""
    if not sizes.all():
        raise UserError(
            name, expected="a column whose images differ", received=f"{int((sizes == 0).sum())} folds with no image",
            remedy="Most images are copies of each other: remove copies, or lower --folds.",
        )  # fmt: skip
    smallest = int(sizes.sum() - sizes.max())
    if not neighbours or min(neighbours) < 1 or max(neighbours) > smallest:
        raise UserError("neighbours", expected=f"numbers in 1 to {smallest}", received=list(neighbours))
