"""What the README claims, on real photos and real ImageNet weights, in small."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from fashionprobe.attributes.classify import cross_validate
from fashionprobe.records.select import select
from fashionprobe.stages import classify, extract, ingest

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture(scope="module")
def accuracy(tmp_path_factory):
    """4-NN accuracy by block of an evaluation set in `configs/`, with fewer images a class."""
    data = Path(os.environ.get("FASHIONPROBE_REAL_DATA", "unset"))
    catalogue, weights = (
        data / "fashion_products_12k.zip",
        data.parent / "weights/mobilenet_imagenet_to_conv_pw_12.keras",
    )
    if not (catalogue.is_file() and weights.is_file()):
        pytest.skip("FASHIONPROBE_REAL_DATA does not lead to real photos and ImageNet weights")
    root = tmp_path_factory.mktemp("real")
    places = {"runs_root": str(root / "runs")}

    def measure(name: str, label: str, per_class: int) -> pd.Series:
        choice = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text()) | {"per_class": per_class}
        records = ingest(dataset=name, source="kaggle", path=str(catalogue), tfrecords_root=str(root / "tf"), **choice)
        found = classify(run=extract(dataset=records, backbone=str(weights), **places), label=label, **places)
        table = pd.read_csv(found.path / "accuracy.csv", dtype={"parameter": str})
        return table[table["parameter"] == "4"].set_index("block")["accuracy_mean"]

    return measure


def test_mini_on_products_that_it_never_saw(tmp_path):
    """The figures of its model card, from the split that `pipelines/pretrain_mini.py` draws."""
    catalogue = Path(os.environ.get("FASHIONPROBE_REAL_DATA", "unset")) / "fashion_products_12k.zip"
    if not catalogue.is_file():
        pytest.skip("FASHIONPROBE_REAL_DATA does not lead to real photos")
    places = {"tfrecords_root": str(tmp_path / "tf"), "runs_root": str(tmp_path / "runs")}
    records = ingest(
        dataset="products",
        source="kaggle",
        path=str(catalogue),
        split=[85, 15, 0],
        tfrecords_root=places["tfrecords_root"],
    )
    described = extract(dataset=records, backbone="mini", size=[80, 60], split="val", runs_root=places["runs_root"])
    items = pd.read_csv(described.path / "items.csv", dtype=str, keep_default_na=False)
    blocks = {block: np.load(described.path / f"block{block}.npy") for block in described.blocks}
    kinds = pd.read_csv(records.path / "items.csv", dtype=str)["articleType"].value_counts().index[:20].tolist()
    best = {}
    for name in ("colour", "pattern", "articleType"):
        path = CONFIGS / f"{name}.yaml"
        choice = yaml.safe_load(path.read_text()) if path.is_file() else {"label": name, "classes": kinds}
        chosen = select(items, **choice)
        labels = chosen[choice["label"]].to_numpy(str)
        accuracy = cross_validate(blocks, labels, rows=chosen.index.to_numpy(), neighbours=[4]).accuracy
        by_block = accuracy[accuracy["classifier"] == "knn"].set_index("block")["accuracy_mean"]
        best[name] = (by_block.idxmax(), by_block.max())
    # The figures, less two thirds of their standard deviation over the folds.
    assert best["colour"][1] > 0.68 and best["pattern"][1] > 0.65 and best["articleType"][1] > 0.80
    assert best["pattern"][0] > best["colour"][0]


def test_colour_is_read_at_the_first_block(accuracy):
    colour = accuracy("colour", "baseColour", 40)
    assert colour.idxmax() == 1
    assert colour[1] > colour[2:].max() + 0.1


def test_pattern_is_read_at_a_deep_block(accuracy):
    pattern = accuracy("pattern", "pattern", 100)
    assert pattern.idxmax() in (4, 5)
    assert pattern.max() > pattern[1] + 0.1
