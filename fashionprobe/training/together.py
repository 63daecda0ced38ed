"""Several labels trained together in one network: the loss is the sum over the labels that are known of an image."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from fashionprobe.backbones.graph import copy_model, copy_weights, origin
from fashionprobe.records.read import read, readable
from fashionprobe.records.record_set import RecordSet
from fashionprobe.training import augment
from fashionprobe.training.fit import Plan, Report, fit
from fashionprobe.training.scores import Scores, score


@keras.saving.register_keras_serializable(package="fashionprobe")
class KnownCrossentropy(keras.losses.Loss):
    """Cross-entropy of several labels, summed over those that are known.

    Formula:
        loss = 1 / images * sum over images and known labels of -sum_c t_c log softmax(z)_c

    Args:
        widths: Number of classes of each label, in the order in which they stand side by side.
        name: Name of the loss.
    """

    def __init__(self, widths: Sequence[int], *, name: str = "known_crossentropy") -> None:
        super().__init__(name=name)
        self.widths = [int(width) for width in widths]

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Return the loss of each image.

        Args:
            y_true: One-hot targets side by side, float32 (batch, classes of all labels); zeros for a missing label.
            y_pred: Logits, float32 of the same shape.
        """
        # TensorFlow's own cross-entropy has a wrong gradient where a target is all zeros.
        parts = zip(tf.split(y_true, self.widths, axis=1), tf.split(y_pred, self.widths, axis=1), strict=True)
        return tf.add_n([-tf.reduce_sum(target * tf.nn.log_softmax(logits), axis=1) for target, logits in parts])

    def get_config(self) -> dict[str, Any]:
        """Return what it was made from."""
        return {"widths": self.widths, "name": self.name}


class KnownAccuracy(keras.metrics.Metric):
    """Mean over labels of the share of images whose class is right, of those whose label is known.

    Args:
        widths: As for `KnownCrossentropy`.
        name: Name of the metric.
    """

    def __init__(self, widths: Sequence[int], *, name: str = "accuracy") -> None:
        super().__init__(name=name)
        self.widths = list(widths)
        self.right = self.add_weight(shape=(len(self.widths),), initializer="zeros", name="right")
        self.known = self.add_weight(shape=(len(self.widths),), initializer="zeros", name="known")

    def update_state(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: None = None) -> None:
        """Count a batch."""
        right, known = [], []
        for target, logits in zip(
            tf.split(y_true, self.widths, axis=1), tf.split(y_pred, self.widths, axis=1), strict=True
        ):
            there = tf.reduce_sum(target, axis=1)
            same = tf.cast(tf.argmax(target, axis=1) == tf.argmax(logits, axis=1), tf.float32)
            right.append(tf.reduce_sum(same * there))
            known.append(tf.reduce_sum(there))
        self.right.assign_add(tf.stack(right))
        self.known.assign_add(tf.stack(known))

    def result(self) -> tf.Tensor:
        """Return the mean over the labels that were seen."""
        right, known = tf.convert_to_tensor(self.right), tf.convert_to_tensor(self.known)
        seen = tf.reduce_sum(tf.cast(known > 0, tf.float32))
        return tf.math.divide_no_nan(tf.reduce_sum(tf.math.divide_no_nan(right, known)), seen)


@dataclass(frozen=True)
class JointTraining:
    """What decides the result of a training of several labels.

    Attributes:
        network: A flat model from images to a dictionary of class probabilities by label, each of a softmax layer.
        records: The record set. A label that it lacks, or that an image lacks, is left out of the loss.
        numbers: For each output the number of the class by value of the label column.
        fit: How images are brought to the network's size.
        batch_size: Images a step.
        augment: Names of the augmentations.
        seed: Seed of everything random.
        plan: Schedule and optimiser.
        slow: Names of the layers that train at a lower rate. Batch normalisation among them keeps its statistics,
            shift and scale: its statistics would follow the new images at full speed, whatever the rate.
        share: Their learning rate, as a share of that of the others.
    """

    network: keras.Model
    records: RecordSet
    numbers: Mapping[str, Mapping[str, int]]
    fit: Literal["pad", "stretch"]
    batch_size: int
    augment: Sequence[str]
    seed: int
    plan: Plan
    slow: Collection[str] = ()
    share: float = 1.0

    @property
    def widths(self) -> list[int]:
        """Number of classes of each output."""
        return [int(self.network.output[label].shape[-1]) for label in self.numbers]

    def steps(self) -> int:
        """Return the number of batches an epoch; the last may be smaller."""
        return -(-int((self.records.items["split"] == "train").sum()) // self.batch_size)

    def images(self, split: str, epochs: range | None = None) -> tf.data.Dataset:
        """Return batches of images and of one-hot targets side by side, zeros where a label is missing."""
        # A column with too many values to be one of classes bears the name of a label by accident.
        known = [label for label in self.numbers if "classes" in self.records.facts["columns"].get(label, {})]
        batches = read(
            self.records, outputs=("image", *known), splits=(split,), size=self.network.input_shape[1:3],
            fit=self.fit, batch_size=self.batch_size, passes=epochs, seed=self.seed,
        )  # fmt: skip
        tables = {label: tf.constant(self._targets(label, width)) for label, width in self._places(known)}

        def targets(images: tf.Tensor, *values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            found = dict(zip(known, values, strict=True))
            parts = [
                # A missing value comes as -1, which stands for the last row, of zeros.
                tf.gather(tables[label], tf.math.floormod(found[label], len(tables[label]))) if label in found
                else tf.zeros((len(images), width))
                for label, width in zip(self.numbers, self.widths, strict=True)
            ]  # fmt: skip
            return images, tf.concat(parts, axis=1)

        number = -(-int((self.records.items["split"] == split).sum()) // self.batch_size)
        ready = batches.map(targets)
        return ready.apply(tf.data.experimental.assert_cardinality(number * (1 if epochs is None else len(epochs))))

    def _places(self, known: list[str]) -> list[tuple[str, int]]:
        return [(label, width) for label, width in zip(self.numbers, self.widths, strict=True) if label in known]

    def _targets(self, label: str, width: int) -> np.ndarray:
        """Return the one-hot target of each value of a column, float32 (values + 1, classes); the last is missing."""
        values = self.records.classes(label)
        targets = np.zeros((len(values) + 1, width), np.float32)
        for row, value in enumerate(values):
            if value in self.numbers[label]:
                targets[row, self.numbers[label][value]] = 1
        return targets


def train_together(
    job: JointTraining, folder: Path, *, report: Report = lambda batches: None, tensorboard: Path | None = None
) -> tuple[keras.Model, pd.DataFrame]:
    """Train all outputs of a network together, or resume a killed run.

    Args:
        job: What to train.
        folder: Where history and state are kept.
        report: Called with the number of batches done.
        tensorboard: Folder for TensorBoard's logs.

    Returns:
        The network, a trained copy with the weights of the epoch with the best mean accuracy on val, and the history.

    Raises:
        UserError: If the loss becomes NaN, the device is out of memory, or the records are damaged.
    """
    logits = [origin(job.network.output[label]).input for label in job.numbers]
    inner = copy_model(keras.Model(job.network.input, logits))
    slow = [layer for layer in inner.layers if layer.name in job.slow]
    for layer in slow:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    image = keras.Input(job.network.input_shape[1:], name="image")
    pixels = image
    for layer in augment.layers(job.augment, seed=job.seed, xla=job.plan.xla):
        pixels = layer(pixels)
    found = keras.tree.flatten(inner(pixels))
    joined = keras.layers.Concatenate(dtype="float32")(found) if len(found) > 1 else found[0]
    with readable(job.records):
        history = fit(
            keras.Model(image, joined),
            lambda epochs: job.images("train", epochs),
            plan=job.plan,
            steps=job.steps(),
            folder=folder,
            loss=KnownCrossentropy(job.widths),
            metrics=[KnownAccuracy(job.widths)],
            validation=job.images("val"),
            best="val_accuracy",
            slow=[weight for layer in slow for weight in layer.trainable_weights],
            share=job.share,
            report=report,
            tensorboard=tensorboard,
        )
    trained = copy_model(job.network)
    for layer in inner.layers:
        if layer.weights:
            copy_weights(layer, trained.get_layer(layer.name))
    return trained, history


def measure(
    network: keras.Model, records: RecordSet, label: str, numbers: Mapping[str, int], names: Sequence[str],
    *, fit: Literal["pad", "stretch"], batch_size: int,
) -> dict[str, Scores]:  # fmt: skip
    """Score a classifier on val, and on test where the record set has one.

    Args:
        network: A model from images to class probabilities.
        records: The record set.
        label: The label column.
        numbers: Number of the class by value of the column; images of other values are left out.
        names: Names of the classes.
        fit: How images are brought to the network's size.
        batch_size: Images per batch.
    """
    items, found = records.of_classes(label, numbers), {}
    for split in ("val", "test"):
        rows = items[items["split"] == split]
        if not len(rows):
            continue
        images = read(
            records, outputs=("image", label), splits=(split,), size=network.input_shape[1:3], fit=fit,
            batch_size=batch_size, numbers={label: numbers},
        )  # fmt: skip
        with readable(records):
            shares = np.concatenate([network.predict_on_batch(batch) for batch, _ in images])
        found[split] = score(shares.astype(np.float64), rows["number"].to_numpy(), names)
    return found
