"""One training: which images of a record set, which network, and the two ways to train it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight

from fashionprobe.backbones import Backbone
from fashionprobe.backbones.descriptors import channels, extractor
from fashionprobe.npy import RowWriter
from fashionprobe.records.read import read, readable
from fashionprobe.records.record_set import RecordSet
from fashionprobe.training import augment
from fashionprobe.training.classes import Classes
from fashionprobe.training.classifier import LOGITS, classifier, head
from fashionprobe.training.fit import Batches, Plan, Report, fit, out_of_memory
from fashionprobe.training.scores import TOP, softmax

FEATURES = "features.npy"
COMMIT_EVERY = 512
"""Rows of descriptors between two commits: what a killed run has to compute again."""


@dataclass(frozen=True)
class ClassifierTraining:
    """What decides the result of a training.

    Attributes:
        records: The record set.
        items: Its rows that have one of the classes, in stored order: id, split, number (of the class).
        classes: The classes.
        backbone: Where the network starts from.
        blocks: The blocks whose descriptors the head reads.
        freeze: Blocks 1 to this one keep their weights.
        fit: How images are brought to the backbone's size.
        batch_size: Images a step.
        dropout: Share of the descriptor that is left out in training.
        label_smoothing: Share of each target that is spread over all classes.
        augment: Names of the augmentations.
        class_weight: "none" or "balanced".
        precision: Type of the backbone's arithmetic.
        seed: Seed of everything random.
        plan: Schedule and optimiser.
        cached: Whether the backbone is run once over each image and the head alone trained on its descriptors.
        bias: Whether the dense layer has a bias.
    """

    records: RecordSet
    items: pd.DataFrame
    classes: Classes
    backbone: Backbone
    blocks: list[int]
    freeze: int
    fit: Literal["pad", "stretch"]
    batch_size: int
    dropout: float
    label_smoothing: float
    augment: list[str]
    class_weight: Literal["none", "balanced"]
    precision: Literal["float32", "bfloat16", "float16"]
    seed: int
    plan: Plan
    cached: bool
    bias: bool = True

    def arguments(self) -> dict[str, Any]:
        """Return all that changes the result, as plain values."""
        # Names that Keras gave to layers differ from process to process; their places do not.
        names = [layer.name for layer in self.backbone.model.layers]
        return {
            "label": self.classes.label,
            "classes": dict(self.classes.numbers),
            "backbone": self.backbone.name,
            "taps": [names.index(self.backbone.taps[block - 1]) for block in self.blocks],
            "preprocessing": asdict(self.backbone.preprocessing),
            "size": self.backbone.size,
            "fit": self.fit,
            "block": self.blocks,
            "freeze": self.freeze,
            "cache": self.cached,
            **asdict(self.plan),
            "batch_size": self.batch_size,
            "dropout": self.dropout,
            "label_smoothing": self.label_smoothing,
            "augment": self.augment,
            "class_weight": self.class_weight,
            "precision": self.precision,
            "seed": self.seed,
            # Only when it differs: classifiers of before there was a choice stay what they are.
            **({} if self.bias else {"bias": False}),
        }

    def network(self) -> keras.Model:
        """Build the network to train, with fresh random numbers for dropout and augmentation."""
        return classifier(
            self.backbone,
            len(self.classes.names),
            blocks=self.blocks,
            freeze=self.freeze,
            dropout=self.dropout,
            augment=augment.layers(self.augment, seed=self.seed, xla=self.plan.xla),
            dtype=self.precision if self.precision == "float32" else f"mixed_{self.precision}",
            bias=self.bias,
            seed=self.seed,
        )

    def rows(self, split: str) -> np.ndarray:
        """Return the places of one split's images in `items`."""
        return np.flatnonzero(self.items["split"] == split)

    def steps(self) -> int:
        """Return the number of batches an epoch; the last may be smaller."""
        return -(-len(self.rows("train")) // self.batch_size)

    def weights_of_classes(self) -> dict[int, float] | None:
        """Return the factor of each class in the loss: images / (classes x images of the class), or None."""
        if self.class_weight == "none":
            return None
        numbers = self.items["number"].to_numpy()[self.rows("train")]
        present = np.unique(numbers)
        balanced = compute_class_weight("balanced", classes=present, y=numbers)
        return {int(number): float(weight) for number, weight in zip(present, balanced, strict=True)}

    def images(self, split: str, epochs: range | None = None) -> tf.data.Dataset:
        """Return batches of images and one-hot targets."""
        label, count = self.classes.label, len(self.classes.names)
        batches = read(
            self.records, outputs=("image", label), splits=(split,), size=self.backbone.size, fit=self.fit,
            batch_size=self.batch_size, numbers={label: self.classes.numbers}, passes=epochs, seed=self.seed,
        )  # fmt: skip
        # What is left after a filter TensorFlow cannot know, and Keras would take the end of it for an accident.
        number = -(-len(self.rows(split)) // self.batch_size) * (1 if epochs is None else len(epochs))
        targets = batches.map(lambda images, numbers: (images, tf.one_hot(numbers, count)))
        return targets.apply(tf.data.experimental.assert_cardinality(number))


@dataclass(frozen=True)
class ClassifierOutcome:
    """The outcome of a training.

    Attributes:
        network: The network with the weights of its best epoch.
        history: One row per epoch.
        probabilities: float64 (images, classes) for each split that was measured.
    """

    network: keras.Model
    history: pd.DataFrame
    probabilities: Mapping[str, np.ndarray]


def train(
    job: ClassifierTraining,
    folder: Path,
    *,
    strategy: tf.distribute.Strategy,
    report: Report = lambda batches: None,
    tensorboard: Path | None = None,
) -> ClassifierOutcome:
    """Train a network, or resume a killed run.

    Args:
        job: What to train.
        folder: Where history and state are kept.
        strategy: How the work is spread over devices.
        report: Called with the number of batches done, of the `total_batches`.
        tensorboard: Folder for TensorBoard's logs.

    Raises:
        UserError: If the loss becomes NaN, the device is out of memory, or the records are damaged.
    """
    measured = [split for split in ("val", "test") if len(job.rows(split))]
    with readable(job.records):
        if job.cached:
            return _on_features(job, folder, measured, strategy, report, tensorboard)
        with strategy.scope():
            network = job.network()
            history = _fit(
                job, network, lambda epochs: job.images("train", epochs), job.images("val"), folder, report, tensorboard
            )
            found = {split: _predict(network, job.images(split)) for split in measured}
        return ClassifierOutcome(network, history, found)


def total_batches(job: ClassifierTraining) -> int:
    """Return how many batches a training computes, validation left out."""
    if not job.cached:
        return job.plan.epochs * job.steps()
    return -(-len(job.items) // job.batch_size) + job.plan.epochs * job.steps()


def _on_features(
    job: ClassifierTraining,
    folder: Path,
    measured: list[str],
    strategy: tf.distribute.Strategy,
    report: Report,
    tensorboard: Path | None,
) -> ClassifierOutcome:
    """Train the head alone, on descriptors that are computed once."""
    descriptors = _describe(job, folder, report)
    numbers, count = job.items["number"].to_numpy(), len(job.classes.names)

    def of_split(split: str, epochs: range | None = None) -> tf.data.Dataset:
        return batches(
            descriptors, numbers, count, rows=job.rows(split), batch_size=job.batch_size, epochs=epochs, seed=job.seed
        )

    with strategy.scope():
        small = head(descriptors.shape[1], count, dropout=job.dropout, bias=job.bias, seed=job.seed)
        history = _fit(
            job, small, lambda epochs: of_split("train", epochs), of_split("val"), folder, report, tensorboard
        )
        found = {split: _predict(small, of_split(split)) for split in measured}
    network = job.network()
    network.get_layer(LOGITS).set_weights(small.get_layer(LOGITS).get_weights())
    return ClassifierOutcome(network, history, found)


def _fit(
    job: ClassifierTraining,
    model: keras.Model,
    batches: Batches,
    validation: tf.data.Dataset,
    folder: Path,
    report: Report,
    tensorboard: Path | None,
) -> pd.DataFrame:
    return fit(
        model,
        batches,
        plan=job.plan,
        steps=job.steps(),
        folder=folder,
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=job.label_smoothing),
        metrics=_metrics(len(job.classes.names)),
        validation=validation,
        best="val_accuracy",
        class_weight=job.weights_of_classes(),
        report=report,
        tensorboard=tensorboard,
    )


def _metrics(classes: int) -> list[keras.metrics.Metric]:
    """Return what is measured each epoch; the first guesses count where they are not all classes."""
    metrics: list[keras.metrics.Metric] = [keras.metrics.CategoricalAccuracy(name="accuracy")]
    if classes > TOP:
        metrics.append(keras.metrics.TopKCategoricalAccuracy(TOP, name=f"top_{TOP}"))
    return metrics


def _predict(model: keras.Model, batches: tf.data.Dataset) -> np.ndarray:
    """Return class probabilities, float64 (images, classes)."""
    return softmax(model.predict(batches, verbose=0))  # pyright: ignore[reportArgumentType]


def _describe(job: ClassifierTraining, folder: Path, report: Report) -> np.ndarray:
    """Compute the joined descriptors of all items, or resume a killed run; return a memory map."""
    label = job.classes.label
    width = sum(channels(job.backbone, job.blocks))
    folder = folder / ".features"
    folder.mkdir(exist_ok=True)
    with RowWriter(folder, {FEATURES: width}, len(job.items), step=job.batch_size) as writer:
        report(-(-writer.done // job.batch_size))
        if writer.done < len(job.items):
            forward = extractor(job.backbone, job.blocks, precision=job.precision, xla=job.plan.xla)
            images = read(
                job.records, outputs=("image", label), size=job.backbone.size, fit=job.fit,
                batch_size=job.batch_size, skip=writer.done, numbers={label: job.classes.numbers},
            )  # fmt: skip
            committed = writer.done
            for batch, numbers in images:
                _check_order(numbers.numpy(), job.items["number"].to_numpy()[writer.done :])
                try:
                    found = forward(batch)
                except tf.errors.ResourceExhaustedError as error:
                    raise out_of_memory() from error
                writer.append([np.concatenate([tensor.numpy() for tensor in found], axis=1)])
                report(1)
                if writer.done - committed >= COMMIT_EVERY:
                    writer.commit()
                    committed = writer.done
            writer.commit()
    return np.load(folder / FEATURES, mmap_mode="r")


def _check_order(numbers: np.ndarray, expected: np.ndarray) -> None:
    """Make sure that the records come in the order of items.csv."""
    if not np.array_equal(numbers, expected[: len(numbers)]):
        raise tf.errors.DataLossError(None, None, "records in another order than items.csv")


def batches(
    features: np.ndarray,
    numbers: np.ndarray,
    classes: int,
    *,
    rows: np.ndarray,
    batch_size: int,
    epochs: range | None = None,
    seed: int = 0,
) -> tf.data.Dataset:
    """Return batches of descriptors and one-hot targets.

    Args:
        features: float32 (all, channels); a memory map is read a batch at a time.
        numbers: Class number of each row, int (all,).
        classes: Number of classes.
        rows: The rows to use, int (rows,).
        batch_size: Rows per batch; the last of an epoch may be smaller.
        epochs: Numbers of the epochs, each in an order that seed and number fix. None: once, in order.
        seed: Seed of the order.

    Returns:
        A data set of float32 (batch, channels) and float32 (batch, classes).
    """
    width = features.shape[1]

    def gather(chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found = tf.numpy_function(lambda places: features[places], [chosen], tf.float32, stateful=False)
        targets = tf.one_hot(tf.gather(tf.constant(numbers, tf.int64), chosen), classes)
        return tf.ensure_shape(found, (None, width)), targets

    def epoch_of(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(tf.constant(rows, tf.int64), seed=(seed, epoch))  # pyright: ignore[reportAttributeAccessIssue]
        return tf.data.Dataset.from_tensor_slices(order).batch(batch_size)

    if epochs is None:
        chosen = tf.data.Dataset.from_tensor_slices(rows.astype(np.int64)).batch(batch_size)
    else:
        chosen = tf.data.Dataset.range(epochs.start, epochs.stop, epochs.step).flat_map(epoch_of)
    return chosen.map(gather).prefetch(tf.data.AUTOTUNE)
