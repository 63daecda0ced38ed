"""What the README claims, on real photos and real ImageNet weights, in small."""

import os
from pathlib import Path

import pandas as pd
import pytest
import yaml

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


def test_colour_is_read_at_the_first_block(accuracy):
    colour = accuracy("colour", "baseColour", 40)
    assert colour.idxmax() == 1
    assert colour[1] > colour[2:].max() + 0.1


def test_pattern_is_read_at_a_deep_block(accuracy):
    pattern = accuracy("pattern", "pattern", 100)
    assert pattern.idxmax() in (4, 5)
    assert pattern.max() > pattern[1] + 0.1
