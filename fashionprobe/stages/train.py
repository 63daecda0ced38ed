"""Stage `train`: records -> a classifier of one label, its learning curves, scores and model card."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress
from fashionprobe.artifacts import Artifact, Recipe, Result, build, child
from fashionprobe.backbones import architectures
from fashionprobe.errors import UserError
from fashionprobe.inputs.network import NetworkSpec
from fashionprobe.plots.save import Figures
from fashionprobe.records.record_set import RecordSet
from fashionprobe.training.augment import check as check_augmentations

if TYPE_CHECKING:
    import pandas as pd
    import tensorflow as tf

    from fashionprobe.training.classes import Classes
    from fashionprobe.training.classifier_training import ClassifierOutcome, ClassifierTraining
    from fashionprobe.training.scores import Scores

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training(Result):
    """A trained classifier on disk.

    Attributes:
        model: The network, `model.keras`: RGB images in [0, 255] -> class probabilities.
        classes: Names of the classes, in the order of the probabilities.
        epochs: Number of epochs trained.
        best_epoch: The epoch whose weights were kept, from 1.
        top_1: Share of validation images whose class is the most probable one.
        top_5: Share of validation images whose class is among the five most probable; None with five classes or fewer.
    """

    model: Path
    classes: tuple[str, ...]
    epochs: int
    best_epoch: int
    top_1: float
    top_5: float | None


@shared.stage
def train(
    *,
    dataset: shared.Place,
    run: str | None = None,
    label: str | None = None,
    backbone: str = "resnet50",
    weights: str = "pretrained",
    taps: list[str] | str | None = None,
    preprocessing: Literal["auto", "none", "tf", "caffe", "torch"] = "auto",
    block: int | list[int] | None = None,
    freeze: int = 0,
    cache: bool = True,
    size: int | list[int] | None = None,
    fit: Literal["pad", "stretch"] = "pad",
    min_images: int = 2,
    rare: Literal["drop", "merge"] = "drop",
    epochs: int = 10,
    batch_size: int = 32,
    optimizer: Literal["adam", "sgd"] = "adam",
    learning_rate: float = 1e-3,
    warmup: float = 0.0,
    decay: Literal["none", "cosine"] = "cosine",
    weight_decay: float = 0.0,
    label_smoothing: float = 0.0,
    dropout: float = 0.0,
    bias: bool = True,
    augment: list[str] | str | None = None,
    class_weight: Literal["none", "balanced"] = "none",
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
    xla: bool = False,
    strategy: Literal["none", "mirrored"] = "none",
    seed: int = 0,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Training:
    """Train a classifier of one label.

    It learns from the train split, and is measured on val (and on test, if there is one). The network is the backbone,
    global average pooling, and one dense layer. An interrupted run resumes after its last complete epoch. The
    weights of the epoch with the best validation accuracy are kept.

    Args:
        label: Label column. Default: the one by which the record set was split (articleType for kaggle).
        block: Block whose descriptor the dense layer reads, or several as [3,4,5]. Default: the last.
        cache: When the head alone is trained, without augmentation, compute the descriptors once.
        min_images: A class with fewer images is rare; so is one without images in train or val.
        label_smoothing: Share of each target that is spread over all classes.
        bias: Give the dense layer a bias; without one the class scores are the class activation maps' means.
        class_weight: balanced weighs a class by the inverse of its size, for the long tail.
        strategy: none for one device, mirrored for all GPUs of this host.

    Returns:
        The classifier: paths and headline numbers.

    Raises:
        UserError: If an argument does not fit, the records are missing or damaged, or the loss becomes NaN.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe train --dataset kaggle --backbone mobilenet --freeze 4
    """
    if warmup >= epochs:
        raise UserError("warmup", expected=f"a number in the range [0, {epochs})", received=warmup)
    backbone = architectures.named(backbone)
    records_path = shared.records_path(dataset, tfrecords_root)
    folder = child(runs_root, records_path.name if run is None else run, argument="run") / "train"
    spec = NetworkSpec.of(None, backbone, weights, taps, preprocessing, size, seed, trust)
    spec.check(shared.numbers(block) or [])
    names = (shared.listed("augment", augment) or []) if augment else []
    check_augmentations(names)
    records = shared.open_records(dataset, tfrecords_root)
    items, classes = _choose(records, label, min_images, rare)

    from fashionprobe.backbones import devices
    from fashionprobe.training.classifier_training import ClassifierTraining
    from fashionprobe.training.fit import Plan

    loaded = spec.load()
    blocks = shared.numbers(block) or [len(loaded.taps)]
    job = ClassifierTraining(
        records=records,
        items=items,
        classes=classes,
        backbone=loaded,
        blocks=blocks,
        freeze=freeze,
        fit=fit,
        batch_size=batch_size,
        dropout=dropout,
        label_smoothing=label_smoothing,
        augment=names,
        class_weight=class_weight,
        precision=precision,
        seed=seed,
        plan=Plan(epochs, optimizer, learning_rate, warmup, decay, weight_decay, xla),
        cached=cache and not names and freeze == max(blocks),
        bias=bias,
    )
    job.network()  # a block or an augmentation that does not fit is refused here, before anything is written
    artifact = build(
        folder,
        Recipe("train", job.arguments(), {"records": records.fingerprint}, loaded.weights_sha256),
        lambda draft: _write(draft, job, folder, devices.strategy(strategy)),
        overwrite=overwrite,
        settings={"strategy": strategy, "device": devices.name()},
        changed={"records": lambda there: shared.other_records(there, records)},
    )
    return _result(artifact)


def _choose(
    records: RecordSet, label: str | None, min_images: int, rare: Literal["drop", "merge"]
) -> "tuple[pd.DataFrame, Classes]":
    """Return the images that have one of the classes, in stored order, and the classes."""
    from fashionprobe.training.classes import choose

    label = records.label(label and shared.spelled(label))
    classes = choose(records.items, label, min_images=min_images, rare=rare)
    return records.of_classes(label, classes.numbers)[["id", "split", "number"]], classes


def _write(draft: Path, job: "ClassifierTraining", folder: Path, strategy: "tf.distribute.Strategy") -> dict[str, Any]:
    """Train, measure, and fill the files of the artifact."""
    from fashionprobe.report.model_card import model_card
    from fashionprobe.training.classifier import finished
    from fashionprobe.training.classifier_training import total_batches, train
    from fashionprobe.training.scores import score

    with progress.bar(total=total_batches(job), unit="batch", description="train") as bar:
        trained = train(job, draft, strategy=strategy, report=bar.update, tensorboard=folder.parent / "tensorboard")
    names = job.classes.names
    scores = {
        split: score(probabilities, job.items["number"].to_numpy()[job.rows(split)], names)
        for split, probabilities in trained.probabilities.items()
    }
    finished(trained.network).save(draft / "model.keras")
    _write_tables(draft, job, scores)
    figures = Figures(draft)
    _draw(figures, trained.history, scores["val"], job)
    facts = _facts(job, trained, scores) | {"figures": figures.notes}
    card = model_card(facts, job.arguments(), scores["val"].per_class, scores["val"].pairs, path=folder / "model.keras")
    (draft / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    return facts


def _write_tables(draft: Path, job: "ClassifierTraining", scores: "dict[str, Scores]") -> None:
    import pandas as pd

    tables = []
    for split, found in scores.items():
        given = job.items.iloc[job.rows(split)][["id", "split"]].reset_index(drop=True)
        tables.append(pd.concat([given, found.predictions], axis=1))
        ending = "" if split == "val" else f"_{split}"
        found.per_class.to_csv(draft / f"per_class{ending}.csv", index=False, float_format="%.6f")
        found.pairs.to_csv(draft / f"confused_pairs{ending}.csv", index=False, float_format="%.6f")
        found.confusion.rename_axis("true / predicted").to_csv(draft / f"confusion{ending}.csv")
    pd.concat(tables, ignore_index=True).to_csv(draft / "predictions.csv", index=False, float_format="%.6f")


def _draw(figures: Figures, history: "pd.DataFrame", scores: "Scores", job: "ClassifierTraining") -> None:
    from fashionprobe.plots.per_class import best_and_worst, confused_pairs
    from fashionprobe.plots.training import learning_curves

    label = job.classes.label
    best = int(history["epoch"][history["val_accuracy"].argmax()])
    chance = 1 / len(job.classes.names)
    figures.add(
        "learning_curves", learning_curves(history, best_epoch=best, chance=chance, title=label), "Learning curves",
        f"Loss and accuracy over {len(history)} epochs; the weights of epoch {best} were kept, the best on validation.",
    )  # fmt: skip
    figures.add(
        "confused_pairs", confused_pairs(scores.pairs, title=label), "Confused pairs",
        "The classes that are most often taken for each other, on the validation images.",
    )  # fmt: skip
    figures.add(
        "best_and_worst", best_and_worst(scores.per_class, title=label), "Best and worst classes",
        "F1, precision and recall of the best and the worst classes, on the validation images.",
    )  # fmt: skip


def _facts(job: "ClassifierTraining", trained: "ClassifierOutcome", scores: "dict[str, Scores]") -> dict[str, Any]:
    """Gather what the manifest, the model card and later stages need to know."""
    best = int(trained.history["val_accuracy"].argmax())
    counts = job.items["split"].value_counts()
    network = trained.network
    return {
        "dataset": job.records.path.name,
        "label": job.classes.label,
        "classes": list(job.classes.names),
        "images": {split: int(counts.get(split, 0)) for split in ("train", "val", "test")},
        "rare": dict(job.classes.rare),
        "merged": job.classes.merged,
        "missing": job.classes.missing,
        "backbone": job.backbone.name,
        "weights": job.backbone.weights,
        "size": job.backbone.size,
        "parameters": network.count_params(),
        "trained_parameters": sum(int(math.prod(weight.shape)) for weight in network.trainable_weights),
        "epochs": len(trained.history),
        "best_epoch": best + 1,
        "loss": float(trained.history["val_loss"][best]),
        "scores": {
            split: {name: getattr(found, name) for name in ("images", "top_1", "low", "high", "top_5", "macro_f1")}
            for split, found in scores.items()
        },
    }  # fmt: skip


def _result(artifact: Artifact) -> Training:
    facts = artifact.facts
    found = facts["scores"]["val"]
    # Artifacts of before have 1.0 there.
    top_5 = found["top_5"] if len(facts["classes"]) > 5 else None
    if facts["missing"]:
        log.info("%d images without a %s left out", facts["missing"], facts["label"])
    if facts["rare"]:
        log.info(
            "%d rare classes (%d images) %s", len(facts["rare"]), sum(facts["rare"].values()),
            'merged into "other"' if facts["merged"] else "left out",
        )  # fmt: skip
    model = artifact.path / "model.keras"
    log.info(
        "%s: %d classes, validation top-1 %.3f (%.3f to %.3f)%s, epoch %d of %d. "
        "Next: fashionprobe extract --dataset %s --run %s --backbone %s",
        artifact.outcome, len(facts["classes"]), found["top_1"], found["low"],
        found["high"], "" if top_5 is None else f", top-5 {top_5:.3f}", facts["best_epoch"], facts["epochs"],
        facts["dataset"], artifact.path.parent.name, model,
    )  # fmt: skip
    return Training(
        artifact.path, model, tuple(facts["classes"]), facts["epochs"], facts["best_epoch"], found["top_1"],
        top_5, reused=artifact.reused,
    )  # fmt: skip
