"""What a run reads the classes of new images with: its classifier, its embedding, or the tags of its index."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fashionprobe.artifacts import MANIFEST, Artifact, load, read_manifest
from fashionprobe.errors import UserError, unknown_name
from fashionprobe.inputs.classifier import Data, find_trained, open_trained
from fashionprobe.inputs.descriptors import records_of
from fashionprobe.inputs.index import NONE, group_of, open_classes, open_index, readable
from fashionprobe.inputs.new_images import check_describer, describer
from fashionprobe.records.record_set import SPLITS, RecordSet

if TYPE_CHECKING:
    import numpy as np

    from fashionprobe.attributes.index import Index

STAGES = {"classifier": "train", "embedding": "embed", "tags": "index"}
"""What can be measured, each with the stage that wrote it."""


@dataclass(frozen=True)
class Guesses:
    """The classes that were read in images, in their order.

    Attributes:
        shares: Probability of each class, or the share of the neighbours that have it, or 1 for the tag, float
            (images, classes); the predicted class has the greatest.
        by_reader: Predicted class by the name and the parameter of each reader of an embedding, int (images,).
    """

    shares: "np.ndarray"
    by_reader: "Mapping[tuple[str, int], np.ndarray]"


class Reader(Protocol):
    """Something that reads classes."""

    artifact: Artifact
    """What it is; the recipe holds its fingerprint."""

    label: str
    """The label column that it knows; "" for none."""

    numbers: dict[str, int]
    """Number of the class by each value of the column that it knows; values that were merged share one."""

    names: tuple[str, ...]
    """Names of the classes, in the order of the numbers."""

    sure: bool
    """Whether its shares say how sure it is."""

    size: tuple[int, int]
    fit: Literal["pad", "stretch"]
    own: dict[str, dict[str, Any]]
    """What it got right on images of its own, by split: accuracy and images."""

    arguments: dict[str, Any]
    """What a recipe has to hold besides."""

    def read(self, data: Data, splits: list[str], report: Any) -> Guesses:
        """Read the classes of the images of some splits."""
        ...


def find(run: Path, what: str | None) -> str:
    """Return what of a run is measured: what is wanted, else the first of `STAGES` that it has.

    Raises:
        UserError: If it has none.
    """
    there = [name for name, stage in STAGES.items() if (run / stage / MANIFEST).is_file()]
    if not what and not there:
        raise UserError(
            "run", expected="one with a classifier, an embedding or an index", received=f"{run.name}, which has none",
            remedy=f"Make one first: fashionprobe train --dataset DATASET --run {run.name}",
        )  # fmt: skip
    return what or there[0]


class ClassifierReader:
    """Reads with what `train` wrote.

    Args:
        run: Folder of the run.
        trust: Whether its file may hold more than layers of Keras.
    """

    sure = True

    def __init__(self, run: Path, *, trust: bool) -> None:
        from fashionprobe.training.classes import OTHER

        self.artifact, self._run, self._trust = find_trained(run, trust=trust), run, trust
        facts = self.artifact.facts
        self.label, self.names = facts["label"], tuple(facts["classes"])
        self.numbers = {name: number for number, name in enumerate(self.names)}
        if facts["merged"]:
            self.numbers |= {name: self.numbers[OTHER] for name in facts["rare"]}
        self.size, self.fit = tuple(facts["size"]), self.artifact.manifest["arguments"]["fit"]
        self.own = {split: {**each, "accuracy": each["top_1"]} for split, each in facts["scores"].items()}
        self.arguments: dict[str, Any] = {}

    def read(self, data: Data, splits: list[str], report: Any) -> Guesses:
        """Predict batch by batch; the images are gone when their probabilities are known."""
        import numpy as np

        model = open_trained(self._run, trust=self._trust).model
        found = []
        for images, _ in data.stream(splits):
            found.append(np.asarray(model.predict_on_batch(images)))
            report(len(images))
        return Guesses(np.concatenate(found), {})


class EmbeddingReader:
    """Reads with what `embed` wrote: the classes of the nearest images that it was trained on.

    Args:
        run: Folder of the run.
        tfrecords_root: Folder that holds the record sets.
        trust: Whether its file may hold more than layers of Keras.
    """

    sure = True

    def __init__(self, run: Path, tfrecords_root: str, *, trust: bool) -> None:
        from fashionprobe.backbones import architectures

        remedy = f"Make it first: fashionprobe embed --dataset DATASET --run {run.name}"
        self.artifact, self._trust = load(run / "embed", stage="embed", remedy=remedy), trust
        architectures.check(str(self.artifact.path / "model.keras"), trust=trust)
        facts, self._given = self.artifact.facts, self.artifact.manifest["arguments"]
        records = records_of(self.artifact, tfrecords_root)
        if records is None:
            raise UserError(
                "tfrecords_root", expected=f"the folder of the record set '{facts['dataset']}' that the embedding was "
                "trained on", received="none there, or a recreated one",
                remedy="Its train images are the neighbours: ingest it again with the same arguments.",
            )  # fmt: skip
        self._records = records
        self.label, self.names, self.numbers = facts["label"], tuple(facts["classes"]), dict(self._given["classes"])
        self.size, self.fit = tuple(facts["size"]), self._given["fit"]
        self.own, self.arguments = facts["scores"], {}

    def read(self, data: Data, splits: list[str], report: Any) -> Guesses:
        """Embed the train images of the run, then those to read; vectors are kept, images are not."""
        import numpy as np

        from fashionprobe import backbones
        from fashionprobe.siamese.evaluate import answers

        model: Any = backbones.on_pixels(backbones.load(str(self.artifact.path / "model.keras"), trust=self._trust))
        items = self._records.of_classes(self.label, self.numbers)
        known = Data(self._records, self.label, self.numbers, items, self.size, self.fit)

        def embedded(images: Data, of: list[str], report: Any) -> "Iterator[tuple[np.ndarray, np.ndarray]]":
            for batch, numbers in images.stream(of):
                report(len(batch))
                yield np.asarray(model.predict_on_batch(batch)), numbers

        points, numbers = map(np.concatenate, zip(*embedded(known, ["train"], lambda _: None), strict=True))
        asked = np.concatenate([batch for batch, _ in embedded(data, splits, report)])
        ks = self._given["neighbours"]
        found = answers(
            points, numbers, asked, len(self.names), neighbours=ks, metric=self._given["metric"]
        )  # fmt: skip
        shares, predicted = found["knn", ks[0]]
        # Of classes with equally many neighbours the nearest wins: the others count for slightly less.
        others = np.arange(len(self.names)) != predicted[:, None]
        return Guesses(shares - 1e-9 * others, {reader: each for reader, (_, each) in found.items()})


class TagReader:
    """Reads with the classes of a group of what `index` wrote; "none of these" is an answer, too.

    Args:
        run: Folder of the run.
        group: Name of the group; None for the only one that has classes.
        backbone: Name or path of the network that described the run, where it was moved.
        trust: Whether its file may hold more than layers of Keras.
    """

    sure = False

    def __init__(self, run: Path, group: str | None, backbone: str | None, *, trust: bool) -> None:
        import hashlib

        self._index: Index = open_index(run)
        known = open_classes(run, self._index).classes
        filled = [name for name, classes in known.items() if classes.names]
        if group is None and len(filled) != 1:
            raise unknown_name("group", "nothing", filled, what="a group of the index with classes")
        self._group = group_of(self._index, group or filled[0])
        self._classes = known[self._group.name]
        if not self._classes.names:
            raise unknown_name("group", self._group.name, filled, what="a group of the index with classes")
        manifest = self._index.network
        check_describer(manifest, backbone, trust=trust)
        self._backbone, self._trust = backbone, trust
        self.artifact = load(run / "index", stage="index", remedy="Make it again: fashionprobe index --overwrite.")
        self.label, self.names = self._group.label, (*self._classes.names, NONE)
        self.numbers = {name: number for number, name in enumerate(self._classes.names)}
        self.size, self.fit = tuple(manifest["arguments"]["size"]), manifest["arguments"]["fit"]
        self.own = {}
        # A person adds classes to an index, which stays the same artifact.
        arrays = hashlib.sha256(self._classes.means.tobytes() + self._classes.reach.tobytes()).hexdigest()
        self.arguments = {"group": self._group.name, "classes": [*self._classes.names], "means": arrays}

    def read(self, data: Data, splits: list[str], report: Any) -> Guesses:
        """Describe batch by batch, and tag."""
        import numpy as np

        from fashionprobe.attributes.classes import tag

        describe = describer(self._index.network, self._index.blocks, backbone=self._backbone, trust=self._trust)
        found: list[int] = []
        for images, _ in data.stream(splits):
            points = readable(self._index, describe(images))[self._group.name]
            tags = tag(self._group.name, points, self._classes)
            found += [self.numbers[each.name] if each.known else len(self.names) - 1 for each in tags]
            report(len(images))
        return Guesses(np.eye(len(self.names), dtype=np.float32)[found], {})


def taught_splits(reader: Reader, records: RecordSet) -> tuple[str, ...]:
    """Return the splits of a record set that a reader learned from: of its own set train, of an index all."""
    if not isinstance(reader, TagReader):
        return ("train",) if records.fingerprint == reader.artifact.manifest["inputs"].get("records") else ()
    extracted = reader.artifact.path.parent / "extract"
    if not (extracted / MANIFEST).is_file():
        return ()
    described = read_manifest(extracted, remedy="Delete the folder.")
    made_of_it = described["fingerprint"] == reader.artifact.manifest["inputs"].get("extract")
    return SPLITS if made_of_it and described["inputs"].get("records") == records.fingerprint else ()


def open_reader(
    run: Path, what: str, *, group: str | None, backbone: str | None, trust: bool, tfrecords_root: str
) -> Reader:
    """Open what of a run is measured.

    Raises:
        UserError: If it is not there, its file is refused, or the record set of an embedding is gone.
    """
    if what == "classifier":
        return ClassifierReader(run, trust=trust)
    if what == "embedding":
        return EmbeddingReader(run, tfrecords_root, trust=trust)
    return TagReader(run, group, backbone, trust=trust)
