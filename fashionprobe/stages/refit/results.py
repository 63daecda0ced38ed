"""The tables and figures of `refit`, from what each method and seed left on disk."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fashionprobe.feedback.methods import BASE, Method
from fashionprobe.feedback.significance import GROUP, mcnemar, summary
from fashionprobe.plots.save import Figures
from fashionprobe.training.scores import Scores, score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fashionprobe.feedback.correctable import Correctable
    from fashionprobe.feedback.refit import Masked
    from fashionprobe.stages.refit.experiment import Job

SHOWN = 6
"""Masked images in the figure of heatmaps."""


@dataclass(frozen=True)
class Found:
    """What one method left with one seed.

    Attributes:
        method: The method.
        seed: The seed.
        folder: Where its files are.
    """

    method: Method
    seed: int
    folder: Path

    def arrays(self) -> dict[str, np.ndarray]:
        """Return its probabilities and heatmaps."""
        with np.load(self.folder / "found.npz", allow_pickle=False) as file:
            return dict(file)

    def noted(self) -> dict[str, Any]:
        """Return its numbers: iteration, strength, seconds, val, swapped, score."""
        return json.loads((self.folder / "noted.json").read_text(encoding="utf-8"))

    def table(self, name: str) -> pd.DataFrame:
        """Return one of its tables, with the names of method and seed."""
        table = pd.read_csv(self.folder / name)
        table.insert(0, "seed", self.seed)
        table.insert(0, "method", self.method.title)
        return table


def write_files(
    draft: Path, job: "Job", network: "Correctable", found: list[Found], left_out: dict[str, str],
    tried: pd.DataFrame, heated: "Masked", train_labels: np.ndarray, names: tuple[str, ...],
) -> dict[str, Any]:  # fmt: skip
    """Write all tables, figures and the model, and return the facts of the manifest."""
    truth = {split: job.data.of(split)["number"].to_numpy() for split in ("val", "test")} | {"train": train_labels}
    scores = {
        (each.method.name, each.seed): {
            split: score(each.arrays()[split].astype(np.float64), numbers, names) for split, numbers in truth.items()
        }
        for each in found
    }
    runs = pd.DataFrame([_row(job, each, scores, found, truth["test"]) for each in found])
    table = summary(runs)
    kept = _kept(job, found)
    runs.to_csv(draft / "runs.csv", index=False, float_format="%.6f")
    table.to_csv(draft / "methods.csv", index=False, float_format="%.6f")
    iterations = pd.concat([each.table("history.csv") for each in found], ignore_index=True)
    iterations.to_csv(draft / "iterations.csv", index=False, float_format="%.6f")
    masked = pd.concat([each.table("masked.csv") for each in found], ignore_index=True)
    masked.to_csv(draft / "masked.csv", index=False, float_format="%.6f")
    per_class = _per_class(found, scores)
    per_class.to_csv(draft / "per_class.csv", index=False, float_format="%.6f")
    if len(tried):
        tried.to_csv(draft / "sweep.csv", index=False, float_format="%.6f")
    for when, each in (("before", BASE.name), ("after", job.main.name)):
        matrix = scores[each, kept.seed]["test"].confusion
        matrix.rename_axis("true / predicted").to_csv(draft / f"confusion_{when}.csv")
    network.model.load_weights(kept.folder / "kept.weights.h5")
    network.model.save(draft / "model.keras")
    figures = Figures(draft)
    _draw(figures, job, runs, iterations, masked, per_class, tried, scores, found, kept, heated)
    return _facts(job, table, runs, left_out, kept, names, figures.notes)


def _row(
    job: "Job", each: Found, scores: dict[Any, dict[str, Scores]], found: list[Found], truth: np.ndarray
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
    if job.by is not None:
        values = job.data.of("test")[job.by].to_numpy()
        row |= {
            f"{GROUP}{job.by} {value or 'not given'}": right[values == value].mean() for value in sorted(set(values))
        }
    return row


def _kept(job: "Job", found: list[Found]) -> Found:
    """Return the run of the method asked for whose network is kept: the best on validation."""
    return max((each for each in found if each.method == job.main), key=lambda each: each.noted()["score"])


def _per_class(found: list[Found], scores: dict[Any, dict[str, Scores]]) -> pd.DataFrame:
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
    job: "Job", table: pd.DataFrame, runs: pd.DataFrame, left_out: dict[str, str], kept: Found,
    names: tuple[str, ...], figures: list[dict[str, Any]],
) -> dict[str, Any]:  # fmt: skip
    """Gather what the manifest and later stages need to know."""
    deviation = table["test_std"].fillna(0.0)
    return {
        "dataset": job.data.records.path.name, "label": job.data.label, "classes": list(names),
        "size": job.data.size, "backbone": job.trained.artifact.facts["backbone"], "method": job.main.title,
        "kept_seed": kept.seed, "seeds": len(job.seeds), "masks": len(job.masks.ids), "left_out": left_out,
        "test": {
            name: [mean, spread]
            for name, mean, spread in zip(table["method"], table["test_mean"], deviation, strict=True)
        },
        "balanced": dict(zip(table["method"], table["balanced_mean"], strict=True)),
        "worst_p": dict(zip(table["method"], table["p"], strict=True)),
        "figures": figures,
    }  # fmt: skip


def _draw(
    figures: Figures, job: "Job", runs: pd.DataFrame, iterations: pd.DataFrame, masked: pd.DataFrame,
    per_class: pd.DataFrame, tried: pd.DataFrame, scores: dict[Any, dict[str, Scores]], found: list[Found],
    kept: Found, heated: "Masked",
) -> None:  # fmt: skip
    """Draw all figures."""
    from fashionprobe.plots.correction import confusion_change, per_class_change
    from fashionprobe.plots.refit import refit_curves, refit_methods
    from fashionprobe.plots.refit_settings import SETTINGS, pasa_surface, sweep

    title, seeds = job.main.title, len(job.seeds)
    spread = f"Each method with {seeds} seeds: the mean, one standard deviation, and the seeds." if seeds > 1 else ""
    figures.add(
        "methods", refit_methods(runs, title="Accuracy on test by method"), "Methods compared",
        f"All start from the same network with the same masks. {spread}",
    )  # fmt: skip
    if job.main.iterate:
        figure = refit_curves(
            iterations, masked, method=title, seed=kept.seed, chosen=kept.noted()["iteration"], title=title
        )
        figures.add(
            "refit_curves", figure, "The refit", f"{title}: the loss, the measurements that choose the iteration, and "
            "how probable the class of each masked image is.",
        )  # fmt: skip
    figures.add(
        "before_after", _heatmaps(job, found, kept, heated), "What it looks at, before and after",
        "Grad-CAM of the true class for masked images of the training. The outline is the mask.",
    )  # fmt: skip
    before, after = scores[BASE.name, kept.seed]["test"], scores[job.main.name, kept.seed]["test"]
    heading = f"{title}, test images"
    drawn = confusion_change(before.confusion, after.confusion, title=heading)
    figures.add("confusion", drawn, "Confusions before and after", "On the test images, in images.")
    drawn = per_class_change(_change(per_class, title), title=heading)
    figures.add("per_class", drawn, "Classes before and after", "Means over the seeds, on the test images.")
    mine = tried[tried["method"] == title] if len(tried) else tried
    if job.main.loss == "pasa":
        used = mine[mine["chosen"]].iloc[0] if len(mine) else {name: job.swept[name][0] for name in ("b", "th")}
        pair = (float(used["b"]), float(used["th"]))
        others = {} if pair in SETTINGS.values() else {"this refit": pair}
        figures.add(
            "pasa", pasa_surface({**SETTINGS, **others}), "What B and th do", "The factor of PASA's penalty by the "
            "probability of the true class: with B below 1 it fades as the network gets sure, with B above 1 it grows.",
        )  # fmt: skip
    if len(mine):
        what = "What was chosen has the best mean of validation and swapped."
        figures.add("sweep", sweep(mine, title=title), "Values tried", what)


def _heatmaps(job: "Job", found: list[Found], kept: Found, heated: "Masked") -> "Figure":
    """Draw the heatmaps of masked images before and after, those whose heat lay most inside the mask first."""
    from fashionprobe.plots.correction import Corrected, before_after

    base = next(each for each in found if each.method == BASE and each.seed == kept.seed).arrays()
    after, names = kept.arrays(), job.trained.classes

    def certain(arrays: dict[str, np.ndarray], row: int) -> float:
        return float(arrays["certain"][row, heated.labels[row]])

    order = np.argsort(-np.nan_to_num(base["inside"]), kind="stable")[:SHOWN]
    rows = [
        Corrected(
            name=names[heated.labels[row]], note="", image=heated.images[row].astype(np.uint8),
            mask=heated.masks[row],
            heatmaps=(base["heat"][row].astype(np.float32), after["heat"][row].astype(np.float32)),
            probabilities=(certain(base, row), certain(after, row)),
            inside=(float(base["inside"][row]), float(after["inside"][row])),
        )
        for row in order
    ]  # fmt: skip
    return before_after(rows, title=job.main.title, scale="Grad-CAM")


def _change(per_class: pd.DataFrame, title: str) -> pd.DataFrame:
    """Return class, metric, before and after, means over the seeds."""
    long = per_class[per_class["split"] == "test"].melt(
        ["method", "class"], ["precision", "recall", "f1"], var_name="metric"
    )
    means = long.groupby(["method", "class", "metric"])["value"].mean()
    return pd.DataFrame({"before": means["Base"], "after": means[title]}).reset_index()
