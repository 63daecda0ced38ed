"""Stage `branch`: a trained classifier -> the same network with an output for one more label."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress
from fashionprobe.artifacts import MANIFEST, Artifact, Recipe, Result, build, load
from fashionprobe.errors import UserError
from fashionprobe.inputs.classifier import find_trained
from fashionprobe.inputs.network import NetworkSpec
from fashionprobe.plots.save import Figures
from fashionprobe.training.augment import check as check_augmentations

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from fashionprobe.training.classifier_training import ClassifierTraining
    from fashionprobe.training.scores import Scores

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Branches(Result):
    """A network with several outputs on disk.

    Attributes:
        model: The network, `model.keras`: RGB images in [0, 255] -> a dictionary of class probabilities by label.
        networks: For each label the file of the part that gives it, a classifier that other commands take.
        accuracy: For each label the share of validation images whose class is the most probable one.
    """

    model: Path
    networks: dict[str, Path]
    accuracy: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class _Job:
    """All that decides what one run of this stage makes.

    Attributes:
        base: The artifact with the network that gets a branch: what `train` wrote, or this stage before.
        outputs: What is known of each output that it has, by label; see `_output`.
        training: The training of the branch; its `freeze` is the block that the branch leaves the trunk after.
        slow: Whether trunk and earlier branches train, too.
        share: Their learning rate, as a share of that of the branch.
        trust: Whether its file may hold more than layers of Keras.
        tfrecords_root: Folder that holds the record sets.
    """

    base: Artifact
    outputs: dict[str, dict[str, Any]]
    training: "ClassifierTraining"
    slow: bool
    share: float
    trust: bool
    tfrecords_root: str

    @property
    def label(self) -> str:
        """The label of the branch."""
        return self.training.classes.label

    def arguments(self) -> dict[str, Any]:
        """Return what the recipe holds of this branch; the file that its trunk was read from changes nothing."""
        trunk = {"slow": self.share} if self.slow else "frozen"
        return {**self.training.arguments(), "backbone": "trunk", "trunk": trunk}

    @property
    def has_branches(self) -> bool:
        """Whether the network has branches already."""
        return self.base.manifest["stage"] == "branch"


@shared.stage(trunk_rate="(0, 1]", from_block="[1, inf)")
def branch(
    *,
    run: shared.Place,
    label: str,
    dataset: shared.Place | None = None,
    block: int | list[int] | None = None,
    from_block: int | None = None,
    trunk: Literal["frozen", "slow"] = "frozen",
    trunk_rate: float = 0.1,
    min_images: int = 2,
    rare: Literal["drop", "merge"] = "drop",
    epochs: int = 10,
    batch_size: int = 32,
    optimizer: Literal["adam", "sgd"] = "adam",
    learning_rate: float = 1e-3,
    warmup: float = 0.0,
    decay: Literal["none", "cosine"] = "cosine",
    dropout: float = 0.0,
    augment: list[str] | str | None = None,
    seed: int = 0,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Branches:
    """Give a trained network an output for one more label.

    The first label is that of `train`; each call adds one. A branch leaves the network of `train`, the trunk, after a
    block, and has copies of the blocks that follow and a dense layer of its own. With a frozen trunk only the branch is
    trained, and the other outputs stay as they are. Images without this label are left out, so each label may come
    from a record set of its own.

    Args:
        label: The label column to add.
        dataset: Name of the record set with this label; in a script also what `ingest` returned. Default: that of
            `train`.
        block: Block whose descriptor the dense layer reads, or several as [3,4,5]. Default: the last.
        from_block: The branch leaves the trunk after this block. Default: the deepest that it reads, so that the
            branch is a dense layer alone.
        trunk: frozen trains the branch alone. slow trains the trunk and the earlier branches, too, at a lower rate: the
            loss is the sum over the labels that the record set knows of an image.
        trunk_rate: With slow: the learning rate of trunk and earlier branches, as a share of that of the branch.
        min_images: A class with fewer images is rare; so is one without images in train or val.
        overwrite: Drop all branches of this run, and start again from what `train` wrote.

    Returns:
        The network: paths and accuracy by label.

    Raises:
        UserError: If the run has no trained network, it knows this label already, or the record set does not fit.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe branch --run kaggle --label pattern --from-block 3
    """
    if warmup >= epochs:
        raise UserError("warmup", expected=f"a number in the range [0, {epochs})", received=warmup)
    folder = shared.run_path(run, runs_root)
    trained = find_trained(folder, trust=trust)
    base = _base(folder, trained, overwrite=overwrite)
    outputs = _outputs(trained, base)
    label = shared.spelled(label)
    if label == trained.facts["label"]:
        raise _known(label, outputs, "it is what `train` trained this network on")
    names = (shared.listed("augment", augment) or []) if augment else []
    check_augmentations(names)
    records = shared.open_records(dataset or trained.facts["dataset"], tfrecords_root)

    from fashionprobe.training.classes import choose

    classes = choose(records.items, records.label(label), min_images=min_images, rare=rare)
    first = base.path / (_file(trained.facts["label"]) if base is not trained else "model.keras")

    from fashionprobe.backbones import devices
    from fashionprobe.training.classifier_training import ClassifierTraining
    from fashionprobe.training.fit import Plan

    loaded = NetworkSpec(str(first), preprocessing="none", trust=trust).load(classifier=True)
    blocks = loaded.choose_blocks(shared.numbers(block) or [len(loaded.taps)], remedy="")
    if from_block is not None and from_block > max(blocks):
        raise UserError(
            "from_block", expected=f"in 1 to {max(blocks)}, the deepest block that the branch reads",
            received=from_block,
        )  # fmt: skip
    freeze = from_block or max(blocks)
    training = ClassifierTraining(
        records=records,
        items=records.of_classes(label, classes.numbers)[["id", "split", "number"]],
        classes=classes,
        backbone=loaded,
        blocks=blocks,
        freeze=freeze,
        fit=trained.manifest["arguments"]["fit"],
        batch_size=batch_size,
        dropout=dropout,
        label_smoothing=0.0,
        augment=names,
        class_weight="none",
        precision="float32",
        seed=seed,
        plan=Plan(epochs, optimizer, learning_rate, warmup, decay),
        cached=trunk == "frozen" and not names and freeze == max(blocks),
    )
    job = _Job(base=base, outputs=outputs, training=training, slow=trunk == "slow", share=trunk_rate,
               trust=trust, tfrecords_root=tfrecords_root)  # fmt: skip
    if label in outputs:
        # Asked for once more: the network it was added to is that of then.
        if _same(outputs[label], job):
            return _result(Artifact(base.path, base.manifest, reused=True), label)
        raise _known(label, outputs, "a branch with other settings, or from another record set")
    artifact = build(
        folder / "branch",
        Recipe(
            "branch",
            {"branches": [*_recipes(outputs), job.arguments()]},
            {"train": trained.fingerprint, **_inputs(outputs), f"records of {label}": records.fingerprint},
        ),
        lambda draft: _write(draft, job),
        overwrite=overwrite or base is not trained,
        settings={"device": devices.name()},
    )
    return _result(artifact, label)


def _base(folder: Path, trained: Artifact, *, overwrite: bool) -> Artifact:
    """Return the artifact with the network that gets a branch."""
    if overwrite or not (folder / "branch" / MANIFEST).is_file():
        return trained
    again = f"--overwrite drops its branches and starts again from what `train` wrote into {folder}."
    made = load(folder / "branch", stage="branch", remedy=again)
    if made.manifest["inputs"]["train"] != trained.fingerprint:
        raise UserError(
            str(made.path), expected="made from the network that `train` wrote into this run",
            received="branches of an older one", remedy=again,
        )  # fmt: skip
    return made


def _outputs(trained: Artifact, base: Artifact) -> dict[str, dict[str, Any]]:
    """Return what is known of each output of the network, by label; the first is that of `train`."""
    if base is not trained:
        return dict(base.facts["outputs"])
    facts = trained.facts
    known = {name: facts[name] for name in ("dataset", "classes", "scores")}
    majority = {split: _majority(trained.path, split) for split in facts["scores"]}
    scores = {split: {**_kept(each), "majority": majority[split]} for split, each in facts["scores"].items()}
    return {facts["label"]: {**known, "scores": scores, "numbers": trained.manifest["arguments"]["classes"]}}


def _majority(trained: Path, split: str) -> float:
    import pandas as pd

    images = pd.read_csv(trained / f"per_class{'' if split == 'val' else f'_{split}'}.csv")["images"]
    return float(images.max() / images.sum())


def _kept(score: Mapping[str, Any]) -> dict[str, Any]:
    return {"images": score["images"], "accuracy": score["top_1"], "low": score["low"], "high": score["high"]}


def _known(label: str, outputs: Mapping[str, Any], why: str) -> UserError:
    """Make the error for a label that is an output of the network already."""
    return UserError(
        "label", expected=f"a label that this network does not know yet; it has {', '.join(outputs)}",
        received=f"{label}, {why}",
        remedy="--overwrite drops all branches of this run and starts again from what `train` wrote.",
    )  # fmt: skip


def _recipes(outputs: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    return [output["recipe"] for output in outputs.values() if "recipe" in output]


def _inputs(outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {f"records of {label}": each["records"] for label, each in outputs.items() if "recipe" in each}


def _same(output: Mapping[str, Any], job: _Job) -> bool:
    """Tell whether a branch was made with the same settings, from the same records."""
    recipe = Recipe("branch", job.arguments()).as_json()["arguments"]
    return output["recipe"] == recipe and output["records"] == job.training.records.fingerprint


def _file(label: str) -> str:
    """Return the name of the file with the part of the network that gives one label."""
    return f"only_{shared.file_name(label)}.keras"


def _write(draft: Path, job: _Job) -> dict[str, Any]:
    """Train the branch, measure what changed, and fill the files of the artifact."""
    import pandas as pd

    from fashionprobe.training.branches import one_output

    network, history, measured = _train_all(draft, job) if job.slow else _train_branch(draft, job)
    outputs = {label: dict(output) for label, output in job.outputs.items()}
    outputs[job.label] = _output(job)
    for label, scores in measured.items():
        outputs[label]["scores"] = {split: _facts(found) for split, found in scores.items()}
    network.save(draft / "model.keras")
    for label, output in outputs.items():
        part = one_output(network, label)
        part.save(draft / _file(label))
        output["file"], output["parameters"] = _file(label), part.count_params()
    table = pd.DataFrame([
        {"label": label, "split": split, **each}
        for label, output in outputs.items() for split, each in output["scores"].items()
    ])  # fmt: skip
    table.to_csv(draft / "scores.csv", index=False, float_format="%.6f")
    earlier = [pd.read_csv(job.base.path / "curves.csv", dtype={"label": str})] if job.has_branches else []
    curves = pd.concat([*earlier, history.assign(label=job.label)])
    curves.to_csv(draft / "curves.csv", index=False, float_format="%.6f")
    figures = Figures(draft)
    _draw(figures, table, curves, outputs)
    return {"outputs": outputs, "parameters": network.count_params(), "figures": figures.notes}


def _train_branch(draft: Path, job: _Job) -> "tuple[keras.Model, pd.DataFrame, dict[str, dict[str, Scores]]]":
    """Train the branch alone: as a classifier of its label whose lower blocks are frozen."""
    from fashionprobe.backbones import devices
    from fashionprobe.training.classifier import finished
    from fashionprobe.training.classifier_training import total_batches, train
    from fashionprobe.training.scores import score

    training = job.training
    with progress.bar(total=total_batches(training), unit="batch", description=f"branch {job.label}") as bar:
        trained = train(training, draft, strategy=devices.strategy("none"), report=bar.update)
    scores = {
        split: score(shares, training.items["number"].to_numpy()[training.rows(split)], training.classes.names)
        for split, shares in trained.probabilities.items()
    }
    return _grown(job, finished(trained.network)), trained.history, {job.label: scores}


def _train_all(draft: Path, job: _Job) -> "tuple[keras.Model, pd.DataFrame, dict[str, dict[str, Scores]]]":
    """Train the branch, and with it at a lower rate the trunk and the branches that are there."""
    from fashionprobe.training.branches import one_output
    from fashionprobe.training.classifier import finished
    from fashionprobe.training.together import JointTraining, measure, train_together

    training = job.training
    start = _grown(job, finished(training.network()))
    outputs = {**job.outputs, job.label: _output(job)}
    # Judged before anything is trained: each label is measured on the set that it was trained on.
    sets = {label: shared.open_records(output["dataset"], job.tfrecords_root) for label, output in job.outputs.items()}
    sets[job.label] = training.records
    joint = JointTraining(
        network=start,
        records=training.records,
        numbers={label: output["numbers"] for label, output in outputs.items()},
        fit=training.fit,
        batch_size=training.batch_size,
        augment=training.augment,
        seed=training.seed,
        plan=training.plan,
        slow={layer.name for layer in start.layers if not layer.name.startswith(f"branch{len(job.outputs)}.")},
        share=job.share,
    )
    total = training.plan.epochs * joint.steps()
    with progress.bar(total=total, unit="batch", description=f"branch {job.label}") as bar:
        network, history = train_together(joint, draft, report=bar.update)
    scores = {
        label: measure(
            one_output(network, label), sets[label], label, output["numbers"], output["classes"],
            fit=training.fit, batch_size=training.batch_size,
        )
        for label, output in outputs.items()
    }  # fmt: skip
    return network, history, scores


def _grown(job: _Job, classifier: "keras.Model") -> "keras.Model":
    """Return the network with one more output."""
    from fashionprobe.kerasfile import opening
    from fashionprobe.training.branches import first_output, with_branch

    loaded = job.training.backbone
    if job.has_branches:
        network = opening.load_model(job.base.path / "model.keras", trust=job.trust)
    else:
        network = first_output(loaded.model, next(iter(job.outputs)))
    return with_branch(network, classifier, label=job.label, after=loaded.taps[job.training.freeze - 1])


def _output(job: _Job) -> dict[str, Any]:
    """Return what is noted of a new output: where its labels come from, its classes and how it was made."""
    training = job.training
    classes = training.classes
    return {
        "dataset": training.records.path.name,
        "records": training.records.fingerprint,
        "classes": list(classes.names),
        "numbers": dict(classes.numbers),
        "rare": dict(classes.rare),
        "missing": classes.missing,
        "recipe": Recipe("branch", job.arguments()).as_json()["arguments"],
    }


def _facts(found: "Scores") -> dict[str, Any]:
    images = found.per_class["images"]
    return {**_kept(vars(found)), "majority": float(images.max() / images.sum())}


def _draw(
    figures: Figures, scores: "pd.DataFrame", curves: "pd.DataFrame", outputs: Mapping[str, Mapping[str, Any]]
) -> None:
    from fashionprobe.plots.accuracy_by_label import accuracy_by_label
    from fashionprobe.plots.training import learning_curves

    figures.add(
        "accuracy_by_label", accuracy_by_label(scores, title="One network, several labels"), "Accuracy by label",
        "Share of images whose class is right, with its 95 % Wilson interval; the grey line is what always naming the "
        "most frequent class gives.",
    )  # fmt: skip
    for label, history in curves.groupby("label", sort=False):
        best = int(history["epoch"].iloc[int(history["val_accuracy"].argmax())])
        slow = outputs[str(label)]["recipe"]["trunk"] != "frozen"
        figures.add(
            f"learning_curves_{shared.file_name(str(label))}",
            learning_curves(history, best_epoch=best, title=f"Branch {label}" + (", trunk slow" if slow else "")),
            f"Learning curves of {label}",
            f"Loss and accuracy over {len(history)} epochs; the weights of epoch {best} were kept."
            + (" The loss is the sum and the accuracy the mean over all labels." if slow else ""),
        )  # fmt: skip


def _result(artifact: Artifact, label: str) -> Branches:
    outputs = artifact.facts["outputs"]
    if outputs[label]["missing"]:
        log.info("%d images without a %s left out", outputs[label]["missing"], label)
    if rare := outputs[label]["rare"]:
        log.info("%d rare classes (%d images)", len(rare), sum(rare.values()))
    networks = {name: artifact.path / output["file"] for name, output in outputs.items()}
    accuracy = {name: output["scores"]["val"]["accuracy"] for name, output in outputs.items()}
    log.info(
        "%s: %s on validation; %d parameters. Next: fashionprobe predict --run %s --backbone %s --images FILE",
        artifact.outcome, ", ".join(f"{name} {value:.3f}" for name, value in accuracy.items()),
        artifact.facts["parameters"], artifact.path.parent.name, networks[label].as_posix(),
    )  # fmt: skip
    return Branches(artifact.path, artifact.path / "model.keras", networks, accuracy, reused=artifact.reused)
