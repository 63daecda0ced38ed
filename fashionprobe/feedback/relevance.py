"""Which filters tell the classes apart: three rankings of them, and their mean."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from fashionprobe.errors import UserError

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
        One row a filter, in their order: filter, each criterion, each with "_rank", mean_rank, and rank, the rank of
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
        raise UserError("features", expected="a table (images, filters), a row a label", received=received)
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
