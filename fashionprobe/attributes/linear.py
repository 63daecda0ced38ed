"""Linear probes: logistic regression on the descriptors of a block, with a control task of shuffled labels."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from fashionprobe.attributes import normalization
from fashionprobe.attributes.folds import assign_folds

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2)
"""Inverse regularizations C that are tried, ascending."""

INNER_FOLDS = 3
"""Folds of the training images in which C is chosen."""

FIXED = 1.0
"""C where a class is too small for inner folds: the default of scikit-learn."""

TOLERANCE, ITERATIONS = 1e-3, 1000
"""Where a fit stops: at this gradient of the mean loss, or after so many steps."""


class LinearProbe:
    """Reads classes from descriptors by a line: multinomial logistic regression with an L2 penalty.

    The channels are standardized, and where there are more than twice as many channels as images the images are rotated
    to their principal components. A rotation leaves an L2 penalty as it is, so answers stay the same and fits are
    faster. All of it is fitted on the training images alone.

    Args:
        train: Descriptors of the training images, float32 (images, channels).

    Attributes:
        values: The training images as they are fitted, float64 (images, directions).
    """

    def __init__(self, train: np.ndarray) -> None:
        self.scale = normalization.fit("standard", train)
        self.values = self.scale.apply(np.asarray(train, np.float64))
        self.directions: np.ndarray | None = None
        if 2 * len(train) < train.shape[1]:
            variance, weights = np.linalg.eigh(self.values @ self.values.T)
            kept = variance > 1e-12 * variance.max(initial=0)
            self.directions = self.values.T @ (weights[:, kept] / np.sqrt(variance[kept]))
            self.values = self.values @ self.directions

    def transform(self, descriptors: np.ndarray) -> np.ndarray:
        """Standardize and rotate descriptors as the training images, float64 (images, directions)."""
        values = self.scale.apply(np.asarray(descriptors, np.float64))
        return values if self.directions is None else values @ self.directions

    def choose(self, numbers: np.ndarray, *, same: np.ndarray, seed: int) -> tuple[float, int]:
        """Choose C in stratified folds of the training images.

        Args:
            numbers: Class number of each training image.
            same: For each the index of the first training image with the same picture, which shares its fold.
            seed: Seed of the folds.

        Returns:
            The C of the highest accuracy, the smallest among equals; and the number of folds: `INNER_FOLDS`, fewer
            where the smallest class has fewer images, 0 where it has a single one, and then C is `FIXED`.
        """
        folds = min(INNER_FOLDS, int(np.unique(numbers, return_counts=True)[1].min()))
        if folds < 2:
            return FIXED, 0
        fold = assign_folds(numbers, folds=folds, seed=seed, same=same)
        right = np.zeros(len(STRENGTHS))
        for number in range(folds):
            train, test = fold != number, fold == number
            if not test.any() or not train.any():
                continue
            model = None
            for place, strength in enumerate(STRENGTHS):
                model = fit(self.values[train], numbers[train], strength, start=model)
                right[place] += np.sum(np.asarray(model.predict(self.values[test])) == numbers[test])
        return STRENGTHS[int(right.argmax())], folds

    def answers(self, numbers: np.ndarray, strength: float, asked: np.ndarray) -> np.ndarray:
        """Fit to the class numbers of the training images, and return those of other descriptors, int (items,)."""
        return np.asarray(fit(self.values, numbers, strength).predict(self.transform(asked)))


class OneClass:
    """What stands for a fit where all training images are of one class."""

    def __init__(self, number: int) -> None:
        self.number = number

    def predict(self, values: np.ndarray) -> np.ndarray:
        """Return that class for all."""
        return np.full(len(values), self.number)


def fit(
    values: np.ndarray, numbers: np.ndarray, strength: float, *, start: LogisticRegression | OneClass | None = None
) -> LogisticRegression | OneClass:
    """Fit logistic regression with an L2 penalty.

    Args:
        values: float64 (images, directions).
        numbers: Class number of each image.
        strength: C, the weight of the summed loss against half the squared norm of the weights.
        start: An earlier fit of the same images: the next one starts from its weights, and replaces it.
    """
    present = np.unique(numbers)
    if len(present) == 1:
        return OneClass(int(present[0]))
    model = start if isinstance(start, LogisticRegression) else LogisticRegression(warm_start=True)
    model.set_params(C=strength, tol=TOLERANCE, max_iter=ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(values, numbers)


class CrossValidatedProbe:
    """The linear probe of one block and its control task, filled fold by fold.

    Args:
        numbers: Class number of each item.
        same: For each item the index of the first item with the same picture.
        seed: Seed of the inner folds, and of the control task.

    Attributes:
        numbers: The class numbers.
        control: The class numbers of the control task: the same, permuted among the items.
        answer: The class number that the probe gives each item.
        control_answer: The same in the control task.
        strengths: C of each fold; the control task takes it too.
        inner_folds: Folds in which C was chosen, for each fold; 0 where C is fixed.

    Reference:
        Hewitt and Liang, Designing and Interpreting Probes with Control Tasks, EMNLP 2019.
        https://doi.org/10.18653/v1/D19-1275
    """

    def __init__(self, numbers: np.ndarray, same: np.ndarray, seed: int) -> None:
        self.numbers, self.same, self.seed = numbers, same, seed
        self.control = np.random.default_rng(seed).permutation(numbers)
        self.answer, self.control_answer = np.empty_like(numbers), np.empty_like(numbers)
        self.strengths: list[float] = []
        self.inner_folds: list[int] = []

    def add(self, known: np.ndarray, train: np.ndarray, asked: np.ndarray, test: np.ndarray) -> None:
        """Classify the test items of a fold by its training items.

        Args:
            known: Descriptors of the training items, float32 (items, channels).
            train: The training items, ascending.
            asked: Descriptors of the test items.
            test: The test items.
        """
        # Items with the same picture share a fold, so the first of them is among these training items.
        same = np.searchsorted(train, self.same[train])
        # Matrices are small: threads of a busy machine wait for each other up to thirty times as long as one works.
        with threadpool_limits(1):
            probe = LinearProbe(known)
            strength, inner_folds = probe.choose(self.numbers[train], same=same, seed=self.seed)
            self.answer[test] = probe.answers(self.numbers[train], strength, asked)
            self.control_answer[test] = probe.answers(self.control[train], strength, asked)
        self.strengths.append(strength)
        self.inner_folds.append(inner_folds)
