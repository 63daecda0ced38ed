"""What an embedding is worth: nearest neighbours, class means, separation, on images it was and was not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import (
    confusion_matrix,
    pairwise_distances_chunked,
    precision_recall_fscore_support,
    roc_auc_score,
    silhouette_score,
)
from sklearn.neighbors import NearestNeighbors

from fashionprobe.attributes.votes import majority
from fashionprobe.intervals import wilson

MAX_FOR_SILHOUETTE = 10_000
"""Images that scikit-learn's silhouette is measured on: its cost grows with their square."""


@dataclass(frozen=True)
class Evaluation:
    """How well the classes are separated.

    Attributes:
        table: One row per split and classifier: split, classifier ("knn" or "nearest_mean"), k (0 for the mean),
            images, accuracy, low, high (95 % Wilson interval), auc (macro, one against the rest).
        silhouette: By split, in [-1, 1], as scikit-learn has it; NaN where there are not two classes.
        silhouette_nearest_point: The same as the siamese report writes it; see `silhouette_nearest_point`.
        per_class: split, classifier, k, class, images, precision, recall, f1, auc.
        confusions: By split, of the k-nearest neighbours asked for first: true class (rows) by predicted class.
    """

    table: pd.DataFrame
    silhouette: dict[str, float]
    silhouette_nearest_point: dict[str, float]
    per_class: pd.DataFrame
    confusions: dict[str, pd.DataFrame]


def evaluate(
    embeddings: np.ndarray,
    numbers: np.ndarray,
    splits: np.ndarray,
    classes: Sequence[str],
    *,
    neighbours: Sequence[int] = (5,),
    metric: str = "euclidean",
    seed: int = 0,
) -> Evaluation:
    """Classify the images of each split by those of train.

    An image of train is classified by the others of train: it is never its own neighbour, and its class mean is taken
    without it.

    Args:
        embeddings: float32 (images, dimensions).
        numbers: Class number of each image, int (images,).
        splits: "train", "val" or "test" for each image, str (images,).
        classes: Names of the classes.
        neighbours: Values of k; the first gives the confusion matrices.
        metric: "euclidean" or "cosine".
        seed: Seed of the images that the silhouette is measured on, when there are many.

    Returns:
        The evaluation.
    """
    embeddings = _scaled(embeddings, metric)
    train = splits == "train"
    rows, details, confusions, silhouettes, to_points = [], [], {}, {}, {}
    for split in [name for name in ("train", "val", "test") if (splits == name).any()]:
        of = splits == split
        asked, truth = embeddings[of], numbers[of]
        answers = _by_neighbours(embeddings[train], numbers[train], asked, len(classes), neighbours, split == "train")
        to_means = _by_means(
            embeddings[train], numbers[train], asked, len(classes), truth if split == "train" else None
        )
        answers["nearest_mean", 0] = to_means, to_means.argmax(axis=1)
        for (classifier, k), (scores, predicted) in answers.items():
            right = int((predicted == truth).sum())
            low, high = wilson(np.array([right]), np.array([len(truth)]))
            auc = _auc(truth, scores, relative=classifier == "nearest_mean")
            mean = np.nanmean(auc) if np.isfinite(auc).any() else np.nan
            rows.append((split, classifier, k, len(truth), right / len(truth), low[0], high[0], mean))
            details.append(_per_class(truth, predicted, auc, classes).assign(split=split, classifier=classifier, k=k))
        confusions[split] = _confusion(truth, answers["knn", neighbours[0]][1], classes)
        silhouettes[split] = _silhouette(asked, truth, seed)
        to_points[split] = silhouette_nearest_point(asked, truth)
    columns = ["split", "classifier", "k", "images", "accuracy", "low", "high", "auc"]
    return Evaluation(
        pd.DataFrame(rows, columns=columns), silhouettes, to_points, pd.concat(details, ignore_index=True), confusions
    )


def answers(
    known: np.ndarray,
    numbers: np.ndarray,
    asked: np.ndarray,
    classes: int,
    *,
    neighbours: Sequence[int],
    metric: str = "euclidean",
) -> dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]:
    """Classify images of another set by known ones, as `evaluate` does those of val and test.

    Args:
        known: Embeddings of the known images, float32 (known, dimensions).
        numbers: Their class numbers, int (known,).
        asked: Embeddings of the images to classify, float32 (asked, dimensions).
        classes: Number of classes.
        neighbours: Values of k.
        metric: "euclidean" or "cosine".

    Returns:
        By ("knn", k) the share of each class among the k nearest, by ("nearest_mean", 0) minus the distance to each
        class mean, float64 (asked, classes); and with each the class numbers, int (asked,).
    """
    known, asked = _scaled(known, metric), _scaled(asked, metric)
    found = _by_neighbours(known, numbers, asked, classes, neighbours, same=False)
    to_means = _by_means(known, numbers, asked, classes, None)
    return found | {("nearest_mean", 0): (to_means, to_means.argmax(axis=1))}


def class_auc(
    known: np.ndarray, known_numbers: np.ndarray, asked: np.ndarray, asked_numbers: np.ndarray, number: int
) -> float:
    """Return how well nearness to one class tells its images from all others, as the area under the ROC curve.

    An image's score is the distance to the nearest mean of the other classes less that to the mean of this one.

    Args:
        known: Embeddings that the means are taken of, float32 (known, dimensions).
        known_numbers: Their class numbers, int (known,).
        asked: Embeddings that are scored, float32 (asked, dimensions).
        asked_numbers: Their class numbers, int (asked,).
        number: The class.
    """
    distances = _to_means(known, known_numbers, asked, int(known_numbers.max()) + 1)
    others = np.delete(distances, number, axis=1)
    return float(roc_auc_score(asked_numbers == number, others.min(axis=1) - distances[:, number]))


def silhouette_nearest_point(points: np.ndarray, numbers: np.ndarray) -> float:
    """Return the silhouette whose b is the least distance to a single point of another class.

    Mean of (b - a) / max(a, b) over the points: a is the mean distance to the others of the class, 0 counts for the
    only point of one. Rousseeuw and scikit-learn take the least mean distance to another class for b, which is never
    less: their silhouette is never lower. All distances are measured, some rows at a time.

    Args:
        points: float (points, dimensions).
        numbers: Class number of each, int (points,).

    Returns:
        In [-1, 1]; NaN without two classes, or where each point is a class of its own.

    Reference:
        The siamese report (2022), section on the silhouette; Rousseeuw, Silhouettes, 1987,
        https://doi.org/10.1016/0377-0427(87)90125-7.
    """
    classes, counts = np.unique(numbers, return_counts=True)
    if len(classes) < 2 or counts.max() < 2:
        return float("nan")
    # Far from the origin the differences of a narrow embedding would drown in rounding.
    points = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    total = 0.0
    for number in classes[counts > 1]:
        own, others = points[numbers == number], points[numbers != number]
        summed = pairwise_distances_chunked(own, reduce_func=lambda rows, start: rows.sum(axis=1))
        a = np.concatenate([*summed]) / (len(own) - 1)
        b = NearestNeighbors(n_neighbors=1).fit(others).kneighbors(own)[0][:, 0]
        greater = np.maximum(a, b)
        total += np.divide(b - a, greater, out=np.zeros_like(a), where=greater > 0).sum()
    return float(total / len(points))


def _scaled(embeddings: np.ndarray, metric: str) -> np.ndarray:
    """Return points whose euclidean distances order neighbours as the metric does."""
    if metric != "cosine":
        return embeddings
    return embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)


def _by_neighbours(
    known: np.ndarray, numbers: np.ndarray, asked: np.ndarray, classes: int, neighbours: Sequence[int], same: bool
) -> dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]:
    """Return the share of each class among the k nearest, (asked, classes), and the class, (asked,), by ("knn", k)."""
    # Without points to ask for, each known one is asked for and left out of its own neighbours.
    search = NearestNeighbors(n_neighbors=max(neighbours)).fit(known)
    found = search.kneighbors(None if same else asked, return_distance=False)
    nearest = numbers[found]
    chosen = dict(majority(nearest, classes, neighbours))
    return {("knn", k): (np.stack([(nearest[:, :k] == n).mean(axis=1) for n in range(classes)], axis=1), chosen[k])
            for k in neighbours}  # fmt: skip


def _by_means(
    known: np.ndarray, numbers: np.ndarray, asked: np.ndarray, classes: int, own: np.ndarray | None
) -> np.ndarray:
    """Return minus the distance to each class mean, float64 (asked, classes); `own` are the classes of known images."""
    distances = _to_means(known, numbers, asked, classes)
    if own is not None:
        # The mean of n points without one of them is n / (n - 1) times as far from it as the mean of all.
        count = np.bincount(numbers, minlength=classes)[own]
        rows = np.arange(len(own))
        distances[rows, own] *= np.where(count > 1, count / np.maximum(count - 1, 1), np.inf)
    return -distances


def _to_means(known: np.ndarray, numbers: np.ndarray, asked: np.ndarray, classes: int) -> np.ndarray:
    means = np.full((classes, known.shape[1]), np.inf)
    for number in np.unique(numbers):
        means[number] = known[numbers == number].mean(axis=0, dtype=np.float64)
    return np.stack([np.linalg.norm(asked - mean, axis=1) for mean in means], axis=1)


def _auc(truth: np.ndarray, scores: np.ndarray, *, relative: bool) -> np.ndarray:
    """Return the area under the ROC curve of each class against the rest; NaN for one that is all or none.

    Distances are relative: far from all means, an image may still be nearest to one. Shares are not.
    """
    found = np.full(scores.shape[1], np.nan)
    for number in np.unique(truth):
        if (truth != number).any():
            others = np.delete(scores, number, axis=1).max(axis=1) if relative else 0.0
            found[number] = roc_auc_score(truth == number, scores[:, number] - others)
    return found


def _per_class(truth: np.ndarray, predicted: np.ndarray, auc: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    found = precision_recall_fscore_support(
        truth,
        predicted,
        labels=range(len(classes)),
        zero_division=0.0,  # pyright: ignore[reportArgumentType]
    )
    precision, recall, f1, images = map(np.asarray, found)
    table = {"class": list(classes), "images": images, "precision": precision, "recall": recall, "f1": f1, "auc": auc}
    return pd.DataFrame(table)


def _confusion(truth: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    counts = confusion_matrix(truth, predicted, labels=range(len(classes)))
    return pd.DataFrame(counts, index=pd.Index(classes), columns=pd.Index(classes))


def _silhouette(points: np.ndarray, numbers: np.ndarray, seed: int) -> float:
    if len(points) > MAX_FOR_SILHOUETTE:
        chosen = np.random.default_rng(seed).choice(len(points), MAX_FOR_SILHOUETTE, replace=False)
        points, numbers = points[chosen], numbers[chosen]
    if not 2 <= len(np.unique(numbers)) < len(numbers):
        return float("nan")
    return float(silhouette_score(points, numbers))
