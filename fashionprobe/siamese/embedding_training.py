"""One training of an embedding: which images of a record set, which network, which triplets."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from fashionprobe.backbones import Backbone
from fashionprobe.npy import RowWriter
from fashionprobe.records.read import read, readable
from fashionprobe.records.record_set import RecordSet
from fashionprobe.siamese.embedder import embedder
from fashionprobe.siamese.losses import Mining, TripletLoss
from fashionprobe.siamese.sampling import balanced, batches, random_triplets
from fashionprobe.siamese.schedule import Schedule, Watch
from fashionprobe.siamese.triplets import Metric
from fashionprobe.training import augment
from fashionprobe.training.classes import Classes
from fashionprobe.training.classifier import without_augmentation
from fashionprobe.training.fit import HISTORY, Plan, Report, fit

PICTURES = "pictures.npy"
READ_TOGETHER = 256


@dataclass(frozen=True)
class Settings:
    """What may be searched over: all but the images and the backbone.

    Attributes:
        dimension: Dimensions of the embedding.
        pooling: "average" or "flatten".
        hidden: Units of a dense layer before the embedding; 0 for none.
        unit_norm: Whether embeddings have length 1.
        freeze: Blocks 1 to this one keep their weights.
        augment: Names of the augmentations.
        mining: Which triplets count.
        metric: How far two embeddings are.
        margin: What the distances of a triplet should differ by, or "soft".
        margin_end: Margin of the last epoch, when it rises; None when it does not.
        easy_epochs: Epochs that begin with semi-hard mining.
        classes_per_batch: P, the classes of a batch.
        per_class: K, the images of each.
        steps: Batches an epoch.
        seed: Seed of everything random.
        plan: Schedule and optimiser.
    """

    dimension: int
    pooling: Literal["average", "flatten"]
    hidden: int
    unit_norm: bool
    freeze: int
    augment: list[str]
    mining: Mining
    metric: Metric
    margin: float | Literal["soft"]
    margin_end: float | None
    easy_epochs: int
    classes_per_batch: int
    per_class: int
    steps: int
    seed: int
    plan: Plan


@dataclass(frozen=True)
class EmbeddingTraining:
    """What decides the result of a training.

    Attributes:
        records: The record set.
        items: Its rows that have one of the classes, in stored order: id, split, number (of the class).
        classes: The classes.
        backbone: Where the network starts from.
        fit: How images are brought to the backbone's size.
        settings: The rest.
    """

    records: RecordSet
    items: pd.DataFrame
    classes: Classes
    backbone: Backbone
    fit: Literal["pad", "stretch"]
    settings: Settings

    def having(self, **settings: Any) -> "EmbeddingTraining":
        """Return the same job with some settings, or some of the plan's, changed."""
        plan = {name: settings.pop(name) for name in [*settings] if name in Plan.__dataclass_fields__}
        changed = replace(self.settings, **settings, plan=replace(self.settings.plan, **plan))
        return replace(self, settings=changed)

    def arguments(self) -> dict[str, Any]:
        """Return all that changes the result, as plain values."""
        given = asdict(self.settings)
        return {
            "label": self.classes.label,
            "classes": dict(self.classes.numbers),
            "backbone": self.backbone.name,
            "taps": list(self.backbone.taps),
            "preprocessing": asdict(self.backbone.preprocessing),
            "size": self.backbone.size,
            "fit": self.fit,
            **given.pop("plan"),
            **given,
        }

    def network(self) -> keras.Model:
        """Build the network with its first weights, augmentation in front."""
        chosen = self.settings
        return embedder(
            self.backbone,
            chosen.dimension,
            pooling=chosen.pooling,
            hidden=chosen.hidden,
            unit_norm=chosen.unit_norm,
            freeze=chosen.freeze,
            augment=augment.layers(chosen.augment, seed=chosen.seed),
            seed=chosen.seed,
        )

    def loss(self) -> TripletLoss:
        """Make the loss."""
        return TripletLoss(self.settings.mining, metric=self.settings.metric, margin=self.settings.margin)

    def numbers(self, split: str = "train") -> np.ndarray:
        """Return the class numbers of a split, int (images,), in stored order."""
        return self.items.loc[self.items["split"] == split, "number"].to_numpy()

    def drawn(self, numbers: np.ndarray, epoch: int) -> np.ndarray:
        """Return the batches of an epoch as places in `numbers`, int64 (steps, batch)."""
        chosen = self.settings
        common = {"steps": chosen.steps, "seed": chosen.seed, "epoch": epoch}
        if chosen.mining == "random":
            # As many images per batch as the others have.
            size = max(chosen.classes_per_batch * chosen.per_class // 3, 1)
            return random_triplets(numbers, size=size, **common)
        return balanced(numbers, classes=chosen.classes_per_batch, per_class=chosen.per_class, **common)


@dataclass(frozen=True)
class EmbeddingOutcome:
    """A trained embedding network.

    Attributes:
        network: The network.
        history: One row per epoch: epoch, learning_rate, loss, active, spread, margin.
        states: The epoch, from 1, in which it was "collapsed" or "stalled" first.
    """

    network: keras.Model
    history: pd.DataFrame
    states: dict[str, int]


def train(
    job: EmbeddingTraining,
    folder: Path,
    pictures: np.ndarray,
    *,
    rows: np.ndarray | None = None,
    report: Report = lambda done: None,
) -> EmbeddingOutcome:
    """Train on the train split, or on some of it; resume a killed run.

    Args:
        job: The job.
        folder: Where `history.csv` and the state are kept.
        pictures: The images of train, as `decoded` returns them.
        rows: Those to train on, int; all by default.
        report: Called with the number of batches done.

    Raises:
        UserError: If a class has too few images, or the loss is no longer a number.
    """
    numbers = job.numbers()
    places = np.arange(len(numbers)) if rows is None else rows
    job.drawn(numbers[places], 0)  # what does not fit is refused before the network is built
    network, loss = job.network(), job.loss()
    watch = Watch(loss)
    chosen = job.settings
    schedule = Schedule(
        loss, end=chosen.margin_end, epochs=chosen.plan.epochs, easy=chosen.easy_epochs, history=folder / HISTORY
    )
    history = fit(
        network,
        lambda epochs: batches(pictures, numbers, lambda epoch: places[job.drawn(numbers[places], epoch)], epochs),
        plan=chosen.plan,
        steps=chosen.steps,
        folder=folder,
        loss=loss,
        metrics=[_mean(loss.active, "active"), _mean(loss.spread, "spread")],
        report=report,
        callbacks=[schedule, watch],
    )
    return EmbeddingOutcome(without_augmentation(network), history, watch.found)


def decoded(job: EmbeddingTraining, folder: Path, *, report: Report = lambda images: None) -> np.ndarray:
    """Decode and resize the images of train once, to a file; return them as a memory map.

    Returns:
        uint8 (images, height, width, 3), RGB, in stored order.
    """
    height, width = job.backbone.size
    numbers = job.numbers()
    with RowWriter(
        folder, {PICTURES: height * width * 3}, len(numbers), step=READ_TOGETHER, dtype="|u1"
    ) as writer, readable(job.records):  # fmt: skip
        report(writer.done)
        if writer.done < len(numbers):
            images = _read(job, ("image",), ("train",), skip=writer.done)
            for batch, _ in images:
                rounded = np.rint(batch.numpy()).astype(np.uint8)
                writer.append([rounded.reshape(len(rounded), -1)])
                report(len(rounded))
            writer.commit()
    return np.load(folder / PICTURES, mmap_mode="r").reshape(-1, height, width, 3)


def embedded(job: EmbeddingTraining, network: keras.Model, *, report: Report = lambda images: None) -> np.ndarray:
    """Return the embeddings of all items, float32 (images, dimensions), in their order."""
    found = []
    with readable(job.records):
        for batch, _ in _read(job, ("image",), ("train", "val", "test")):
            found.append(np.asarray(network.predict_on_batch(batch)))
            report(len(batch))
    return np.concatenate(found)


def embedded_pictures(network: keras.Model, pictures: np.ndarray) -> np.ndarray:
    """Return the embeddings of pictures that were decoded, float32 (images, dimensions)."""
    starts = range(0, len(pictures), READ_TOGETHER)
    parts = (np.asarray(pictures[start : start + READ_TOGETHER], np.float32) for start in starts)
    return np.concatenate([np.asarray(network.predict_on_batch(part)) for part in parts])


def _read(job: EmbeddingTraining, outputs: Sequence[str], splits: Sequence[str], *, skip: int = 0) -> tf.data.Dataset:
    there = [split for split in splits if (job.items["split"] == split).any()]
    label = job.classes.label
    return read(
        job.records, outputs=(*outputs, label), splits=there, size=job.backbone.size, fit=job.fit,
        batch_size=READ_TOGETHER, skip=skip, numbers={label: job.classes.numbers},
    )  # fmt: skip


def _mean(function: Any, name: str) -> keras.metrics.Metric:
    return keras.metrics.MeanMetricWrapper(function, name=name)
