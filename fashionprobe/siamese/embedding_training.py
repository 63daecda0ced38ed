"""One training of an embedding: which images of a record set, which network, which triplets."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
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
from fashionprobe.siamese.loss_curve import LOSSES, LossCurve, Measure, compiled, mean_loss
from fashionprobe.siamese.losses import Mining, TripletLoss
from fashionprobe.siamese.sampling import NO_PLACE, balanced, batches, random_batches, random_triplets
from fashionprobe.siamese.schedule import Schedule, Watch
from fashionprobe.siamese.triplets import Metric
from fashionprobe.training import augment
from fashionprobe.training.classes import Classes
from fashionprobe.training.classifier import without_augmentation
from fashionprobe.training.fit import HISTORY, Plan, Report, fit

PICTURES = "pictures.npy"
READ_TOGETHER = 256

HELD_OUT = 1024
"""Images, at most, that the loss is measured on during training."""

FIXED = 2**31
"""Epoch of the batches that a loss is measured on: one that no training has."""

LATER = ("batch_size", "triplets", "loss_every")
"""Settings that came later: without them an embedding is the same as ever."""


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
        steps: Batches an epoch; None for as many as one pass over the images takes.
        seed: Seed of everything random.
        plan: Schedule and optimiser.
        batch_size: Images of a batch that is drawn with no regard to classes; None for P classes with K images each.
        triplets: Triplets of a batch with random mining; None for as many images as the other batches have.
        loss_every: Batches after which the loss is noted; None for not at all.
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
    steps: int | None
    seed: int
    plan: Plan
    batch_size: int | None = None
    triplets: int | None = None
    loss_every: int | None = None


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
        given = {name: value for name, value in asdict(self.settings).items() if name not in LATER or value is not None}
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

    def steps(self, images: int) -> int:
        """Return the number of batches in an epoch over so many images (anchors, where triplets are drawn)."""
        chosen = self.settings
        return chosen.steps or -(-images // (self._triplets if chosen.mining == "random" else self._images))

    def drawn(self, numbers: np.ndarray, epoch: int) -> np.ndarray:
        """Return the batches of an epoch as places in `numbers`, int64 (steps, batch); `NO_PLACE` is to be left out."""
        chosen = self.settings
        common = {"steps": self.steps(len(numbers)), "seed": chosen.seed, "epoch": epoch}
        if chosen.mining == "random":
            return random_triplets(numbers, size=self._triplets, **common)
        if chosen.batch_size is not None:
            return random_batches(numbers, size=chosen.batch_size, **common)
        return balanced(numbers, classes=chosen.classes_per_batch, per_class=chosen.per_class, **common)

    def fixed(self, numbers: np.ndarray) -> np.ndarray:
        """Return batches to measure a loss on: one pass over the images, drawn as for training, the same each time.

        Classes of one image are left out, and batches have no more classes, and no more images of each, than there are.

        Returns:
            Places in `numbers`, int64 (steps, batch), `NO_PLACE` to be left out; no rows where no triplet can be made.
        """
        counts = np.bincount(numbers)
        places = np.flatnonzero(counts[numbers] > 1)
        counts = counts[counts > 1]
        if len(counts) < 2:
            return np.empty((0, 0), np.int64)
        chosen = self.settings
        limits = {
            "classes_per_batch": min(chosen.classes_per_batch, len(counts)),
            "per_class": min(chosen.per_class, int(counts.min())),
        }
        drawn = self.having(**limits, steps=None).drawn(numbers[places], FIXED)
        return np.where(drawn == NO_PLACE, NO_PLACE, places[drawn])

    def measured(self, points: np.ndarray, numbers: np.ndarray) -> float:
        """Return the loss of embedded images, over fixed batches; NaN where no triplet can be made.

        Args:
            points: Their embeddings, float32 (images, dimensions).
            numbers: Their class numbers, int (images,).
        """
        return mean_loss(compiled(self.loss()), points, numbers, self.fixed(numbers))

    @property
    def _images(self) -> int:
        chosen = self.settings
        return chosen.batch_size or chosen.classes_per_batch * chosen.per_class

    @property
    def _triplets(self) -> int:
        # As many images per batch as the others have.
        return self.settings.triplets or max(self._images // 3, 1)


@dataclass(frozen=True)
class HeldOut:
    """Images that the loss is measured on during training.

    Attributes:
        split: Their split, "val" or "test"; "" where there are none.
        pictures: uint8 (images, height, width, 3), RGB.
        numbers: Their class numbers, int (images,).
    """

    split: str = ""
    pictures: np.ndarray = field(default_factory=lambda: np.empty((0, 1, 1, 3), np.uint8))
    numbers: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(frozen=True)
class EmbeddingOutcome:
    """A trained embedding network.

    Attributes:
        network: The network.
        history: One row per epoch: epoch, learning_rate, loss, active, spread, margin.
        states: The epoch, from 1, in which it was "collapsed" or "stalled" first.
        losses: The rows of `losses.csv`; None where the loss was not noted.
    """

    network: keras.Model
    history: pd.DataFrame
    states: dict[str, int]
    losses: pd.DataFrame | None = None


def train(
    job: EmbeddingTraining,
    folder: Path,
    pictures: np.ndarray,
    *,
    rows: np.ndarray | None = None,
    held_out: HeldOut | None = None,
    report: Report = lambda done: None,
) -> EmbeddingOutcome:
    """Train on the train split, or on some of it; resume a killed run.

    Args:
        job: The job.
        folder: Where `history.csv` and the state are kept.
        pictures: The images of train, as `decoded` returns them.
        rows: Those to train on, int; all by default.
        held_out: Images of another split: the loss of training and theirs is written to `losses.csv` every
            `loss_every` batches. None for not at all.
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
    steps = job.steps(len(places))
    curves = []
    if chosen.loss_every and held_out is not None:
        measure = _held_out_loss(job, network, loss, held_out)
        curves = [LossCurve(folder, chosen.loss_every, steps, measure if held_out.split else None, held_out.split)]
    history = fit(
        network,
        lambda epochs: batches(pictures, numbers, lambda epoch: places[job.drawn(numbers[places], epoch)], epochs),
        plan=chosen.plan,
        steps=steps,
        folder=folder,
        loss=loss,
        metrics=[_mean(loss.active, "active"), _mean(loss.spread, "spread")],
        report=report,
        callbacks=[schedule, watch, *curves],
    )
    losses = pd.read_csv(folder / LOSSES) if curves else None
    return EmbeddingOutcome(without_augmentation(network), history, watch.found, losses)


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


def held_out(job: EmbeddingTraining) -> HeldOut:
    """Read the images of val that the loss is measured on during training, or of test where val is empty."""
    split = next((name for name in ("val", "test") if len(job.numbers(name))), "")
    if not split:
        return HeldOut()
    numbers = job.numbers(split)
    rows = np.sort(np.random.default_rng(job.settings.seed).permutation(len(numbers))[:HELD_OUT])
    with readable(job.records):
        images = [np.rint(batch.numpy()).astype(np.uint8) for batch, _ in _read(job, ("image",), (split,))]
    return HeldOut(split, np.concatenate(images)[rows], numbers[rows])


def _held_out_loss(job: EmbeddingTraining, network: keras.Model, loss: TripletLoss, held: HeldOut) -> Measure:
    """Return what measures the network on the held-out images, by the loss as it is at that moment."""
    drawn, measured = job.fixed(held.numbers), compiled(loss)
    return lambda: mean_loss(measured, embedded_pictures(network, held.pictures), held.numbers, drawn)


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
