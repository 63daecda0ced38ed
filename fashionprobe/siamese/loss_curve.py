"""The loss of training and of held-out images, batch by batch, and the loss of images that are embedded."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from fashionprobe.artifacts import write_text
from fashionprobe.siamese.losses import TripletLoss
from fashionprobe.siamese.sampling import NO_PLACE

LOSSES = "losses.csv"

Measure = Callable[[], float]


class LossCurve(keras.callbacks.Callback):
    """Notes the loss every so many batches, and after the last batch of each epoch; it changes nothing else.

    `losses.csv` has the columns epoch and batch (both from 1; batch counts over all epochs), loss (mean over the
    batches of this epoch since the row before, as they were trained on), and val_loss or test_loss, where there are
    such images.

    Args:
        folder: Where the file is kept; what a killed run left for epochs that are computed again is dropped.
        every: Number of batches.
        steps: Batches an epoch.
        measure: Returns the loss of held-out images by the network as it is now; None where there are none.
        split: Their split.
    """

    def __init__(self, folder: Path, every: int, steps: int, measure: Measure | None, split: str = "") -> None:
        super().__init__()
        self._path, self._every, self._steps, self._measure, self._split = folder / LOSSES, every, steps, measure, split
        self._rows: list[dict[str, Any]] | None = None
        self._epoch, self._before = 0, (0.0, 0.0)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start from what was noted before this epoch."""
        if self._rows is None:
            self._rows = []
            if epoch:
                with self._path.open(encoding="utf-8", newline="") as file:
                    rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
                self._rows = [row | {"epoch": int(row["epoch"]), "batch": int(row["batch"])} for row in rows]
                self._rows = [row for row in self._rows if row["epoch"] <= epoch]
        self._epoch, self._before = epoch, (0.0, 0.0)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the losses, when it is time."""
        if (batch + 1) % self._every and batch + 1 != self._steps:
            return
        # Keras sums the losses of an epoch, each times its images.
        model: Any = self.model
        tracker = next(metric for metric in model.metrics if metric.name == "loss")
        total, images = float(tracker.total), float(tracker.count)
        loss = (total - self._before[0]) / (images - self._before[1])
        self._before = total, images
        row = {"epoch": self._epoch + 1, "batch": self._epoch * self._steps + batch + 1, "loss": max(loss, 0.0)}
        if self._measure is not None:
            row[f"{self._split}_loss"] = self._measure()
        if self._rows is not None:
            self._rows.append(row)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write what is known."""
        write_text(self._path, pd.DataFrame(self._rows).to_csv(index=False))


def compiled(loss: TripletLoss) -> Callable[..., tf.Tensor]:
    """Return a loss as a graph that follows changes of its margin and mining."""
    # A concrete function: several tf.functions of one line, called in turn, would pass for needless retracing.
    return tf.function(lambda numbers, points: loss(numbers, points)).get_concrete_function(
        tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, None], tf.float32)
    )


def mean_loss(
    loss: Callable[..., tf.Tensor], points: np.ndarray, numbers: np.ndarray, drawn: np.ndarray
) -> float:  # fmt: skip
    """Return the mean loss of batches of embedded images, each batch weighed by its images, as Keras does.

    Args:
        loss: Of class numbers, int32 (batch,), and embeddings, as `compiled` returns it.
        points: Embeddings, float32 (images, dimensions).
        numbers: Class number of each, int (images,).
        drawn: Batches as places in them, int64 (steps, batch), `NO_PLACE` to be left out; without any it is NaN.
    """
    if not len(drawn):
        return float("nan")
    batches = [places[places != NO_PLACE] for places in drawn]
    numbers = numbers.astype(np.int32)
    losses = [float(loss(tf.constant(numbers[places]), tf.constant(points[places]))) for places in batches]
    return float(np.average(losses, weights=[len(places) for places in batches]))
