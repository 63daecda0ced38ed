"""The rows of `accuracy.csv` as curves over the blocks: one a classifier and parameter, in reading order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

_FAMILIES = ("knn", "nearest_mean")


@dataclass(frozen=True, eq=False)
class Curve:
    """Accuracy of one classifier at every block.

    Args:
        classifier: Name of the classifier, such as "knn".
        parameter: Its parameter, such as "4".
        blocks: int (blocks,), ascending.
        mean: float (blocks,), mean accuracy over the folds.
        std: float (blocks,), standard deviation over the folds.
    """

    classifier: str
    parameter: str
    blocks: np.ndarray
    mean: np.ndarray
    std: np.ndarray

    @property
    def name(self) -> str:
        """The name that a reader knows, such as "4-NN"."""
        return classifier_name(self.classifier, self.parameter)

    def at(self, block: int) -> tuple[float, float]:
        """Return mean and standard deviation at one block.

        Args:
            block: The block.

        Returns:
            The mean accuracy and its standard deviation.

        Raises:
            UserError: The curve has no such block.
        """
        if block not in self.blocks:
            known = ", ".join(str(known) for known in self.blocks)
            raise UserError("block", expected=f"one of: {known}", received=block)
        place = int(np.flatnonzero(self.blocks == block)[0])
        return float(self.mean[place]), float(self.std[place])


def classifier_name(classifier: str, parameter: str) -> str:
    """Return the name of a classifier as a reader knows it.

    Args:
        classifier: "knn", "nearest_mean", or any other.
        parameter: Its parameter.

    Returns:
        The name.

    Example:
        >>> classifier_name("knn", "4"), classifier_name("nearest_mean", "cosine")
        ('4-NN', 'nearest mean, cosine')
    """
    if classifier == "knn":
        return f"{parameter}-NN"
    return f"{classifier.replace('_', ' ')}, {parameter}" if parameter else classifier.replace("_", " ")


def curves(accuracy: "pd.DataFrame") -> list[Curve]:
    """Cut the accuracy table of one label into curves: k-NN by k first, nearest mean next, any other last.

    Args:
        accuracy: Columns label, block, classifier, parameter, accuracy_mean, accuracy_std.

    Returns:
        One curve a classifier and parameter.

    Raises:
        UserError: The table is empty, holds several labels, or has two rows for one block of a curve.
    """
    _check(accuracy)
    table = accuracy.assign(parameter=accuracy["parameter"].astype(str)).sort_values("block")
    found = [
        Curve(
            classifier=str(classifier),
            parameter=str(parameter),
            blocks=rows["block"].to_numpy(int),
            mean=rows["accuracy_mean"].to_numpy(float),
            std=rows["accuracy_std"].to_numpy(float),
        )
        for (classifier, parameter), rows in table.groupby(["classifier", "parameter"], sort=False)  # pyright: ignore
    ]
    return sorted(found, key=_order)


def find(found: Sequence[Curve], classifier: str, parameter: str) -> Curve:
    """Return the curve of one classifier and parameter.

    Args:
        found: Curves of one label.
        classifier: Name of the classifier.
        parameter: Its parameter.

    Returns:
        The curve.

    Raises:
        UserError: There is none.
    """
    for curve in found:
        if (curve.classifier, curve.parameter) == (classifier, str(parameter)):
            return curve
    names = ", ".join(curve.name for curve in found)
    raise UserError("classifier", expected=f"one of: {names}", received=classifier_name(classifier, parameter))


def _check(accuracy: "pd.DataFrame") -> None:
    """Refuse a table that does not hold one value a block, classifier and parameter."""
    labels = sorted({str(label) for label in accuracy["label"]})
    if len(labels) != 1:
        raise UserError(
            "accuracy",
            expected="a table with the rows of one label",
            received=", ".join(labels) or "no rows",
            remedy="Keep the rows of one value of its column `label`.",
        )
    keys = accuracy[["block", "classifier", "parameter"]].astype(str)
    if keys.duplicated().any():
        twice = " ".join(keys[keys.duplicated()].iloc[0])
        raise UserError("accuracy", expected="a table with one row a block and classifier", received=f"two for {twice}")


def _order(curve: Curve) -> tuple[int, float, str]:
    """Give the place of a curve: known families first, numbers by value, names by alphabet."""
    family = _FAMILIES.index(curve.classifier) if curve.classifier in _FAMILIES else len(_FAMILIES)
    number = float(curve.parameter) if curve.parameter.isdecimal() else float("inf")
    # Euclidean is the plain case and comes before cosine.
    return family, number, "" if curve.parameter == "euclidean" else curve.parameter or curve.classifier
