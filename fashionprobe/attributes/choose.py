"""Which block, normalization and distance to read a label with: cross-validated, with an unflattered estimate.

The best of many candidates looks better than it is. So the choice itself is cross-validated, too: it is repeated on
the training images of each outer fold, and what it chose there is scored on images that had no part in it.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fashionprobe.attributes.folds import assign_folds, check_classes, fitting_neighbours, identical
from fashionprobe.attributes.joined import Joined, widths_of
from fashionprobe.attributes.normalization import NORMALIZATIONS, fit
from fashionprobe.attributes.votes import majority
from fashionprobe.backbones.pooling import Block
from fashionprobe.errors import UserError
from fashionprobe.intervals import wilson_of_folds

METRICS = ("euclidean", "cosine")
NEIGHBOURS = (1, 4, 8, 16)
KEYS = ["block", "normalization", "metric", "classifier", "parameter"]

Key = tuple[Block, str, str, str, str]


@dataclass(frozen=True)
class Choice:
    """What cross-validation chose.

    Attributes:
        ablation: One row a candidate: block (or several joined), normalization, metric, classifier ("nearest_mean" or
            "knn"), parameter (k, or ""), accuracy_mean and accuracy_std over the folds, folds, images.
        best: The row of `ablation` with the highest mean; the first among equals, which is the shallowest block.
        nested: One row an outer fold: fold, the candidate that was chosen without its images, and its accuracy on them.
        accuracy: Share of all images that the choices of their folds classified right: what to expect of new images.
        low: Lower bound of its 95 % interval (`wilson_of_folds`).
        high: Upper bound.
    """

    ablation: pd.DataFrame
    best: dict[str, object]
    nested: pd.DataFrame
    accuracy: float
    low: float
    high: float


def choose(
    blocks: Mapping[Block, np.ndarray | Joined],
    labels: np.ndarray,
    *,
    rows: np.ndarray | None = None,
    name: str = "labels",
    normalizations: Sequence[str] = NORMALIZATIONS,
    metrics: Sequence[str] = METRICS,
    neighbours: Sequence[int] | None = None,
    folds: int = 5,
    seed: int = 0,
    report: Callable[[], object] = lambda: None,
) -> Choice:
    """Score every block with every normalization, distance and classifier, and choose.

    Normalizations are fitted on training images alone; images that are one and the same stay in one fold, in the outer
    and in the inner ones.

    Args:
        blocks: Descriptors by block, float32 (all, channels), or of several blocks joined.
        labels: Class of each item, (items,).
        rows: The row of each item in the descriptors, int (items,). Default: all rows, in order.
        name: Name of the label, for messages.
        normalizations: Names of `normalization.NORMALIZATIONS`.
        metrics: "euclidean", "cosine" or both.
        neighbours: Values of k for k-NN. Default: those of `NEIGHBOURS` for which there are training items.
        folds: Number of folds, inner and outer.
        seed: Seed of the folds.
        report: Called `folds + 1` times a block and normalization.

    Raises:
        UserError: If a class has too few items for inner folds, or k is larger than the smallest training set.
    """
    classes, numbers = np.unique(labels, return_inverse=True)
    rows = np.arange(len(labels)) if rows is None else rows
    check_classes(name, classes, numbers, folds)
    same = identical(next(iter(blocks.values()))[rows])
    outer = assign_folds(numbers, folds=folds, seed=seed, same=same)
    _check(name, outer, numbers, len(classes), folds, metrics)
    # The smallest training set is that of an inner fold.
    neighbours = fitting_neighbours(neighbours, NEIGHBOURS, int(len(outer) * ((folds - 1) / folds) ** 2 * 0.9))
    inner = [_inner(outer != number, numbers, same, folds, seed) for number in range(folds)]
    # For each candidate: right or wrong in the outer folds, and in the inner folds of each outer one.
    right: dict[Key, np.ndarray] = {}
    for block, normalization in itertools.product(blocks, normalizations):
        descriptors, widths = np.asarray(blocks[block][rows]), widths_of(blocks[block])

        def score(
            assigned: np.ndarray,
            place: int,
            *,
            descriptors: np.ndarray = descriptors,
            widths: tuple[int, ...] | None = widths,
            block: Block = block,
            normalization: str = normalization,
        ) -> None:
            for train, test in _splits(assigned, folds):
                answers = _answers(descriptors, widths, numbers, train, test, normalization, metrics, neighbours)
                for key, predicted in answers:
                    table = right.setdefault((block, normalization, *key), np.zeros((folds + 1, len(numbers)), bool))
                    table[place, test] = predicted == numbers[test]
            report()

        score(outer, folds)
        for number in range(folds):
            score(inner[number], number)
    return _choice(right, outer, inner, folds)


def _inner(training: np.ndarray, numbers: np.ndarray, same: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Draw inner folds among the training items; -1 for the rest."""
    chosen = np.flatnonzero(training)
    assigned = np.full(len(numbers), -1)
    # The first item of a group is a training item when any of the group is: groups share their outer fold.
    place = np.searchsorted(chosen, same[chosen])
    assigned[chosen] = assign_folds(numbers[chosen], folds=folds, seed=seed, same=place)
    return assigned


def _splits(assigned: np.ndarray, folds: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for number in range(folds):
        yield np.flatnonzero((assigned != number) & (assigned >= 0)), np.flatnonzero(assigned == number)


def _answers(
    descriptors: np.ndarray,
    widths: tuple[int, ...] | None,
    numbers: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    normalization: str,
    metrics: Sequence[str],
    neighbours: Sequence[int],
) -> Iterator[tuple[tuple[str, str, str], np.ndarray]]:
    """Yield ((metric, classifier, parameter), predicted class numbers)."""
    normalized = fit(normalization, descriptors[train], widths=widths)
    known, asked, answers = normalized(descriptors[train]), normalized(descriptors[test]), numbers[train]
    known, asked = known.astype(np.float64), asked.astype(np.float64)
    present = np.unique(answers)
    means = np.stack([known[answers == number].mean(axis=0) for number in present])
    for metric in metrics:
        yield (metric, "nearest_mean", ""), present[_ranks(asked, means, metric).argmin(axis=1)]
        # Between points of length 1 both distances give the same neighbours, so one of them is enough.
        if normalized.unit and metric != metrics[0]:
            continue
        ranks = _ranks(asked, known, metric)
        near = np.argpartition(ranks, max(neighbours) - 1, axis=1)[:, : max(neighbours)]
        order = np.take_along_axis(ranks, near, axis=1).argsort(axis=1, kind="stable")
        found = answers[np.take_along_axis(near, order, axis=1)]
        for k, answer in majority(found, int(answers.max()) + 1, neighbours):
            yield (metric, "knn", str(k)), answer


def _ranks(asked: np.ndarray, known: np.ndarray, metric: str) -> np.ndarray:
    """Return numbers that order the known points of each asked one as their distances do, (asked, known).

    One matrix product: a library call with its checks costs ten times that on folds of a few hundred points.
    """
    if metric == "cosine":
        length = np.linalg.norm(known, axis=1)
        return -(asked @ (known / np.where(length > 0, length, 1)[:, None]).T)
    return (known**2).sum(axis=1) - 2 * asked @ known.T


def _choice(right: dict[Key, np.ndarray], outer: np.ndarray, inner: list[np.ndarray], folds: int) -> Choice:
    keys = list(right)
    found = np.stack([right[key] for key in keys])
    by_fold = np.stack([found[:, folds, outer == number].mean(axis=1) for number in range(folds)], axis=1)
    ablation = pd.DataFrame(keys, columns=KEYS)
    ablation["accuracy_mean"], ablation["accuracy_std"] = by_fold.mean(axis=1), by_fold.std(axis=1)
    ablation["folds"], ablation["images"] = folds, len(outer)
    best = int(by_fold.mean(axis=1).argmax())
    nested, correct = [], 0
    for number in range(folds):
        among = [inner[number] == part for part in range(folds)]
        means = np.stack([found[:, number, part].mean(axis=1) for part in among], axis=1).mean(axis=1)
        chosen = int(means.argmax())
        hits = found[chosen, folds, outer == number]
        correct += int(hits.sum())
        nested.append((number, *keys[chosen], hits.mean(), len(hits)))
    low, high = wilson_of_folds(correct, len(outer), folds)
    return Choice(
        ablation,
        {str(name): value for name, value in ablation.iloc[[best]].to_dict("records")[0].items()},
        pd.DataFrame(nested, columns=["fold", *KEYS, "accuracy", "images"]),
        correct / len(outer),
        low,
        high,
    )


def _check(
    name: str,
    outer: np.ndarray,
    numbers: np.ndarray,
    classes: int,
    folds: int,
    metrics: Sequence[str],
) -> None:
    """Check the folds as drawn: copies, which stay together, can leave a fold or a class without images."""
    for number in range(folds):
        counts = np.bincount(numbers[outer != number], minlength=classes)
        if counts.min() < folds or not (outer == number).any():
            raise UserError(
                name, expected=f"a column whose classes have {folds} images or more outside each fold, for inner folds",
                received=f"one with {int(counts.min())}",
                remedy="Leave rare classes out with --min-images, remove copies, or lower --folds.",
            )  # fmt: skip
    for metric in metrics:
        if metric not in METRICS:
            raise UserError("metrics", expected=f"among {', '.join(METRICS)}", received=metric)
