import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.intervals import wilson
from fashionprobe.records.record_set import open_record_set
from fashionprobe.stages import branch, ingest, predict

IMAGES = np.random.default_rng(0).uniform(0, 255, (6, 32, 32, 3)).astype(np.float32)


@pytest.fixture
def place(trained, tmp_path) -> Path:
    """A copy of the run `g`, whose network knows colours."""
    shutil.copytree(trained, tmp_path / "place")
    return tmp_path / "place"


@pytest.fixture
def given(place) -> dict:
    return {
        "run": "g", "label": "pattern", "epochs": 1, "batch_size": 16, "tfrecords_root": str(place / "tfrecords"),
        "runs_root": str(place / "runs"),
    }  # fmt: skip


def outputs(path: Path) -> dict[str, np.ndarray]:
    """What a saved network gives, compiled, in inference mode."""
    return keras.saving.load_model(path, safe_mode=True).predict(IMAGES, verbose=0)


def test_a_branch_leaves_the_earlier_outputs_as_they_are_to_the_bit(given, place, empty_figures):
    before = outputs(place / "runs/g/train/model.keras")
    made = branch(**given, from_block=1, learning_rate=0.1)
    first = outputs(made.model)
    assert set(first) == {"colour", "pattern"}
    np.testing.assert_array_equal(first["colour"], before)
    made = branch(**{**given, "label": "garment"}, block=[1, 2], learning_rate=0.1)
    second = outputs(made.model)
    for label in ("colour", "pattern"):
        np.testing.assert_array_equal(second[label], first[label])
        np.testing.assert_array_equal(outputs(made.networks[label]), first[label])
    assert list(made.networks) == ["colour", "pattern", "garment"]
    facts = json.loads((made.path / "manifest.json").read_text())["facts"]
    # From block 1 a branch has block 2 of its own (4 x 16 kernels of 3 x 3, and biases) and a head; from 2, a head.
    parts = {label: output["parameters"] for label, output in facts["outputs"].items()}
    patterns, garments = (len(facts["outputs"][label]["classes"]) for label in ("pattern", "garment"))
    own = 9 * 4 * 16 + 16 + 17 * patterns
    assert facts["parameters"] == parts["colour"] + own + (4 + 16 + 1) * garments
    # The same words once more change nothing, whichever branch they ask for.
    assert branch(**given, from_block=1, learning_rate=0.1).reused


def test_scores_are_those_of_the_saved_network(given, place, empty_figures):
    made = branch(**given)
    records = open_record_set(place / "tfrecords/g")
    items = records.items[records.items["split"] == "val"]
    classes = json.loads((made.path / "manifest.json").read_text())["facts"]["outputs"]["pattern"]["classes"]
    items = items[items["pattern"].isin(classes)]
    images = np.stack([image for _, image in records.fitted(items["id"], (32, 32), "pad")])
    found = keras.saving.load_model(made.model).predict(images, verbose=0)["pattern"].argmax(axis=1)
    right = np.array([classes[number] for number in found]) == items["pattern"]
    row = pd.read_csv(made.path / "scores.csv").set_index(["label", "split"]).loc[("pattern", "val")]
    low, high = wilson(right.sum(), len(right))
    majority = items["pattern"].value_counts().iloc[0] / len(items)
    expected = [len(items), right.mean(), low, high, majority]
    np.testing.assert_allclose(row[["images", "accuracy", "low", "high", "majority"]], expected, atol=1e-6)
    assert made.accuracy["pattern"] == pytest.approx(right.mean())


def test_the_command_names_the_file_that_other_commands_take(command, place):
    roots = ("--tfrecords-root", place / "tfrecords", "--runs-root", place / "runs")
    code, out, err = command("branch", "--run", "g", "--label", "pattern", "--epochs", 1, *roots)
    assert (code, err) == (0, "")
    files = place / "runs/g/branch"
    assert out.splitlines()[-1].startswith(f"wrote {files}: colour 0.")
    assert out.splitlines()[-1].endswith(f"predict --run g --backbone {files}/only_pattern.keras --images FILE")
    assert {path.name for path in files.iterdir()} == {
        "accuracy_by_label.png", "accuracy_by_label.svg", "curves.csv", "history.csv", "learning_curves_pattern.png",
        "learning_curves_pattern.svg", "manifest.json", "model.keras", "only_colour.keras", "only_pattern.keras",
        "scores.csv",
    }  # fmt: skip
    found = predict(
        run="g", dataset="g", samples=2, backbone=str(files / "only_pattern.keras"),
        tfrecords_root=str(place / "tfrecords"), runs_root=str(place / "runs"),
    )  # fmt: skip
    assert {guess.name for guess in found.guesses} <= set(open_record_set(place / "tfrecords/g").classes("pattern"))
    code, _, err = command("predict", "--run", "g", "--dataset", "g", "--backbone", files / "model.keras", *roots)
    assert code == 2 and "must be a network with one output" in err and "only_LABEL.keras" in err


@pytest.mark.slow
def test_a_slow_trunk_moves_less_than_the_branch(given, place, empty_figures):
    made = branch(**given, trunk="slow", trunk_rate=0.01, from_block=1, learning_rate=0.1)
    now = keras.saving.load_model(made.model)
    then = keras.saving.load_model(place / "runs/g/train/model.keras")
    step = {
        name: np.abs(now.get_layer(name).get_weights()[0] - then.get_layer(name.split(".")[-1]).get_weights()[0]).mean()
        for name in ("second", "logits", "branch1.second")
    }
    assert 0 < step["second"] < 0.05 * step["branch1.second"]
    assert 0 < step["logits"] < 0.05 * step["branch1.second"]
    # What moved is measured again.
    scores = pd.read_csv(made.path / "scores.csv").set_index(["label", "split"])["accuracy"]
    assert scores[("colour", "val")] == pytest.approx(made.accuracy["colour"])
    # The next branch leaves the trunk as it is now.
    first = outputs(made.model)
    more = branch(**{**given, "label": "garment"})
    np.testing.assert_array_equal(outputs(more.model)["colour"], first["colour"])
    np.testing.assert_array_equal(outputs(more.model)["pattern"], first["pattern"])


@pytest.mark.slow
def test_each_label_may_come_from_a_set_of_its_own(given, place, pictures, empty_figures):
    ingest(dataset="p", source="folder", path=str(pictures), split=[3, 1, 1], tfrecords_root=given["tfrecords_root"])
    options = {**given, "label": "class", "dataset": "p"}
    made = branch(**options)
    assert set(made.accuracy) == {"colour", "class"}
    scores = pd.read_csv(made.path / "scores.csv")
    assert list(scores["split"]) == ["val", "val", "test"]
    # Of the other label nothing is known there: with a slow trunk it is measured where it came from.
    slow = branch(**options, trunk="slow", overwrite=True)
    assert set(slow.accuracy) == {"colour", "class"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "colour"}, "`label` must be a label that this network does not know yet; it has colour. Received: "
         "colour, it is what `train` trained this network on."),
        ({"label": "color"}, "`label` must be a label column of g: colour, pattern, garment. Received: color. Did you "
         "mean 'colour'?"),
        ({"min_images": 500}, "`label` must be a column with two classes or more that have images in train and in val"),
        ({"block": 3}, "`block` must be in 1 to 2 for model.keras. Received: 3."),
        ({"from_block": 0}, "`from_block` must be an int in the range [1, inf). Received: 0."),
        ({"from_block": 3}, "`from_block` must be in 1 to 2, the deepest block that the branch reads. Received: 3."),
        ({"from_block": 2, "block": 1}, "`from_block` must be in 1 to 1, the deepest block that the branch reads. "
         "Received: 2."),
        ({"trunk_rate": 0.0}, "`trunk_rate` must be a number in the range (0, 1]. Received: 0.0."),
        ({"warmup": 1.0}, "`warmup` must be a number in the range [0, 1). Received: 1.0."),
        ({"augment": "flop"}, "`augment` must be one of"),
        ({"run": "h"}, "must be a finished artifact. Received: nothing there. Make it first: fashionprobe train "
         "--dataset DATASET --run h"),
        ({"dataset": "none"}, "Make it first: fashionprobe ingest"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused_before_anything_is_written(given, place, options, message):
    with pytest.raises(UserError) as caught:
        branch(**{**given, **options})
    assert message in str(caught.value)
    assert not (place / "runs/g/branch").exists()


def test_a_label_that_is_a_branch_and_branches_of_another_network_are_refused(given, place, empty_figures):
    made = branch(**given)
    with pytest.raises(UserError, match=r"it has colour, pattern\. Received: pattern, a branch with other settings"):
        branch(**given, learning_rate=0.1)
    file = place / "runs/g/train/manifest.json"
    file.write_text(file.read_text().replace('"fingerprint": "', '"fingerprint": "0'))
    with pytest.raises(UserError, match=r"Received: branches of an older one\. --overwrite drops its branches"):
        branch(**{**given, "label": "garment"})
    made = branch(**{**given, "label": "garment"}, overwrite=True)
    assert list(made.networks) == ["colour", "garment"]
