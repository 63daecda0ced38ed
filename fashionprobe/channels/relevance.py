"""How many filters a linear classifier needs: accuracy with the best 1, 2, ... of them, and of L1 models beside it."""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fashionprobe import progress
from fashionprobe.channels.rankings import Information, check, order, ranks, standardized
from fashionprobe.errors import UserError
from fashionprobe.intervals import wilson

EVERY, POINTS = 64, 20
"""Up to EVERY filters each number of them is tried, else POINTS numbers, by a growing step."""

PENALTIES = tuple(np.geomspace(1.5, 300, 9))
"""How many times weaker an L1 penalty is than the one that silences all filters."""


@dataclass(frozen=True)
class Relevance:
    """What `relevance` found.

    Attributes:
        ranks: One row per filter; see `ranks`.
        curve: Columns order ("ranked", "random", "softmax"), filters, accuracy, low, high. "ranked" and "random" are
            linear discriminant analysis of the best filters and of random ones, "softmax" is multinomial logistic
            regression of the best. Of "random", low and high are the least and the greatest of the random orders; of
            the others they end the 95 % Wilson interval over the images.
        l1: Columns penalty (as a share of the one that silences all filters), filters (left on average), accuracy,
            low, high, by a Wilson interval.
        images: Number of images that the accuracies are measured on.
        folds: Number of folds; 0 where the classifiers are fitted on some images and measured on others.
    """

    ranks: pd.DataFrame
    curve: pd.DataFrame
    l1: pd.DataFrame
    images: int
    folds: int


def relevance(
    features: np.ndarray,
    labels: np.ndarray,
    is_train: np.ndarray | None = None,
    *,
    seed: int,
    folds: int = 5,
    orders: int = 10,
    information: Information | None = None,
) -> Relevance:
    """Rank filters, and measure how well a linear classifier does with the best of them.

    No image has a part in the ranking or the fit that it is measured by. With `is_train`, both use the training images
    alone; without, each fold is measured with a ranking and a fit of the other folds, and the table of ranks, which
    measures nothing, uses all images.

    The classifiers of the curve are linear discriminant analysis with the covariance shrunk as Ledoit and Wolf do,
    solved for all numbers of filters from one covariance matrix, and a softmax layer; see `nested` and `softmax`.

    Args:
        features: float (images, filters): the spatial means of the filters' maps.
        labels: Class of each image, (images,).
        is_train: bool (images,); None for cross-validation.
        seed: Seed of all that is random.
        folds: Number of folds, of the one-filter classifier too.
        orders: Random orders of the filters.
        information: Estimates the mutual information; see `ranks`.

    Raises:
        UserError: If the features are not finite, or there are too few classes or images.

    Reference:
        Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004.
        https://doi.org/10.1016/S0047-259X(03)00096-4
    """
    used = np.ones(len(labels), bool) if is_train is None else np.asarray(is_train, bool)
    # A ranking inside a fold needs folds of its own.
    check(features[used], labels[used], least=folds if is_train is not None else folds + 2)
    if is_train is not None and (used.all() or not np.isin(labels[~used], labels[used]).all()):
        received = "none" if used.all() else f"{np.setdiff1d(labels[~used], labels[used])[0]}, which has none"
        raise UserError("is_train", expected="to leave images of classes with training images", received=received)
    numbers = np.unique(labels, return_inverse=True)[1]
    parts = _parts(numbers, is_train, folds, seed)
    steps = 1 + len(parts) * (2 + len(PENALTIES))
    with progress.bar(total=steps, unit="step", description="relevance") as bar:
        table = ranks(features[used], labels[used], seed=seed, folds=folds, information=information)
        bar.update()
        ranked, at_random, layers, sparse = [], [], [], []
        for train, test in parts:
            found = table
            if is_train is None:
                found = ranks(features[train], labels[train], seed=seed, folds=folds, information=information)
            pair = (features[train], numbers[train], features[test], numbers[test])
            best, *shuffled = _curves(*pair, order(found), orders, seed)
            ranked.append(best)
            at_random.append(np.stack(shuffled))
            bar.update()
            layers.append(_softmax(*pair, order(found)))
            bar.update()
            sparse.append([])
            for step in _l1(*pair, seed):
                sparse[-1].append(step)
                bar.update()
    images = sum(len(test) for _, test in parts)
    curve = _curve_table(counts(features.shape[1]), ranked, at_random, layers)
    return Relevance(table, curve, _l1_table(sparse), images, 0 if is_train is not None else folds)


def counts(filters: int) -> np.ndarray:
    """Return the numbers of filters that the curve is measured at, from 1 to all of them, int."""
    if filters <= EVERY:
        return np.arange(1, filters + 1)
    return np.unique(np.rint(np.geomspace(1, filters, POINTS)).astype(np.intp))


def enough(curve: pd.DataFrame, share: float = 0.95) -> int:
    """Return how many of the best filters give this share of the accuracy of all filters."""
    ranked = curve[curve["order"] == "ranked"].sort_values("filters")
    wanted = share * ranked["accuracy"].iloc[-1]
    return int(ranked.loc[ranked["accuracy"] >= wanted, "filters"].iloc[0])


def reaching(curve: pd.DataFrame, accuracy: float) -> int | None:
    """Return the first number of the best filters with which a softmax layer reaches an accuracy; None if none does.

    The cut of the feedback thesis: the accuracy is that of the whole network on the same images.
    """
    layer = curve[curve["order"] == "softmax"].sort_values("filters")
    # Both are whole numbers of images over the same one.
    found = layer.loc[layer["accuracy"] >= accuracy - 1e-9, "filters"]
    return int(found.iloc[0]) if len(found) else None


def softmax(
    train: np.ndarray, numbers: np.ndarray, test: np.ndarray, wanted: Sequence[int] | np.ndarray
) -> Iterator[np.ndarray]:
    """Classify images by the first 1, 2, ... filters: a softmax layer, fitted again for each number.

    Multinomial logistic regression with a weak L2 penalty, half the squared weights beside the summed cross-entropy,
    without which the weights of classes that can be separated would grow for ever.

    Args:
        train: float64 (images, filters), standardized; the filters in their order.
        numbers: Class number of each training image, from 0.
        test: float64 (images, filters), scaled alike.
        wanted: How many filters, ascending; one fit each.

    Yields:
        Class number of each test image.
    """
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0, max_iter=10_000, warm_start=True)
    for count in wanted:
        if hasattr(model, "coef_"):
            # The fit begins where the last one ended, with weights of 0 for the filters that join.
            model.coef_ = np.pad(model.coef_, [(0, 0), (0, count - model.coef_.shape[1])])
        yield model.fit(train[:, :count], numbers).predict(test[:, :count])


def nested(
    train: np.ndarray, numbers: np.ndarray, test: np.ndarray, wanted: Sequence[int] | np.ndarray
) -> Iterator[np.ndarray]:
    """Classify images by the first 1, 2, ... filters: linear discriminant analysis, shrunk by Ledoit and Wolf's rule.

    Args:
        train: float64 (images, filters), standardized; the filters in their order.
        numbers: Class number of each training image, from 0.
        test: float64 (images, filters), scaled alike.
        wanted: How many filters; one fit each.

    Yields:
        Class number of each test image.
    """
    from scipy.linalg import solve

    member = np.eye(numbers.max() + 1)[numbers]
    sizes = member.sum(axis=0)
    means = member.T @ train / sizes[:, None]
    rest = train - means[numbers]
    images = len(train)
    covariance = rest.T @ rest / images
    lengths = np.cumsum(rest**2, axis=1)
    for count in wanted:
        part = covariance[:count, :count]
        level = np.trace(part) / count
        square = np.sum(part**2)
        spread = square / count - level**2
        noise = (np.mean(lengths[:, count - 1] ** 2) - square) / (count * images)
        shrinkage = float(np.clip(noise / spread, 0, 1)) if spread > 1e-12 else 0.0
        # A hair more: silent filters, and one alone, would leave the matrix singular.
        shrunk = (1 - shrinkage) * part + (shrinkage * level + 1e-9) * np.eye(count)
        weights = solve(shrunk, means[:, :count].T, assume_a="pos")
        bias = np.log(sizes / images) - np.sum(means[:, :count].T * weights, axis=0) / 2
        yield np.argmax(test[:, :count] @ weights + bias, axis=1)


def _parts(
    numbers: np.ndarray, is_train: np.ndarray | None, folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the images to fit on and those to measure on, once or a fold."""
    from sklearn.model_selection import StratifiedKFold

    if is_train is not None:
        return [(np.flatnonzero(is_train), np.flatnonzero(~is_train))]
    splitter = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(numbers)), numbers))


def _curves(
    train: np.ndarray, numbers: np.ndarray, test: np.ndarray, true: np.ndarray, best: np.ndarray, orders: int, seed: int
) -> list[np.ndarray]:
    """Return how many test images are right, (counts, 2) with their number, in the best and in random orders."""
    train, test = standardized(train, test)
    random = np.random.default_rng(seed)
    wanted = counts(len(best))
    found = []
    for each in (best, *(random.permutation(len(best)) for _ in range(orders))):
        guesses = nested(train[:, each], numbers, test[:, each], wanted)
        found.append(np.array([(np.sum(guess == true), len(true)) for guess in guesses]))
    return found


def _softmax(
    train: np.ndarray, numbers: np.ndarray, test: np.ndarray, true: np.ndarray, best: np.ndarray
) -> np.ndarray:
    """Return how many test images are right by a softmax layer, (counts, 2) with their number."""
    train, test = standardized(train, test)
    guesses = softmax(train[:, best], numbers, test[:, best], counts(len(best)))
    return np.array([(np.sum(guess == true), len(true)) for guess in guesses])


def _l1(
    train: np.ndarray, numbers: np.ndarray, test: np.ndarray, true: np.ndarray, seed: int
) -> Iterator[tuple[int, int, int]]:
    """Yield filters left, images right and images, from a strong penalty to a weak one."""
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import l1_min_c

    train, test = standardized(train, test)
    # The least strength of all one-against-rest problems at which any filter has a weight.
    start = min(l1_min_c(train, numbers == number, loss="log") for number in np.unique(numbers))
    for weaker in PENALTIES:
        model: Any = OneVsRestClassifier(_logistic(start * weaker, seed)).fit(train, numbers)
        left = np.any([estimator.coef_[0] != 0 for estimator in model.estimators_], axis=0)
        yield int(left.sum()), int(np.sum(model.predict(test) == true)), len(true)


def _logistic(strength: float, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    # scikit-learn 1.8 replaced `penalty` by `l1_ratio` alone, and warns of the old name.
    old = inspect.signature(LogisticRegression).parameters["penalty"].default != "deprecated"
    l1: dict[str, Any] = {"penalty": "l1"} if old else {"l1_ratio": 1.0}
    return LogisticRegression(C=strength, solver="liblinear", tol=1e-2, max_iter=10_000, random_state=seed, **l1)


def _curve_table(
    wanted: np.ndarray, ranked: list[np.ndarray], at_random: list[np.ndarray], layers: list[np.ndarray]
) -> pd.DataFrame:
    """Add the folds up, and write the curves below each other."""
    best, layer = _shares(wanted, ranked), _shares(wanted, layers)
    total = np.sum(at_random, axis=0)
    shares = total[..., 0] / total[..., 1]
    rest = pd.DataFrame({
        "filters": wanted, "accuracy": shares.mean(axis=0), "low": shares.min(axis=0), "high": shares.max(axis=0),
    })  # fmt: skip
    parts = [best.assign(order="ranked"), rest.assign(order="random"), layer.assign(order="softmax")]
    return pd.concat(parts, ignore_index=True)[["order", "filters", "accuracy", "low", "high"]]


def _shares(wanted: np.ndarray, found: list[np.ndarray]) -> pd.DataFrame:
    """Return the accuracies over all folds with their Wilson intervals."""
    right, images = np.sum(found, axis=0).T
    low, high = wilson(right, images)
    return pd.DataFrame({"filters": wanted, "accuracy": right / images, "low": low, "high": high})


def _l1_table(sparse: list[list[tuple[int, int, int]]]) -> pd.DataFrame:
    found = np.array(sparse, float)
    right, images = found[..., 1].sum(axis=0), found[..., 2].sum(axis=0)
    low, high = wilson(right, images)
    return pd.DataFrame({
        "penalty": 1 / np.array(PENALTIES), "filters": found[..., 0].mean(axis=0), "accuracy": right / images,
        "low": low, "high": high,
    })  # fmt: skip
