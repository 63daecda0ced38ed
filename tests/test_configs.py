"""The configs that bear a document's name: their settings are those of the document, and they run."""

import inspect
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fashionprobe import config
from fashionprobe.cli.commands import COMMANDS

CONFIGS = Path(__file__).resolve().parents[1] / "configs"

REFIT = {"iterations": 100, "random": 50, "masked": 5, "keep": "last", "loss": "pasa"}
DOCUMENTS = {
    # Attribute thesis, section 4.3: rate 0.01, batches of 2, 10 epochs, Adam, 390 x 520 (width x height).
    "attributes_kaggle": {
        "label": "articleType", "backbone": "resnet50", "learning_rate": 0.01, "batch_size": 2, "epochs": 10,
        "optimizer": "adam", "size": [520, 390],
    },
    # Chapter 5: 1,000 images, 5 folds, k of table 5.3, 3,000 pairs, 500 queries, precision@10.
    "attributes_evaluation": {
        "ingest": {"count": 1000},
        "extract": {"backbone": "resnet50", "weights": "pretrained"},
        "classify": {"folds": 5, "neighbours": [1, 2, 4, 8, 16]},
        "pairs": {"pairs": 3000, "metric": "euclidean"},
        "retrieve": {"queries": 500, "top": 10, "metric": "euclidean"},
    },
    # Feedback thesis: animals 224 x 224, ten epochs, Adam, B 0.4, th 0.7, 20 channels dropped.
    "feedback_animals": {
        "ingest": {"size": 224}, "train": {"backbone": "vgg_residual", "epochs": 10, "optimizer": "adam"},
        "refit": {**REFIT, "b": 0.4, "th": 0.7, "dropped": 20},
    },
    "feedback_sketches": {"train": {"backbone": "vgg_residual", "epochs": 10}, "refit": REFIT},
    # 72 x 72, marks at random, three blocks without batch normalisation and sums, B 0.8, th 2.
    "feedback_symbols": {
        "ingest": {"size": 72, "rate": 0.0}, "train": {"backbone": "vgg_plain"},
        "refit": {**REFIT, "b": 0.8, "th": 2.0},
    },
    # 700 train and 300 validation images among other things, objects alone in test, B 5, th 0.8.
    "feedback_xray": {
        "ingest": {"split": [700, 300, 0], "per_class": 250, "test_where": "background != 'cluttered'"},
        "refit": {**REFIT, "b": 5.0, "th": 0.8},
    },
}  # fmt: skip
"""Settings of the documents by config; those that the documents do not name are ours and stand in the config alone."""


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_config_of_a_document_has_its_settings(name):
    found = config.read(str(CONFIGS / f"{name}.yaml"))
    for key, wanted in DOCUMENTS[name].items():
        if isinstance(wanted, dict):
            assert {**found[key], **wanted} == found[key], key
        else:
            assert found[key] == wanted, key


def test_every_config_of_a_document_is_compared():
    named = {path.stem for path in CONFIGS.glob("*.yaml") if path.stem.startswith(("attributes_", "feedback_"))}
    assert named == set(DOCUMENTS)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_head_says_what_is_the_documents_and_what_is_ours(path):
    head = path.read_text().split("\n\n")[0]
    if path.stem.startswith(("attributes_", "feedback_")):
        assert "# The document's:" in head and "# Ours:" in head and "# Run" in head
    else:
        assert "The document's:" not in head


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_argument_is_one_of_its_command(path):
    found = config.read(str(path))
    if all(isinstance(value, dict) for value in found.values()):
        for command, arguments in found.items():
            assert set(arguments) <= set(inspect.signature(COMMANDS[command]).parameters), command


def few_pictures(root, kind):
    """Write a source of 32 pictures in two classes, and masks of the left half of a few."""
    from PIL import Image

    random = np.random.default_rng(0)
    if kind == "quickdraw":
        for name in ("bus", "car"):
            np.save(root / f"{name}.npy", random.integers(0, 255, (16, 784), np.uint8))
        return
    series = {"gun": ("B0049", "B0079"), "other": ("B0078", "B0082")}
    for name, parts in series.items():
        (root / name).mkdir()
        for number in range(16):
            pixels = random.integers(0, 255, (48, 48), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{parts[number % 2]}_{number:04d}.png")


def masks_of(records, root, names):
    """Write a mask of the left half of each image."""
    from PIL import Image

    for name, picture in records.pictures(names):
        mask = np.zeros(picture.shape[:2], np.uint8)
        mask[:, : mask.shape[1] // 2] = 255
        path = (root / name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["feedback_animals", "feedback_sketches", "feedback_symbols", "feedback_xray"])
def test_a_feedback_experiment_runs_on_few_images(name, tmp_path, empty_figures):
    from fashionprobe.records.record_set import open_record_set
    from fashionprobe.stages import ingest, masks, refit, train

    found = config.read(str(CONFIGS / f"{name}.yaml"))
    roots = {"tfrecords_root": str(tmp_path / "tfrecords"), "runs_root": str(tmp_path / "runs")}
    few = {"count": 60} if name == "feedback_symbols" else {"path": str(tmp_path / "source")}
    (tmp_path / "source").mkdir()
    few_pictures(tmp_path / "source", found["ingest"]["source"])
    records = ingest(**{**found["ingest"], **few}, tfrecords_root=roots["tfrecords_root"])
    train(**{**found["train"], "epochs": 1, "size": 32}, **roots)
    given = found["masks"]
    if given["source"] == "png":
        names = pd.read_csv(records.path / "items.csv").query("split == 'train'")["id"][:4]
        masks_of(open_record_set(records.path), tmp_path / "masks", list(names))
        given = {**given, "path": str(tmp_path / "masks")}
    masks(**given, **roots)
    rivals = [each for each in found["refit"]["rivals"] if each not in ("generative", "augmentation", "all_data")]
    small = {"iterations": 2, "random": 4, "masked": 2, "seeds": 1, "rivals": rivals}
    made = refit(**{**found["refit"], **small}, **roots)
    assert made.method == "PASA"
    runs = pd.read_csv(made.path / "runs.csv").set_index("method")
    # The thesis' lambda, and its last iteration.
    assert (runs.loc["PASA", "strength"], runs.loc["PASA", "iteration"]) == (1, 2)
    assert len(runs) == 2 + len(rivals)


@pytest.mark.slow
def test_the_clothing_network_of_the_attribute_thesis_trains_on_few_images(tmp_path, empty_figures):
    from PIL import Image

    from fashionprobe.stages import ingest, train

    rows = []
    for number in range(16):
        pixels = np.random.default_rng(number).integers(0, 255, (52, 39, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append((f"{number}.png", ("Shirts", "Jeans")[number % 2]))
    pd.DataFrame(rows, columns=["file", "articleType"]).to_csv(tmp_path / "products.csv", index=False)
    root = str(tmp_path / "tfrecords")
    table = {"source": "table", "path": str(tmp_path / "products.csv"), "label_columns": "articleType"}
    records = ingest(dataset="kaggle", **table, split=[12, 4, 0], tfrecords_root=root)
    given = config.read(str(CONFIGS / "attributes_kaggle.yaml"))
    small = {"backbone": "mini", "weights": "random", "size": [52, 39], "epochs": 1}
    made = train(dataset=records, **{**given, **small}, tfrecords_root=root, runs_root=str(tmp_path / "runs"))
    used = json.loads((made.path / "manifest.json").read_text())["arguments"]
    assert (made.epochs, used["learning_rate"], used["batch_size"], used["decay"]) == (1, 0.01, 2, "none")


@pytest.mark.slow
def test_the_evaluation_of_the_attribute_thesis_runs_on_few_images(tmp_path, empty_figures):
    from fashionprobe import stages

    found = config.read(str(CONFIGS / "attributes_evaluation.yaml"))
    roots = {"tfrecords_root": str(tmp_path / "tfrecords"), "runs_root": str(tmp_path / "runs")}
    stages.ingest(**{**found["ingest"], "count": 100, "size": 48}, tfrecords_root=roots["tfrecords_root"])
    stages.extract(**{**found["extract"], "backbone": "mini", "size": 48}, block=[1, 4], **roots)
    small = {"classify": {"dimensions": [2]}, "pairs": {"pairs": 20, "dimensions": [2, 3]}, "retrieve": {"queries": 20}}
    for command in ("classify", "reduce", "pairs", "profile", "retrieve"):
        stage = getattr(stages, command)
        taken = {name: root for name, root in roots.items() if name in inspect.signature(stage).parameters}
        assert stage(**{**found[command], **small.get(command, {})}, **taken).path.is_dir()
