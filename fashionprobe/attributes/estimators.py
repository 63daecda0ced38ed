"""What a descriptor knows, as estimators of scikit-learn: for `Pipeline`, `GridSearchCV` and `set_output("pandas")`.

They stand on `normalization`, `classes`, `confidence` and `reduce`, which the commands use.
"""

from typing import Any

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from fashionprobe.attributes import classes, normalization, reduce
from fashionprobe.attributes import classes as confidence
from fashionprobe.errors import UserError, unknown_name


class Normalizer(TransformerMixin, BaseEstimator):
    """Bring descriptors to the space in which distances are taken.

    Args:
        kind: "none"; "l2", unit length; "standard", each channel to mean 0 and deviation 1; or "whiten", PCA whitening
            with a shrunk covariance, then unit length.
        shrinkage: For "whiten": part of the mean variance that is added to each direction, in [0, 1].

    Attributes:
        normalization_: The fitted normalization.
        n_features_in_: Number of channels.

    Example:
        >>> import numpy as np
        >>> Normalizer("standard").fit_transform(np.array([[0.0, 5.0], [2.0, 5.0]])).tolist()
        [[-1.0, 0.0], [1.0, 0.0]]
    """

    def __init__(self, kind: str = "whiten", *, shrinkage: float = normalization.SHRINKAGE) -> None:
        self.kind = kind
        self.shrinkage = shrinkage

    def fit(self, X: Any, y: Any = None) -> "Normalizer":
        """Fit to descriptors, float (items, channels); `y` is not used.

        Raises:
            UserError: If there is no such normalization, or the shrinkage is out of range.
        """
        X = _checked(self, X)
        if self.kind not in normalization.NORMALIZATIONS:
            raise unknown_name("kind", self.kind, normalization.NORMALIZATIONS)
        _check_share("shrinkage", self.shrinkage)
        self.normalization_ = normalization.fit(self.kind, X, shrinkage=self.shrinkage)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the normalized descriptors, float (items, channels or directions)."""
        check_is_fitted(self)
        X = _checked(self, X, reset=False)
        return self.normalization_.apply(X).astype(X.dtype, copy=False)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the channels, or of the directions that whitening found."""
        check_is_fitted(self)
        scale = self.normalization_.scale
        if scale is not None and scale.ndim == 2:
            return np.array([f"direction{number}" for number in range(scale.shape[1])], object)
        return np.asarray(_check_feature_names_in(self, input_features))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class AttributeClassifier(ClassifierMixin, BaseEstimator):
    """The nearest class mean, which can say that an image is of none of the classes.

    A class is the mean of its images and how far they reach from it, calibrated by leaving one image out.

    Args:
        normalization: What is done to descriptors first, as the kind of `Normalizer`.
        coverage: Share of a class's own images that its reach holds, in (0, 1].
        outlier_label: What `predict` says of an image beyond the reach of the nearest class, such as "none of these".
            None: the nearest class is always the answer.
        shrinkage: Of the normalization "whiten".

    Attributes:
        classes_: The classes, in order.
        means_: float32 (classes, directions).
        reach_: Distance from the mean beyond which an image is not of the class, float32 (classes,).
        temperature_: What distances are divided by for probabilities.
        n_features_in_: Number of channels.

    Reference:
        Barber, Candès, Ramdas and Tibshirani, Predictive inference with the jackknife+, Annals of Statistics 2021.
        https://doi.org/10.1214/20-AOS1965
    """

    def __init__(
        self, normalization: str = "none", *, coverage: float = classes.COVERAGE, outlier_label: Any = None,
        shrinkage: float = normalization.SHRINKAGE,
    ) -> None:  # fmt: skip
        self.normalization = normalization
        self.coverage = coverage
        self.outlier_label = outlier_label
        self.shrinkage = shrinkage

    def fit(self, X: Any, y: Any) -> "AttributeClassifier":
        """Learn the classes.

        Args:
            X: Descriptors, float (items, channels).
            y: Class of each, (items,).

        Raises:
            UserError: If a class has fewer than two items, or an argument is out of range.
        """
        X, y = _checked(self, X, y=y)
        check_classification_targets(y)
        _check_share("shrinkage", self.shrinkage)
        _check_share("coverage", self.coverage, above_zero=True)
        self.classes_, numbers, counts = np.unique(y, return_inverse=True, return_counts=True)
        if counts.min() < 2:
            lone = self.classes_[counts.argmin()]
            raise UserError(
                "y", expected="two or more of each class, to know how far it reaches", received=f"1 sample of {lone}"
            )
        self.normalization_ = normalization.fit(self.normalization, X, shrinkage=self.shrinkage)
        learned = classes.learn(
            X, numbers, [str(name) for name in self.classes_], self.normalization_, coverage=self.coverage
        )  # fmt: skip
        self.means_, self.reach_ = learned.means, learned.reach
        far = self._distances(X)
        # An image is nearer to a mean that it is part of than a new one would be.
        far[np.arange(len(X)), numbers] = classes.left_out(X, numbers, len(counts), self.normalization_)[1]
        self.temperature_ = confidence.temperature(far, numbers)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the class of each item, or `outlier_label` beyond its reach: (items,)."""
        far = self._checked_distances(X)
        nearest = far.argmin(axis=1)
        found = self.classes_[nearest]
        if self.outlier_label is None:
            return found
        is_known = far[np.arange(len(far)), nearest] <= self.reach_[nearest]
        if np.asarray(self.outlier_label).dtype.kind != found.dtype.kind:
            found = found.astype(object)
        return np.where(is_known, found, self.outlier_label)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class if it is one of them, `softmax(-distance / temperature_)`.

        Returns:
            float64 (items, classes).
        """
        return confidence.confidence(self._checked_distances(X), self.temperature_)

    def _checked_distances(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self._distances(_checked(self, X, reset=False))

    def _distances(self, X: np.ndarray) -> np.ndarray:
        points = self.normalization_.apply(X.astype(np.float64, copy=False))
        return cdist(points, self.means_.astype(np.float64))


class UMAPReducer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """UMAP, started from exact nearest neighbours; new items are placed among those of the fit, which stay.

    Items of the fit keep their places when they come alone and unchanged. Others are placed together: where each one
    lands may depend on its companions.

    Args:
        n_components: Dimensions to reduce to.
        n_neighbors: Neighbours of each item that should stay near, the item itself included.
        min_dist: Least distance of points in the reduced space.
        random_state: An int gives the same points on the same machine with the same versions, on one core; None uses
            all cores, and the points differ from call to call.

    Attributes:
        embedding_: float32 (items, n_components), the points of the fit.
        n_features_in_: Number of channels.

    Reference:
        McInnes, Healy and Melville, UMAP: Uniform Manifold Approximation and Projection for Dimension Reduction,
        2018. https://arxiv.org/abs/1802.03426
    """

    def __init__(
        self, n_components: int = 2, *, n_neighbors: int = reduce.NEIGHBOURS, min_dist: float = reduce.MIN_DIST,
        random_state: int | None = 0,
    ) -> None:  # fmt: skip
        self.n_components = n_components
        self.n_neighbors = n_neighbors
        self.min_dist = min_dist
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "UMAPReducer":
        """Fit to descriptors, float (items, channels); `y` is not used.

        Raises:
            UserError: If there are too few items for the dimensions, or all are equal.
        """
        X = _checked(self, X, ensure_min_samples=4)
        for name, least, most in (("n_components", 1, len(X) - 1), ("n_neighbors", 2, "inf")):
            value = getattr(self, name)
            if not least <= value <= float(most):
                raise UserError(name, expected=f"an int from {least} to {most}", received=value)
        self.reduction_ = reduce.reduce(
            X, self.n_components, seed=self.random_state, neighbours=self.n_neighbors, min_dist=self.min_dist
        )
        self.embedding_ = self.reduction_.points
        self._n_features_out = self.n_components
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the points of items, float32 (items, n_components)."""
        check_is_fitted(self)
        return self.reduction_.transform(_checked(self, X, reset=False))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _checked(estimator: Any, X: Any, **options: Any) -> Any:
    """Return descriptors as scikit-learn checks them, with `y` where that is among the options."""
    return validate_data(estimator, X, dtype=(np.float64, np.float32), **options)


def _check_share(argument: str, value: float, *, above_zero: bool = False) -> None:
    if not 0 <= value <= 1 or (above_zero and value == 0):
        raise UserError(argument, expected=f"a number in {'(' if above_zero else '['}0, 1]", received=value)
