"""From descriptors to answers with nothing trained: where colour and pattern live, and what one can do with them.

Without a catalogue it runs offline on drawn garments and the small network that comes with the package. With one it
repeats the experiments of the attribute thesis (chapters 5.2 and 5.3) on Kaggle's Fashion Product Images: classes and
channels, clusters, pairs, fewer dimensions, walls, retrieval, and classes that are added at any time.

    python pipelines/attributes_without_training.py
    python pipelines/attributes_without_training.py --path fashion_products.zip --backbone resnet50
"""

import sys
from pathlib import Path
from typing import Literal

import pandas as pd
import yaml

from fashionprobe.cli import script
from fashionprobe.stages import (
    attribute,
    choose,
    classify,
    extract,
    index,
    ingest,
    pairs,
    profile,
    reduce,
    report,
    retrieve,
    search,
    tag,
    wall,
)
from fashionprobe.stages.extract import Descriptors

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


def main(
    *,
    path: str | None = None,
    backbone: str | None = None,
    preprocessing: Literal["auto", "none", "tf", "caffe", "torch"] = "auto",
    dimensions: list[int] | None = None,
    count: int = 1000,
) -> None:
    """Run the experiments.

    Args:
        path: Folder or zip file of the catalogue. Default: garments are drawn.
        backbone: A name of keras.applications, or the path of a .keras file. Default: mini for drawn garments, else
            resnet50.
        preprocessing: What its weights expect of the pixels.
        dimensions: Dimensions that UMAP reduces to, for the classification in fewer dimensions. Each takes minutes.
            Default: 2; the thesis' table has [2,4,8,16,32] and more.
        count: Number of garments to draw.
    """
    name = backbone or ("resnet50" if path else "mini")
    if path:
        sets = {"baseColour": ("colour", "colour.yaml"), "pattern": ("pattern", "pattern.yaml")}
        runs = {}
        for label, (dataset, config) in sets.items():
            options = yaml.safe_load((CONFIGS / config).read_text())
            records = ingest(dataset=dataset, source="kaggle", path=path, **options)
            runs[label] = extract(dataset=records, backbone=name, preprocessing=preprocessing)
    else:
        records = ingest(dataset="attributes", source="garments", count=count, size=112)
        described = extract(dataset=records, size=112, backbone=name, preprocessing=preprocessing)
        runs = {"colour": described, "pattern": described}

    for run in dict.fromkeys(runs.values()):
        labels = [label for label, of in runs.items() if of == run]
        # Which block knows it, how much of it is left in fewer dimensions, and what to expect of the best choice.
        classify(run=run, label=labels, dimensions=dimensions or 2)
        picks = choose(run=run, label=labels).picks
        # Which channels know it; how far apart the classes are; what clusters find; what stands beside what.
        profile(run=run, label=labels)
        pairs(run=run, label=labels)
        reduce(run=run, label=labels)
        wall(run=run, label=labels[0], block=int(picks[0].block))
        retrieve(run=run, label=labels)
        add_a_class(run, picks[0].label, picks[0].block)
        print(f"Open {report(run=run).page}")


def add_a_class(run: Descriptors, label: str, block: int | str) -> None:
    """Index the run without one of its classes, add that class from ten images, and ask again."""
    made = index(run=run, groups=[f"{label}={block}"], labels=[f"{label}={label}"])
    items = pd.read_csv(run.path / "items.csv", dtype=str, keep_default_na=False)
    name = items[label][items[label] != ""].mode()[0]
    images = items["id"][items[label] == name].tolist()
    attribute.remove(run=made, name=name, group=label)
    before = tag(run=made, id=images[10:])
    attribute.add(run=made, name=name, group=label, id=images[:10])
    after = tag(run=made, id=images[10:])
    unknown = sum(answer.name == "none of these" for answer in before)
    known = sum(answer.nearest == name for answer in after)
    print(f"Without '{name}', {unknown} of its {len(before)} other images were none of the classes; with it, from ten")
    print(f"images, {known} are nearest to it.")
    search(run=made, id=images[0], by=label, save=True)


if __name__ == "__main__":
    sys.exit(script(main))
