"""A classifier of threats in X-ray photographs, corrected with 14 masks drawn by hand; networks compared in pairs.

After the visual-feedback thesis, on GDXray: guns, shuriken, razor blades and other objects.

- Ours: trained on photographs before plain and cluttered grounds and measured on cluttered ones, with masks of clutter.
  Of the cluttered training photographs only those that are not flipped copies are taken, so that there are few of them.
- `--thesis`: the thesis' own direction, by configs/feedback_xray.yaml: trained on objects among other things, measured
  on objects alone, with some masks on empty areas of class other, and the last of 100 iterations kept.

    python pipelines/correct_xray.py --path gdxray_objects.zip
    python pipelines/correct_xray.py --path gdxray_objects.zip --thesis --networks 8
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from fashionprobe import config
from fashionprobe.cli import script
from fashionprobe.feedback.significance import summary
from fashionprobe.plots.refit import refit_methods
from fashionprobe.plots.save import save
from fashionprobe.records.record_set import open_record_set
from fashionprobe.stages import ingest, masks, refit, train

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "feedback_xray.yaml"
FEW_CLUTTERED = "background != 'cluttered' or flipped == 'no' or split == 'test'"
Boxes = dict[str, list[tuple[float, float, float, float]]]

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

EXAMPLES = (
    "gun/B0079_0047", "gun/B0079_0049", "razor_blade/B0081_0036", "razor_blade/B0081_0025", "razor_blade/B0081_0032",
    "shuriken/B0080_0048", "shuriken/B0080_0038",
)  # fmt: skip
EMPTY = {
    "test/other/B0082_0229": [(0.55, 0.0, 1.0, 1.0)],
    "test/other/B0082_0241": [(0.0, 0.0, 1.0, 0.4)],
    "test/other/B0082_0293": [(0.0, 0.65, 1.0, 1.0)],
    "test/other/B0082_0302": [(0.6, 0.45, 1.0, 1.0)],
    "test/other/B0082_0325": [(0.55, 0.0, 1.0, 1.0)],
    "test/other/B0082_0368": [(0.0, 0.0, 1.0, 0.5)],
    "test/other/B0082_0406": [(0.0, 0.0, 1.0, 0.48)],
}
"""As in the thesis, some examples and several of class other with large empty areas; 14 together."""


OURS: dict[str, dict[str, Any]] = {
    "ingest": {"dataset": "xray", "source": "xray", "where": FEW_CLUTTERED},
    "train": {"backbone": "symbol", "weights": "random", "bias": False, "size": 48, "epochs": 8},
    "refit": {"loss": "pasa", "b": 5.0, "th": 0.8, "check_every": 20, "rivals": "all"},
}


def main(
    *, path: str, thesis: bool = False, networks: int = 8, rivals: str | None = None, automatic: int = 0
) -> None:  # fmt: skip
    """Run the experiment, each network corrected by every method.

    Args:
        path: Folder or zip file with the photographs.
        thesis: The thesis' direction and settings, in place of ours.
        networks: Number of networks that are trained and corrected.
        rivals: What PASA is compared with, as in `fashionprobe refit`. Default: all; with `thesis` continued training.
        automatic: In place of the masks drawn by hand, so many masks of plain grounds, found by Otsu's threshold.
    """
    settings = config.read(str(CONFIG)) if thesis else OURS
    name = f"xray_{'thesis' if thesis else 'otsu' if automatic else 'drawn'}"
    records = ingest(**settings["ingest"], path=path)
    boxes = {f"train/{each}": CLUTTER[each] for each in (EXAMPLES if thesis else CLUTTER)} | (EMPTY if thesis else {})
    of_all = {"rivals": rivals} if rivals else {}
    tables = []
    for seed in range(networks):
        run = f"{name}_{seed}"
        train(**{**settings["train"], "dataset": records, "run": run, "seed": seed})
        if automatic:
            masks(dataset=records, run=run, source="otsu", where="background == 'plain'", samples=automatic)
        else:
            with TemporaryDirectory() as folder:
                draw(records.path, Path(folder), boxes)
                masks(dataset=records, run=run, source="png", path=folder, author="by hand")
        done = refit(**{**settings["refit"], **of_all, "run": run, "seeds": 1, "seed": seed})
        tables.append(pd.read_csv(done.path / "runs.csv"))
    write(pd.concat(tables, ignore_index=True), Path("runs") / name, thesis=thesis)


def write(runs: pd.DataFrame, folder: Path, *, thesis: bool) -> None:
    """Write the table and the figure over all networks."""
    table = summary(runs).sort_values("test_mean", ascending=False)
    folder.mkdir(parents=True, exist_ok=True)
    runs.to_csv(folder / "runs.csv", index=False, float_format="%.6f")
    table.to_csv(folder / "methods.csv", index=False, float_format="%.4f")
    grounds = "Objects alone, learned among other things" if thesis else "Threats before cluttered grounds"
    save(refit_methods(runs, title=grounds), folder / "methods")
    columns = ["method", "train_mean", "val_mean", "test_mean", "test_std", "points", "points_low", "points_high"]
    print(table[columns].to_string(index=False, float_format="%.3f"))
    print(f"points: percentage points over the same network before, with the 95 % interval of their mean over "
          f"{runs['seed'].nunique()} networks. Wrote {folder / 'methods.csv'} and methods.png")  # fmt: skip


def draw(records: Path, folder: Path, boxes: Boxes) -> None:
    """Write the masks as PNG files, named like the photographs."""
    artifact = open_record_set(records)
    for name, picture in artifact.pictures([f"{each}.jpg" for each in boxes]):
        height, width = picture.shape[:2]
        mask = np.zeros((height, width), np.uint8)
        for top, left, bottom, right in boxes[name.removesuffix(".jpg")]:
            mask[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = 255
        target = (folder / name).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(target)


if __name__ == "__main__":
    sys.exit(script(main))
