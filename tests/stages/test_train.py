"""The stage `train`: what it writes, what it resumes, what it refuses."""

import csv
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fashionprobe import cli
from fashionprobe.artifacts import load
from fashionprobe.errors import UserError
from fashionprobe.records.record_set import open_record_set
from fashionprobe.stages import extract, ingest, train

FILES = {
    "MODEL_CARD.md", "best_and_worst.png", "best_and_worst.svg", "confused_pairs.csv", "confused_pairs.png",
    "confused_pairs.svg", "confusion.csv", "history.csv", "learning_curves.png", "learning_curves.svg", "manifest.json",
    "model.keras", "per_class.csv", "predictions.csv",
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A folder with 120 garments, 80 to train on and 40 to validate, as the record set `g`."""
    folder = tmp_path_factory.mktemp("train")
    ingest(
        dataset="g", source="garments", count=120, size=32, label="colour", split=[2, 1, 0],
        tfrecords_root=str(folder / "tfrecords"),
    )  # fmt: skip
    return folder


@pytest.fixture
def roots(root, tmp_path) -> dict[str, str]:
    return {"tfrecords_root": str(root / "tfrecords"), "runs_root": str(tmp_path / "runs")}


@pytest.fixture
def given(model_path, roots) -> dict:
    return {
        "dataset": "g",
        "backbone": str(model_path),
        "size": 32,
        "label": "colour",
        "epochs": 2,
        "batch_size": 16,
        **roots,
    }


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def validation_images(root: Path) -> tuple[list[str], np.ndarray]:
    from fashionprobe.records.read import read

    records = open_record_set(root / "tfrecords/g")
    names, images = zip(*read(records, outputs=("id", "image"), splits=("val",), size=(32, 32)), strict=True)
    return [name.decode() for name in np.concatenate(names)], np.concatenate(images)


@pytest.mark.parametrize("freeze", [0, 2])
def test_the_saved_network_gives_the_figures_that_are_written(root, given, empty_figures, freeze):
    import keras

    made = train(**given, freeze=freeze, learning_rate=0.05)
    assert {path.name for path in made.path.iterdir()} == FILES
    assert (made.epochs, len(made.classes), made.reused) == (2, 10, False)
    names, images = validation_images(root)
    probabilities = keras.saving.load_model(made.model, safe_mode=True).predict(images, verbose=0)
    written = rows(made.path / "predictions.csv")
    assert [row["id"] for row in written] == names
    assert [row["predicted"] for row in written] == [made.classes[number] for number in probabilities.argmax(axis=1)]
    np.testing.assert_allclose([float(row["probability"]) for row in written], probabilities.max(axis=1), atol=2e-4)
    truth = {row["id"]: row["colour"] for row in rows(root / "tfrecords/g/items.csv")}
    right = [row["predicted"] == truth[row["id"]] for row in written]
    assert made.top_1 == pytest.approx(np.mean(right))
    history = pd.read_csv(made.path / "history.csv")
    assert made.top_1 == pytest.approx(history["val_accuracy"].max(), abs=1e-6)
    assert made.best_epoch == history["epoch"][history["val_accuracy"].argmax()]


@pytest.mark.slow
def test_a_dense_layer_without_bias_is_another_classifier(given):
    import keras

    options = {**given, "epochs": 1, "freeze": 2}
    made = train(**options, bias=False)
    assert keras.saving.load_model(made.model, safe_mode=True).get_layer("logits").use_bias is False
    assert train(**options, bias=False).reused
    manifest = load(made.path, stage="train", remedy="").manifest
    assert manifest["arguments"]["bias"] is False
    # Of one with a bias the arguments are what they were before there was a choice.
    with pytest.raises(UserError, match=r"differs \(bias: false -> null\)"):
        train(**options)


@pytest.mark.slow
def test_it_learns(given, empty_figures):
    options = {**given, "backbone": "mini", "size": 48, "epochs": 30}
    made = train(**options, block=[2, 3, 4], freeze=4, learning_rate=0.01)
    assert made.top_1 > 0.6  # chance is 0.1


@pytest.mark.slow
def test_descriptors_computed_once_train_the_same_head(given, empty_figures):
    # One batch holds all, so that the order does not matter.
    whole = {**given, "batch_size": 80, "epochs": 6, "freeze": 2, "learning_rate": 0.05, "block": [1, 2]}
    once, each = train(**whole, run="once"), train(**whole, run="each", cache=False)
    found = [pd.read_csv(made.path / "history.csv") for made in (once, each)]
    pd.testing.assert_frame_equal(*found, rtol=1e-3, atol=1e-5)
    assert once.top_1 == each.top_1
    assert not list(once.path.glob(".*"))


@pytest.mark.slow
def test_descriptors_are_computed_once_only_when_nothing_below_the_head_changes(given, empty_figures, monkeypatch):
    from fashionprobe.training import classifier_training

    described = []
    original = classifier_training._describe
    monkeypatch.setattr(classifier_training, "_describe", lambda *given: described.append(1) or original(*given))
    train(**given, run="a", freeze=1)
    train(**given, run="b", freeze=2, augment="flip")
    train(**given, run="c", freeze=2, cache=False)
    assert not described
    train(**given, run="d", freeze=2)
    assert described


@pytest.mark.slow
def test_the_same_seed_gives_the_same_files_and_another_does_not(given):
    options = {**given, "augment": "flip,zoom", "dropout": 0.2, "class_weight": "balanced"}
    first, again, other = (train(**options, run=run, seed=seed) for run, seed in (("a", 1), ("b", 1), ("c", 2)))
    for name in ("history.csv", "predictions.csv", "learning_curves.svg"):
        assert (first.path / name).read_bytes() == (again.path / name).read_bytes()
    assert (first.path / "history.csv").read_bytes() != (other.path / "history.csv").read_bytes()


def test_the_command_says_what_it_did_and_reuses_it(command, root, model_path):
    words = (
        "train", "--dataset", "g", "--tfrecords-root", root / "tfrecords", "--backbone", model_path, "--label",
        "garment", "--size", 32, "--epochs", 1, "--min-images", 14,
    )  # fmt: skip
    code, out, err = command(*words)
    assert (code, err) == (0, "")
    said = out.splitlines()
    assert said[0] == "4 rare classes (50 images) left out"
    assert said[1].startswith("wrote runs/g/train: 4 classes, validation top-1 0.")
    assert "top-5" not in said[1]
    assert "top_5" not in Path("runs/g/train/history.csv").read_text()
    assert said[1].endswith(
        ", epoch 1 of 1. Next: fashionprobe extract --dataset g --run g --backbone runs/g/train/model.keras"
    )
    assert command(*words)[1].splitlines()[1].startswith("reused runs/g/train: ")
    code, _, err = command(*words, "--learning-rate", 0.1)
    assert code == 2 and "(learning_rate: 0.001 -> 0.1)" in err


@pytest.mark.slow
def test_the_next_command_works(given, empty_figures):
    made = train(**given)
    described = extract(
        dataset="g", run="g", backbone=str(made.model), **{k: given[k] for k in ("tfrecords_root", "runs_root")}
    )
    assert described.images == 120 and described.blocks == (1, 2)


def test_rare_classes_are_merged(given, empty_figures):
    made = train(**{**given, "label": "garment"}, min_images=14, rare="merge")
    assert made.classes == ("dress", "hoodie", "other", "sweater", "tank top")
    facts = json.loads((made.path / "manifest.json").read_text())["facts"]
    assert facts["rare"] == {"shirt": 12, "skirt": 13, "t-shirt": 13, "trousers": 12}
    assert sum(facts["images"].values()) == 120
    assert 'merged into "other"' in (made.path / "MODEL_CARD.md").read_text()


def test_the_label_is_the_one_the_set_was_split_by(pictures, model_path, roots, empty_figures):
    records = ingest(
        dataset="p", source="folder", path=str(pictures), split=[3, 1, 1], tfrecords_root=roots["tfrecords_root"]
    )
    made = train(dataset=records, backbone=str(model_path), size=16, epochs=1, runs_root=roots["runs_root"])
    assert made.classes == ("cat", "dog", "日本 é")
    # A test split is measured, too.
    assert {"per_class_test.csv", "confusion_test.csv", "confused_pairs_test.csv"} <= {
        p.name for p in made.path.iterdir()
    }
    assert {row["split"] for row in rows(made.path / "predictions.csv")} == {"val", "test"}


def test_a_set_that_was_split_by_no_label_needs_one(garments_root, model_path, tmp_path):
    with pytest.raises(UserError, match=r"`label` must be a label column: colour, pattern, garment. Received: nothing"):
        train(dataset=garments_root / "tfrecords/small", backbone=str(model_path), runs_root=str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "color"}, "`label` must be a label column of g: colour, pattern, garment. Received: color. Did you "
         "mean 'colour'?"),
        ({"epochs": 0}, "`epochs` must be an int in the range [1, inf). Received: 0."),
        ({"batch_size": 0}, "`batch_size` must be an int in the range [1, inf). Received: 0."),
        ({"learning_rate": 0.0}, "`learning_rate` must be a number in the range (0, inf). Received: 0.0."),
        ({"learning_rate": float("nan")}, "`learning_rate` must be a number in the range (0, inf). Received: nan."),
        ({"dropout": 1.0}, "`dropout` must be a number in the range [0, 1). Received: 1.0."),
        ({"label_smoothing": -0.1}, "`label_smoothing` must be a number in the range [0, 1). Received: -0.1."),
        ({"warmup": 2.0}, "`warmup` must be a number in the range [0, 2). Received: 2.0."),
        ({"weight_decay": -1.0}, "`weight_decay` must be a number in the range [0, inf). Received: -1.0."),
        ({"freeze": 3}, "`freeze` must be in 0 to 2, the deepest block in use. Received: 3."),
        ({"block": 3}, "`block` must be in 1 to 2 for tiny.keras. Received: 3."),
        ({"augment": "flop"}, "`augment` must be one of: flip, shift, zoom, rotate, brightness, contrast, hue, "
         "saturation. Received: flop. Did you mean 'flip'?"),
        ({"min_images": 500}, "`label` must be a column with two classes or more that have images in train and in "
         "val."),
        ({"dataset": "none"}, "must be a finished artifact. Received: nothing there. Make it first: fashionprobe "
         "ingest"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused_before_anything_is_written(given, tmp_path, options, message):
    with pytest.raises(UserError) as caught:
        train(**{**given, **options})
    assert message in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_a_loss_that_is_no_number_leaves_nothing(given, tmp_path):
    with pytest.raises(UserError, match=r"`learning_rate` 1e\+30 made the loss NaN or infinite"):
        train(**given, learning_rate=1e30, optimizer="sgd")
    assert [path.name for path in (tmp_path / "runs/g").iterdir() if not path.name.startswith(".")] == []


def test_a_checkpoint_of_another_architecture_is_refused(given, tmp_path):
    import keras

    other = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(7, 5)])
    other.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(UserError, match=r"`weights` must be weights of tiny.keras without its classification layer"):
        train(**given, weights=str(tmp_path / "other.weights.h5"))


def test_an_image_too_small_for_the_backbone_is_refused(given):
    with pytest.raises(UserError) as caught:
        train(**{**given, "backbone": "mini", "size": [32, 24]})
    assert str(caught.value) == (
        "`size` must be 32 pixels or more for block 5 of mini. Received: [32, 24]. Use a larger --size, or a --block "
        "before it."
    )


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("freeze", [0, 2])
def test_a_killed_training_ends_as_an_undisturbed_one(given, empty_figures, tmp_path, root, model_path, freeze):
    options = {**given, "epochs": 6, "freeze": freeze, "augment": None if freeze else "flip,shift", "dropout": 0.3}
    whole = train(**options, run="whole")
    words = ["train", "--run", "killed"]
    for name, value in options.items():
        words += [f"--{name}", str(value)] if value is not None else []
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fashionprobe.cli", "tensorflow", "keras", "pandas"])
    drafts = tmp_path / "runs/killed"
    for epoch in (2, 4):
        process = context.Process(target=cli.main, args=(words,))
        process.start()
        while process.is_alive() and not any(
            path.is_file() and len(path.read_text().splitlines()) > epoch
            for path in drafts.glob("incomplete.*/history.csv")
        ):
            time.sleep(0.01)
        assert process.is_alive()
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert not (drafts / "train").exists()
    made = train(**options, run="killed")
    pd.testing.assert_frame_equal(
        *(pd.read_csv(each.path / "history.csv") for each in (whole, made)), rtol=1e-4, atol=1e-6
    )
    assert made.top_1 == whole.top_1
    assert {path.name for path in made.path.iterdir()} == FILES


@pytest.mark.slow
def test_mirrored_over_two_devices_trains_as_one_does(given, tmp_path):
    """Both halves of each batch together give the gradients of the whole."""
    import subprocess
    import sys

    script = f"""
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from unittest import mock
from fashionprobe.backbones import devices
from fashionprobe.stages import train
with mock.patch.object(devices, "strategy", lambda name: tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    train(**{given!r}, run="two", strategy="mirrored", learning_rate=0.01)
"""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, capture_output=True, timeout=300)
    one = train(**given, run="one", learning_rate=0.01)
    found = [pd.read_csv(path / "history.csv") for path in (one.path, tmp_path / "runs/two/train")]
    pd.testing.assert_frame_equal(*found, rtol=1e-3, atol=1e-4)
