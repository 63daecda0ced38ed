"""Stage `choose`: descriptors -> block, normalization and distance that read a label, and what to expect of them."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress, text_tables
from fashionprobe.artifacts import Artifact, Recipe, Result, build
from fashionprobe.backbones.pooling import Block, sources
from fashionprobe.inputs.descriptors import Choice, RunDescriptors, folds_of, read_descriptors
from fashionprobe.plots.save import Figures

if TYPE_CHECKING:
    from fashionprobe.attributes.choose import Choice as Chosen

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pick:
    """How one label is read best.

    Attributes:
        label: The label column.
        block: The block, or several joined, and the pooling where it is not the first of the run: 3+4/mean_std.
        normalization: What is done to its descriptors.
        metric: The distance.
        classifier: nearest_mean or knn.
        parameter: k, or "".
        accuracy: What to expect on new images, in [0, 1]: of choices that were made without the images they are
            scored on.
        low: Lower bound of its 95 % interval.
        high: Upper bound.
    """

    label: str
    block: Block
    normalization: str
    metric: str
    classifier: str
    parameter: str
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Choices(Result):
    """Choices on disk.

    Attributes:
        picks: The choice for each label.
    """

    picks: tuple[Pick, ...]


@shared.stage
def choose(
    *,
    run: shared.Place,
    label: list[str] | str,
    block: int | list[int] | None = None,
    join: list[str] | str | None = None,
    normalizations: list[str] | str | None = None,
    neighbours: int | list[int] | None = None,
    folds: int | None = None,
    images: int = 4000,
    min_images: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    runs_root: str = "runs",
) -> Choices:
    """Choose block, normalization and distance for a label.

    The choice is made by cross-validation. Every block, by every pooling of the run, is tried with every normalization,
    with euclidean and cosine distance, with the nearest class mean and with k-NN. The best of so many scores too high,
    so the choice is repeated without the images of each fold and scored on them: that is the accuracy to expect.

    Args:
        join: Blocks to try together, besides, as 3+4+5, or several such.
        normalizations: Of none, l2 (unit length), standard (each channel to deviation 1), whiten (decorrelated, then
            unit length), sqrt (signed square root, then unit length) and sqrt_whiten. Default: all.
        neighbours: Values of k. Default: [1,4,8,16], as far as there are images.
        folds: Number of stratified folds, for the choice and again inside each for the score. Default: 5, or fewer
            where all classes are too small for that.
        images: Largest number of images of a label; beyond it, a random sample of each class.

    Returns:
        The choices: path and one for each label.

    Raises:
        UserError: If there is no such label, block or run, or a class has too few images for the folds.

    Example:
        fashionprobe choose --run colour --label baseColour
    """
    labels = shared.listed("label", label) or []
    ks = shared.numbers(neighbours)
    folder = shared.run_path(run, runs_root)
    described = read_descriptors(folder, evaluating=True)
    blocks = described.choose_blocks(shared.numbers(block))
    joined = [described.choose_source(each, "join") for each in shared.listed("join", join) or []]
    read = sources([*blocks, *joined], described.poolings)
    wanted = _normalizations(shared.listed("normalizations", normalizations))
    chosen = {name: described.choose(name, min_images) for name in labels}
    folds = folds_of(chosen, folds, 5, nested=True)
    options: dict[str, Any] = {"normalizations": wanted, "neighbours": ks, "folds": folds, "seed": seed}
    recipe = Recipe(
        "choose",
        {
            **options,
            "neighbours": [1, 4, 8, 16] if ks is None else ks,
            "label": labels,
            "block": list(blocks),
            "images": images,
            "min_images": min_images,
            # This came later: without it a choice is the same as ever.
            **({"join": joined} if joined else {}),
        },
        {"extract": described.artifact.fingerprint},
    )
    artifact = build(
        folder / "choose",
        recipe,
        lambda draft: _write(draft, described, chosen, read, images, options),
        overwrite=overwrite,
    )
    return _result(artifact)


def _normalizations(names: list[str] | None) -> list[str]:
    from fashionprobe.attributes.normalization import NORMALIZATIONS
    from fashionprobe.errors import unknown_name

    for name in names or []:
        if name not in NORMALIZATIONS:
            raise unknown_name("normalizations", name, NORMALIZATIONS)
    return names or list(NORMALIZATIONS)


def _write(
    draft: Path,
    described: RunDescriptors,
    chosen: dict[str, Choice],
    blocks: list[Block],
    images: int,
    options: dict[str, Any],
) -> dict[str, Any]:
    import pandas as pd

    from fashionprobe.attributes import choose as library

    matrices = {block: described.source(block) for block in blocks}
    steps = len(chosen) * len(blocks) * len(options["normalizations"]) * (options["folds"] + 1)
    ablations, nested, facts, figures = [], [], {}, Figures(draft)
    with progress.bar(total=steps, unit="trial", description="choose") as bar:
        for label, choice in chosen.items():
            rows, classes = _sample(choice, images, options["seed"])
            found = library.choose(matrices, classes, rows=rows, name=label, **options, report=bar.update)
            found.ablation.insert(0, "label", label)
            found.nested.insert(0, "label", label)
            ablations.append(found.ablation)
            nested.append(found.nested)
            left = {"missing": choice.missing, "left_out": choice.left_out, "sampled": len(rows) < len(choice.rows)}
            best = {name: value for name, value in found.best.items() if name != "label"}
            facts[label] = {**best, "accuracy": found.accuracy, "low": found.low, "high": found.high, **left}
            _draw(figures, label, found, chance=1 / len(set(classes)))
    pd.concat(ablations, ignore_index=True).to_csv(draft / "ablation.csv", index=False, float_format="%.6f")
    pd.concat(nested, ignore_index=True).to_csv(draft / "nested.csv", index=False, float_format="%.6f")
    return {"best": facts, "figures": figures.notes}


def _sample(choice: Choice, images: int, seed: int) -> tuple[Any, Any]:
    """Return rows and classes, of many images a random share of each class."""
    import numpy as np
    from sklearn.model_selection import train_test_split

    if len(choice.rows) <= images:
        return choice.rows, choice.classes
    places, _ = train_test_split(
        np.arange(len(choice.rows)), train_size=images, random_state=seed, stratify=choice.classes
    )
    places = np.sort(places)
    return choice.rows[places], choice.classes[places]


def _draw(figures: Figures, label: str, found: "Chosen", *, chance: float) -> None:
    """Draw the figures of one label."""
    from fashionprobe.plots.choice import ablation_curves, ablation_table

    name = shared.file_name(label)
    honest = (found.accuracy, found.low, found.high)
    picks = found.nested["block"].value_counts()
    folds = ", ".join(f"block {block} in {count}" for block, count in picks.items())
    curves = (
        f"For each normalization the best distance and classifier at each block. The band is the choice made without "
        f"the images that it is scored on: {found.accuracy:.2f} ({found.low:.2f} to {found.high:.2f}); it took {folds} "
        f"of {len(found.nested)} folds."
    )
    table = "Every candidate; the bold one is the highest. It was picked after the fact, so expect less of it."
    drawn = ablation_curves(found.ablation, honest=honest, chance=chance, title=f"Reading {label}")
    figures.add(f"choice_{name}", drawn, f"How to read {label}", curves)
    drawn = ablation_table(found.ablation, title=f"Accuracy, {label}")
    figures.add(f"ablation_{name}", drawn, f"All ways to read {label}", table)


def _result(artifact: Artifact) -> Choices:
    picks = []
    log.info("accuracy by block: the best way to read each, mean ± standard deviation over the folds")
    for line in text_tables.by_block(artifact.path / "ablation.csv", "accuracy_mean", spread="accuracy_std"):
        log.info("%s", line)
    for label, best in artifact.facts["best"].items():
        parameter = "" if best["classifier"] == "nearest_mean" else str(best["parameter"])
        pick = Pick(
            label, best["block"], best["normalization"], best["metric"], best["classifier"], parameter,
            best["accuracy"], best["low"], best["high"],
        )  # fmt: skip
        picks.append(pick)
        reader = f"{parameter}-NN" if parameter else "nearest mean"
        log.info(
            "%s: block %s, %s, %s, %s. Expect %.3f (%.3f to %.3f) on new images",
            label, pick.block, pick.normalization, reader, pick.metric, pick.accuracy, pick.low, pick.high,
        )  # fmt: skip
    run = artifact.path.parent.name
    groups = " ".join(f"{shared.file_name(pick.label)}={pick.block}:{pick.normalization}" for pick in picks)
    log.info("%s. Next: fashionprobe index --run %s --groups %s", artifact.outcome, run, groups)
    return Choices(artifact.path, tuple(picks), reused=artifact.reused)
