"""What `refit` corrects and with what: the trained network, its record set as it was trained on, and the masks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe.artifacts import Artifact, load
from fashionprobe.errors import Situation, UserError, unknown_name
from fashionprobe.records.record_set import RecordSet

if TYPE_CHECKING:
    import keras
    import numpy as np
    import pandas as pd

    from fashionprobe.backbones import Backbone
    from fashionprobe.feedback.refit import Batches

WRONG, WRONG_SHARE = 1000, 0.7
"""How many misclassified images are kept in memory at most, and their share of a batch that emphasises them."""


@dataclass(frozen=True)
class Data:
    """The images of one record set that have one of the network's classes.

    Attributes:
        records: The record set.
        label: The label column.
        numbers: Class number by value of the label column.
        items: Their rows of `items.csv` in stored order, with the column `number`.
        size: (height, width) of the network's input in pixels.
        fit: How images are brought to it.
    """

    records: RecordSet
    label: str
    numbers: dict[str, int]
    items: "pd.DataFrame"
    size: tuple[int, int]
    fit: Literal["pad", "stretch"]
    _pipelines: dict[Any, Any] = field(default_factory=dict, repr=False)

    def of(self, split: str) -> "pd.DataFrame":
        """Return the rows of one split."""
        return self.items[self.items["split"] == split]

    def pictures(self, ids: Sequence[str]) -> "np.ndarray":
        """Return the named images in this order, uint8 (n, *size, 3), RGB."""
        import numpy as np

        result = np.zeros((len(ids), *self.size, 3), np.uint8)
        place = {name: row for row, name in enumerate(ids)}
        for name, image in self.records.fitted(ids, self.size, self.fit):
            result[place[name]] = np.rint(image)
        return result

    def sample(self, split: str, most: int, seed: int) -> "tuple[np.ndarray, np.ndarray]":
        """Return at most so many random images of a split, uint8 (n, *size, 3), and their class numbers."""
        import numpy as np

        rows = self.of(split)
        rows = rows.iloc[np.sort(np.random.default_rng(seed).permutation(len(rows))[:most])]
        return self.pictures(rows["id"].tolist()), rows["number"].to_numpy()

    def batches(self, splits: Sequence[str], count: int, seed: int) -> "Batches":
        """Yield random batches of `count` images of some splits without end; the same seed gives the same ones."""
        return self._read(splits, count, range(2**31), seed)

    def mixed(self, wrong: "tuple[np.ndarray, np.ndarray]", count: int, seed: int) -> "Batches":
        """Yield batches of which `WRONG_SHARE` are of the misclassified images and the rest random."""
        import numpy as np

        rng, few = np.random.default_rng([seed, 4]), round(WRONG_SHARE * count)
        for images, labels in self.batches(("train",), count - few, seed):
            rows = rng.integers(len(wrong[0]), size=few)
            yield np.concatenate([images, wrong[0][rows]]), np.concatenate([labels, wrong[1][rows]])

    def stream(self, splits: Sequence[str], batch_size: int = 64) -> "Batches":
        """Yield the images of some splits once, in the order of `items`."""
        return self._read(splits, batch_size, None, 0)

    def _read(self, splits: Sequence[str], batch_size: int, passes: range | None, seed: int) -> "Batches":
        """Yield batches of images, float32 (batch, *size, 3), and class numbers, int64 (batch,)."""
        from fashionprobe.records.read import read, readable

        key = (tuple(splits), batch_size, passes, seed)
        if key not in self._pipelines:
            # Building one takes longer than reading a small set, and every method reads the same.
            self._pipelines[key] = read(
                self.records, outputs=("image", self.label), splits=splits, size=self.size, fit=self.fit,
                batch_size=batch_size, numbers={self.label: self.numbers}, passes=passes, seed=seed,
            )  # fmt: skip
        with readable(self.records):
            for images, labels in self._pipelines[key]:
                yield images.numpy(), labels.numpy()


@dataclass(frozen=True)
class TrainedClassifier:
    """The classifier to correct.

    Attributes:
        artifact: What `train` wrote.
        backbone: The network as it was loaded.
        model: The network from RGB pixels in [0, 255] to scores; flat.
    """

    artifact: Artifact
    backbone: "Backbone"
    model: "keras.Model"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the scores."""
        return tuple(self.artifact.facts["classes"])

    @property
    def arguments(self) -> dict[str, Any]:
        """How it was trained."""
        return self.artifact.manifest["arguments"]

    def fresh(self, seed: int) -> "list[np.ndarray]":
        """Return the weights that a training from the start would begin with.

        Raises:
            UserError: If it began with weights that are not known any more.
        """
        from fashionprobe import backbones
        from fashionprobe.training.classifier import classifier, finished

        given, facts = self.arguments, self.artifact.facts
        if facts["weights"].startswith("random"):
            return backbones.randomized(self.model, seed).get_weights()
        if facts["weights"] not in ("imagenet", "product titles"):
            raise Situation(
                "rivals", "holds augmentation, which retrains from the initial weights: they are unknown for "
                f"{facts['backbone']} with weights {facts['weights']}.", "Drop augmentation from --rivals.",
            )  # fmt: skip
        start = backbones.load(facts["backbone"], size=tuple(facts["size"]), seed=seed)
        network = classifier(
            start, len(facts["classes"]), blocks=given["block"], freeze=0, seed=seed, bias=given.get("bias", True)
        )
        return finished(network).get_weights()


def find_trained(run: Path, *, trust: bool = False) -> Artifact:
    """Find the classifier of a run and judge its file, without Keras.

    Args:
        run: Folder of the run.
        trust: Whether its file may hold more than layers of Keras.

    Raises:
        UserError: If there is none, or its file is refused.
    """
    from fashionprobe.backbones import architectures

    remedy = f"Make it first: fashionprobe train --dataset DATASET --run {run.name}"
    artifact = load(run / "train", stage="train", remedy=remedy)
    architectures.check(str(artifact.path / "model.keras"), trust=trust)
    return artifact


def open_trained(run: Path, *, trust: bool = False) -> TrainedClassifier:
    """Open the classifier of a run.

    Args:
        run: Folder of the run.
        trust: Whether its file may hold more than layers of Keras.

    Raises:
        UserError: If there is none.
    """
    artifact = find_trained(run, trust=trust)

    from fashionprobe import backbones

    backbone = backbones.load(str(artifact.path / "model.keras"), trust=trust)
    return TrainedClassifier(artifact, backbone, backbones.on_pixels(backbone))


def open_data(
    trained: TrainedClassifier, dataset: shared.Place | None, tfrecords_root: str, *, whole: bool = True
) -> Data:  # fmt: skip
    """Open the images that a classifier was trained on, or another record set with the same classes.

    Args:
        trained: The classifier.
        dataset: The other record set; None for the one of the training.
        tfrecords_root: Folder that holds the record sets.
        whole: Refuse a set without test images, or with a class that is not in train and val: a refit needs them.

    Raises:
        UserError: If the set has not the label, or is not whole.
    """
    from fashionprobe.training.classes import OTHER

    facts = trained.artifact.facts
    records = shared.open_records(dataset or facts["dataset"], tfrecords_root)
    label, classes = facts["label"], facts["classes"]
    if label not in records.labels:
        raise unknown_name("dataset", label, records.labels, what=f"a record set with the label {label}; it has")
    numbers = {name: number for number, name in enumerate(classes)}
    if facts["merged"]:
        numbers |= {name: numbers[OTHER] for name in facts["rare"]}
    items = records.of_classes(label, numbers)
    if whole:
        _need_splits(records.path.name, items, classes)
    return Data(records, label, numbers, items, trained.backbone.size, trained.arguments["fit"])


def _need_splits(name: str, items: "pd.DataFrame", classes: list[str]) -> None:
    """Check that there are images of all splits, and of each class in train and val."""
    import pandas as pd

    counts = pd.crosstab(items["number"], items["split"]).reindex(range(len(classes)), fill_value=0)
    for split in ("train", "val", "test"):
        if split not in counts or not counts[split].any():
            raise UserError(
                "dataset", expected="a record set with train, val and test splits (to fit, to select, to evaluate)",
                received=f"{name}, without {split}",
                remedy=f"Make one: fashionprobe ingest --dataset {name} --split 80,10,10 --overwrite ...",
            )  # fmt: skip
    absent = [str(classes[int(number)]) for number in counts.index[(counts["train"] == 0) | (counts["val"] == 0)]]
    if absent:
        raise UserError(
            "dataset", expected="a record set whose train and val splits have images of every class",
            received=f"none of {', '.join(absent)} in one of them",
            remedy="Ingest with a larger part for val, or train on the classes that are there.",
        )  # fmt: skip
