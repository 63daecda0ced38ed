"""Jobs of embeddings, as `embed` makes them, and as `unseen` and `tune` open them again to vary them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe.artifacts import Artifact, load
from fashionprobe.errors import UserError
from fashionprobe.inputs.network import NetworkSpec
from fashionprobe.records.record_set import RecordSet

if TYPE_CHECKING:
    from fashionprobe.siamese.embedding_training import EmbeddingTraining, Settings
    from fashionprobe.training.classes import Classes


def choose(records: RecordSet, label: str | None, min_images: int) -> "Classes":
    """Return the classes of a label column that have images in train.

    Raises:
        UserError: If there is no such column, or it has fewer than two classes.
    """
    from fashionprobe.training.classes import choose

    label = records.label(label and shared.spelled(label))
    return choose(records.items, label, min_images=min_images, needed=("train",), counted=("train",))


def make_job(
    records: RecordSet,
    classes: "Classes",
    network: NetworkSpec,
    fit: Literal["pad", "stretch"],
    settings: "Settings",
) -> "EmbeddingTraining":
    """Load the backbone and put the parts of a job together."""
    from fashionprobe.siamese.embedding_training import EmbeddingTraining

    items = records.of_classes(classes.label, classes.numbers)[["id", "split", "number"]]
    return EmbeddingTraining(records, items, classes, network.load(), fit, settings)


@dataclass(frozen=True)
class RunEmbedding:
    """An embedding of a run, and how it was trained.

    Attributes:
        artifact: What `embed` wrote.
        job: The job.
    """

    artifact: Artifact
    job: "EmbeddingTraining"


def open_embedding(run: Path, tfrecords_root: str, *, trust: bool = False) -> RunEmbedding:
    """Open the embedding of a run and the record set that it was trained on.

    Args:
        run: Folder of the run.
        tfrecords_root: Folder that holds the record sets.
        trust: Whether the file that the embedding started from may hold more than layers of Keras.

    Raises:
        UserError: If one is missing, or the record set was recreated since.
    """
    from fashionprobe.siamese.embedding_training import Settings
    from fashionprobe.training.classes import Classes
    from fashionprobe.training.fit import Plan

    remedy = f"Make it first: fashionprobe embed --dataset DATASET --run {run.name}"
    artifact = load(run / "embed", stage="embed", remedy=remedy)
    given, facts = artifact.manifest["arguments"], artifact.facts
    records = shared.open_records(facts["dataset"], tfrecords_root)
    if records.fingerprint != artifact.manifest["inputs"]["records"]:
        raise UserError(
            "dataset", expected=f"the record set '{facts['dataset']}' that the embedding was trained on",
            received="one that was recreated since", remedy="Train again: fashionprobe embed with --overwrite.",
        )  # fmt: skip
    plan = Plan(**{name: given[name] for name in Plan.__dataclass_fields__})
    names = [name for name in Settings.__dataclass_fields__ if name != "plan"]
    settings = Settings(**{name: given[name] for name in names if name in given}, plan=plan)
    classes = Classes(given["label"], tuple(facts["classes"]), given["classes"], facts["rare"], False, facts["missing"])
    network = NetworkSpec.of_manifest(artifact.manifest, trust=trust)
    return RunEmbedding(artifact, make_job(records, classes, network, given["fit"], settings))
