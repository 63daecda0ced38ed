"""Stage `classify`: descriptors -> how well each block tells the classes of a label apart, with no training."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress
from fashionprobe import text_tables as tables
from fashionprobe.artifacts import Artifact, Recipe, Result, build
from fashionprobe.inputs.descriptors import Choice, RunDescriptors, folds_of, read_descriptors
from fashionprobe.plots.save import Figures

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from fashionprobe.attributes.classify import Scores

log = logging.getLogger(__name__)

ANSWER = ("block", "classifier", "parameter", "accuracy_mean", "accuracy_std")
"""What of the best row of accuracy.csv is the answer."""

REDUCED = (
    "{classifier} after UMAP to so many dimensions, one line a block; bars are the standard deviation over the folds. "
    "UMAP was fitted on the training folds alone. The open mark at the end of a line is the block as it is, with all "
    "its channels: what the reduction costs is the drop from there."
)
"""What the report says below the figure of reduced.csv."""


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
class Classification(Result):
    """Accuracies on disk.

    Attributes:
        answers: The best block of each label.
    """

    answers: tuple[Answer, ...]


@shared.stage
def classify(
    *,
    run: shared.Place,
    label: list[str] | str,
    folds: int | None = None,
    neighbours: int | list[int] | None = None,
    min_images: int | None = None,
    dimensions: int | list[int] | None = None,
    normalization: Literal["none", "l2", "standard", "whiten"] = "none",
    seed: int = 0,
    overwrite: bool = False,
    runs_root: str = "runs",
) -> Classification:
    """Find the block that knows a label best.

    Nothing is trained. Each image is classified by the others, from the descriptor of one block: by the nearest class
    mean (euclidean and cosine) and by its k nearest neighbours, in stratified folds. Copies of an image stay in one
    fold.

    Args:
        neighbours: Values of k. Default: [1,2,4,8,16], as far as there are images.
        dimensions: Classify also after UMAP to this many dimensions, or several as 2,8,32; fitted on the training folds
            alone. It takes one fit per label, block, fold and number: three seconds for 700 images, half a minute for
            10,000. A block with no more channels than that is left out.

    Returns:
        The classification: path and the best block of each label.

    Raises:
        UserError: If there is no such label or run, or a class has fewer images than there are folds.

    Example:
        fashionprobe classify --run colour --label baseColour
    """
    labels = shared.listed("label", label) or []
    ks = shared.numbers(neighbours)
    folder = shared.run_path(run, runs_root)
    described = read_descriptors(folder, evaluating=True)
    chosen = {name: described.choose(name, min_images) for name in labels}
    folds = folds_of(chosen, folds, 5)
    # These two came later: without them a classification is the same as ever.
    added = {
        "dimensions": shared.numbers(dimensions),
        "normalization": None if normalization == "none" else normalization,
    }
    recipe = Recipe(
        "classify",
        {
            "label": labels,
            "folds": folds,
            "neighbours": [1, 2, 4, 8, 16] if ks is None else ks,
            "min_images": min_images,
            "seed": seed,
        }
        | {name: value for name, value in added.items() if value is not None},
        {"extract": described.artifact.fingerprint},
    )
    options = {"folds": folds, "neighbours": ks, "normalization": normalization, "seed": seed}
    artifact = build(
        folder / "classify",
        recipe,
        lambda draft: _write(draft, described, chosen, added["dimensions"], options),
        overwrite=overwrite,
    )
    return _result(artifact)


def _write(
    draft: Path,
    described: RunDescriptors,
    chosen: dict[str, Choice],
    dimensions: list[int] | None,
    options: dict[str, Any],
) -> dict[str, Any]:
    from fashionprobe.attributes.classify import cross_validate, cross_validate_reduced, reducible

    blocks = {block: described.matrix(block) for block in described.blocks}
    fits = sum(1 + len(reducible(dimensions or [], matrix)) for matrix in blocks.values())
    tables, reduced, facts, chances = [], [], {}, {}
    with progress.bar(total=len(chosen) * fits * options["folds"], unit="fold", description="classify") as bar:
        for label, choice in chosen.items():
            common = {"rows": choice.rows, "name": label, "report": bar.update, **options}
            scores = cross_validate(blocks, choice.classes, **common)
            name = shared.file_name(label)
            facts[label] = {**scores.best, "missing": choice.missing, "left_out": choice.left_out, "files": name}
            if dimensions is not None:
                table = cross_validate_reduced(blocks, choice.classes, dimensions, **common)
                reduced.append(_beside_the_original(table, scores, blocks).assign(label=label))
                chances[label] = 1 / len(scores.per_class)
            scores.accuracy.insert(0, "label", label)
            tables.append(scores.accuracy)
            _write_label(draft, name, scores)
    _table(tables).to_csv(draft / "accuracy.csv", index=False, float_format="%.6f")
    if dimensions is None:
        return {"best": facts}
    return {"best": facts, **_write_reduced(draft, _table(reduced), chances)}


def _table(tables: "list[pd.DataFrame]") -> "pd.DataFrame":
    """Join the tables of the labels, the label first."""
    import pandas as pd

    joined = pd.concat(tables, ignore_index=True)
    return joined[["label", *joined.columns.drop("label")]]


def _beside_the_original(table: "pd.DataFrame", scores: "Scores", blocks: "dict[int, np.ndarray]") -> "pd.DataFrame":
    """Add the accuracy in all dimensions, which are the block's channels, to that in few."""
    import pandas as pd

    original = scores.accuracy.assign(dimensions=[blocks[block].shape[1] for block in scores.accuracy["block"]])
    return pd.concat([table, original[table.columns]]).sort_values(["block", "dimensions"], kind="stable")


def _write_reduced(draft: Path, table: "pd.DataFrame", chances: dict[str, float]) -> dict[str, Any]:
    """Write table and figures of the reduced spaces, and return the best of each label and what the report shows."""
    from fashionprobe.attributes.reduce import versions
    from fashionprobe.plots.accuracy_by_block import accuracy_by_dimension, classifier_name, shown_classifier

    table.to_csv(draft / "reduced.csv", index=False, float_format="%.6f")
    best, figures = {}, Figures(draft)
    for label, chance in chances.items():
        rows, name = table[table["label"] == label], shared.file_name(label)
        few = rows[rows["dimensions"] < rows.groupby("block")["dimensions"].transform("max")]
        top = few.iloc[int(few["accuracy_mean"].to_numpy().argmax())]
        best[label] = {key: top[key] for key in ANSWER} | {key: int(top[key]) for key in ("dimensions", "block")}
        caption = REDUCED.format(classifier=classifier_name(*shown_classifier(rows)))
        drawn = accuracy_by_dimension(rows, chance=chance, title=name)
        figures.add(f"dimensions_{name}", drawn, f"Accuracy by dimension: {label}", caption)
    return {"reduced": best, "versions": versions(), "figures": figures.notes}


def _write_label(draft: Path, name: str, scores: "Scores") -> None:
    """Write the tables and figures of one label."""
    from fashionprobe.plots.accuracy_by_block import accuracy_by_block
    from fashionprobe.plots.per_class import confusion, per_class
    from fashionprobe.plots.save import save

    scores.confusion.rename_axis("true / predicted").to_csv(draft / f"confusion_{name}.csv")
    scores.per_class.to_csv(draft / f"per_class_{name}.csv", index=False, float_format="%.6f")
    chance = 1 / len(scores.per_class)
    save(accuracy_by_block(scores.accuracy, chance=chance, title=name), draft / f"accuracy_{name}")
    save(confusion(scores.confusion, title=name), draft / f"confusion_{name}")
    save(per_class(scores.per_class, chance=chance, title=name), draft / f"per_class_{name}")


def _result(artifact: Artifact) -> Classification:
    answers = []
    log.info("accuracy by block: the best classifier of each, mean ± standard deviation over the folds")
    for line in tables.by_block(artifact.path / "accuracy.csv", "accuracy_mean", spread="accuracy_std"):
        log.info("%s", line)
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
        if few := artifact.facts.get("reduced", {}).get(label):
            log.info(
                "%s in %d dimensions: %.3f ± %.3f at block %d (%s %s)",
                label, few["dimensions"], few["accuracy_mean"], few["accuracy_std"], few["block"], few["classifier"],
                few["parameter"],
            )  # fmt: skip
    log.info("%s. Next: fashionprobe report --run %s", artifact.outcome, artifact.path.parent.name)
    return Classification(artifact.path, tuple(answers), reused=artifact.reused)
