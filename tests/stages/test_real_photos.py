"""What the README claims, on real photos and real ImageNet weights, in small."""

import functools
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from fashionprobe.attributes.classify import cross_validate
from fashionprobe.records.select import select
from fashionprobe.stages import attribute, choose, classify, extract, index, ingest, retrieve, tag
from fashionprobe.stages.extract import Descriptors

pytestmark = pytest.mark.slow
CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """The descriptors of an evaluation set in `configs/`, with fewer images a class; made when first asked for."""
    data = Path(os.environ.get("FASHIONPROBE_REAL_DATA", "unset"))
    catalogue, weights = (
        data / "fashion_products_12k.zip",
        data.parent / "weights/mobilenet_imagenet_to_conv_pw_12.keras",
    )
    if not (catalogue.is_file() and weights.is_file()):
        pytest.skip("FASHIONPROBE_REAL_DATA does not lead to real photos and ImageNet weights")
    root = tmp_path_factory.mktemp("real")

    @functools.cache
    def describe(name: str, per_class: int) -> Descriptors:
        choice = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text()) | {"per_class": per_class}
        records = ingest(dataset=name, source="kaggle", path=str(catalogue), tfrecords_root=str(root / "tf"), **choice)
        return extract(dataset=records, backbone=str(weights), runs_root=str(root / "runs"))

    return describe


def accuracy(run: Descriptors, label: str) -> pd.Series:
    """4-NN accuracy by block."""
    table = pd.read_csv(classify(run=run, label=label).path / "accuracy.csv", dtype={"parameter": str})
    return table[table["parameter"] == "4"].set_index("block")["accuracy_mean"]


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


def test_colour_is_read_at_the_first_block(described):
    colour = accuracy(described("colour", 40), "baseColour")
    assert colour.idxmax() == 1
    assert colour[1] > colour[2:].max() + 0.1


def test_pattern_is_read_at_a_deep_block(described):
    pattern = accuracy(described("pattern", 100), "pattern")
    assert pattern.idxmax() in (4, 5)
    assert pattern.max() > pattern[1] + 0.1


def test_the_choice_reads_better_than_neighbours_do(described):
    for name, label, per_class, block in (("colour", "baseColour", 40, 1), ("pattern", "pattern", 100, 4)):
        run = described(name, per_class)
        (pick,) = choose(run=run, label=label, block=block, normalizations="none,whiten").picks
        assert pick.normalization == "whiten"
        assert pick.accuracy > accuracy(run, label)[block] + 0.03


def test_the_right_block_finds_colours_that_the_last_does_not(described):
    (answer,) = retrieve(run=described("colour", 40), label="baseColour").answers
    assert answer.block == 1
    assert answer.precision >= answer.last_precision + 0.2


def test_a_class_added_from_ten_images_is_found(described):
    run = described("pattern", 100)
    items = pd.read_csv(run.path / "items.csv", dtype=str)
    stripes = items["id"][items["pattern"] == "stripe"].tolist()
    made = index(run=run, groups="pattern=4", thumbnails=False)
    attribute.remove(run=made, name="stripe", group="pattern")
    rest = items["id"][~items["id"].isin(stripes[:10])].tolist()
    before = tag(run=made, id=rest)
    attribute.add(run=made, name="stripe", group="pattern", id=stripes[:10])
    after = tag(run=made, id=rest)
    # Among more classes each has a smaller share, and nothing else is another.
    after = [replace(now, probability=old.probability) for old, now in zip(before, after, strict=True)]
    changed = [(old, now) for old, now in zip(before, after, strict=True) if old != now]
    assert all(now.nearest == "stripe" and now.distance < old.distance for old, now in changed)
    mine = [now for now in after if now.image in stripes]
    assert np.mean([now.nearest == "stripe" for now in mine]) > 0.4
