"""Embeddings of Fashion-MNIST by triplets: what mining, batch normalisation and dimensions are worth, over seeds.

After a report of 2022 that trained a light net and ResNet-18 with random and with hard triplets. First its own
settings, then those that work: semi-hard triplets in balanced batches, batch normalisation. Last, each class is left
out in turn.

    python pipelines/siamese_fashion_mnist.py                              # downloads Fashion-MNIST
    python pipelines/siamese_fashion_mnist.py --path fashion_mnist_10k     # a folder with its four files
    python pipelines/siamese_fashion_mnist.py --path FOLDER --seeds 1 --without false
"""

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from fashionprobe.cli import script
from fashionprobe.stages import embed, ingest, unseen

BEST = {
    "augment": "flip", "per_class": 16, "steps": 140, "margin": 20.0, "learning_rate": 0.005, "weight_decay": 0.2,
}  # fmt: skip
"""Of configs/siamese_semi_hard.yaml."""

EXPERIMENTS: dict[str, dict[str, Any]] = {
    "light, random triplets, 2-d": {"backbone": "light", "mining": "random", "dimension": 2},
    "light, batch-hard, 2-d": {"backbone": "light", "mining": "batch_hard", "dimension": 2},
    "light + BN, random triplets, 2-d": {"mining": "random", "dimension": 2},
    "light + BN, batch-hard, 2-d": {"mining": "batch_hard", "dimension": 2},
    "light + BN, batch-hard after 8 semi-hard epochs, 2-d": {"mining": "batch_hard", "easy_epochs": 8, "dimension": 2},
    "light + BN, semi-hard, 2-d": {"dimension": 2, **BEST},
    "light + BN, semi-hard, 16-d": {"dimension": 16, **BEST},
}


def main(*, path: str | None = None, seeds: int = 3, without: bool = True) -> None:
    """Train all of them and print one table.

    Args:
        path: Folder with the files of Fashion-MNIST, or an excerpt of it in the same form. Default: it is downloaded.
        seeds: Networks of each kind.
        without: Also leave each class out in turn, with the last kind.
    """
    records = ingest(dataset="fashion_mnist", source="fashion_mnist", path=path)
    rows = []
    for number, (name, settings) in enumerate(EXPERIMENTS.items()):
        for seed in range(seeds):
            found = embed(dataset=records, run=f"siamese_{number}_{seed}", seed=seed, **settings)
            rows.append({
                "experiment": name, "seed": seed, "accuracy": found.accuracy, "auc": found.auc,
                "silhouette": found.silhouette, "state": ", ".join(found.states),
            })  # fmt: skip
    table = pd.DataFrame(rows)
    folder = Path("runs/siamese")
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "experiments.csv", index=False, float_format="%.4f")
    shown = table.groupby("experiment", sort=False)[["accuracy", "auc", "silhouette"]].agg(["mean", "std"])
    print(shown.to_string(float_format="%.3f"))
    if without:
        unseen(run=f"siamese_{len(EXPERIMENTS) - 1}_0", seeds=seeds, epochs=5)


if __name__ == "__main__":
    sys.exit(script(main))
