"""Stage `classify`: descriptors -> how well each block tells the classes of a label apart, by which reader."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress
from fashionprobe import text_tables as tables
from fashionprobe.artifacts import Artifact, Recipe, Result, build
from fashionprobe.backbones.pooling import Block
from fashionprobe.errors import UserError, missing
from fashionprobe.inputs.descriptors import Choice, RunDescriptors, folds_of, read_descriptors
from fashionprobe.plots.save import Figures

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from fashionprobe.attributes.classify import Scores

log = logging.getLogger(__name__)

JOINED = "joined.csv"
"""Table of the joined blocks and other poolings, with the columns of accuracy.csv."""

ANSWER = ("block", "classifier", "parameter", "accuracy_mean", "accuracy_std")
"""What of the best row of accuracy.csv is the answer."""

INNER_FOLDS = 3
"""Folds in which the linear probe chooses its regularization, where classes are large enough."""

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
        classifier: nearest_mean, knn or linear.
        parameter: The metric, k, or nested.
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
    normalization: Literal["none", "l2", "standard", "whiten", "sqrt", "sqrt_whiten"] = "none",
    linear: bool = False,
    control: shared.Place | None = None,
    join: list[str] | str | None = None,
    seed: int = 0,
    overwrite: bool = False,
    runs_root: str = "runs",
) -> Classification:
    """Find the block that knows a label best.

    Nothing is trained, unless a linear probe is asked for. Each image is classified by the others, from the descriptor
    of one block: by the nearest class mean (euclidean and cosine) and by its k nearest neighbours, in stratified folds.
    Copies of an image stay in one fold.

    Args:
        neighbours: Values of k. Default: [1,2,4,8,16], as far as there are images.
        dimensions: Classify also after UMAP to this many dimensions, or several as 2,8,32; fitted on the training folds
            alone. It takes one fit per label, block, fold and number: three seconds for 700 images, half a minute for
            10,000. A block with no more channels than that is left out.
        linear: Read each block by a linear probe, too: logistic regression on the training folds, which chooses its
            regularization there, and once more with shuffled labels, as a control. It takes some seconds per block.
        control: With `linear`: a run of the same network with random weights and of the same record set. Its accuracy
            is what the architecture gives without training.
        join: Read these, too: several blocks together as 3+4+5, or another pooling of the run as
            4/mean_std@foreground. Each of several blocks is normalized by itself, and all weigh alike.

    Returns:
        The classification: path and the best block of each label.

    Raises:
        UserError: If there is no such label or run, or a class has fewer images than there are folds.

    Example:
        fashionprobe classify --run colour --label baseColour
    """
    labels = shared.listed("label", label) or []
    if control is not None and not linear:
        raise missing("linear", "`control` is a control of the linear probe", "Pass --linear.")
    ks = shared.numbers(neighbours)
    folder = shared.run_path(run, runs_root)
    described = read_descriptors(folder, evaluating=True)
    chosen = {name: described.choose(name, min_images) for name in labels}
    folds = folds_of(chosen, folds, 5)
    untrained = None if control is None else _control(shared.run_path(control, runs_root), described, labels)
    joined = [described.choose_source(each, "join") for each in shared.listed("join", join) or []]
    # These came later: without them a classification is the same as ever.
    added = {
        "join": joined or None,
        "dimensions": shared.numbers(dimensions),
        "normalization": None if normalization == "none" else normalization,
        "linear": linear or None,
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
        {"extract": described.artifact.fingerprint}
        | ({"control": untrained.artifact.fingerprint} if untrained else {}),
    )
    options = {"folds": folds, "neighbours": ks, "normalization": normalization, "seed": seed}
    artifact = build(
        folder / "classify",
        recipe,
        lambda draft: _write(draft, described, chosen, added["dimensions"], options, linear, untrained, joined),
        overwrite=overwrite,
    )
    return _result(artifact)


def _control(folder: Path, described: RunDescriptors, labels: list[str]) -> RunDescriptors:
    """Open the run of a network with random weights, and check that all else is the same."""
    found = read_descriptors(folder)
    name, facts, wanted = folder.name, found.artifact.facts, described.artifact.facts
    remedy = "Make it by fashionprobe extract --weights random, with the other arguments of the run."
    if not str(facts.get("weights")).startswith("random"):
        expected, received = "a run whose network has random weights", f"{name}, with weights {facts.get('weights')}"
        raise UserError("control", expected=expected, received=received, remedy=remedy)
    if (facts.get("backbone"), found.blocks) != (wanted.get("backbone"), described.blocks):
        expected = f"a run of {wanted.get('backbone')}, blocks {', '.join(map(str, described.blocks))}"
        received = f"{name}, of {facts.get('backbone')}, blocks {', '.join(map(str, found.blocks))}"
        raise UserError("control", expected=expected, received=received, remedy=remedy)
    for column in ("id", *labels):
        if column not in found.items or found.items[column].tolist() != described.items[column].tolist():
            expected = f"a run of the same images and labels as {described.artifact.path.parent.name}"
            received = f"{name}, whose {'ids differ' if column == 'id' else f'{column} differs'}"
            raise UserError("control", expected=expected, received=received, remedy=remedy)
    return found


def _write(
    draft: Path,
    described: RunDescriptors,
    chosen: dict[str, Choice],
    dimensions: list[int] | None,
    options: dict[str, Any],
    linear: bool,
    untrained: RunDescriptors | None,
    joined: list[Block],
) -> dict[str, Any]:
    from fashionprobe.attributes.classify import cross_validate, cross_validate_reduced, reducible
    from fashionprobe.attributes.folds import identical

    blocks = {block: described.matrix(block) for block in described.blocks}
    others = {block: untrained.matrix(block) for block in untrained.blocks} if untrained else {}
    together = {source: described.source(source) for source in joined}
    fits = sum(1 + len(reducible(dimensions or [], matrix)) for matrix in blocks.values()) + len(others) + len(joined)
    tables, reduced, facts, chances, probed, controls, read = [], [], {}, {}, [], [], []
    with progress.bar(total=len(chosen) * fits * options["folds"], unit="fold", description="classify") as bar:
        for label, choice in chosen.items():
            common = {"rows": choice.rows, "name": label, "report": bar.update, **options}
            # Random weights can give all images nearly one descriptor: which are copies, the trained network says.
            same = identical(blocks[min(blocks)][choice.rows])
            scores = cross_validate(blocks, choice.classes, linear=linear, same=same, **common)
            if others:
                control = cross_validate(others, choice.classes, linear=True, same=same, **common).accuracy
                controls.append(control.assign(label=label))
            if together:
                read.append(cross_validate(together, choice.classes, same=same, **common).accuracy.assign(label=label))
            name = shared.file_name(label)
            facts[label] = {**scores.best, "missing": choice.missing, "left_out": choice.left_out, "files": name}
            if dimensions is not None:
                table = cross_validate_reduced(blocks, choice.classes, dimensions, **common)
                reduced.append(_beside_the_original(table, scores, blocks).assign(label=label))
                chances[label] = 1 / len(scores.per_class)
            scores.accuracy.insert(0, "label", label)
            tables.append(scores.accuracy)
            probed.append(scores.linear.assign(label=label))
            _write_label(draft, name, scores)
            if linear:
                _write_readers(draft, name, scores, probed[-1], controls[-1] if controls else None)
    _table(tables).to_csv(draft / "accuracy.csv", index=False, float_format="%.6f")
    found: dict[str, Any] = {"best": facts}
    if read:
        _table(read).to_csv(draft / JOINED, index=False, float_format="%.6f")
    if linear:
        table = _table(probed)
        table.to_csv(draft / "linear.csv", index=False, float_format="%.6g")
        found["inner_folds"] = {label: int(rows["inner_folds"].min()) for label, rows in table.groupby("label")}
    if controls:
        _table(controls).to_csv(draft / "control.csv", index=False, float_format="%.6f")
        found["control"] = untrained.artifact.path.parent.name if untrained else ""
    if dimensions is not None:
        found |= _write_reduced(draft, _table(reduced), chances)
    return found


def _write_readers(
    draft: Path, name: str, scores: "Scores", linear: "pd.DataFrame", control: "pd.DataFrame | None"
) -> None:
    """Write the figure of the readers and their controls; the report draws it again beside the answer."""
    from fashionprobe.plots.accuracy_by_reader import accuracy_by_reader
    from fashionprobe.plots.save import save

    chance = 1 / len(scores.per_class)
    drawn = accuracy_by_reader(scores.accuracy, linear, control=control, chance=chance, title=name)
    save(drawn, draft / f"readers_{name}")


def _table(tables: "list[pd.DataFrame]") -> "pd.DataFrame":
    """Join the tables of the labels, the label first."""
    import pandas as pd

    joined = pd.concat(tables, ignore_index=True)
    return joined[["label", *joined.columns.drop("label")]]


def _beside_the_original(table: "pd.DataFrame", scores: "Scores", blocks: "dict[int, np.ndarray]") -> "pd.DataFrame":
    """Add the accuracy in all dimensions, which are the block's channels, to that in few."""
    import pandas as pd

    untrained = scores.accuracy[scores.accuracy["classifier"].isin(table["classifier"])]
    original = untrained.assign(dimensions=[blocks[block].shape[1] for block in untrained["block"]])
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
    from fashionprobe.plots.per_class import accuracy_by_neighbours, confusion, per_class
    from fashionprobe.plots.save import save

    scores.confusion.rename_axis("true / predicted").to_csv(draft / f"confusion_{name}.csv")
    scores.per_class.to_csv(draft / f"per_class_{name}.csv", index=False, float_format="%.6f")
    chance = 1 / len(scores.per_class)
    save(accuracy_by_block(scores.accuracy, chance=chance, title=name), draft / f"accuracy_{name}")
    save(confusion(scores.confusion, title=name), draft / f"confusion_{name}")
    save(per_class(scores.per_class, chance=chance, title=name), draft / f"per_class_{name}")
    scores.by_neighbours.to_csv(draft / f"neighbours_{name}.csv", index=False, float_format="%.6f")
    block = scores.by_neighbours.groupby("block", sort=False)["correct"].sum().idxmax()
    rows = scores.by_neighbours[scores.by_neighbours["block"] == block]
    save(accuracy_by_neighbours(rows, title=f"{name}, block {block}"), draft / f"neighbours_{name}")


def _result(artifact: Artifact) -> Classification:
    answers = []
    if probed := "inner_folds" in artifact.facts:
        _log_readers(artifact)
    else:
        log.info("accuracy by block: the best classifier of each, mean ± standard deviation over the folds")
        for line in tables.by_block(artifact.path / "accuracy.csv", "accuracy_mean", spread="accuracy_std"):
            log.info("%s", line)
    if (artifact.path / JOINED).is_file():
        log.info("joined blocks and other poolings:")
        for line in tables.by_block(artifact.path / JOINED, "accuracy_mean", spread="accuracy_std"):
            log.info("%s", line)
    for label, best in artifact.facts["best"].items():
        answer = Answer(label, **{name: best[name] for name in ANSWER})
        answers.append(answer)
        if best["missing"]:
            log.info("%s: %d images without this label left out", label, best["missing"])
        if best["left_out"]:
            rare, images = len(best["left_out"]), sum(best["left_out"].values())
            log.info("%s: %d rare classes left out (%d images)", label, rare, images)
        if probed:
            log.info("%s is best read %s", label, _best_readers(artifact, label))
        else:
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


def _log_readers(artifact: Artifact) -> None:
    """Print a table per label: a row for each block, a column for each reader and control."""
    import pandas as pd

    from fashionprobe.plots.accuracy_by_reader import READERS, best_by_block

    accuracy, probed = (
        pd.read_csv(artifact.path / f"{name}.csv", dtype={"label": str}) for name in ("accuracy", "linear")
    )
    control = pd.read_csv(artifact.path / "control.csv", dtype={"label": str}) if "control" in artifact.facts else None
    for label in artifact.facts["best"]:
        rows = accuracy[accuracy["label"] == label]
        columns = {name: best_by_block(rows, key) for key, (name, *_) in READERS.items()}
        linear = probed[probed["label"] == label].sort_values("block")
        cells = {"block": linear["block"].astype(str).tolist()}
        for name, best in columns.items():
            cells[name] = [
                f"{m:.3f} ± {s:.3f}" for m, s in zip(best["accuracy_mean"], best["accuracy_std"], strict=True)
            ]
        cells["shuffled labels"] = [f"{mean:.3f}" for mean in linear["control_mean"]]
        cells["selectivity"] = [f"{value:.3f}" for value in linear["selectivity"]]
        if control is not None:
            untrained = best_by_block(control[control["label"] == label], "linear")["accuracy_mean"]
            cells["random weights"] = [f"{mean:.3f}" for mean in untrained]
        log.info("%s: accuracy by block and reader, mean ± standard deviation over the folds", label)
        for line in tables.aligned([list(cells), *zip(*cells.values(), strict=True)]):
            log.info("%s", line)
        if (folds := artifact.facts["inner_folds"][label]) < INNER_FOLDS:
            chosen = f"in {folds} inner folds" if folds else "without inner folds, as C = 1"
            log.info("%s: the regularization was chosen %s: a class is too small for %d.", label, chosen, INNER_FOLDS)


def _best_readers(artifact: Artifact, label: str) -> str:
    """Name the best block by the linear probe and by the best reader without training, the better one first."""
    import pandas as pd

    from fashionprobe.plots.accuracy_by_block import by_reader

    accuracy = pd.read_csv(artifact.path / "accuracy.csv", dtype={"label": str, "parameter": str})
    rows = accuracy[accuracy["label"] == label]
    linear = rows["classifier"] == "linear"
    readers = (rows[~linear], rows[linear])
    best = [each.iloc[int(each["accuracy_mean"].to_numpy().argmax())] for each in readers]
    best.sort(key=lambda row: -row["accuracy_mean"])
    clauses = [
        f"at block {row['block']} {by_reader(row['classifier'], row['parameter'])}: "
        f"{row['accuracy_mean']:.3f} ± {row['accuracy_std']:.3f}"
        for row in best
    ]
    return "; ".join(clauses)
