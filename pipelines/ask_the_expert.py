"""Does it pay to ask the expert about the images that `propose` ranks first? Accuracy by the number of masks.

On the drawn letters with a mark that gives the class away (configs/symbols.yaml): networks are corrected by PASA
with the first 8, 16, 32 and 64 masks in the order of each criterion of `propose`, and in a random order.
Runs offline; about forty minutes on two cores.

    python pipelines/ask_the_expert.py
    python pipelines/ask_the_expert.py --networks 2 --counts 8,32
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from fashionprobe.cli import script
from fashionprobe.inputs.arguments import numbers
from fashionprobe.plots.refit_settings import accuracy_by_masks
from fashionprobe.plots.save import save
from fashionprobe.stages import ingest, masks, propose, refit, train

CORNER = [0.75, 0.0, 1.0, 0.25]
MARKED = "test: marks random"
RANDOM = "random"
ORDERS = {"heat": ["heat"], "uncertainty": ["uncertainty"], "all three": None}
"""Criteria by the name of the order; None for all."""


def main(*, networks: int = 8, counts: int | list[int] | None = None, iterations: int = 100) -> None:
    """Run the experiment.

    Args:
        networks: Number of networks.
        counts: Numbers of masks. Default: 8,16,32,64.
        iterations: Iterations of each refit.
    """
    counts = numbers(counts) or [8, 16, 32, 64]
    records = ingest(dataset="symbols", source="symbols", count=1600, split=[420, 80, 1100])
    net = {"backbone": "symbol", "weights": "random", "bias": False, "epochs": 14}
    for seed in range(networks):
        train(dataset=records, run=f"ask_{seed}", seed=seed, **net)
    rows = []
    for seed in range(networks):
        others = [f"ask_{other}" for other in range(networks) if other != seed][:3]
        for order, ids in orders(f"ask_{seed}", others, seed).items():
            for count in counts:
                # One run at a time holds the masks and the refit; the table keeps what they came to.
                masks(
                    dataset=records, run=f"ask_{seed}", source="box", box=CORNER, id=ids[:count], overwrite=True
                )  # fmt: skip
                done = refit(
                    run=f"ask_{seed}", loss="pasa", b=0.8, th=2.0, rivals="none", iterations=iterations, by="marks",
                    check_every=20, seeds=1, seed=seed, overwrite=True,
                )  # fmt: skip
                runs = pd.read_csv(done.path / "runs.csv").set_index("method")[MARKED]
                rows.append({"network": seed, "order": order, "masks": count, "accuracy": runs["PASA"]})
                rows.append({"network": seed, "order": order, "masks": 0, "accuracy": runs["Base"]})
    write(pd.DataFrame(rows).drop_duplicates(), Path("runs/ask"))


def orders(run: str, others: list[str], seed: int) -> dict[str, list[str]]:
    """Return the ids of the training images in each order."""
    found = {}
    for order, criteria in ORDERS.items():
        if others or criteria is not None:
            proposed = propose(run=run, by=criteria, others=None if criteria else others, overwrite=True)
            table = pd.read_csv(proposed.table)
            found[order] = table["id"].tolist()
    ids = sorted(found["heat"])
    return found | {RANDOM: np.random.default_rng(seed).permutation(ids).tolist()}


def write(table: pd.DataFrame, folder: Path) -> None:
    """Write the table, the figure, and how many masks each order needs for what random asking reaches."""
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "accuracy.csv", index=False, float_format="%.6f")
    mean = table.pivot_table("accuracy", "masks", "order", sort=False).sort_index()
    print(mean.round(3).to_string())
    apart = table.pivot_table("accuracy", ["network", "masks"], "order")
    difference = apart.sub(apart[RANDOM], axis=0).drop(columns=RANDOM)
    print("Difference to random asking, mean and standard error over networks, in points:")
    summary = difference.groupby("masks").agg(["mean", "sem"]).mul(100).round(1)
    print(summary.to_string())
    for order in mean.columns.drop(RANDOM):
        needed = masks_for(mean[order], float(mean[RANDOM].iloc[-1]))
        share = f"{needed:.0f} masks, {needed / mean.index[-1]:.0%}" if np.isfinite(needed) else "more masks"
        print(f"{order}: {share} for what {mean.index[-1]} random ones reach, {mean[RANDOM].iloc[-1]:.3f}")
    save(accuracy_by_masks(table, title="Letters whose marks are drawn by chance"), folder / "accuracy")


def masks_for(curve: pd.Series, wanted: float) -> float:
    """Return the number of masks at which a curve reaches an accuracy, between the measured ones; inf for never."""
    counts, values = curve.index.to_numpy(float), curve.to_numpy(float)
    for low, high, before, after in zip(counts, counts[1:], values, values[1:], strict=False):
        if after >= wanted:
            return float(low + (high - low) * max(0.0, (wanted - before) / (after - before)))
    return float("inf")


if __name__ == "__main__":
    sys.exit(script(main))
