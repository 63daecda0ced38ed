"""A network that reads a mark in the corner instead of the letter, corrected with masks of that corner.

The symbols of the visual-feedback experiments: epsilon, xi and zeta, drawn, with a mark in the lower left corner that
gives the class away in nearly all images of train and val, and in those of test by chance alone. A network trained on
them is compared with one trained on the same letters without marks; then every method of `refit` gets 300 masks of the
corner. Runs offline; about an hour on two cores.

    python pipelines/correct_symbols.py
    python pipelines/correct_symbols.py --rivals continued,pas,crops,head --seeds 1
"""

import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from fashionprobe.cli import script
from fashionprobe.feedback.significance import summary
from fashionprobe.kerasfile import opening
from fashionprobe.plots.refit import refit_methods
from fashionprobe.plots.save import save
from fashionprobe.records.read import read
from fashionprobe.records.record_set import open_record_set
from fashionprobe.stages import ingest, masks, refit, train

MARKED, PLAIN = "test: marks random", "test: marks without"
LETTERS = {"source": "symbols", "count": 1600, "split": [420, 80, 1100]}
CORNER = [0.75, 0.0, 1.0, 0.25]


def main(
    *, seeds: int = 3, rivals: str = "all", iterations: int = 100,
    scale: Literal["formula", "relative", "absolute"] = "formula",
) -> None:  # fmt: skip
    """Run the experiment, each seed with a network of its own.

    Args:
        seeds: Number of networks that are trained and corrected.
        rivals: What PASA is compared with, as in `fashionprobe refit`.
        iterations: Iterations of each refit.
        scale: The weight of PAS and PASA: that of the thesis, or relative to the cross-entropy, which is ours.
    """
    marked = ingest(dataset="symbols", **LETTERS)
    plain = ingest(dataset="symbols_without_marks", marks="none", **LETTERS)
    tables, upper = [], []
    for seed in range(seeds):
        run = f"symbols_{seed}"
        net = {"backbone": "symbol", "weights": "random", "bias": False, "epochs": 14, "seed": seed}
        train(dataset=marked, run=run, **net)
        clean = train(dataset=plain, run=f"{run}_without_marks", **net)
        upper.append(on_marked(clean.model, marked.path))
        masks(dataset=marked, run=run, source="box", box=CORNER, samples=300)
        done = refit(
            run=run, loss="pasa", b=0.8, th=2.0, rivals=rivals, iterations=iterations, check_every=20, by="marks",
            seeds=1, seed=seed, scale=scale,
        )  # fmt: skip
        tables.append(pd.read_csv(done.path / "runs.csv"))
    write(pd.concat(tables, ignore_index=True), float(np.mean(upper)))


def on_marked(model: Path, records: Path) -> float:
    """Return the accuracy of a network on the test letters that carry a mark by chance."""
    artifact = open_record_set(records)
    network = opening.load_model(model)
    numbers = {name: number for number, name in enumerate(artifact.classes("marks"))}
    right = []
    test = read(artifact, outputs=("image", "class", "marks"), splits=("test",), size=(72, 72))
    for images, labels, marks in test:
        correct = network.predict_on_batch(images).argmax(axis=1) == labels.numpy()
        right.append(correct[marks.numpy() == numbers["random"]])
    return float(np.concatenate(right).mean())


def write(runs: pd.DataFrame, upper: float) -> None:
    """Write the table and the figure over all seeds."""
    table = summary(runs, metric=MARKED, upper=upper).sort_values(f"{MARKED}_mean", ascending=False)
    folder = Path("runs/symbols")
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "methods.csv", index=False, float_format="%.4f")
    figure = refit_methods(
        runs, columns=[MARKED, PLAIN], upper={MARKED: upper}, upper_name="trained without marks",
        title="Letters whose marks are drawn by chance, or left out",
    )  # fmt: skip
    save(figure, folder / "methods")
    shown = table[["method", f"{MARKED}_mean", f"{MARKED}_std", "points", "gap", f"{PLAIN}_mean", "swapped_mean"]]
    print(shown.to_string(index=False, float_format="%.3f"))
    print(f"Trained without marks: {upper:.3f} on the same images. Wrote {folder / 'methods.csv'} and methods.png")


if __name__ == "__main__":
    sys.exit(script(main))
