"""Which hidden block of a convnet knows colour, which knows fabric pattern, and would random weights do as well?

Three runs over two evaluation sets of Kaggle's Fashion Product Images, one report. Copy it and change it.

    python pipelines/colour_and_pattern.py --path fashion_products.zip
    python pipelines/colour_and_pattern.py --path fashion_products.zip --backbone my_model.keras --preprocessing tf
"""

import sys
from pathlib import Path
from typing import Literal

import yaml

from fashionprobe.cli import script
from fashionprobe.stages import classify, extract, ingest, report

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


def main(
    *,
    path: str,
    backbone: str = "resnet50",
    preprocessing: Literal["auto", "none", "tf", "caffe", "torch"] = "auto",
) -> None:
    """Run the experiment.

    Args:
        path: Folder or zip file of the catalogue.
        backbone: A name of keras.applications, or the path of a .keras file.
        preprocessing: What its weights expect of the pixels.
    """
    colour, pattern = (yaml.safe_load((CONFIGS / f"{name}.yaml").read_text()) for name in ("colour", "pattern"))

    # Two sets of images: plain tops in ten colours, tops in four patterns.
    colours = ingest(dataset="colour", source="kaggle", path=path, **colour)
    patterns = ingest(dataset="pattern", source="kaggle", path=path, **pattern)

    # One forward pass each; all five blocks come out of it. Nothing is trained.
    by_colour = extract(dataset=colours, backbone=backbone, preprocessing=preprocessing)
    by_pattern = extract(dataset=patterns, backbone=backbone, preprocessing=preprocessing)
    by_chance = extract(
        dataset=patterns, run="pattern-random", backbone=backbone, preprocessing=preprocessing, weights="random"
    )

    # Each image is classified by the others; the report sets the three runs side by side.
    runs = [
        classify(run=by_colour, label="baseColour"),
        classify(run=by_pattern, label="pattern"),
        classify(run=by_chance, label="pattern"),
    ]
    page = report(run=runs, title="Where colour and pattern live")
    for run in runs:
        for answer in run.answers:
            print(f"{run.path.parent.name}: {answer.label} at block {answer.block}, {answer.accuracy_mean:.2f}")
    print(f"Open {page.page}")


if __name__ == "__main__":
    sys.exit(script(main))
