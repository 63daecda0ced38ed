"""How good a descriptor is at finding images of the same class: precision of the nearest images, over many queries."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fashionprobe.attributes import neighbours
from fashionprobe.attributes.normalization import fit
from fashionprobe.errors import UserError

CHUNK = 256
"""Queries whose distances to all images are held at a time."""


@dataclass(frozen=True)
class QueryResults:
    """What the queries found.

    Attributes:
        queries: The queries, as rows of the index, int (queries,).
        rows: The rows that each found, nearest first, int (queries, top).
        distances: Their distances, or sums of z-scores, float (queries, top).
    """

    queries: np.ndarray
    rows: np.ndarray
    distances: np.ndarray

    def shares(self, classes: np.ndarray) -> np.ndarray:
        """Return the precision of each query: the share of what it found that has its own class, (queries,).

        Args:
            classes: Class of each image of the index, (images,), or (images, labels) of which all must be equal.
        """
        same = classes[self.rows] == classes[self.queries][:, None]
        return (same if classes.ndim == 1 else same.all(axis=-1)).mean(axis=1)


@dataclass(frozen=True)
class Setting:
    """How images are searched.

    Attributes:
        queries: Number of queries.
        top: Number of results that the precision is over.
        metric: "euclidean" or "cosine".
        seed: Seed of the queries.
    """

    queries: int = 500
    top: int = 10
    metric: neighbours.Metric = "euclidean"
    seed: int = 0


def by_block(
    blocks: Mapping[int, np.ndarray],
    classes: np.ndarray,
    rows: np.ndarray,
    *,
    same: np.ndarray,
    normalizations: Sequence[str],
    setting: Setting,
    report: Callable[[], object] = lambda: None,
) -> tuple[pd.DataFrame, pd.DataFrame, list[QueryResults]]:
    """Measure the precision of each block with each normalization.

    Args:
        blocks: Descriptors by block, float32 (all, channels); memory maps are read one block at a time.
        classes: Class of each image, (images,).
        rows: The row of each image in the descriptors, int (images,).
        same: What `copies.identical` returned for the images.
        normalizations: Some of `normalization.NORMALIZATIONS`.
        setting: How to search.
        report: Called after each search.

    Returns:
        A table of block, normalization, precision_mean, low, high, chance, queries; the same for each class, with the
        columns of `by_class`; and what was found, in the order of the table. The queries are those of all searches.

    Raises:
        UserError: If there are fewer images than results wanted, or a value is not finite.
    """
    queries = draw(len(rows), setting.queries, seed=setting.seed)
    level = float(chance(classes, queries, same).mean())
    table, of_classes, found = [], [], []
    for block, matrix in blocks.items():
        descriptors = np.asarray(matrix[rows])
        for name in normalizations:
            each = find(descriptors, queries, same=same, normalization=name, setting=setting)
            shares = each.shares(classes)
            table.append((block, name, *mean_interval(shares), level, len(queries)))
            of_classes.append(by_class(shares, classes, queries))
            of_classes[-1].insert(0, "block", block)
            of_classes[-1].insert(1, "normalization", name)
            found.append(each)
            report()
    columns = ["block", "normalization", "precision_mean", "low", "high", "chance", "queries"]
    return pd.DataFrame(table, columns=columns), pd.concat(of_classes, ignore_index=True), found


def by_descriptor(
    descriptors: Mapping[str, np.ndarray],
    classes: Mapping[str, np.ndarray],
    *,
    same: np.ndarray,
    normalizations: Sequence[str],
    setting: Setting,
) -> pd.DataFrame:
    """Measure the precision of each descriptor alone and of all at once, on the same queries.

    Args:
        descriptors: For each name float32 (images, channels).
        classes: For each label the class of each image, (images,).
        same: What `copies.identical` returned for the images.
        normalizations: The normalization of each descriptor.
        setting: How to search.

    Returns:
        Columns by (name of the descriptor, or "both"), scored (label whose class must be equal, or "both" for all of
        them), precision_mean, low, high, chance, queries.

    Raises:
        UserError: If there are fewer images than results wanted, or a value is not finite.
    """
    queries = draw(len(same), setting.queries, seed=setting.seed)
    found = {
        name: find(matrix, queries, same=same, normalization=each, setting=setting)
        for (name, matrix), each in zip(descriptors.items(), normalizations, strict=True)
    }
    matrices = list(descriptors.values())
    found["both"] = find_by_all(matrices, queries, same=same, normalizations=normalizations, setting=setting)
    table = []
    for what, own in {**classes, "both": np.stack(list(classes.values()), axis=1)}.items():
        level = float(chance(own, queries, same).mean())
        for by, each in found.items():
            table.append((by, what, *mean_interval(each.shares(own)), level, len(queries)))
    return pd.DataFrame(table, columns=["by", "scored", "precision_mean", "low", "high", "chance", "queries"])


def draw(images: int, queries: int, *, seed: int) -> np.ndarray:
    """Draw queries among the images, without replacement; all when there are not more.

    Args:
        images: Number of images.
        queries: How many to draw.
        seed: Seed of the draw.

    Returns:
        Rows, int (queries,), ascending.
    """
    return np.sort(np.random.default_rng(seed).choice(images, min(queries, images), replace=False))


def find(
    descriptors: np.ndarray,
    queries: np.ndarray,
    *,
    same: np.ndarray,
    normalization: str = "none",
    setting: Setting,
) -> QueryResults:
    """Find the nearest other images of each query.

    Args:
        descriptors: float32 (images, channels). The normalization is fitted on all of them: it sees no class.
        queries: Rows of the queries, int (queries,).
        same: What `copies.identical` returned: an image does not find itself, nor copies of itself.
        normalization: One of `normalization.NORMALIZATIONS`.
        setting: How to search.

    Raises:
        UserError: If there are fewer other images than results wanted, or a value is not finite.
    """
    copies = _copies(same, queries)
    _check_top(setting.top, len(descriptors), copies)
    points = fit(normalization, descriptors)(descriptors)
    rows, distances = neighbours.nearest(points, points[queries], setting.top, metric=setting.metric, exclude=copies)
    return QueryResults(queries, rows, distances)


def find_by_all(
    descriptors: Sequence[np.ndarray],
    queries: np.ndarray,
    *,
    same: np.ndarray,
    normalizations: Sequence[str],
    setting: Setting,
) -> QueryResults:
    """Find the other images that are nearest by several descriptors at once: by the sum of z-scored distances.

    Args:
        descriptors: For each descriptor float32 (images, channels).
        queries: Rows of the queries, int (queries,).
        same: As in `find`.
        normalizations: The normalization of each descriptor.
        setting: How to search.

    Raises:
        UserError: If there are fewer other images than results wanted, or a value is not finite.
    """
    copies = _copies(same, queries)
    _check_top(setting.top, len(same), copies)
    points = [fit(name, each)(each) for name, each in zip(normalizations, descriptors, strict=True)]
    norms = [neighbours.squared_norms_of(each) for each in points]
    rows, sums = np.empty((len(queries), setting.top), np.intp), np.empty((len(queries), setting.top))
    for start in range(0, len(queries), CHUNK):
        part = queries[start : start + CHUNK]
        found = [
            neighbours.distances(each, each[part], metric=setting.metric, squared_norms=own)
            for each, own in zip(points, norms, strict=True)
        ]
        total = neighbours.combined(found)
        for place, rows_left_out in enumerate(copies[start : start + CHUNK]):
            total[place, rows_left_out] = np.inf
        rows[start : start + CHUNK] = nearest = neighbours.smallest(total, setting.top)
        sums[start : start + CHUNK] = np.take_along_axis(total, nearest, axis=1)
    return QueryResults(queries, rows, sums)


def chance(classes: np.ndarray, queries: np.ndarray, same: np.ndarray) -> np.ndarray:
    """Return the precision that each query may expect of images drawn blindly: the share of its class, (queries,).

    Args:
        classes: As in `QueryResults.shares`.
        queries: Rows of the queries.
        same: As in `find`; copies of the query count neither way.
    """
    numbers = np.unique(classes, axis=0, return_inverse=True)[1].ravel()
    # Copies of one picture may be listed with two classes.
    alike, group = np.bincount(numbers)[numbers], np.bincount(same, minlength=len(same))[same]
    pairs = np.unique(np.stack([same, numbers], axis=1), axis=0, return_inverse=True)[1].ravel()
    both = np.bincount(pairs)[pairs]
    return ((alike - both) / np.maximum(len(same) - group, 1))[queries]


def mean_interval(shares: np.ndarray) -> tuple[float, float, float]:
    """Return the mean of the precisions of queries with its 95 % interval: 1.96 standard errors, cut to [0, 1].

    Args:
        shares: Precision of each query, one or more.
    """
    mean = float(shares.mean())
    half = 1.959964 * float(shares.std(ddof=1)) / np.sqrt(len(shares)) if len(shares) > 1 else 1.0
    return mean, max(mean - half, 0.0), min(mean + half, 1.0)


def by_class(shares: np.ndarray, classes: np.ndarray, queries: np.ndarray) -> pd.DataFrame:
    """Return the precision of the queries of each class.

    Args:
        shares: Precision of each query.
        classes: Class of each image, (images,).
        queries: Rows of the queries.

    Returns:
        Columns class, queries, precision_mean, low, high (as in `mean_interval`), by class in order.
    """
    rows = []
    for name in np.unique(classes[queries]):
        own = shares[classes[queries] == name]
        rows.append((name, len(own), *mean_interval(own)))
    return pd.DataFrame(rows, columns=["class", "queries", "precision_mean", "low", "high"])


def best_and_worst(found: QueryResults, classes: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose the queries with the highest and the lowest precision, one per class while there are classes enough.

    Args:
        found: What the queries found.
        classes: Class of each image, (images,).
        count: How many of each.

    Returns:
        Places of the best and of the worst among the queries, best and worst first. Among equals the query whose
        results are nearest comes first: of the good ones the surest, of the bad ones the most mistaken.
    """
    shares, near = found.shares(classes), found.distances.mean(axis=1)
    own = classes[found.queries]
    best, worst = (_one_a_class(np.lexsort((near, sign * shares)), own)[:count] for sign in (-1, 1))
    return best, worst


def _one_a_class(order: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the order with the first of each class in front, then the second of each, and so on."""
    table = pd.DataFrame({"class": classes[order]})
    return order[np.argsort(table.groupby("class").cumcount().to_numpy(), kind="stable")]


def _copies(same: np.ndarray, queries: np.ndarray) -> list[np.ndarray]:
    """Return for each query the rows with its picture, itself included."""
    order = np.argsort(same, kind="stable")
    first = np.searchsorted(same[order], same[queries], side="left")
    last = np.searchsorted(same[order], same[queries], side="right")
    return [order[start:stop] for start, stop in zip(first, last, strict=True)]


def _check_top(top: int, images: int, copies: Sequence[np.ndarray]) -> None:
    most = max(images - max((len(each) for each in copies), default=1), 0)
    if not 1 <= top <= most:
        expected = f"in 1 to {most}, the number of other images that a query can find"
        raise UserError("top", expected=expected, received=top, remedy="Copies of the query do not count.")
