"""Distances of pairs of one class and of pairs across classes: the less they overlap, the better a space knows it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from fashionprobe.errors import UserError, unknown_name

METRICS = ("euclidean", "cosine")

ALL = "(all)"
"""Name of the row that holds the pairs of all classes."""

CHUNK = 4096
"""Pairs whose distances are computed at a time."""

SHUFFLES = 50
"""How often the pairs are dealt at random, to see the overlap of equal distributions."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of items of one class, and of one item of it with one of another class.

    Attributes:
        name: The class.
        positive: int (n, 2), rows of both items, both of the class; no pair twice.
        negative: int (n, 2), an item of the class and one of another; no pair twice.
        copies: Number of pairs that may not be drawn, since both items have one and the same picture.
    """

    name: str
    positive: np.ndarray
    negative: np.ndarray
    copies: int


@dataclass(frozen=True)
class Overlaps:
    """How the distances within the classes and across them overlap.

    Attributes:
        table: One row per class, the pairs of all classes last (class "(all)"): class, positives, negatives, overlap,
            overlap_by_luck (the mean overlap when the same pairs are dealt at random: with few pairs it is below 1),
            auc (the probability that a negative pair is farther apart than a positive one), positive_median and
            negative_median of the distances.
        histogram: One row per class and bin: class, low, high, positives, negatives, in pairs.
    """

    table: pd.DataFrame
    histogram: pd.DataFrame


def draw_pairs(labels: np.ndarray, *, pairs: int = 3000, same: np.ndarray | None = None, seed: int = 0) -> list[Pairs]:
    """Draw positive and negative pairs of each class, without replacement.

    Args:
        labels: Class of each item, (items,).
        pairs: Number of positive and of negative pairs a class; all there are when there are fewer.
        same: For each item the index of the first item with the same picture: such pairs, whose distance is 0 whatever
            the space, are not drawn. Default: all pictures differ.
        seed: Seed of the draw.

    Returns:
        The pairs of each class, sorted by class.

    Raises:
        UserError: If there are not two classes, or a class has no two different pictures.
    """
    if pairs < 1:
        raise UserError("pairs", expected="an int in the range [1, inf)", received=pairs)
    classes, numbers = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise UserError("labels", expected="of two classes or more", received=f"one class: {classes.tolist()}")
    same = np.arange(len(labels)) if same is None else same
    random = np.random.default_rng(seed)
    drawn = []
    for number, name in enumerate(classes):
        inside, outside = np.flatnonzero(numbers == number), np.flatnonzero(numbers != number)
        positive, copies = _draw(inside, None, same, pairs, random)
        negative, others = _draw(inside, outside, same, pairs, random)
        if not len(positive) or not len(negative):
            raise UserError(
                "labels", expected="classes with two different images or more, and images of other classes",
                received=f"{name}, with {len(inside)}", remedy="Leave rare classes out with --min-images.",
            )  # fmt: skip
        drawn.append(Pairs(str(name), positive, negative, copies + others))
    return drawn


def distances(points: np.ndarray, pairs: np.ndarray, *, metric: str = "euclidean") -> np.ndarray:
    """Return the distance of the two items of each pair.

    Args:
        points: float (items, dimensions), in any space.
        pairs: int (n, 2), rows of `points`.
        metric: "euclidean", or "cosine" (1 minus the cosine, in [0, 2]; 1 from a point of length 0).

    Returns:
        float64 (n,), >= 0.

    Raises:
        UserError: If there is no such metric.
    """
    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)
    found = np.empty(len(pairs))
    for start in range(0, len(pairs), CHUNK):
        part = pairs[start : start + CHUNK]
        one, other = (points[part[:, side]].astype(np.float64) for side in (0, 1))
        if metric == "euclidean":
            found[start : start + CHUNK] = np.linalg.norm(one - other, axis=1)
        else:
            cosine = np.einsum("nd,nd->n", _unit(one), _unit(other))
            found[start : start + CHUNK] = np.clip(1 - cosine, 0, 2)
    return found


def overlap_coefficient(positives: np.ndarray, negatives: np.ndarray) -> float:
    """Return the area that two histograms over the same bins share.

    Args:
        positives: Pairs in each bin, (bins,).
        negatives: Pairs in each bin, (bins,).

    Returns:
        The sum over the bins of the smaller share, in [0, 1]: 0 for distributions apart, 1 for equal ones.

    Reference:
        Inman and Bradley, The overlapping coefficient as a measure of agreement between probability distributions,
        Communications in Statistics 1989. https://doi.org/10.1080/03610928908830127

    Example:
        >>> overlap_coefficient(np.array([2, 2, 0]), np.array([0, 1, 3]))
        0.25
    """
    return float(np.minimum(positives / positives.sum(), negatives / negatives.sum()).sum())


def overlaps(
    points: np.ndarray, drawn: list[Pairs], *, metric: str = "euclidean", bins: int = 50, seed: int = 0
) -> Overlaps:
    """Compare the distances of positive and negative pairs, class by class and all together.

    The bins are the same for all classes: equal ones from the smallest to the largest distance.

    Args:
        points: float (items, dimensions), in any space.
        drawn: What `draw_pairs` returned.
        metric: "euclidean" or "cosine".
        bins: Number of bins. More bins show more, but with few pairs each holds fewer, and the overlap comes out lower.
        seed: Seed of the deals at random.

    Raises:
        UserError: If there is no such metric, or fewer than two bins.
    """
    if bins < 2:
        raise UserError("bins", expected="an int in the range [2, inf)", received=bins)
    found = [
        (each.name, *(distances(points, chosen, metric=metric) for chosen in (each.positive, each.negative)))
        for each in drawn
    ]
    found.append((ALL, *(np.concatenate([each[side] for each in found]) for side in (1, 2))))
    pooled = np.concatenate(found[-1][1:])
    edges = np.histogram_bin_edges(pooled, bins)
    random = np.random.default_rng(seed)
    rows, histograms = [], []
    for name, positive, negative in found:
        counts = np.histogram(positive, edges)[0], np.histogram(negative, edges)[0]
        rows.append((
            name, len(positive), len(negative), overlap_coefficient(*counts), _by_luck(*counts, random),
            _auc(positive, negative), np.median(positive), np.median(negative),
        ))  # fmt: skip
        table = {"class": name, "low": edges[:-1], "high": edges[1:], "positives": counts[0], "negatives": counts[1]}
        histograms.append(pd.DataFrame(table))
    columns = ["class", "positives", "negatives", "overlap", "overlap_by_luck", "auc", "positive_median",
               "negative_median"]  # fmt: skip
    return Overlaps(pd.DataFrame(rows, columns=columns), pd.concat(histograms, ignore_index=True))


def _draw(
    inside: np.ndarray, outside: np.ndarray | None, same: np.ndarray, pairs: int, random: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Draw pairs of one class, or with those outside, but no copies: the pairs (n, 2), and how many are copies."""
    groups = np.bincount(same[inside], minlength=len(same))
    if outside is None:
        total, copies = len(inside) * (len(inside) - 1) // 2, int((groups * (groups - 1) // 2).sum())
    else:
        total, copies = len(inside) * len(outside), int(groups[same[outside]].sum())
    # So many more that enough stay when all copies are among them.
    index = random.choice(total, min(total, pairs + copies), replace=False)
    if outside is None:
        # All unordered pairs of n on a circle: first the n neighbours, then the n at two steps, and so on.
        first = index % len(inside)
        second = inside[(first + index // max(len(inside), 1) + 1) % max(len(inside), 1)]
    else:
        first, second = index // len(outside), outside[index % len(outside)]
    drawn = np.stack([inside[first], second], axis=1)
    return drawn[same[drawn[:, 0]] != same[drawn[:, 1]]][:pairs], copies


def _unit(points: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(points, axis=1, keepdims=True)
    return points / np.where(length > 0, length, 1)


def _by_luck(positives: np.ndarray, negatives: np.ndarray, random: np.random.Generator) -> float:
    """Return the mean overlap when the pooled distances are dealt at random into positive and negative."""
    pooled = positives + negatives
    dealt = random.multivariate_hypergeometric(pooled, int(positives.sum()), size=SHUFFLES)
    return float(np.mean([overlap_coefficient(one, pooled - one) for one in dealt]))


def _auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Return the probability that a negative distance is larger than a positive one; ties count half."""
    ranks = rankdata(np.concatenate([negative, positive]))[: len(negative)]
    return float((ranks.sum() - len(negative) * (len(negative) + 1) / 2) / (len(negative) * len(positive)))
