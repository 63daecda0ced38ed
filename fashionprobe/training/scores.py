"""What a classifier gets right: top-1, top-5, precision, recall and F1 of every class, and who is taken for whom."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from fashionprobe.intervals import wilson

TOP = 5
"""Size of the first guesses that count as right; of no more classes than that it says nothing."""


@dataclass(frozen=True)
class Scores:
    """What a classifier got right on one split.

    Attributes:
        images: Number of images.
        top_1: Share whose true class is the most probable one.
        low: Lower end of the 95 % Wilson interval of `top_1`.
        high: Its upper end.
        top_5: Share whose true class is among the five most probable; None with five classes or fewer, where all are.
        macro_f1: Mean F1 of the classes that have images in this split.
        predictions: true, predicted, probability (of the predicted class), rank (of the true class, from 1).
        per_class: class, images, precision, recall, f1, low, high (95 % Wilson interval of the recall); a class without
            images has an undefined recall, one that is never predicted a precision of 0.
        confusion: True class (rows) by predicted class (columns), in images.
        pairs: true, predicted, images, of, share, low, high for each pair that was confused, most images first.
    """

    images: int
    top_1: float
    low: float
    high: float
    top_5: float | None
    macro_f1: float
    predictions: pd.DataFrame
    per_class: pd.DataFrame
    confusion: pd.DataFrame
    pairs: pd.DataFrame


def score(probabilities: np.ndarray, numbers: np.ndarray, names: Sequence[str]) -> Scores:
    """Compare probabilities with the truth.

    Args:
        probabilities: float (images, classes).
        numbers: Number of the true class, int (images,).
        names: Names of the classes.
    """
    classes = np.asarray(names, dtype=object)
    predicted = probabilities.argmax(axis=1)
    of_true = np.take_along_axis(probabilities, numbers[:, None], axis=1)
    # Among equals the class first in order counts as the more probable one, as it does for argmax.
    equal_before = (probabilities == of_true) & (np.arange(len(classes)) < numbers[:, None])
    rank = 1 + ((probabilities > of_true) | equal_before).sum(axis=1)
    confusion = confusion_matrix(numbers, predicted, labels=range(len(classes)))
    low, high = wilson(np.array([(rank == 1).sum()]), np.array([len(rank)]))
    per_class = _per_class(numbers, predicted, classes)
    return Scores(
        images=len(numbers),
        top_1=float((rank == 1).mean()),
        low=float(low[0]),
        high=float(high[0]),
        top_5=float((rank <= TOP).mean()) if len(classes) > TOP else None,
        macro_f1=float(per_class.loc[per_class["images"] > 0, "f1"].mean()),
        predictions=pd.DataFrame({
            "true": classes[numbers], "predicted": classes[predicted],
            "probability": probabilities.max(axis=1), "rank": rank,
        }),
        per_class=per_class,
        confusion=pd.DataFrame(confusion, index=pd.Index(classes), columns=pd.Index(classes)),
        pairs=_pairs(confusion, classes),
    )  # fmt: skip


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return class probabilities, float64, from logits (images, classes)."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def _per_class(numbers: np.ndarray, predicted: np.ndarray, classes: np.ndarray) -> pd.DataFrame:
    found = precision_recall_fscore_support(
        numbers,
        predicted,
        labels=range(len(classes)),
        zero_division=0.0,  # pyright: ignore[reportArgumentType]
    )
    precision, _, f1, images = map(np.asarray, found)
    correct = np.bincount(numbers[numbers == predicted], minlength=len(classes))
    there = images > 0
    recall, low, high = (np.full(len(classes), np.nan) for _ in range(3))
    recall[there] = correct[there] / images[there]
    low[there], high[there] = wilson(correct[there], images[there])
    table = {"class": classes, "images": images, "precision": precision, "recall": recall, "f1": f1}
    return pd.DataFrame(table | {"low": low, "high": high})


def _pairs(confusion: np.ndarray, classes: np.ndarray) -> pd.DataFrame:
    wrong = confusion - np.diag(np.diag(confusion))
    true, predicted = np.nonzero(wrong)
    images, of = wrong[true, predicted], confusion.sum(axis=1)[true]
    low, high = wilson(images, of) if len(images) else (np.zeros(0), np.zeros(0))
    table = pd.DataFrame({
        "true": classes[true], "predicted": classes[predicted], "images": images, "of": of,
        "share": images / of, "low": low, "high": high,
    })  # fmt: skip
    return table.sort_values(["images", "share"], ascending=False, kind="stable", ignore_index=True)
