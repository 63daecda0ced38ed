"""Stage `classify`: descriptors -> how well each block tells the classes of a label apart, with no training."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fashionprobe.stages.arguments as shared
from fashionprobe import progress
from fashionprobe.artifacts import Artifact, Recipe, build
from fashionprobe.errors import UserError, unknown_name

if TYPE_CHECKING:
    import numpy as np

    from fashionprobe.attributes.classify import Scores

log = logging.getLogger(__name__)

ANSWER = ("block", "classifier", "parameter", "accuracy_mean", "accuracy_std")
"""What of the best row of accuracy.csv is the answer."""


@dataclass(frozen=True)
class Answer:
    """Where one label is read best.

    Attributes:
        label: The label column.
        block: The block with the highest accuracy.
        classifier: nearest_mean or knn.
        parameter: The metric, or k.
        accuracy_mean: Mean accuracy over the folds, in [0, 1].
        accuracy_std: Its standard deviation over the folds.
    """

    label: str
    block: int
    classifier: str
    parameter: str
    accuracy_mean: float
    accuracy_std: float


@dataclass(frozen=True)
class Classification:
    """Accuracies on disk.

    Attributes:
        path: Their folder, `runs/<run>/classify`, with `accuracy.csv`.
        answers: The best block of each label.
        reused: Whether they were there already.
    """

    path: Path
    answers: tuple[Answer, ...]
    reused: bool

    def __fspath__(self) -> str:
        return str(self.path)


def classify(
    *,
    run: shared.Place,
    label: list[str] | str,
    folds: int = 5,
    neighbours: int | list[int] | None = None,
    min_images: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    runs_root: str = "runs",
) -> Classification:
    """Find the block that knows an attribute best, with nothing trained.

    Each image is classified by the others, from the descriptor of one block: by the nearest class mean (euclidean and
    cosine) and by its k nearest neighbours, in stratified folds. Images that are one and the same stay in one fold.

    Args:
        run: Name of the run, or what `extract` returned.
        label: Label column, or several as colour,pattern.
        folds: Number of stratified folds.
        neighbours: Values of k. Default: [1,2,4,8,16].
        min_images: Leave out classes with fewer images than this.
        seed: Seed of the folds.
        overwrite: Replace a classification of this run that was made with other arguments.
        runs_root: Folder that holds the runs.

    Returns:
        The classification: path and the best block of each label.

    Raises:
        UserError: If there is no such label or run, or a class has fewer images than there are folds.
    """
    shared.at_least(2, folds=folds)
    shared.at_least(1, min_images=min_images)
    shared.check_seed(seed)
    labels = shared.listed("label", label) or []
    ks = shared.numbers([1, 2, 4, 8, 16] if neighbours is None else neighbours) or []
    folder = shared.run_path(run, runs_root)
    extracted = shared.open_descriptors(folder)
    chosen = _choose(extracted, labels, min_images)
    recipe = Recipe(
        "classify",
        {"label": labels, "folds": folds, "neighbours": ks, "min_images": min_images, "seed": seed},
        {"extract": extracted.fingerprint},
    )
    artifact = build(
        folder / "classify",
        recipe,
        lambda draft: _write(draft, extracted, chosen, folds, ks, seed),
        overwrite=overwrite,
    )
    return _result(artifact)


@dataclass(frozen=True)
class _Choice:
    """The images of one label that are classified.

    Attributes:
        rows: Their rows in the descriptors.
        classes: The class of each.
        missing: Number of images without this label.
        left_out: Number of images of each class that was left out for being rare.
    """

    rows: "np.ndarray"
    classes: "np.ndarray"
    missing: int
    left_out: dict[str, int]


def _choose(extracted: Artifact, labels: list[str], min_images: int | None) -> dict[str, _Choice]:
    """Find the images to classify by each label."""
    import pandas as pd

    items = pd.read_csv(extracted.path / "items.csv", dtype=str, keep_default_na=False)
    columns = [column for column in items.columns if column not in ("row", "id", "split")]
    chosen = {}
    for label in labels:
        if label not in columns:
            raise unknown_name("label", label, columns, what="a label column")
        there = items[label] != ""
        counts = items.loc[there, label].value_counts()
        rare = counts[counts < (min_images or 1)]
        rows = (there & ~items[label].isin(rare.index)).to_numpy().nonzero()[0]
        if not len(rows):
            raise UserError(
                "label", expected=f"a column with a class of {min_images or 1} images or more",
                received=f"{label}, whose largest class has {counts.max() if len(counts) else 0}",
                remedy="Lower --min-images, or choose another column.",
            )  # fmt: skip
        left_out = {str(name): int(count) for name, count in rare.items()}
        chosen[label] = _Choice(rows, items[label].to_numpy(str)[rows], int((~there).sum()), left_out)
    return chosen


def _write(
    draft: Path, extracted: Artifact, chosen: dict[str, _Choice], folds: int, ks: list[int], seed: int
) -> dict[str, Any]:
    import numpy as np
    import pandas as pd

    from fashionprobe.attributes.classify import cross_validate

    blocks = {
        int(block): np.load(extracted.path / f"block{block}.npy", mmap_mode="r") for block in extracted.facts["blocks"]
    }
    tables, facts = [], {}
    with progress.bar(total=len(chosen) * len(blocks) * folds, unit="fold", description="classify") as bar:
        for label, choice in chosen.items():
            scores = cross_validate(
                blocks,
                choice.classes,
                rows=choice.rows,
                name=label,
                folds=folds,
                neighbours=ks,
                seed=seed,
                report=bar.update,
            )
            scores.accuracy.insert(0, "label", label)
            tables.append(scores.accuracy)
            name = _file_name(label)
            facts[label] = {**scores.best, "missing": choice.missing, "left_out": choice.left_out, "files": name}
            _write_label(draft, name, scores)
    pd.concat(tables, ignore_index=True).to_csv(draft / "accuracy.csv", index=False, float_format="%.6f")
    return {"best": facts}


def _file_name(label: str) -> str:
    """Return the label as a part of a file name."""
    return re.sub(r"[^\w-]+", "_", label)


def _write_label(draft: Path, name: str, scores: "Scores") -> None:
    """Write the tables and figures of one label."""
    from fashionprobe.plots.accuracy import accuracy_by_block
    from fashionprobe.plots.confusion import confusion
    from fashionprobe.plots.per_class import per_class
    from fashionprobe.plots.save import save

    scores.confusion.rename_axis("true / predicted").to_csv(draft / f"confusion_{name}.csv")
    scores.per_class.to_csv(draft / f"per_class_{name}.csv", index=False, float_format="%.6f")
    chance = 1 / len(scores.per_class)
    save(accuracy_by_block(scores.accuracy, chance=chance, title=name), draft / f"accuracy_{name}")
    save(confusion(scores.confusion, title=name), draft / f"confusion_{name}")
    save(per_class(scores.per_class, chance=chance, title=name), draft / f"per_class_{name}")


def _result(artifact: Artifact) -> Classification:
    answers = []
    for label, best in artifact.facts["best"].items():
        answer = Answer(label, **{name: best[name] for name in ANSWER})
        answers.append(answer)
        if best["missing"]:
            log.info("%s: %d images without this label left out", label, best["missing"])
        if best["left_out"]:
            rare, images = len(best["left_out"]), sum(best["left_out"].values())
            log.info("%s: %d rare classes left out (%d images)", label, rare, images)
        log.info(
            "%s is best read at block %d: %.3f ± %.3f (%s %s)",
            label, answer.block, answer.accuracy_mean, answer.accuracy_std, answer.classifier, answer.parameter,
        )  # fmt: skip
    verb = "reused" if artifact.reused else "wrote"
    log.info("%s %s. Next: fashionprobe report --run %s", verb, artifact.path, artifact.path.parent.name)
    return Classification(artifact.path, tuple(answers), artifact.reused)
