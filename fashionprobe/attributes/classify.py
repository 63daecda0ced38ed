"""Which block knows an attribute: descriptors classified in stratified folds, without training or by a linear probe."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from fashionprobe.attributes import reduce as reduction
from fashionprobe.attributes.folds import assign_folds, check_classes, fitting_neighbours, identical
from fashionprobe.attributes.joined import Joined
from fashionprobe.attributes.linear import CrossValidatedProbe
from fashionprobe.attributes.normalization import fit
from fashionprobe.attributes.votes import majority
from fashionprobe.errors import UserError
from fashionprobe.intervals import wilson

NEIGHBOURS = (1, 2, 4, 8, 16)
CLASSIFIER = ("classifier", "parameter")
SCORE = ("accuracy_mean", "accuracy_std", "folds", "images")
LINEAR = ("linear", "nested")
"""Classifier and parameter of the linear probe: its C is chosen in folds inside the training folds."""
PROBED = (
    "C",
    "accuracy_mean",
    "accuracy_std",
    "control_mean",
    "control_std",
    "selectivity",
    "inner_folds",
    "folds",
    "images",
)


@dataclass(frozen=True)
class Scores:
    """What cross-validation found.

    Attributes:
        accuracy: One row per block and classifier: block, classifier ("nearest_mean", "knn" or "linear"), parameter
            (metric, k or "nested"), accuracy_mean and accuracy_std over the folds, folds, images.
        confusion: True class (rows) by predicted class (columns) of the best block and classifier, in images.
        per_class: class, images, correct, accuracy, low, high of the best: the 95 % interval is Wilson's.
        by_neighbours: block, k, and the columns of `per_class`, for k-NN in every block and with every k.
        best: The row of `accuracy` with the highest mean; the shallowest block and the simplest classifier among
            equals.
        linear: One row per block of the linear probe: block, C (the median over the folds, a value of the grid),
            accuracy_mean, accuracy_std, control_mean and control_std (with shuffled labels), selectivity (the
            difference of the means), inner_folds (in which C was chosen, the fewest; 0 for a fixed C), folds, images.
            No rows without the probe.
    """

    accuracy: pd.DataFrame
    confusion: pd.DataFrame
    per_class: pd.DataFrame
    by_neighbours: pd.DataFrame
    best: dict[str, object]
    linear: pd.DataFrame


def cross_validate(
    blocks: Mapping[Any, np.ndarray | Joined],
    labels: np.ndarray,
    *,
    rows: np.ndarray | None = None,
    name: str = "labels",
    folds: int = 5,
    neighbours: Sequence[int] | None = None,
    normalization: str = "none",
    linear: bool = False,
    same: np.ndarray | None = None,
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
        neighbours: Values of k for k-NN (euclidean, majority; see `votes.majority`). Default: those of `NEIGHBOURS`
            for which there are training items.
        normalization: One of `normalization.NORMALIZATIONS`, fitted on the training folds.
        linear: Classify by a linear probe, too.
        same: For each item the index of the first item with the same picture, which shares its fold. Default: found in
            the descriptors of the first block.
        seed: Seed of the folds, and of the linear probe's inner folds and control task.
        report: Called after each fold of each block.

    Raises:
        UserError: If a class has fewer items than there are folds, there is one class only, or k is too large.
    """
    rows = np.arange(len(labels)) if rows is None else rows
    task = _drawn(blocks, labels, rows, name, folds, neighbours, seed, same)
    found, predictions, probed = [], [], []
    for block, matrix in blocks.items():
        descriptors = _rescaled(np.asarray(matrix[rows]))
        answers = _Answers(task)
        probe = CrossValidatedProbe(task.numbers, task.same, seed) if linear else None
        for train, test in task.splits():
            fitted = fit(normalization, descriptors[train])
            known, asked = fitted(descriptors[train]), fitted(descriptors[test])
            answers.add(known, train, asked, test)
            if probe:
                probe.add(known, train, asked, test)
            report()
        if probe:
            answers.by_classifier[LINEAR] = probe.answer
            probed.append((block, *_probed(task, probe)))
        for key, answer in answers.by_classifier.items():
            found.append((block, *key, *task.score(answer)))
            predictions.append(answer)
    accuracy = pd.DataFrame(found, columns=["block", *CLASSIFIER, *SCORE])
    best = int(accuracy["accuracy_mean"].to_numpy().argmax())
    confusion = task.confusion(predictions[best])
    by_neighbours = [
        _per_class(task.confusion(answer)).assign(block=block, k=int(parameter))
        for (block, classifier, parameter, *_), answer in zip(found, predictions, strict=True)
        if classifier == "knn"
    ]
    by_neighbours = pd.concat(by_neighbours, ignore_index=True)
    by_neighbours = by_neighbours[["block", "k", *by_neighbours.columns.drop(["block", "k"])]]
    top = dict(zip(accuracy.columns, found[best], strict=True))
    linear_table = pd.DataFrame(probed, columns=["block", *PROBED])
    return Scores(accuracy, confusion, _per_class(confusion), by_neighbours, top, linear_table)


def cross_validate_reduced(
    blocks: Mapping[int, np.ndarray],
    labels: np.ndarray,
    dimensions: Sequence[int],
    *,
    rows: np.ndarray | None = None,
    name: str = "labels",
    folds: int = 5,
    neighbours: Sequence[int] | None = None,
    normalization: str = "none",
    seed: int = 0,
    report: Callable[[], object] = lambda: None,
) -> pd.DataFrame:
    """Classify as `cross_validate` does, in the same folds, after UMAP to fewer dimensions.

    Normalization and UMAP are fitted on the training folds alone; the test items are placed among them, where they move
    nothing. One fit a block, fold and number of dimensions: three seconds each for 700 training items on one core, half
    a minute for 10,000. The search for neighbours is made once a block and fold.

    Args:
        blocks: Descriptors by block, float32 (all, channels).
        labels: Class of each item, (items,).
        dimensions: Dimensions to reduce to. A block that has no more channels than that is left out there.
        rows: The row of each item in the descriptors, int (items,). Default: all rows, in order.
        name: Name of the label, for messages.
        folds: Number of stratified folds.
        neighbours: Values of k for k-NN. Default: as for `cross_validate`.
        normalization: One of `normalization.NORMALIZATIONS`.
        seed: Seed of the folds and of UMAP.
        report: Called after each reduction.

    Returns:
        One row per block, number of dimensions and classifier: block, dimensions, classifier, parameter, accuracy_mean,
        accuracy_std, folds, images.

    Raises:
        UserError: As `cross_validate`; or if no block has more channels than that, or a fold fewer training items.
    """
    rows = np.arange(len(labels)) if rows is None else rows
    task = _drawn(blocks, labels, rows, name, folds, neighbours, seed)
    _check_dimensions(dimensions, blocks, task)
    found = []
    for block, matrix in blocks.items():
        descriptors = _rescaled(np.asarray(matrix[rows]))
        fitting = reducible(dimensions, matrix)
        answers = {number: _Answers(task) for number in fitting}
        for train, test in task.splits() if fitting else ():
            fitted = fit(normalization, descriptors[train])
            known, others = reduction.nearest(fitted(descriptors[train])), fitted(descriptors[test])
            for number in fitting:
                reduced = reduction.reduce(known, number, seed=seed)
                answers[number].add(reduced.points, train, reduced.transform(others), test)
                report()
        for number in fitting:
            for key, answer in answers[number].by_classifier.items():
                found.append((block, number, *key, *task.score(answer)))
    return pd.DataFrame(found, columns=["block", "dimensions", *CLASSIFIER, *SCORE])


def reducible(dimensions: Sequence[int], matrix: np.ndarray) -> list[int]:
    """Return those of the dimensions that are fewer than the channels of a block."""
    return [number for number in dimensions if number < matrix.shape[1]]


@dataclass(frozen=True)
class _Task:
    """Which items are of which class, and in which fold."""

    classes: np.ndarray
    numbers: np.ndarray
    fold: np.ndarray
    folds: int
    neighbours: Sequence[int]
    same: np.ndarray

    def splits(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the training and the test items of each fold."""
        for number in range(self.folds):
            yield np.flatnonzero(self.fold != number), np.flatnonzero(self.fold == number)

    def score(self, answer: np.ndarray, truth: np.ndarray | None = None) -> tuple[float, float, int, int]:
        """Return mean and deviation of the accuracy over the folds, their number, and the number of items."""
        right = answer == (self.numbers if truth is None else truth)
        by_fold = [right[self.fold == number].mean() for number in range(self.folds)]
        return float(np.mean(by_fold)), float(np.std(by_fold)), self.folds, len(self.numbers)

    def confusion(self, answer: np.ndarray) -> pd.DataFrame:
        """Count true classes (rows) by predicted ones (columns)."""
        counts = confusion_matrix(self.numbers, answer, labels=range(len(self.classes)))
        return pd.DataFrame(counts, index=self.classes, columns=self.classes)


class _Answers:
    """The class that each classifier gives each item, filled fold by fold."""

    def __init__(self, task: _Task) -> None:
        self.task = task
        self.by_classifier: dict[tuple[str, str], np.ndarray] = {}

    def add(self, known: np.ndarray, train: np.ndarray, asked: np.ndarray, test: np.ndarray) -> None:
        """Classify the test items of a fold by its training items."""
        task = self.task
        for key, answer in _predict(known, task.numbers[train], asked, len(task.classes), task.neighbours):
            self.by_classifier.setdefault(key, np.empty(len(task.numbers), np.intp))[test] = answer


def _drawn(
    blocks: Mapping[Any, np.ndarray | Joined], labels: np.ndarray, rows: np.ndarray, name: str, folds: int,
    neighbours: Sequence[int] | None, seed: int, same: np.ndarray | None = None,
) -> _Task:  # fmt: skip
    """Number the classes, draw the folds, and check both."""
    classes, numbers = np.unique(labels, return_inverse=True)
    check_classes(name, classes, numbers, folds)
    same = identical(blocks[min(blocks)][rows]) if same is None else same
    fold = assign_folds(numbers, folds=folds, seed=seed, same=same)
    sizes = np.bincount(fold, minlength=folds)
    _check_folds(name, sizes)
    ks = fitting_neighbours(neighbours, NEIGHBOURS, int(sizes.sum() - sizes.max()))
    return _Task(classes, numbers, fold, folds, ks, same)


def _probed(task: _Task, probe: CrossValidatedProbe) -> tuple[float, ...]:
    """Return what a linear probe of one block found, in the order of `PROBED`."""
    mean, std, folds, items = task.score(probe.answer)
    control, control_std, _, _ = task.score(probe.control_answer, probe.control)
    # Of an even number of folds the lower one of the middle: a value that was tried.
    strength = sorted(probe.strengths)[(len(probe.strengths) - 1) // 2]
    return strength, mean, std, control, control_std, mean - control, min(probe.inner_folds), folds, items


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
    for k, answer in majority(numbers[found], classes, neighbours):
        yield ("knn", str(k)), answer


def _per_class(confusion: pd.DataFrame) -> pd.DataFrame:
    images, correct = confusion.to_numpy().sum(axis=1), np.diag(confusion.to_numpy())
    low, high = wilson(correct, images)
    table = {"class": confusion.index, "images": images, "correct": correct, "accuracy": correct / images}
    return pd.DataFrame(table | {"low": low, "high": high})


def _check_folds(name: str, sizes: np.ndarray) -> None:
    """Check the folds as drawn: images that are one and the same, which stay together, may leave some without any."""
    if not sizes.all():
        raise UserError(
            name, expected="a column whose images differ", received=f"{int((sizes == 0).sum())} folds with no image",
            remedy="Most images are copies of each other: remove copies, or lower --folds.",
        )  # fmt: skip


def _check_dimensions(dimensions: Sequence[int], blocks: Mapping[int, np.ndarray], task: _Task) -> None:
    """Check that each number of dimensions is a reduction of some block, and fewer than any fold has items to fit on.

    The message is for the whole call: found after minutes, in the last block, it would come late.
    """
    sizes = np.bincount(task.fold, minlength=task.folds)
    most = min(int(sizes.sum() - sizes.max()), max(matrix.shape[1] for matrix in blocks.values())) - 1
    if not dimensions or min(dimensions) < 1 or max(dimensions) > most:
        raise UserError(
            "dimensions", expected=f"numbers in 1 to {most}", received=list(dimensions),
            remedy="There must be more channels, and more images in each training fold.",
        )  # fmt: skip
