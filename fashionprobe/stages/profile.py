"""Stage `profile`: descriptors -> what each channel does for each class, and how few channels hold a label."""

import csv
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress
from fashionprobe import text_tables as tables
from fashionprobe.artifacts import Artifact, Recipe, Result, build
from fashionprobe.inputs.descriptors import Choice, RunDescriptors, folds_of, read_descriptors
from fashionprobe.plots.save import Figures

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from fashionprobe.channels.attribute_neurons import Neurons

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attribute:
    """Where a label lives: the block that reads it best, and its attribute neurons.

    Attributes:
        label: The label column.
        block: The block with the highest k-NN accuracy.
        channels: The smallest number of its channels that keeps the share of that accuracy.
        at_best: The same if luck is left out of account: the first number that keeps it.
        total: Number of its channels.
        accuracy: Mean accuracy over the folds with these channels, in [0, 1].
        accuracy_std: Its standard deviation over the folds.
        full: Mean accuracy with all channels.
    """

    label: str
    block: int
    channels: int
    at_best: int
    total: int
    accuracy: float
    accuracy_std: float
    full: float


@dataclass(frozen=True)
class Profile(Result):
    """Profiles and attribute neurons on disk.

    Attributes:
        answers: Where each label lives.
    """

    answers: tuple[Attribute, ...]


@dataclass(frozen=True)
class _Job:
    """The resolved arguments."""

    label: list[str]
    block: list[int]
    ranking: str
    neighbours: int
    share: float
    folds: int
    min_images: int | None
    seed: int


@shared.stage
def profile(
    *,
    run: shared.Place,
    label: list[str] | str,
    block: int | list[int] | None = None,
    ranking: Literal["mutual_information", "l1"] = "mutual_information",
    neighbours: int = 4,
    share: float = 0.99,
    folds: int | None = None,
    min_images: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    runs_root: str = "runs",
) -> Profile:
    """Show what each channel does for each class.

    It also finds the few channels that hold a label. For each block: the mean activation of each channel by class, its
    peaks, and the channels that separate one class from the rest best (area under the ROC curve). Then the attribute
    neurons: the smallest set of channels that keeps nearly all of the accuracy that k-NN has with the whole block, in
    stratified folds. Nothing is trained.

    Args:
        ranking: How channels are ranked: each by its mutual information with the classes, or all together by when they
            enter an L1-penalised logistic regression, which takes longer and often needs fewer channels.
        neighbours: k of k-NN.
        share: Share of the whole block's accuracy that the set must keep, above 0 and up to 1.

    Returns:
        The profiles: path, and where each label lives.

    Raises:
        UserError: If there is no such label, block or run, or a class has fewer images than there are folds.

    Example:
        fashionprobe profile --run colour --label baseColour
    """
    labels = shared.listed("label", label) or []
    folder = shared.run_path(run, runs_root)
    described = read_descriptors(folder, evaluating=True)
    blocks = sorted(described.choose_blocks(shared.numbers(block)))
    chosen = {name: described.choose(name, min_images) for name in labels}
    folds = folds_of(chosen, folds, 5)
    job = _Job(labels, blocks, ranking, neighbours, share, folds, min_images, seed)
    artifact = build(
        folder / "profile",
        Recipe("profile", asdict(job), {"extract": described.artifact.fingerprint}),
        lambda draft: _write(draft, described, chosen, job),
        overwrite=overwrite,
    )
    return _result(artifact)


def _write(draft: Path, described: RunDescriptors, chosen: dict[str, Choice], job: _Job) -> dict[str, Any]:
    from fashionprobe.attributes.folds import identical

    facts: dict[str, Any] = {"labels": {}}
    figures = Figures(draft)
    first = described.matrix(described.blocks[0])
    # A block is ranked once a fold and once on all images, and each of its channels is profiled.
    with progress.bar(total=len(chosen) * len(job.block) * (job.folds + 2), unit="step", description="profile") as bar:
        for label, choice in chosen.items():
            same = identical(first[choice.rows])
            found: dict[int, Neurons] = {}
            for block in job.block:
                found[block] = _neurons(described.matrix(block)[choice.rows], choice, same, label, job, bar.update)
            for block in job.block:
                _write_block(figures, described.matrix(block)[choice.rows], choice.classes, label, block, job.seed)
                bar.update()
            answer = _write_neurons(figures, found, choice, label, job)
            facts["labels"][label] = {
                **asdict(answer), "images": len(choice.rows), "missing": choice.missing, "left_out": choice.left_out,
            }  # fmt: skip
            _describe(figures, answer, job)
    return facts | {"figures": figures.notes}


def _neurons(
    descriptors: "np.ndarray", choice: Choice, same: "np.ndarray", label: str, job: _Job, report: "Callable[[], object]"
) -> "Neurons":
    from fashionprobe.channels.attribute_neurons import attribute_neurons

    return attribute_neurons(
        descriptors, choice.classes, same=same, name=label, ranking=job.ranking, neighbours=job.neighbours,
        share=job.share, folds=job.folds, seed=job.seed, report=report,
    )  # fmt: skip


def _write_block(
    figures: Figures, descriptors: "np.ndarray", classes: "np.ndarray", label: str, block: int, seed: int
) -> None:
    """Write the tables and figures of one label and block."""
    import numpy as np
    import pandas as pd

    from fashionprobe.channels.profiles import profiles, separation
    from fashionprobe.plots.channels import all_channels, class_profiles, separating_channels

    name = f"{shared.file_name(label)}_block{block}"
    found = profiles(descriptors, classes)
    table = pd.DataFrame(found.means.T, columns=list(found.classes)).rename_axis("channel")
    table.to_csv(figures.folder / f"profile_{name}.csv", float_format="%.6g")
    where = np.argwhere(found.peaks)
    peaks = pd.DataFrame({
        "class": np.array(found.classes, dtype=object)[where[:, 0]], "channel": where[:, 1],
        "mean": found.means[where[:, 0], where[:, 1]], "common": np.isin(where[:, 1], found.common),
    })  # fmt: skip
    peaks.to_csv(figures.folder / f"peaks_{name}.csv", index=False, float_format="%.6g")
    title = f"{label}, block {block}"
    figures.write(f"profile_{name}", class_profiles(found.means, found.peaks, found.classes, title=title))
    figures.write(f"channels_{name}", all_channels(found.means, found.classes, title=title))
    areas = separation(descriptors, classes, seed=seed).table()
    areas.to_csv(figures.folder / f"separating_{name}.csv", index=False, float_format="%.6f")
    figures.write(f"separating_{name}", separating_channels(areas, title=title))


def _write_neurons(figures: Figures, found: "dict[int, Neurons]", choice: Choice, label: str, job: _Job) -> Attribute:
    """Write the attribute neurons of one label, and return where it lives."""
    import pandas as pd

    from fashionprobe.plots.channels import accuracy_by_channels

    name = shared.file_name(label)
    rows = [
        (block, job.ranking, each.needed, each.first, each.total, each.accuracy, each.accuracy_std, each.full,
         each.full_std, each.channels["stability"].mean(), " ".join(map(str, each.channels["channel"])))
        for block, each in found.items()
    ]  # fmt: skip
    columns = ["block", "ranking", "channels", "channels_at_best", "total", "accuracy", "accuracy_std", "full",
               "full_std", "stability", "list"]  # fmt: skip
    answers = pd.DataFrame(rows, columns=columns)
    answers.to_csv(figures.folder / f"neurons_{name}.csv", index=False, float_format="%.6f")
    for file in ("curve", "channels"):
        tables = [getattr(each, file).assign(block=block) for block, each in found.items()]
        joined = pd.concat(tables, ignore_index=True)
        joined.insert(0, "block", joined.pop("block"))
        joined.to_csv(figures.folder / f"neurons_{file}_{name}.csv", index=False, float_format="%.6f")
        if file == "curve":
            chance = 1 / len(set(choice.classes))
            title = f"Channels that hold {label} (by {job.ranking.replace('_', ' ')})"
            drawn = accuracy_by_channels(joined, answers, share=job.share, chance=chance, title=title)
            figures.write(f"neurons_{name}", drawn)
    # The first among equals: the shallowest block.
    block = max(found, key=lambda number: found[number].full)
    best = found[block]
    return Attribute(label, block, best.needed, best.first, best.total, best.accuracy, best.accuracy_std, best.full)


def _describe(figures: Figures, answer: Attribute, job: _Job) -> None:
    """Caption the figures that the report shows: those of all blocks, and of the best block."""
    label, block, name = answer.label, answer.block, shared.file_name(answer.label)
    how = {"mutual_information": "their mutual information with the classes", "l1": "an L1 penalty"}[job.ranking]
    neurons = (
        f"How well k-NN (k = {job.neighbours}) tells {label} from the first 1, 2, 3, ... channels of each block, "
        f"ranked by {how} on the training images alone. The dot is the smallest set that keeps {job.share:.4g} of the "
        "whole block's accuracy and after which no larger set falls short of that by more than one standard error. In "
        f"block {block} that is {answer.channels} of {answer.total}; {answer.at_best} if luck is left out of account."
    )
    separating = (
        f"How well each single channel of block {block} tells a class of {label} from the rest: the area under its ROC "
        "curve, or, where the channel falls silent for the class (↓), 1 minus that. Dots to the left of the red tick "
        "are no better than the best of all channels with shuffled labels (95 %)."
    )
    profile = (
        f"Mean activation of the strongest channels of block {block} by class, and below how each class lies above or "
        "below the mean of the classes. Triangles: peaks of every class, which say nothing about it. A peak is 2 "
        "standard deviations above the mean of the channels."
    )
    figures.describe(f"neurons_{name}", f"Attribute neurons of {label}", neurons)
    figures.describe(f"separating_{name}_block{block}", f"Channels that separate a class of {label}", separating)
    channels = (
        f"Mean activation of all channels of block {block}, a panel per class, as in figures 5.8 and 5.9 of the "
        "attribute thesis; the numbers are those of the three strongest channels."
    )
    figures.describe(f"channels_{name}_block{block}", f"All channels by {label}", channels)
    figures.describe(f"profile_{name}_block{block}", f"Activation of channels by {label}", profile)


def _result(artifact: Artifact) -> Profile:
    answers, words = [], []
    log.info("accuracy by block: all channels, and the fewest that keep their share of it")
    for line in tables.aligned(_by_block(artifact)):
        log.info("%s", line)
    for label, facts in artifact.facts["labels"].items():
        answer = Attribute(**{name: facts[name] for name in Attribute.__dataclass_fields__})
        answers.append(answer)
        if facts["missing"]:
            log.info("%s: %d images without this label left out", label, facts["missing"])
        if facts["left_out"]:
            rare, images = len(facts["left_out"]), sum(facts["left_out"].values())
            log.info("%s: %d rare classes left out (%d images)", label, rare, images)
        words.append(
            f"{label} lives in {answer.channels} of {answer.total} channels of block {answer.block} "
            f"({answer.accuracy:.2f} of {answer.full:.2f})"
        )
    run = artifact.path.parent.name
    log.info("%s: %s. Next: fashionprobe report --run %s", artifact.outcome, "; ".join(words), run)
    return Profile(artifact.path, tuple(answers), reused=artifact.reused)


def _by_block(artifact: Artifact) -> list[list[str]]:
    """Return a row for each block, with the accuracies of each label."""
    columns: list[list[str]] = []
    for label in artifact.facts["labels"]:
        with (artifact.path / f"neurons_{shared.file_name(label)}.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        columns += [["block", *(row["block"] for row in rows)]] if not columns else []
        cells = (f"{float(row['full']):.3f}, {float(row['accuracy']):.3f} in {row['channels']}" for row in rows)
        columns.append([label, *cells])
    return [list(row) for row in zip(*columns, strict=True)]
