import json
import shutil

import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.inputs.classifier import open_trained
from fashionprobe.records.record_set import open_record_set
from fashionprobe.stages import evaluate, index, ingest, report

pytestmark = pytest.mark.usefixtures("empty_figures")


def roots(root):
    return {"tfrecords_root": str(root / "tfrecords"), "runs_root": str(root / "runs")}


@pytest.fixture(scope="module")
def root(trained, garments_root, tmp_path_factory):
    """A run `g` with a classifier of colours, a run `small` with descriptors, and a record set `other`."""
    root = tmp_path_factory.mktemp("evaluated")
    shutil.copytree(trained, root, dirs_exist_ok=True)
    for name in ("tfrecords", "runs"):
        shutil.copytree(garments_root / name, root / name, dirs_exist_ok=True)
    ingest(dataset="drawn", source="garments", count=40, size=32, seed=9, tfrecords_root=str(root / "tfrecords"))
    # The same pictures as a stranger would have them: another name of the column, of one class, and labels missing.
    records = open_record_set(root / "tfrecords/drawn")
    folder = root / "shop"
    folder.mkdir()
    from PIL import Image

    for name, picture in records.pictures(records.items["id"]):
        Image.fromarray(picture).save(folder / f"{name}.png")
    table = records.items[["id", "colour"]].rename(columns={"colour": "Farbe"})
    first = table["Farbe"].iloc[0]
    table.loc[table["Farbe"] == first, "Farbe"] = "unheard of"
    table.loc[table.index[-3:], "Farbe"] = ""
    table.assign(image=table["id"] + ".png").drop(columns="id").to_csv(root / "shop/shop.csv", index=False)
    ingest(dataset="other", source="table", path=str(root / "shop/shop.csv"), tfrecords_root=str(root / "tfrecords"))
    return root


@pytest.fixture(scope="module")
def made(root, without_figures):
    with without_figures():
        return evaluate(run="g", dataset="other", label="Farbe", **roots(root))


def test_the_accuracy_is_that_of_the_network_on_the_images_it_knows(root, made):
    records = open_record_set(root / "tfrecords/other")
    network = open_trained(root / "runs/g")
    known = records.items[records.items["Farbe"].isin(network.classes)]
    images = np.stack([picture for _, picture in records.fitted(known["id"], network.backbone.size, "pad")])
    shares = network.model.predict_on_batch(images)
    order = known["id"].tolist()
    right = np.array(network.classes)[shares.argmax(axis=1)] == known["Farbe"].to_numpy()
    assert made.images == len(known) and made.accuracy == pytest.approx(right.mean())
    predictions = pd.read_csv(made.path / "predictions.csv", dtype={"id": str})
    assert predictions["id"].tolist() == order and made.low < made.accuracy < made.high
    np.testing.assert_allclose(predictions["probability"], shares.max(axis=1), atol=1e-5)
    counts = pd.read_csv(made.path / "confusion.csv", index_col=0).to_numpy()
    assert counts.sum() == made.images and counts.trace() == right.sum()
    # The calibration error without the bins' table.
    places = np.ceil(shares.max(axis=1).astype(float) * 15)
    apart = [abs((right[places == p] - shares.max(axis=1)[places == p]).sum()) for p in np.unique(places)]
    assert made.calibration_error == pytest.approx(sum(apart) / len(known), abs=1e-5)


def test_classes_that_are_not_known_and_missing_labels_are_counted(root, made, caplog):
    items = open_record_set(root / "tfrecords/other").items
    assert made.unknown["unheard of"] == (items["Farbe"] == "unheard of").sum() and made.missing == 3
    assert made.images + sum(made.unknown.values()) + made.missing == len(items)
    table = pd.read_csv(made.path / "unknown_classes.csv", keep_default_na=False)
    assert dict(zip(table["class"], table["images"], strict=True)) == made.unknown
    caplog.set_level("INFO")
    assert evaluate(run="g", dataset="other", label="Farbe", **roots(root)).reused
    assert "unheard of" in caplog.text and "3 images without a Farbe left out" in caplog.text
    assert "Look at confusion.png" in caplog.text


def test_the_difference_to_its_own_images(root, made):
    own = json.loads((root / "runs/g/train/manifest.json").read_text())["facts"]["scores"]["val"]
    row = pd.read_csv(made.path / "differences.csv").iloc[-1]
    assert row["accuracy"] == pytest.approx(own["top_1"], abs=1e-6) and row["split"] == "val"
    assert made.difference == pytest.approx(made.accuracy - own["top_1"]) and row["low"] < made.difference < row["high"]


def test_its_own_images_are_warned_of_and_give_its_own_figures(root, caplog):
    own = json.loads((root / "runs/g/train/manifest.json").read_text())["facts"]["scores"]["val"]
    alone = evaluate(run="g", dataset="g", split="val", **roots(root))
    assert (alone.accuracy, alone.images) == (pytest.approx(own["top_1"]), own["images"])
    assert "learned from" not in caplog.text
    evaluate(run="g", dataset="g", overwrite=True, **roots(root))
    assert "are those that it learned from" in caplog.text
    page = report(run="g", **roots(root)).page.read_text(encoding="utf-8")
    assert "On other images: classifier-other" in page and "On other images: classifier-g" in page


def test_an_embedding_gives_its_own_figures_again(embedded, tmp_path):
    shutil.copytree(embedded, tmp_path, dirs_exist_ok=True)
    own = pd.read_csv(tmp_path / "runs/e/embed/evaluation.csv").query("split == 'val'")
    own = own.set_index(["classifier", "k"])["accuracy"]
    found = evaluate(run="e", dataset="g", split="val", **roots(tmp_path))
    assert found.accuracy == pytest.approx(own["knn", 3], abs=1e-6) and found.difference == pytest.approx(0, abs=1e-6)
    ours = pd.read_csv(found.path / "scores.csv").set_index(["classifier", "k"])["accuracy"]
    bins = pd.read_csv(found.path / "calibration.csv").query("images > 0")
    # One, two or three of three neighbours: the last is the end of its bin.
    assert {*bins["confidence"].round(3)} <= {0.333, 0.667, 1.0}
    assert (bins["high"] - bins["confidence"]).abs().max() < 2e-6
    pd.testing.assert_series_equal(ours.sort_index(), own.sort_index(), atol=1e-6)


def test_tags_are_those_of_the_index(root, caplog):
    index(run="small", groups=["colour=1"], labels=["colour=colour"], runs_root=str(root / "runs"))
    found = evaluate(run="small", dataset="drawn", label="colour", **roots(root))
    assert found.path.name == "tags-drawn" and found.calibration_error is None and found.difference is None
    from fashionprobe.attributes.classes import tag
    from fashionprobe.inputs.index import open_classes, open_index, readable
    from fashionprobe.inputs.new_images import describer

    opened = open_index(root / "runs/small")
    records = open_record_set(root / "tfrecords/drawn")
    images = np.stack([picture for _, picture in records.fitted(records.items["id"], (32, 32), "pad")])
    points = readable(opened, describer(opened.network, opened.blocks)(images))["colour"]
    tags = tag("colour", points, open_classes(root / "runs/small", opened).classes["colour"])
    names = [each.name if each.known else "none of these" for each in tags]
    predictions = pd.read_csv(found.path / "predictions.csv", dtype=str)
    asked = dict(zip(records.items["id"], names, strict=True))
    assert [asked[name] for name in predictions["id"]] == predictions["predicted"].tolist()
    assert "learned from" not in caplog.text
    # Of its own record set an index has learned every split.
    own = evaluate(run="small", dataset="small", label="colour", **roots(root))
    told = f"{own.images} of these {own.images} images are those that it learned from"
    assert told in caplog.text and "Measure tags by fashionprobe fill." in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"run": "nothing"}, "`run` must be one with a classifier, an embedding or an index"),
        ({"run": "g", "dataset": "none"}, "fashionprobe ingest --dataset none"),
        ({"run": "g", "label": "Farb"}, "Did you mean 'Farbe'"),
        ({"run": "g"}, "`label` must be a label column of other"),
        ({"run": "g", "label": "Farbe", "split": "dev"}, "`split` must be one of: train, val, test"),
        ({"run": "g", "label": "Farbe", "what": "embedding"}, "Make it first: fashionprobe embed"),
        ({"run": "g", "label": "Farbe", "group": "colour"}, "`group` cannot be combined with --what classifier"),
        ({"run": "g", "dataset": "small", "label": "pattern"}, "a column of small with a class that the run knows"),
    ],
)
def test_what_does_not_fit(arguments, message, root):
    with pytest.raises(UserError, match=message):
        evaluate(**{"dataset": "other", **arguments}, **roots(root))
