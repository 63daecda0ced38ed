"""The configs that bear the siamese report's name, against its settings, and that they run."""

import inspect
import json
from pathlib import Path

import pytest
import yaml

from fashionprobe.stages import embed, ingest

CONFIGS = Path(__file__).resolve().parents[2] / "configs"

RESNET = {"backbone": "resnet18", "pooling": "average", "dimension": 2, "margin": 0.001, "epochs": 10}
REPORT = {
    "random": {**RESNET, "mining": "random", "triplets": 32, "learning_rate": 0.001},
    "online": {**RESNET, "mining": "batch_hard", "batch_size": 1024, "learning_rate": 0.01},
    "light": {
        "backbone": "light_model", "pooling": "flatten", "dimension": 2, "margin": 0.00001, "epochs": 3,
        "mining": "batch_hard", "batch_size": 1024, "learning_rate": 0.01,
    },
}  # fmt: skip
"""Settings of the three experiments, as the report has them."""

EVERYWHERE = {
    "size": [28, 28], "metric": "euclidean", "optimizer": "adam", "decay": "none", "neighbours": [3],
    "warmup": 0.0, "weight_decay": 0.0, "hidden": 0, "unit_norm": False, "freeze": 0, "augment": [],
    "margin_end": None, "easy_epochs": 0, "steps": None,
}  # fmt: skip
"""What all three have, and what none of them has."""


def config(name):
    return yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("siamese_*.yaml")))
def test_embed_has_what_the_configs_set(name):
    assert set(config(name)) <= set(inspect.signature(embed).parameters)
    head = (CONFIGS / f"{name}.yaml").read_text(encoding="utf-8").partition("\nbackbone")[0]
    assert ("The report's (2022" in head and "Not the report's" in head) == name.startswith("siamese_report_")


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    root = tmp_path_factory.mktemp("letters")
    ingest(
        dataset="letters", source="symbols", count=60, size=28, marks="none", split=[45, 0, 15],
        tfrecords_root=str(root / "tfrecords"),
    )  # fmt: skip
    return root


@pytest.mark.parametrize(
    "name", ["light", *(pytest.param(name, marks=pytest.mark.slow) for name in ("random", "online"))]
)
def test_a_config_of_the_report_has_its_settings_and_runs(letters, name, empty_figures):
    given = config(f"siamese_report_{name}")
    assert given["epochs"] == REPORT[name]["epochs"] and "steps" not in given and "weights" not in given
    roots = {"tfrecords_root": str(letters / "tfrecords"), "runs_root": str(letters / "runs")}
    made = embed(dataset="letters", run=name, **given | {"epochs": 2}, **roots)
    manifest = json.loads((made.path / "manifest.json").read_text(encoding="utf-8"))
    used = manifest["arguments"]
    expected = EVERYWHERE | REPORT[name] | {"epochs": 2}
    assert {setting: used[setting] for setting in expected} == expected
    # 3,200 values of the LightModel's last map, or the 512 of ResNet-18's, to 2.
    assert manifest["facts"]["parameters"] == (12_546 if name == "light" else 11_186_112 + 512 * 2 + 2)
    assert (made.path / "losses.csv").is_file() and 0 <= made.accuracy <= 1


def test_the_search_of_the_report_is_in_the_config():
    text = (CONFIGS / "siamese_report_online.yaml").read_text(encoding="utf-8")
    assert "--folds 4 --epochs 7" in text and "--objective loss" in text
    assert "--margin 0.001,0.01,0.1 --learning-rate 0.0001,0.001,0.01 --dimension 2,3,4" in text
