"""A classifier of threats in X-ray photographs, corrected with 14 masks of clutter drawn by hand.

After the visual-feedback experiments on GDXray: guns, shuriken, razor blades and other objects. It is trained on
photographs before plain and cluttered grounds and measured on cluttered ones. Of the cluttered training photographs
only those that are not flipped copies are taken, so that there are few of them, as in that experiment.

    python pipelines/correct_xray.py --path gdxray_objects.zip
    python pipelines/correct_xray.py --path gdxray_objects.zip --rivals continued,crops --seeds 1
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from PIL import Image

from fashionprobe.cli import script
from fashionprobe.feedback.significance import summary
from fashionprobe.plots.refit import refit_methods
from fashionprobe.plots.save import save
from fashionprobe.records.record_set import open_record_set
from fashionprobe.stages import ingest, masks, refit, train

FEW_CLUTTERED = "background != 'cluttered' or flipped == 'no' or split == 'test'"

CLUTTER = {
    "gun/B0079_0047": [(0.58, 0.30, 1.0, 1.0), (0.0, 0.0, 0.2, 0.22)],
    "gun/B0079_0044": [(0.62, 0.0, 1.0, 0.65)],
    "gun/B0079_0049": [(0.28, 0.58, 0.7, 1.0), (0.0, 0.3, 0.2, 1.0)],
    "gun/B0079_0042": [(0.62, 0.3, 1.0, 1.0)],
    "razor_blade/B0081_0029": [(0.0, 0.0, 0.2, 0.5), (0.86, 0.0, 1.0, 1.0)],
    "razor_blade/B0081_0036": [(0.0, 0.0, 0.45, 0.25), (0.84, 0.0, 1.0, 1.0), (0.0, 0.78, 0.8, 1.0)],
    "razor_blade/B0081_0025": [(0.0, 0.0, 0.8, 0.3), (0.8, 0.62, 1.0, 1.0), (0.0, 0.0, 0.15, 1.0)],
    "razor_blade/B0081_0011": [(0.86, 0.0, 1.0, 1.0), (0.72, 0.0, 1.0, 0.22)],
    "razor_blade/B0081_0032": [(0.5, 0.7, 1.0, 1.0), (0.0, 0.0, 0.4, 0.22), (0.88, 0.0, 1.0, 1.0)],
    "razor_blade/B0081_0019": [(0.0, 0.0, 0.14, 1.0), (0.86, 0.0, 1.0, 1.0)],
    "shuriken/B0080_0034": [(0.7, 0.0, 1.0, 0.25), (0.0, 0.0, 0.45, 0.2), (0.7, 0.75, 1.0, 1.0)],
    "shuriken/B0080_0048": [(0.8, 0.1, 1.0, 1.0), (0.1, 0.15, 0.3, 0.42), (0.1, 0.58, 0.3, 1.0)],
    "shuriken/B0080_0006": [(0.5, 0.78, 0.8, 1.0), (0.5, 0.06, 0.8, 0.26), (0.88, 0.0, 1.0, 0.35)],
    "shuriken/B0080_0038": [(0.36, 0.86, 0.7, 1.0), (0.0, 0.12, 0.2, 0.42), (0.0, 0.8, 0.3, 1.0)],
}
"""Boxes of clutter in training photographs: (top, left, bottom, right) as shares of height and width."""


def main(
    *, path: str, seeds: int = 3, rivals: str = "all", size: int = 48, b: float = 5.0, th: float = 0.8,
    automatic: int = 0,
) -> None:  # fmt: skip
    """Run the experiment, each seed with a network of its own.

    Args:
        path: Folder or zip file with the photographs.
        seeds: Number of networks that are trained and corrected.
        rivals: What PASA is compared with, as in `fashionprobe refit`.
        size: Height and width of the network's input in pixels.
        b: Base of PASA.
        th: Threshold of PASA.
        automatic: In place of the masks drawn by hand, so many masks of plain grounds, found by Otsu's threshold.
    """
    kind = "otsu" if automatic else "drawn"
    records = ingest(dataset="xray", source="xray", path=path, where=FEW_CLUTTERED)
    tables = []
    for seed in range(seeds):
        run = f"xray_{kind}_{seed}"
        net = {"backbone": "symbol", "weights": "random", "bias": False, "size": size, "epochs": 8, "seed": seed}
        train(dataset=records, run=run, **net)
        if automatic:
            masks(dataset=records, run=run, source="otsu", where="background == 'plain'", samples=automatic)
        else:
            with TemporaryDirectory() as folder:
                draw(records.path, Path(folder))
                masks(dataset=records, run=run, source="png", path=folder, author="by hand")
        done = refit(run=run, loss="pasa", b=b, th=th, rivals=rivals, check_every=20, seeds=1, seed=seed)
        tables.append(pd.read_csv(done.path / "runs.csv"))
    runs = pd.concat(tables, ignore_index=True)
    table = summary(runs).sort_values("test_mean", ascending=False)
    folder = Path("runs") / f"xray_{kind}"
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "methods.csv", index=False, float_format="%.4f")
    save(refit_methods(runs, title="Threats before cluttered grounds"), folder / "methods")
    columns = ["method", "test_mean", "test_std", "points", "points_std", "balanced_mean", "balanced_std", "p"]
    print(table[columns].to_string(index=False, float_format="%.3f"))


def draw(records: Path, folder: Path) -> None:
    """Write the masks as PNG files, named like the photographs."""
    artifact = open_record_set(records)
    ids = [f"train/{name}.jpg" for name in CLUTTER]
    for name, picture in artifact.pictures(ids):
        height, width = picture.shape[:2]
        mask = np.zeros((height, width), np.uint8)
        for top, left, bottom, right in CLUTTER[name.removeprefix("train/").removesuffix(".jpg")]:
            mask[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = 255
        target = (folder / name).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(target)


if __name__ == "__main__":
    sys.exit(script(main))
