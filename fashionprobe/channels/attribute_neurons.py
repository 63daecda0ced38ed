"""Attribute neurons: the smallest set of a block's channels that reads a label nearly as well as the whole block."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors

from fashionprobe.attributes.folds import assign_folds, check_classes, identical
from fashionprobe.attributes.votes import majority
from fashionprobe.channels.rankings import RANKINGS, rank_channels
from fashionprobe.errors import UserError, unknown_name

FINEST = 24
"""Sizes measured between the answer and the next smaller size."""


@dataclass(frozen=True)
class Neurons:
    """What a search for attribute neurons found.

    Attributes:
        curve: One row a measured size, ascending, the whole block last: channels, accuracy_mean, accuracy_std, folds.
        channels: One row per channel of the smallest set, ranked on all images: rank, channel, stability. The stability
            is the share of the folds whose own ranking has the channel among the first `needed`.
        needed: The smallest size that keeps the share of the whole block's accuracy and after which no larger size
            falls short of it by more than one standard error.
        first: The smallest size that keeps it at all: the answer at best, as one size among many may owe it to luck.
        total: Channels of the block.
        accuracy: Mean accuracy over the folds with `needed` channels, in [0, 1].
        accuracy_std: Its standard deviation over the folds.
        full: Mean accuracy with all channels.
        full_std: Its standard deviation over the folds.
    """

    curve: pd.DataFrame
    channels: pd.DataFrame
    needed: int
    first: int
    total: int
    accuracy: float
    accuracy_std: float
    full: float
    full_std: float


def attribute_neurons(
    descriptors: np.ndarray,
    labels: np.ndarray,
    *,
    same: np.ndarray | None = None,
    name: str = "labels",
    ranking: str = "mutual_information",
    neighbours: int = 4,
    share: float = 0.99,
    folds: int = 5,
    seed: int = 0,
    report: Callable[[], object] = lambda: None,
) -> Neurons:
    """Find the smallest set of channels that keeps a share of the block's k-NN accuracy.

    In each fold the channels are ranked by the training images alone, and sets of the first 1, 2, 3, ... of them
    classify the test images. The first size that keeps the share may owe that to luck. So the answer is the smallest
    size that keeps it and after which no measured size falls short by more than one standard error, that of the paired
    difference over the images. Its accuracy is still a little flattered, as the size was chosen by it. With the seed
    of `classify` the folds, and the accuracy of the whole block, are those of `classify`.

    Args:
        descriptors: float32 (items, channels) of one block.
        labels: Class of each item, (items,).
        same: For each item the index of the first item with the same picture. Default: found in these descriptors.
        name: Name of the label, for messages.
        ranking: "mutual_information" of a channel and the classes, or "l1", the order in which channels enter an
            L1-penalised logistic regression.
        neighbours: k of k-NN (euclidean, majority).
        share: Share of the whole block's accuracy to keep, in (0, 1].
        folds: Number of stratified folds.
        seed: Seed of the folds and of the ranking.
        report: Called after each of the `folds + 1` rankings.

    Raises:
        UserError: If an argument does not fit, there is one class only, or a class has fewer items than folds.
    """
    if ranking not in RANKINGS:
        raise unknown_name("ranking", ranking, RANKINGS)
    if not 0 < share <= 1:
        raise UserError("share", expected="a number in (0, 1]", received=share)
    classes, numbers = np.unique(labels, return_inverse=True)
    check_classes(name, classes, numbers, folds)
    same = identical(descriptors) if same is None else same
    fold = assign_folds(numbers, folds=folds, seed=seed, same=same)
    _check_folds(name, numbers, fold, folds, neighbours)
    orders = []
    for number in range(folds):
        train = fold != number
        orders.append(rank_channels(descriptors[train], numbers[train], ranking=ranking, seed=seed))
        report()
    # Untrained networks give values of 1e-19, whose squares vanish: a power of two changes no neighbour.
    scaled = np.ldexp(descriptors, -int(np.frexp(np.abs(descriptors).max(initial=0))[1]))
    right: dict[int, np.ndarray] = {}

    def measure(sizes: Sequence[int]) -> None:
        for size in sizes:
            right[size] = _right(scaled, numbers, fold, [order[:size] for order in orders], neighbours)

    measure(sizes_up_to(descriptors.shape[1]))
    needed = _needed(right, fold, share)
    below = max((size for size in right if size < needed), default=0)
    measure(sorted(set(np.linspace(below, needed, FINEST + 2).astype(int).tolist()) - {below, needed}))
    overall = rank_channels(descriptors, numbers, ranking=ranking, seed=seed)
    report()
    return _found(right, fold, share, orders, overall)


def sizes_up_to(total: int, ratio: float = 1.1) -> list[int]:
    """Return the sizes that are measured first: 1, 2, 3, ..., then a tenth more each time, and the whole.

    Example:
        >>> sizes_up_to(25, ratio=1.5)
        [1, 2, 3, 4, 6, 9, 13, 19, 25]
    """
    sizes = [1]
    while sizes[-1] < total:
        sizes.append(min(max(sizes[-1] + 1, int(sizes[-1] * ratio)), total))
    return sizes


def _right(
    descriptors: np.ndarray, numbers: np.ndarray, fold: np.ndarray, chosen: Sequence[np.ndarray], neighbours: int
) -> np.ndarray:
    """Tell which items k-NN classifies right, each fold with its own channels, bool (items,)."""
    right = np.zeros(len(numbers), bool)
    for number, channels in enumerate(chosen):
        train, test = fold != number, fold == number
        # In their own order the channels of the whole block give the distances of the whole block to the last digit.
        part = descriptors[:, np.sort(channels)]
        found = NearestNeighbors(n_neighbors=neighbours).fit(part[train]).kneighbors(part[test], return_distance=False)
        ((_, answer),) = majority(numbers[train][found], int(numbers.max()) + 1, (neighbours,))
        right[test] = answer == numbers[test]
    return right


def _by_fold(right: np.ndarray, fold: np.ndarray) -> np.ndarray:
    return np.bincount(fold, right) / np.bincount(fold)


def _kept(right: dict[int, np.ndarray], fold: np.ndarray, share: float) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Return the sizes, ascending, by how much each keeps more than the share, and the standard error of that."""
    sizes = sorted(right)
    full = right[sizes[-1]]
    more = [_by_fold(right[size], fold).mean() - share * _by_fold(full, fold).mean() for size in sizes]
    error = [(right[size] - share * full).std() / np.sqrt(len(fold)) for size in sizes]
    # Sums are rounded: what is equal counts as kept.
    return sizes, np.array(more) + 1e-12, np.array(error)


def _needed(right: dict[int, np.ndarray], fold: np.ndarray, share: float) -> int:
    """Return the smallest size that keeps the share and after which none falls short by over one standard error."""
    sizes, more, error = _kept(right, fold, share)
    short = np.flatnonzero(more < -error)
    start = short[-1] + 1 if len(short) else 0
    return sizes[start + int((more[start:] >= 0).argmax())]


def _found(
    right: dict[int, np.ndarray], fold: np.ndarray, share: float, orders: Sequence[np.ndarray], overall: np.ndarray
) -> Neurons:
    sizes, more, _ = _kept(right, fold, share)
    by_size = {size: _by_fold(right[size], fold) for size in sizes}
    rows = [(size, accuracy.mean(), accuracy.std(), len(accuracy)) for size, accuracy in by_size.items()]
    needed = _needed(right, fold, share)
    stability = np.mean([np.isin(overall[:needed], order[:needed]) for order in orders], axis=0)
    accuracy, full = by_size[needed], by_size[sizes[-1]]
    return Neurons(
        pd.DataFrame(rows, columns=["channels", "accuracy_mean", "accuracy_std", "folds"]),
        pd.DataFrame({"rank": np.arange(1, needed + 1), "channel": overall[:needed], "stability": stability}),
        needed=needed,
        first=sizes[int((more >= 0).argmax())],
        total=len(overall),
        accuracy=float(accuracy.mean()),
        accuracy_std=float(accuracy.std()),
        full=float(full.mean()),
        full_std=float(full.std()),
    )


def _check_folds(name: str, numbers: np.ndarray, fold: np.ndarray, folds: int, neighbours: int) -> None:
    """Check the folds as drawn: copies, which stay together, can leave a fold or a class without images."""
    for number in range(folds):
        if not (fold == number).any() or len(np.unique(numbers[fold != number])) < 2:
            raise UserError(
                name, expected="a column whose images differ", received=f"fold {number + 1} with too few images",
                remedy="Most images are copies of each other: remove copies, or lower --folds.",
            )  # fmt: skip
    smallest = int(min((fold != number).sum() for number in range(folds)))
    if not 1 <= neighbours <= smallest:
        raise UserError("neighbours", expected=f"a number in 1 to {smallest}", received=neighbours)
