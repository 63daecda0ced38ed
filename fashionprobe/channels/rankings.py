"""Rankings of channels by what they tell about the classes: of a block's descriptors, and of the last feature map."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import digamma
from sklearn.linear_model import LogisticRegression

from fashionprobe.attributes.normalization import fit
from fashionprobe.errors import UserError

RANKINGS = ("mutual_information", "l1")

CHUNK = 64
"""Channels whose mutual information is computed at a time."""

STEP, LAST, TOLERANCE = 1.2, 0.1, 2e-3
"""The L1 path: each penalty is the one before divided by STEP, from the least that silences all channels down to LAST
of it; TOLERANCE is the solver's."""


def rank_channels(descriptors: np.ndarray, numbers: np.ndarray, *, ranking: str, seed: int) -> np.ndarray:
    """Rank channels by what they tell about the classes.

    Args:
        descriptors: float (items, channels) of the training items.
        numbers: Class number of each item.
        ranking: One of `RANKINGS`.
        seed: Seed of what breaks ties between equal values, or of the solver.

    Returns:
        The channels, the best first, int (channels,). Channels that never change come last.
    """
    standard = fit("standard", descriptors)(descriptors).astype(np.float64)
    if ranking == "l1":
        return l1_path(standard, numbers, seed=seed)
    return np.lexsort((np.ptp(standard, axis=0) == 0, -mutual_information(standard, numbers, seed=seed)))


def mutual_information(values: np.ndarray, numbers: np.ndarray, *, neighbours: int = 3, seed: int = 0) -> np.ndarray:
    """Estimate the mutual information of each channel and the classes.

    The estimate of scikit-learn's `mutual_info_classif`, which takes 15 s for 1,024 channels of 800 items; on one
    channel, sorting finds the neighbours of all items at once.

    Args:
        values: float64 (items, channels), standardized.
        numbers: Class number of each item.
        neighbours: Neighbours within the class that set the radius.
        seed: Seed of the noise of 1e-10 that tells equal values apart.

    Returns:
        float64 (channels,), in nats, >= 0; 0 for channels that never change.

    Reference:
        Ross, Mutual information between discrete and continuous data sets, PLoS ONE 2014.
        https://doi.org/10.1371/journal.pone.0087357
    """
    random = np.random.default_rng(seed)
    counts = np.bincount(numbers)
    # A class of one item has no neighbour within the class.
    kept = np.flatnonzero(counts[numbers] > 1)
    numbers = numbers[kept]
    k = np.minimum(neighbours, counts - 1)
    constant = digamma(len(kept)) + np.mean(digamma(k[numbers])) - np.mean(digamma(counts[numbers]))
    found = []
    for start in range(0, values.shape[1], CHUNK):
        part = values[kept, start : start + CHUNK]
        noisy = part + 1e-10 * random.standard_normal(part.shape)
        radius = np.empty_like(noisy)
        for number in np.unique(numbers):
            rows = np.flatnonzero(numbers == number)
            radius[rows] = _radius(noisy[rows], int(k[number]))
        estimate = constant - digamma(_within(noisy, radius)).mean(axis=0)
        found.append(np.where(np.ptp(part, axis=0) > 0, estimate, 0))
    return np.maximum(np.concatenate(found), 0)


def l1_path(values: np.ndarray, numbers: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Rank channels by when they enter a multinomial logistic regression as its L1 penalty falls.

    The path ends at a tenth of the penalty that silences all channels. Channels that enter at the same step are ranked
    by their weights, and those that have not entered by the end by how near they are to it (their gradient). Each step
    fits only the channels that the strong rule cannot rule out, and then checks the others.

    Args:
        values: float64 (items, channels), standardized.
        numbers: Class number of each item.
        seed: Seed of the solver.

    Returns:
        The channels, the first to enter first, int (channels,).

    Reference:
        Tibshirani et al., Strong rules for discarding predictors in lasso-type problems, J. R. Stat. Soc. B 2012.
        https://doi.org/10.1111/j.1467-9868.2011.01004.x
    """
    classes, numbers = np.unique(numbers, return_inverse=True)
    target = np.eye(len(classes))[numbers]
    gradient = np.abs(values.T @ (target - target.mean(axis=0))).max(axis=1)
    weights = np.zeros((1 if len(classes) == 2 else len(classes), values.shape[1]))
    intercept = np.log(target.mean(axis=0)) if len(classes) > 2 else np.log([target[:, 1].mean() / target[:, 0].mean()])
    order: list[int] = []
    # A hair below the largest gradient, where the first channel enters.
    penalty = last = float(gradient.max())
    while last > 0 and penalty / STEP > last * LAST:
        before, penalty = penalty, penalty / STEP
        chosen = np.flatnonzero((gradient >= 2 * penalty - before) | weights.any(axis=0))
        while True:
            model = _logistic(1 / penalty, seed)
            model.coef_, model.intercept_ = weights[:, chosen], intercept
            model.fit(values[:, chosen], numbers)
            weights[:], intercept = 0, model.intercept_
            weights[:, chosen] = model.coef_
            gradient = np.abs(values.T @ (target - model.predict_proba(values[:, chosen]))).max(axis=1)
            forgotten = np.setdiff1d(np.flatnonzero(gradient > penalty * 1.01), chosen)
            if not len(forgotten):
                break
            chosen = np.union1d(chosen, forgotten)
        size = np.abs(weights).max(axis=0)
        entered = np.setdiff1d(np.flatnonzero(size), order)
        order += entered[np.argsort(-size[entered], kind="stable")].tolist()
    rest = np.setdiff1d(np.arange(values.shape[1]), order)
    return np.concatenate([np.array(order, int), rest[np.argsort(-gradient[rest], kind="stable")]])


def _logistic(strength: float, seed: int) -> Any:
    # scikit-learn 1.8 replaced `penalty` by `l1_ratio` alone, and warns of the old name.
    old = inspect.signature(LogisticRegression).parameters["penalty"].default != "deprecated"
    l1: dict[str, Any] = {"penalty": "l1"} if old else {"l1_ratio": 1.0}
    return LogisticRegression(
        C=strength, solver="saga", tol=TOLERANCE, max_iter=10_000, warm_start=True, random_state=seed, **l1
    )


def _radius(values: np.ndarray, k: int) -> np.ndarray:
    """Return the distance of each value to its k-th nearest in its column, (items, channels)."""
    places = np.argsort(values, axis=0)
    ordered = np.take_along_axis(values, places, axis=0)
    edge = np.full((k, values.shape[1]), np.inf)
    padded = np.concatenate([-edge, ordered, edge])
    items = len(values)
    # The k nearest of a value and itself stand side by side: the tightest of the windows that hold it.
    reach = np.min([
        np.maximum(ordered - padded[start : start + items], padded[start + k : start + k + items] - ordered)
        for start in range(k + 1)
    ], axis=0)  # fmt: skip
    radius = np.empty_like(reach)
    np.put_along_axis(radius, places, reach, axis=0)
    return radius


def _within(values: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Count the values of each column that are nearer than the radius, the value itself included."""
    # Sums are rounded: what is exactly at the radius must not slip in.
    inside = np.maximum(radius - 4 * np.spacing(np.abs(values) + radius), 0)
    counts = np.empty(values.shape, np.intp)
    ordered = np.sort(values, axis=0)
    for channel, column in enumerate(ordered.T):
        middle, half = values[:, channel], inside[:, channel]
        upper = np.searchsorted(column, middle + half, side="right")
        counts[:, channel] = upper - np.searchsorted(column, middle - half, side="left")
    return counts


Information = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Takes standardized features (images, filters) and class numbers (images,), gives nats (filters,)."""

CRITERIA = ("mutual_information", "extra_trees", "one_filter")
TREES = 250


def ranks(
    features: np.ndarray, labels: np.ndarray, *, seed: int, folds: int = 5, information: Information | None = None
) -> pd.DataFrame:
    """Rank filters by what they tell about the classes.

    Three criteria: the mutual information of the filter and the class; the importance (mean decrease of Gini impurity)
    in 250 extremely randomized trees; and the cross-validated accuracy of a classifier that sees this filter alone.
    Rank 1 is the best, equal values share the mean of their ranks, and the relevance is the mean of the three ranks.

    Args:
        features: float (images, filters): the spatial means of the filters' maps.
        labels: Class of each image, (images,).
        seed: Seed of the trees, of the folds, and of what breaks ties in the mutual information.
        folds: Folds of the one-filter classifier.
        information: Estimates the mutual information; scikit-learn's `mutual_info_classif` by default.

    Returns:
        One row per filter, in their order: filter, each criterion, each with "_rank", mean_rank, and rank, the rank of
        the mean.

    Raises:
        UserError: If the features are not finite, or there are too few classes or images.

    Reference:
        Geurts, Ernst and Wehenkel, "Extremely randomized trees", 2006. https://doi.org/10.1007/s10994-006-6226-1
    """
    from scipy.stats import rankdata
    from sklearn.ensemble import ExtraTreesClassifier

    numbers = check(features, labels, least=folds)
    values, _ = standardized(features, features)
    trees = ExtraTreesClassifier(TREES, random_state=seed, n_jobs=-1).fit(values, numbers)
    table = pd.DataFrame({"filter": np.arange(values.shape[1])})
    told = (information or _mutual_information(seed))(values, numbers)
    # The noise that breaks ties would let a silent filter tell a little.
    table["mutual_information"] = np.where(np.ptp(values, axis=0) > 0, told, 0.0)
    table["extra_trees"] = trees.feature_importances_
    table["one_filter"] = one_filter(values, numbers, folds=folds, seed=seed)
    for name in CRITERIA:
        # Sums that should be equal differ in their last digits.
        table[f"{name}_rank"] = rankdata(-table[name].to_numpy().round(12))
    table["mean_rank"] = table[[f"{name}_rank" for name in CRITERIA]].mean(axis=1)
    table["rank"] = rankdata(table["mean_rank"].round(9))
    return table


def order(table: pd.DataFrame) -> np.ndarray:
    """Return the filters of a table of `ranks`, the most relevant first, int (filters,); equal ones by number."""
    return table.sort_values(["rank", "filter"])["filter"].to_numpy()


def one_filter(values: np.ndarray, numbers: np.ndarray, *, folds: int, seed: int) -> np.ndarray:
    """Measure how well each filter alone tells the classes, by stratified cross-validation, all filters at once.

    The classifier is linear discriminant analysis of one variable: an image goes to the class with the greatest
    log(share of the class) - (x - its mean)^2 / (2 variance within the classes).

    Args:
        values: float (images, filters).
        numbers: Class number of each image, from 0, each class with `folds` images or more.
        folds: Number of folds.
        seed: Seed of the folds.

    Returns:
        Accuracy in [0, 1], float64 (filters,). A constant filter gets the share of the largest class.
    """
    from sklearn.model_selection import StratifiedKFold

    values = np.asarray(values, np.float64)
    correct = np.zeros(values.shape[1], np.intp)
    splitter = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    for train, test in splitter.split(values, numbers):
        member = np.eye(numbers.max() + 1)[numbers[train]]
        counts = member.sum(axis=0)
        means = member.T @ values[train] / counts[:, None]
        variance = np.mean((values[train] - means[numbers[train]]) ** 2, axis=0)
        # Where the classes have no spread, the nearest mean decides.
        scale = 2 * np.maximum(variance, 1e-12)
        best = np.full((len(test), values.shape[1]), -np.inf)
        guess = np.zeros(best.shape, np.intp)
        for number, (mean, share) in enumerate(zip(means, np.log(counts / counts.sum()), strict=True)):
            score = share - (values[test] - mean) ** 2 / scale
            is_better = score > best
            np.copyto(best, score, where=is_better)
            guess[is_better] = number
        correct += (guess == numbers[test][:, None]).sum(axis=0)
    return correct / len(values)


def check(features: np.ndarray, labels: np.ndarray, *, least: int) -> np.ndarray:
    """Check features and labels, and return the class number of each image, from 0.

    Args:
        features: What must be finite float (images, filters).
        labels: Class of each image.
        least: Images that each class must have.

    Raises:
        UserError: If something is amiss.
    """
    features, labels = np.asarray(features), np.asarray(labels)
    if features.ndim != 2 or not features.size or len(features) != len(labels):
        received = f"{list(features.shape)} for {len(labels)} labels"
        raise UserError("features", expected="a table (images, filters), a row per label", received=received)
    if not np.isfinite(features).all():
        bad = np.flatnonzero(~np.isfinite(features).all(axis=0))[0]
        raise UserError("features", expected="finite numbers", received=f"NaN or infinity in filter {bad}")
    classes, numbers = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise UserError("labels", expected="of two classes or more", received=f"one class: {classes.tolist()}")
    counts = np.bincount(numbers)
    if counts.min() < least:
        received = f"{classes[counts.argmin()]} with {counts.min()}"
        raise UserError("labels", expected=f"{least} images or more of each class", received=received)
    return numbers


def standardized(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring each filter to mean 0 and standard deviation 1 on the training images; a constant one becomes 0."""
    train, test = np.asarray(train, np.float64), np.asarray(test, np.float64)
    mean, spread = train.mean(axis=0), train.std(axis=0)
    is_constant = np.ptp(train, axis=0) == 0
    scale = np.where(is_constant, 0, 1 / np.where(is_constant, 1, spread))
    return (train - mean) * scale, (test - mean) * scale


def _mutual_information(seed: int) -> Information:
    from sklearn.feature_selection import mutual_info_classif

    return lambda values, numbers: mutual_info_classif(values, numbers, random_state=seed)
