"""The tables and figures of `refit`, from what each method and seed left on disk."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fashionprobe.feedback.methods import BASE
from fashionprobe.feedback.significance import GROUP, mcnemar, summary
from fashionprobe.plots.save import Figures
from fashionprobe.stages.refit.experiment import WATCHED, Experiment, Outcome, Run, Subject
from fashionprobe.training.scores import Scores, score

if TYPE_CHECKING:
    from matplotlib.figure import Figure


SHOWN = 6
"""Masked images in the figure of heatmaps."""

STEPS = 8
"""Iterations at most in the figure of heatmaps along the refit."""


def write(draft: Path, experiment: Experiment, subject: Subject, outcome: Outcome) -> dict[str, Any]:
    """Write all tables, figures and the model, and return the facts of the manifest."""
    found, tried, names = outcome.runs, outcome.tried, subject.trained.classes
    truth = {split: subject.data.of(split)["number"].to_numpy() for split in ("val", "test")}
    truth["train"] = outcome.train_labels
    scores = {
        (each.method.name, each.seed): {
            split: score(each.arrays()[split].astype(np.float64), numbers, names) for split, numbers in truth.items()
        }
        for each in found
    }
    runs = pd.DataFrame([_row(experiment, subject, each, scores, found, truth["test"]) for each in found])
    table = summary(runs)
    kept = _kept(experiment, found)
    runs.to_csv(draft / "runs.csv", index=False, float_format="%.6f")
    table.to_csv(draft / "methods.csv", index=False, float_format="%.6f")
    iterations = pd.concat([each.table("history.csv") for each in found], ignore_index=True)
    iterations.to_csv(draft / "iterations.csv", index=False, float_format="%.6f")
    masked = pd.concat([each.table("masked.csv") for each in found], ignore_index=True)
    masked.to_csv(draft / "masked.csv", index=False, float_format="%.6f")
    by_method = pd.concat([_probabilities(subject, outcome, each) for each in found], ignore_index=True)
    by_method.to_csv(draft / "masked_by_method.csv", index=False, float_format="%.6f")
    per_class = _per_class(found, scores)
    per_class.to_csv(draft / "per_class.csv", index=False, float_format="%.6f")
    if len(tried):
        tried.to_csv(draft / "sweep.csv", index=False, float_format="%.6f")
    for when, each in (("before", BASE.name), ("after", experiment.main.name)):
        matrix = scores[each, kept.seed]["test"].confusion
        matrix.rename_axis("true / predicted").to_csv(draft / f"confusion_{when}.csv")
    outcome.network.model.load_weights(kept.folder / "kept.weights.h5")
    outcome.network.model.save(draft / "model.keras")
    figures = Figures(draft)
    _draw(figures, experiment, subject, outcome, runs, iterations, masked, per_class, scores, kept)
    return _facts(experiment, subject, table, outcome.left_out, kept) | {"figures": figures.notes}


def _row(
    experiment: Experiment,
    subject: Subject,
    each: Run,
    scores: dict[Any, dict[str, Scores]],
    found: list[Run],
    truth: np.ndarray,
) -> dict[str, Any]:
    """Return one row of `runs.csv`."""
    noted, measured, arrays = each.noted(), scores[each.method.name, each.seed], each.arrays()
    base = next(other for other in found if other.method == BASE and other.seed == each.seed)
    right = arrays["test"].argmax(axis=1) == truth
    compared = mcnemar(base.arrays()["test"].argmax(axis=1) == truth, right)
    row = {
        "method": each.method.title, "family": each.method.family, "seed": each.seed, "iteration": noted["iteration"],
        "strength": noted["strength"], **{split: measured[split].top_1 for split in ("train", "val", "test")},
        "balanced": measured["test"].per_class["recall"].mean(), "macro_f1": measured["test"].macro_f1,
        "swapped": noted["swapped"], "inside": pd.Series(arrays["inside"]).mean(),
        "better": compared.better, "worse": compared.worse, "p": compared.p, "seconds": noted["seconds"],
    }  # fmt: skip
    if experiment.by is not None:
        values = subject.data.of("test")[experiment.by].to_numpy()
        row |= {
            f"{GROUP}{experiment.by} {value or 'not given'}": right[values == value].mean()
            for value in sorted(set(values))
        }
    return row


def _kept(experiment: Experiment, found: list[Run]) -> Run:
    """Return the run of the method asked for whose network is kept: the best on validation."""
    return max((each for each in found if each.method == experiment.main), key=lambda each: each.noted()["score"])


def _per_class(found: list[Run], scores: dict[Any, dict[str, Scores]]) -> pd.DataFrame:
    """Return precision, recall and F1 of each class on each split, for every run."""
    tables = []
    for each in found:
        for split, measured in scores[each.method.name, each.seed].items():
            table = measured.per_class[["class", "images", "precision", "recall", "f1"]].copy()
            table.insert(0, "split", split)
            table.insert(0, "seed", each.seed)
            table.insert(0, "method", each.method.title)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _facts(
    experiment: Experiment, subject: Subject, table: pd.DataFrame, left_out: dict[str, str], kept: Run
) -> dict[str, Any]:
    """Gather what the manifest and later stages need to know."""
    deviation = table["test_std"].fillna(0.0)
    return {
        "dataset": subject.data.records.path.name, "label": subject.data.label,
        "classes": list(subject.trained.classes), "size": subject.data.size,
        "backbone": subject.trained.artifact.facts["backbone"], "method": experiment.main.title,
        "kept_seed": kept.seed, "seeds": len(experiment.seeds), "masks": len(subject.masks.ids), "left_out": left_out,
        "test": {
            name: [mean, spread]
            for name, mean, spread in zip(table["method"], table["test_mean"], deviation, strict=True)
        },
        "balanced": dict(zip(table["method"], table["balanced_mean"], strict=True)),
        "worst_p": dict(zip(table["method"], table["p"], strict=True)),
    }  # fmt: skip


def _draw(
    figures: Figures, experiment: Experiment, subject: Subject, outcome: Outcome, runs: pd.DataFrame,
    iterations: pd.DataFrame, masked: pd.DataFrame, per_class: pd.DataFrame, scores: dict[Any, dict[str, Scores]],
    kept: Run,
) -> None:  # fmt: skip
    """Draw all figures."""
    from fashionprobe.plots.correction import confusion_change, per_class_change
    from fashionprobe.plots.refit import refit_curves, refit_methods
    from fashionprobe.plots.refit_settings import SETTINGS, pasa_surface, sweep

    title, seeds = experiment.main.title, len(experiment.seeds)
    spread = f"Each method with {seeds} seeds: the mean, one standard deviation, and the seeds." if seeds > 1 else ""
    figures.add(
        "methods", refit_methods(runs, title="Accuracy on test by method"), "Methods compared",
        f"All start from the same network with the same masks. {spread}",
    )  # fmt: skip
    if experiment.main.iterate:
        figure = refit_curves(
            iterations, masked, method=title, seed=kept.seed, chosen=kept.noted()["iteration"], title=title
        )
        figures.add(
            "refit_curves", figure, "The refit", f"{title}: the loss, the measurements that choose the iteration, and "
            "how probable the class of each masked image is.",
        )  # fmt: skip
    figures.add(
        "before_after", _heatmaps(experiment, subject, outcome, kept), "What it looks at, before and after",
        "Grad-CAM of the true class for masked images of the training. The outline is the mask.",
    )  # fmt: skip
    _draw_masked(figures, subject, outcome, kept)
    before, after = scores[BASE.name, kept.seed]["test"], scores[experiment.main.name, kept.seed]["test"]
    heading = f"{title}, test images"
    drawn = confusion_change(before.confusion, after.confusion, title=heading)
    figures.add("confusion", drawn, "Confusions before and after", "On the test images, in images.")
    drawn = per_class_change(_change(per_class, title), title=heading)
    figures.add("per_class", drawn, "Classes before and after", "Means over the seeds, on the test images.")
    tried = outcome.tried
    mine = tried[tried["method"] == title] if len(tried) else tried
    if experiment.main.loss == "pasa":
        used = mine[mine["chosen"]].iloc[0] if len(mine) else {name: experiment.swept[name][0] for name in ("b", "th")}
        pair = (float(used["b"]), float(used["th"]))
        others = {} if pair in SETTINGS.values() else {"this refit": pair}
        figures.add(
            "pasa", pasa_surface({**SETTINGS, **others}), "What B and th do", "The factor of PASA's penalty by the "
            "probability of the true class: with B below 1 it fades as the network gets sure, with B above 1 it grows.",
        )  # fmt: skip
    if len(mine):
        what = "What was chosen has the best mean of validation and swapped."
        figures.add("sweep", sweep(mine, title=title), "Values tried", what)


def _probabilities(subject: Subject, outcome: Outcome, each: Run) -> pd.DataFrame:
    """Return what one network says of each masked image: method, seed, id, class, and the probability of each class."""
    names = subject.trained.classes
    table = pd.DataFrame(each.arrays()["certain"], columns=[f"p {name}" for name in names])
    truth = [names[number] for number in outcome.masked.labels]
    table.insert(0, "class", truth)
    table.insert(0, "id", outcome.masked.ids)
    table.insert(0, "seed", each.seed)
    table.insert(0, "method", each.method.title)
    return table


def _draw_masked(figures: Figures, subject: Subject, outcome: Outcome, kept: Run) -> None:
    """Draw the first masked images: their heatmaps by method and along the refit, and what filled their regions."""
    from fashionprobe.plots.correction import Line, masked_table
    from fashionprobe.plots.overlays import overlay

    masked = outcome.masked.take(np.arange(min(WATCHED, len(outcome.masked))))
    pictures, names = list(masked.images.astype(np.uint8)), subject.trained.classes
    first = Line("Image", pictures, [names[number] for number in masked.labels])

    def heat(name: str, maps: np.ndarray, certain: np.ndarray) -> Line:
        shown = [overlay(each, one.astype(np.float32)) for each, one in zip(pictures, maps, strict=False)]
        of_true = certain[np.arange(len(masked)), masked.labels]
        return Line(name, shown, [f"p = {value:.2f}" for value in of_true])

    seeded = [each for each in outcome.runs if each.seed == kept.seed]
    lines = []
    for each in seeded:
        arrays = each.arrays()
        lines.append(heat(each.method.title, arrays["heat"], arrays["certain"]))
    figures.add(
        "heatmaps_by_method", masked_table([first, *lines], list(masked.masks), scale="Grad-CAM"),
        "What each method looks at", "Grad-CAM of the true class for the first masked images, and its probability p. "
        "masked_by_method.csv has the probabilities of all classes.",
    )  # fmt: skip
    if kept.method.iterate:
        along = kept.along()
        shown = np.unique(np.linspace(0, len(along["iteration"]) - 1, STEPS).round().astype(int))
        lines = [heat(f"Iteration {along['iteration'][n]}", along["heat"][n], along["certain"][n]) for n in shown]
        figures.add(
            "heatmaps_by_iteration", masked_table([first, *lines], list(masked.masks), scale="Grad-CAM"),
            "The heatmaps along the refit", f"{kept.method.title}: Grad-CAM of the true class, and its probability p.",
        )  # fmt: skip
    lines = [
        Line(
            each.method.title + (f", {number + 1}" if len(filled) > 1 else ""), one, [""] * len(one), outlined=False
        )
        for each in seeded if each.method.replace
        for filled in [each.filled()]
        for number, one in enumerate(filled)
    ]  # fmt: skip
    if lines:
        figures.add(
            "fillings", masked_table([first, *lines], list(masked.masks)), "What the masked regions were filled with",
            "The first masked images. Where a filling shows what it should hide, edit the mask.",
        )  # fmt: skip


def _heatmaps(experiment: Experiment, subject: Subject, outcome: Outcome, kept: Run) -> "Figure":
    """Draw the heatmaps of masked images before and after, those whose heat lay most inside the mask first."""
    from fashionprobe.plots.correction import Corrected, before_after

    base = next(each for each in outcome.runs if each.method == BASE and each.seed == kept.seed).arrays()
    after, names = kept.arrays(), subject.trained.classes

    def certain(arrays: dict[str, np.ndarray], row: int) -> float:
        return float(arrays["certain"][row, outcome.masked.labels[row]])

    order = np.argsort(-np.nan_to_num(base["inside"]), kind="stable")[:SHOWN]
    rows = [
        Corrected(
            name=names[outcome.masked.labels[row]], note="", image=outcome.masked.images[row].astype(np.uint8),
            mask=outcome.masked.masks[row],
            heatmaps=(base["heat"][row].astype(np.float32), after["heat"][row].astype(np.float32)),
            probabilities=(certain(base, row), certain(after, row)),
            inside=(float(base["inside"][row]), float(after["inside"][row])),
        )
        for row in order
    ]  # fmt: skip
    return before_after(rows, title=experiment.main.title, scale="Grad-CAM")


def _change(per_class: pd.DataFrame, title: str) -> pd.DataFrame:
    """Return class, metric, before and after, means over the seeds."""
    long = per_class[per_class["split"] == "test"].melt(
        ["method", "class"], ["precision", "recall", "f1"], var_name="metric"
    )
    means = long.groupby(["method", "class", "metric"])["value"].mean()
    return pd.DataFrame({"before": means["Base"], "after": means[title]}).reset_index()
