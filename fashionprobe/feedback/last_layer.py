"""Last-layer refit: the network stays, and a logistic regression on its descriptors replaces the dense layer."""

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from fashionprobe import progress
from fashionprobe.errors import UserError, unknown_name

CS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Inverse strengths of the L2 penalty to choose from."""

FOLDS = 5
ITERATIONS = 1000

Labelled = tuple[np.ndarray, np.ndarray]
"""Descriptors, float (images, channels), and class numbers, int (images,)."""

Weight = Literal["none", "balanced"]


def refit_last_layer(
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
    *,
    bias: bool,
    seed: int,
    cs: Sequence[float] = CS,
    validation: Labelled | None = None,
    groups: np.ndarray | None = None,
    class_weight: Weight = "none",
) -> tuple[np.ndarray, np.ndarray | None]:
    """Fit a new dense layer: multinomial logistic regression on scaled descriptors, with the scale folded in.

    Args:
        features: float (images, channels): what the dense layer reads, such as the descriptors of edited copies.
        labels: Class number of each image, int (images,), 0 to classes - 1.
        classes: Number of classes; each needs an image.
        bias: Whether the dense layer has a bias. With one, channels are brought to mean 0 and deviation 1; without one
            to deviation 1 alone, as a shift could not be folded into the kernel.
        seed: Seed of the folds.
        cs: Inverse strengths of the L2 penalty; if more than one, the best is chosen by `choose_strength`.
        validation: Other descriptors and class numbers to choose on; cross-validation by default.
        groups: Of which image each row is a copy, (images,): copies share a fold. By default, each row is on its own.
        class_weight: "balanced" counts an image by 1 / images of its class.

    Returns:
        The kernel, float32 (channels, classes), and the bias, float32 (classes,), or None without one: `features @
        kernel + bias` are logits. With two classes one is the other's negative.

    Raises:
        UserError: If shapes or values are wrong, a class has no image, or there are too few images to choose.

    Reference:
        Kirichenko, Izmailov and Wilson, Last Layer Re-Training is Sufficient for Robustness to Spurious Correlations,
        ICLR 2023. https://arxiv.org/abs/2204.02937 (there with an L1 penalty, on data balanced over groups).
    """
    strength = choose_strength(
        features, labels, classes, bias=bias, seed=seed, cs=cs, validation=validation, groups=groups,
        class_weight=class_weight,
    )  # fmt: skip
    return _folded(_path(features, labels, [strength], bias, class_weight)[0], bias)


def choose_strength(
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
    *,
    bias: bool,
    seed: int,
    cs: Sequence[float] = CS,
    validation: Labelled | None = None,
    groups: np.ndarray | None = None,
    class_weight: Weight = "none",
) -> float:
    """Choose the C of `refit_last_layer`, by the same arguments.

    The highest accuracy wins (balanced accuracy with balanced weights), on validation or as the mean over stratified
    folds; among equals, the lowest cross-entropy. Folds are 5, or as many as the rarest class has images. Scaling is
    fitted on the training part alone.

    Returns:
        One of `cs`.

    Raises:
        UserError: As `refit_last_layer`.
    """
    _check(features, labels, classes, cs, class_weight)
    features, labels, cs = np.asarray(features), np.asarray(labels), sorted(float(c) for c in cs)
    if validation is not None:
        _check_pair("validation", *validation, classes)
        if np.shape(validation[0])[1] != np.shape(features)[1]:
            raise UserError(
                "validation", expected=f"descriptors of {np.shape(features)[1]} channels",
                received=np.shape(validation[0])[1],
            )  # fmt: skip
    if len(cs) == 1:
        return cs[0]
    if validation is not None:
        models = _path(features, labels, cs, bias, class_weight)
        found = np.array([_scores(model, *validation, class_weight) for model in models])
    else:
        folds = _folds(labels, np.arange(len(labels)) if groups is None else np.asarray(groups), seed)
        found = np.zeros((len(cs), 2))
        with progress.bar(total=folds.max() + 1, unit="fold", description="last layer") as bar:
            for fold in range(folds.max() + 1):
                train, test = folds != fold, folds == fold
                models = _path(features[train], labels[train], cs, bias, class_weight)
                found += [_scores(model, features[test], labels[test], class_weight) for model in models]
                bar.update()
    # Means over folds that are equal but for rounding are equal.
    accuracy, negative_loss = found.round(9).T
    return cs[int(np.lexsort((negative_loss, accuracy))[-1])]


def _path(features: np.ndarray, labels: np.ndarray, cs: Sequence[float], bias: bool, weight: str) -> list[Pipeline]:
    """Fit a pipeline for each C, the strongest penalty first; each starts from the weights of the one before."""
    scaler = StandardScaler(with_mean=bias)
    scaled = scaler.fit_transform(np.asarray(features, np.float64))
    # Weights start at 0: nothing here is random.
    given: dict[str, Any] = {"fit_intercept": bias, "max_iter": ITERATIONS}
    given["class_weight"] = "balanced" if weight == "balanced" else None
    models, before = [], None
    # The matrices are small and the steps many: threads that wait for each other cost more than they save.
    with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
        # Where classes are separable, the weakest penalties may stop early: a candidate like the others.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for c in cs:
            model = LogisticRegression(C=c, warm_start=True, **given)
            if before is not None:
                model.coef_, model.intercept_ = before.coef_.copy(), before.intercept_.copy()
            before = model.fit(scaled, labels)
            models.append(make_pipeline(scaler, model))
    return models


def _scores(model: Pipeline, features: np.ndarray, labels: np.ndarray, weight: str) -> tuple[float, float]:
    """Return (balanced) accuracy and the negative cross-entropy; both are better when higher."""
    probabilities = model.predict_proba(np.asarray(features, np.float64))
    score = balanced_accuracy_score if weight == "balanced" else accuracy_score
    loss = log_loss(labels, probabilities, labels=model.classes_)
    return float(score(labels, model.classes_[probabilities.argmax(axis=1)])), -float(loss)


def _folded(model: Pipeline, bias: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Fold the scaling of a pipeline into the weights of its regression."""
    scaler: Any = model[0]
    regression: Any = model[-1]
    coefficients, intercept = regression.coef_, regression.intercept_
    if len(coefficients) == 1:
        # One column tells two classes apart: half of it for the second, half against the first.
        coefficients, intercept = np.stack([-coefficients[0], coefficients[0]]) / 2, np.array([-1, 1]) * intercept / 2
    kernel = (coefficients / scaler.scale_).T
    if not bias:
        return kernel.astype(np.float32), None
    return kernel.astype(np.float32), (intercept - scaler.mean_ @ kernel).astype(np.float32)


def _folds(labels: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Draw the test fold of each image, stratified, int (images,); copies of one image share it."""
    if groups.shape != labels.shape:
        raise UserError("groups", expected=f"one for each of {len(labels)} images", received=groups.shape)
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    owners = labels[first]
    if (owners[group] != labels).any():
        raise UserError("groups", expected="copies of one class each", received="a group with two classes")
    fewest = int(np.bincount(owners).min())
    if fewest < 2:
        raise UserError(
            "labels", expected="at least 2 images of each class, to choose the penalty by cross-validation",
            received=f"1 of class {np.bincount(owners).argmin()}", remedy="Give `validation`, or one value of `cs`.",
        )  # fmt: skip
    folds = np.empty(len(owners), np.intp)
    splitter = StratifiedKFold(min(FOLDS, fewest), shuffle=True, random_state=seed)
    for number, (_, test) in enumerate(splitter.split(np.zeros(len(owners)), owners)):
        folds[test] = number
    return folds[group]


def _check(features: np.ndarray, labels: np.ndarray, classes: int, cs: Sequence[float], weight: str) -> None:
    """Check what both functions are given."""
    if isinstance(classes, bool) or not isinstance(classes, int | np.integer) or classes < 2:
        raise UserError("classes", expected="an int in the range [2, inf)", received=classes)
    if not len(cs) or not all(0 < c < np.inf for c in cs):
        raise UserError("cs", expected="one positive number or more", received=list(cs))
    if weight not in ("none", "balanced"):
        raise unknown_name("class_weight", weight, ("none", "balanced"))
    _check_pair("features", features, labels, classes)
    absent = np.setdiff1d(np.arange(classes), labels)
    if len(absent):
        raise UserError(
            "labels", expected=f"at least one image of each of {classes} classes",
            received=f"none of class {', '.join(map(str, absent[:10]))}{' and more' if len(absent) > 10 else ''}",
            remedy="A class without an image would never be predicted again.",
        )  # fmt: skip


def _check_pair(argument: str, features: np.ndarray, labels: np.ndarray, classes: int) -> None:
    """Check descriptors and their class numbers."""
    if np.ndim(features) != 2 or not np.size(features):
        raise UserError(argument, expected="descriptors (images, channels)", received=np.shape(features))
    if not np.isfinite(features).all():
        raise UserError(argument, expected="descriptors of finite values", received="NaN or infinity")
    labels = np.asarray(labels)
    if labels.shape != (len(features),) or labels.dtype.kind not in "iu":
        received = f"{labels.dtype} of shape {labels.shape}"
        raise UserError("labels", expected=f"an int for each of {len(features)} images", received=received)
    if labels.min() < 0 or labels.max() >= classes:
        outside = labels[(labels < 0) | (labels >= classes)][0]
        raise UserError("labels", expected=f"class numbers in [0, {classes - 1}]", received=outside)
