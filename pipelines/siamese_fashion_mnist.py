"""Embeddings of Fashion-MNIST by triplets: the siamese report's three experiments, and what works.

The report (2022) trained ResNet-18 with random and with the hardest triplets, and its LightModel with the hardest: they
run once each with its settings, those of configs/siamese_report_*.yaml. Then ours, over seeds: what mining, batch
normalisation and dimensions are worth to our light net. Last, each class is left out of the best one in turn.

    python pipelines/siamese_fashion_mnist.py --weights resnet18-f37072fd.pth      # downloads Fashion-MNIST
    python pipelines/siamese_fashion_mnist.py --path fashion_mnist_10k             # a folder with its four files
    python pipelines/siamese_fashion_mnist.py --path FOLDER --report false --seeds 1 --without false

The two experiments with ResNet-18 take hours without a GPU; --report false leaves the report's out. Without --weights
they start from random weights, which is not the report's.
"""

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from fashionprobe import config
from fashionprobe.cli import script
from fashionprobe.stages import embed, ingest, unseen

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def settings(name: str) -> dict[str, Any]:
    """Return the settings of a config."""
    return config.load((CONFIGS / f"siamese_{name}.yaml").read_text(encoding="utf-8"))


REPORT = ("report_random", "report_online", "report_light")
BEST = settings("semi_hard")
OURS: dict[str, dict[str, Any]] = {
    "light, random triplets, 2-d": settings("random"),
    "light, batch-hard, 2-d": settings("hard"),
    "light + BN, random triplets, 2-d": {"mining": "random", "dimension": 2},
    "light + BN, batch-hard, 2-d": {"mining": "batch_hard", "dimension": 2},
    "light + BN, batch-hard after 8 semi-hard epochs, 2-d": {"mining": "batch_hard", "easy_epochs": 8, "dimension": 2},
    "light + BN, semi-hard, 2-d": {**BEST, "dimension": 2},
    "light + BN, semi-hard, 16-d": BEST,
}


def main(
    *, path: str | None = None, weights: str = "random", report: bool = True, seeds: int = 3, without: bool = True
) -> None:
    """Train all of them and print one table.

    Args:
        path: Folder with the files of Fashion-MNIST, or an excerpt of it in the same form. Default: it is downloaded.
        weights: ResNet-18's first weights: torchvision's resnet18 file, as in the report, or random.
        report: Run the report's experiments, too.
        seeds: Networks of each kind of ours.
        without: Also leave each class out in turn, with the last kind.
    """
    records = ingest(dataset="fashion_mnist", source="fashion_mnist", path=path)
    todo: list[tuple[str, str, int, dict[str, Any]]] = []
    for name in REPORT if report else ():
        given = settings(name)
        start = {"weights": weights} if given["backbone"] == "resnet18" else {}
        todo.append((f"report: {name.removeprefix('report_')}", f"siamese_{name}", 0, given | start))
    for number, (name, given) in enumerate(OURS.items()):
        todo += [(f"ours: {name}", f"siamese_{number}_{seed}", seed, given) for seed in range(seeds)]
    rows = []
    for name, run, seed, given in todo:
        found = embed(dataset=records, run=run, seed=seed, **given)
        last = pd.read_csv(found.path / "scores.csv").iloc[-1]
        columns = ["k", "accuracy", "knn_auc", "mean_auc", "silhouette", "silhouette_nearest_point", "loss"]
        rows.append({"experiment": name, "seed": seed, **last[columns], "state": ", ".join(found.states)})
    table = pd.DataFrame(rows)
    folder = Path("runs/siamese")
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "experiments.csv", index=False, float_format="%.6g")
    shown = table.drop(columns=["seed", "k", "state"]).groupby("experiment", sort=False).agg(["mean", "std"])
    print("3-NN in the report's experiments, 5-NN in ours.")
    print(shown.to_string(float_format="%.3g"))
    if without:
        unseen(run=f"siamese_{len(OURS) - 1}_0", seeds=seeds, epochs=5)


if __name__ == "__main__":
    sys.exit(script(main))
