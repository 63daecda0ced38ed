"""Stage `fill`: images without a label -> a class for each with its probability, or "none of these"."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress
from fashionprobe.artifacts import Artifact, Recipe, Result, build, load
from fashionprobe.errors import UserError, unknown_name
from fashionprobe.inputs.descriptors import RunDescriptors, folds_of, read_descriptors
from fashionprobe.inputs.index import NONE, open_classes, open_index

if TYPE_CHECKING:
    from fashionprobe.attributes.classes import Classes
    from fashionprobe.attributes.index import Group

log = logging.getLogger(__name__)

CHUNK = 4096
"""Images at a time."""

MEASURED = 5000
"""Labelled images at most that proposals are measured on."""

LEFT_OUT = 20
"""Classes at most, the largest, that are left out in turn."""


@dataclass(frozen=True)
class Proposals(Result):
    """Classes proposed for images without one.

    Attributes:
        proposed: Number of images that got a class.
        none: Number of images that are none of the classes.
        accuracy: Share of labelled images that are named right when they are held out.
        calibration_error: Expected calibration error of their probabilities, in [0, 1].
        refused: Share of images of a class that was never learned for which "none of these" is said; None where there
            are fewer than three classes.
        lost: Share of held-out images of known classes for which it is said.
    """

    proposed: int
    none: int
    accuracy: float
    calibration_error: float
    refused: float | None
    lost: float


@shared.stage
def fill(
    *,
    run: shared.Place,
    label: str,
    folds: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    runs_root: str = "runs",
) -> Proposals:
    """Propose a class for each image that lacks a label.

    The classes are those of the index, with what a person added. How often a proposal is right, and whether its
    probability can be believed, is measured on labelled images that were held out; also where no image lacks it.

    Args:
        label: Label column; a group of the index must start with its classes.

    Returns:
        Counts, and what to expect of the proposals.

    Raises:
        UserError: If there is no index, or no group of this label.

    Example:
        fashionprobe fill --run shop --label colour
    """
    folder = shared.run_path(run, runs_root)
    label, described, index = shared.spelled(label), read_descriptors(folder), open_index(folder)
    if label not in described.labels:
        raise unknown_name("label", label, described.labels, what="a label column")
    groups = [group for group in index.groups.values() if group.label == label]
    if not groups:
        raise UserError(
            "label", expected="the label of a group of the index", received=label,
            remedy=f"Make one: fashionprobe index --run {folder.name} --groups {label}=BLOCK --labels {label}={label}.",
        )  # fmt: skip
    known = open_classes(folder, index).classes[groups[0].name]
    # A class of one image cannot be held out, and is not learned.
    folds = folds_of({label: described.choose(label, min_images=2)}, folds, 5)
    made = load(folder / "index", stage="index", remedy=f"Make it: fashionprobe index --run {folder.name}.")
    # A person adds classes to an index, which stays the same artifact.
    classes = hashlib.sha256(repr(known.names).encode() + known.means.tobytes()).hexdigest()
    recipe = Recipe(
        "fill", {"label": label, "folds": folds, "seed": seed, "classes": classes},
        {"extract": described.artifact.fingerprint, "index": made.fingerprint},
    )  # fmt: skip
    artifact = build(
        folder / "fill" / shared.file_name(label), recipe,
        lambda draft: _write(draft, described, groups[0], known, label, index.coverage, folds, seed),
        overwrite=overwrite,
    )  # fmt: skip
    return _result(artifact, label)


def _write(
    draft: Path,
    described: RunDescriptors,
    group: "Group",
    known: "Classes",
    label: str,
    coverage: float,
    folds: int,
    seed: int,
) -> dict[str, Any]:
    import numpy as np
    import pandas as pd

    from fashionprobe.attributes import tagging
    from fashionprobe.attributes.classes import tag
    from fashionprobe.intervals import wilson
    from fashionprobe.plots.calibration import reliability
    from fashionprobe.plots.save import Figures
    from fashionprobe.training.calibration import calibration, expected_calibration_error

    descriptors, items = described.source(group.block), described.items
    rows = np.flatnonzero(items[label] == "")
    tags = [
        each
        for start in range(0, len(rows), CHUNK)
        for each in tag(group.name, group.reading(descriptors[rows[start : start + CHUNK]]), known)
    ]
    proposals = pd.DataFrame({
        "id": items["id"].iloc[rows].to_numpy(), label: [each.name if each.known else NONE for each in tags],
        "probability": [each.probability for each in tags], "nearest": [each.name for each in tags],
        "distance": [each.distance for each in tags], "reach": [each.reach for each in tags],
    })  # fmt: skip
    proposals.to_csv(draft / "proposals.csv", index=False, float_format="%.6f")

    # The rest is measured on labelled images, each named by classes that were learned without it.
    chosen = described.choose(label, min_images=folds)
    names, numbers = np.unique(chosen.classes, return_inverse=True)
    # What more images would tell is not worth their time.
    drawn = np.sort(np.random.default_rng(seed).permutation(len(numbers))[:MEASURED])
    numbers = numbers[drawn]
    labelled, options = descriptors[chosen.rows[drawn]], {"coverage": coverage, "folds": folds, "seed": seed}
    kind = group.reading.name
    found = tagging.cross_validate(labelled, numbers, names.tolist(), kind, **options)
    right = found.numbers == numbers
    bins = calibration(found.probability, right)
    error = expected_calibration_error(bins)
    bins.to_csv(draft / "calibration.csv", index=False, float_format="%.6f")
    figures = Figures(draft)
    figures.add(
        "reliability", reliability(bins, error=error, title=label), "Reliability",
        f"How often a held-out image is named right, by the probability of its class, in {folds} folds.",
    )  # fmt: skip
    low, high = wilson(np.array([right.sum()]), np.array([len(right)]))
    refused = None
    if len(names) > 2:
        counts = np.bincount(numbers, minlength=len(names))
        largest = np.argsort(-counts, kind="stable")[:LEFT_OUT]
        shares = []
        with progress.bar(total=len(largest), unit="class", description="leave out") as bar:
            for number in largest:
                shares.append(tagging.leave_class_out(labelled, numbers, names.tolist(), int(number), kind, **options))
                bar.update(1)
        table = pd.DataFrame(shares, columns=["refused", "lost"])
        table.insert(0, "class", names[largest])
        table.insert(1, "images", counts[largest])
        table.to_csv(draft / "left_out.csv", index=False, float_format="%.6f")
        refused = float(np.average(table["refused"], weights=table["images"]))
    return {
        "rows": len(proposals), "none": int((proposals[label] == NONE).sum()), "labelled": len(numbers),
        "accuracy": float(right.mean()), "low": float(low[0]), "high": float(high[0]), "calibration_error": error,
        "refused": refused, "lost": float((~found.known).mean()), "lost_right": float((right & ~found.known).mean()),
        "figures": figures.notes,
    }  # fmt: skip


def _result(artifact: Artifact, label: str) -> Proposals:
    facts = artifact.facts
    proposed = facts["rows"] - facts["none"]
    log.info(
        "%d of %d labelled images held out are named right (%.3f, %.3f to %.3f); calibration error %.3f",
        round(facts["accuracy"] * facts["labelled"]), facts["labelled"], facts["accuracy"], facts["low"],
        facts["high"], facts["calibration_error"],
    )  # fmt: skip
    if facts["refused"] is not None:
        log.info(
            "'%s' is said of %.0f %% of the images of a class that was not learned, and of %.0f %% of the others",
            NONE, 100 * facts["refused"], 100 * facts["lost"],
        )  # fmt: skip
    found = f"{label} proposed for {proposed} images, '{NONE}' for {facts['none']}"
    log.info(
        "%s: %s. Look at %s", artifact.outcome, found if facts["rows"] else f"no image lacks a {label}",
        artifact.path / ("proposals.csv" if facts["rows"] else "reliability.png"),
    )  # fmt: skip
    return Proposals(
        artifact.path, proposed, facts["none"], facts["accuracy"], facts["calibration_error"], facts["refused"],
        facts["lost"], reused=artifact.reused,
    )  # fmt: skip
