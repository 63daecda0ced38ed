"""Trained classifiers that the tests of several stages look at."""

import shutil

import pytest
from PIL import Image
from shop_photos import draw_shop

from fashionprobe.inputs.descriptors import read_descriptors
from fashionprobe.records.read import pictures, shard_paths
from fashionprobe.records.record_set import open_record_set
from fashionprobe.stages import embed, extract, index, ingest, masks, train


@pytest.fixture(scope="session")
def trained(tmp_path_factory, model_path, without_figures):
    """A folder with a record set `g` of 60 garments and a run `g` with a classifier of their colours."""
    root = tmp_path_factory.mktemp("trained")
    records = ingest(
        dataset="g", source="garments", count=60, size=32, label="colour", split=[60, 40, 0],
        tfrecords_root=str(root / "tfrecords"),
    )  # fmt: skip
    with without_figures():
        train(
            dataset=records, run="g", backbone=str(model_path), size=32, epochs=1, freeze=2, min_images=2,
            runs_root=str(root / "runs"),
        )  # fmt: skip
    return root


@pytest.fixture(scope="session")
def embedded(trained, tmp_path_factory, without_figures):
    """A folder with the record set `g` and a run `e` with an embedding of its colours."""
    root = tmp_path_factory.mktemp("embedded")
    shutil.copytree(trained / "tfrecords", root / "tfrecords")
    with without_figures():
        embed(
            dataset="g", run="e", label="colour", backbone="light", size=32, epochs=1, steps=1, per_class=2,
            classes_per_batch=2, neighbours=[3, 1], dimension=2, tfrecords_root=str(root / "tfrecords"),
            runs_root=str(root / "runs"),
        )  # fmt: skip
    return root


@pytest.fixture(scope="session")
def letters(tmp_path_factory, model_path, without_figures):
    """A folder with a record set of drawn letters, runs `s` and `other` with classifiers of them, and masks in `s`."""
    root = tmp_path_factory.mktemp("letters")
    roots = {"tfrecords_root": str(root / "tfrecords"), "runs_root": str(root / "runs")}
    records = ingest(
        dataset="letters", source="symbols", count=60, size=32, split=[60, 20, 20],
        tfrecords_root=roots["tfrecords_root"],
    )  # fmt: skip
    with without_figures():
        for run, seed in (("s", 0), ("other", 1)):
            train(
                dataset=records, run=run, backbone=str(model_path), bias=False, size=32, epochs=1, seed=seed, **roots
            )  # fmt: skip
        # The lower left corner, which the marks are in.
        masks(dataset=records, run="s", source="box", box=[0.75, 0, 1, 0.25], samples=9, runs_root=roots["runs_root"])
    return root


@pytest.fixture(scope="session")
def garment_index(tmp_path_factory, model_path):
    """A folder with 60 garments in run `g`, an index of them by colour and pattern, and the first as a file."""
    root = tmp_path_factory.mktemp("index")
    roots = {"tfrecords_root": str(root / "tfrecords"), "runs_root": str(root / "runs")}
    records = ingest(dataset="g", source="garments", count=60, size=32, tfrecords_root=roots["tfrecords_root"])
    extract(dataset=records, backbone=str(model_path), size=32, **roots)
    index(run="g", groups=["colour=1", "pattern=2"], **roots)
    first = read_descriptors(root / "runs/g").items["id"].iloc[0]
    opened = open_record_set(root / "tfrecords/g")
    ((_, pixels),) = pictures(opened, [first], shard_paths(opened))
    Image.fromarray(pixels).save(root / "shirt.png")
    return root


@pytest.fixture(scope="session")
def shop(tmp_path_factory, model_path):
    """A folder with 120 photos of a shop, described in run `shop`; 12 lack their colour, which truth.csv holds."""
    root = tmp_path_factory.mktemp("shop")
    draw_shop(root, 120).to_csv(root / "truth.csv", index=False)
    roots = {"tfrecords_root": str(root / "tfrecords"), "runs_root": str(root / "runs")}
    records = ingest(
        dataset="shop", source="table", path=str(root / "products.csv"), id_column="sku", label_columns=["colour"],
        tfrecords_root=roots["tfrecords_root"],
    )  # fmt: skip
    extract(dataset=records, backbone=str(model_path), size=32, **roots)
    return root
