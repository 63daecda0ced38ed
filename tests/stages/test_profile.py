import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from described_runs import described_run

from fashionprobe.errors import UserError
from fashionprobe.stages.classify import classify
from fashionprobe.stages.profile import profile


@pytest.fixture
def run(tmp_path) -> Path:
    """A run whose block 2 knows the colour, in channels 1 and 3; some colours are missing, one is rare."""
    random = np.random.default_rng(0)
    colours = ["red", "blue", "teal", "grey"] * 10 + ["rare"] * 3 + [""] * 4
    knows = random.normal(0, 0.1, (47, 6))
    knows[:, 1] += [3.0 * (colour in ("red", "blue")) for colour in colours]
    knows[:, 3] += [3.0 * (colour in ("red", "teal")) for colour in colours]
    labels = {"colour": colours, "a/b": ["x", *["y", "z"] * 23]}
    return described_run(tmp_path, labels, {1: random.normal(size=(47, 3)), 2: knows})


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def of(run: Path, **arguments):
    return profile(run="r", runs_root=str(run.parent.parent), **arguments)


def test_the_answer_and_the_files(run, caplog):
    caplog.set_level("INFO")
    made = of(run, label="colour", min_images=5)
    (answer,) = made.answers
    assert (answer.label, answer.block, answer.channels, answer.at_best, answer.total) == ("colour", 2, 2, 2, 6)
    assert (answer.accuracy, answer.full) == (1, 1)
    assert (made.path, os.fspath(made)) == (run.parent / "profile", str(run.parent / "profile"))
    assert caplog.messages[:2] == [
        "accuracy by block: all channels, and the fewest that keep their share of it",
        "block  colour",
    ]
    assert caplog.messages[3] == "2      1.000, 1.000 in 2"
    assert caplog.messages[4:] == [
        "colour: 4 images without this label left out",
        "colour: 1 rare classes left out (3 images)",
        f"wrote {made.path}: colour lives in 2 of 6 channels of block 2 (1.00 of 1.00). "
        "Next: fashionprobe report --run r",
    ]
    rows = table(made.path / "neurons_colour.csv")
    assert [(row["block"], row["ranking"], row["total"]) for row in rows] == [
        ("1", "mutual_information", "3"), ("2", "mutual_information", "6")]  # fmt: skip
    assert sorted(rows[1]["list"].split()) == ["1", "3"]
    channels = [row for row in table(made.path / "neurons_channels_colour.csv") if row["block"] == "2"]
    assert [(row["rank"], row["stability"]) for row in channels] == [("1", "1.000000"), ("2", "1.000000")]
    curve = table(made.path / "neurons_curve_colour.csv")
    assert [row["channels"] for row in curve if row["block"] == "2"] == ["1", "2", "3", "4", "5", "6"]
    # The whole block is what `classify` says of it.
    classify(run="r", label="colour", min_images=5, neighbours=4, runs_root=str(run.parent.parent))
    expected = [row for row in table(run.parent / "classify/accuracy.csv") if row["classifier"] == "knn"]
    assert [row["full"] for row in rows] == [row["accuracy_mean"] for row in expected]

    means = table(made.path / "profile_colour_block2.csv")
    assert list(means[0]) == ["channel", "blue", "grey", "red", "teal"]
    descriptors = np.load(run / "block2.npy")[:40]
    assert float(means[1]["blue"]) == pytest.approx(descriptors[1::4, 1].mean(), rel=1e-5)
    best = [row for row in table(made.path / "separating_colour_block2.csv") if row["rank"] == "1"]
    # Two classes of four share each value of a channel: the others are all below, or half of them equal.
    assert {row["channel"] for row in best} <= {"1", "3"}
    assert {(row["class"], row["direction"]) for row in best} >= {("red", "active"), ("grey", "silent")}
    assert table(made.path / "peaks_colour_block2.csv")[0].keys() == {"class", "channel", "mean", "common"}

    figures = json.loads((made.path / "manifest.json").read_text())["facts"]["figures"]
    assert [each["file"] for each in figures] == [
        "neurons_colour.png", "separating_colour_block2.png", "channels_colour_block2.png",
        "profile_colour_block2.png"]  # fmt: skip
    assert "In block 2 that is 2 of 6; 2 if luck is left out of account." in figures[0]["caption"]
    drawn = {f"{kind}_colour_block{block}" for kind in ("profile", "channels", "separating") for block in (1, 2)}
    assert {path.stem for path in made.path.glob("*.png")} == {*drawn, "neurons_colour"}
    assert {path.stem for path in made.path.glob("*.svg")} == {*drawn, "neurons_colour"}
    assert of(run, label="colour", min_images=5).reused


def test_l1_one_block_and_several_labels_of_any_name(run, empty_figures):
    made = of(run, label="colour,a/b", block=2, ranking="l1", min_images=5)
    assert [answer.label for answer in made.answers] == ["colour", "a/b"]
    assert made.answers[0].channels == 2
    assert (made.path / "neurons_a_b.csv").is_file()
    assert [row["block"] for row in table(made.path / "neurons_colour.csv")] == ["2"]
    with pytest.raises(UserError, match=r"ranking: \"l1\" -> \"mutual_information\""):
        of(run, label="colour,a/b", block=2, min_images=5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "colur"}, r"`label` must be a label column: colour, a/b\. Received: colur\. Did you mean 'colour'"),
        ({"label": ","}, r"`label` is missing: pass a name, or several as a,b\."),
        ({"block": 7}, r"`block` must be among those that were extracted: 1, 2\. Received: 7\."),
        ({"share": 0.0}, r"`share` must be a number in the range \(0, 1\]\. Received: 0\.0\."),
        ({"folds": 1}, r"`folds` must be an int in the range \[2, inf\)"),
        ({"neighbours": 0}, r"`neighbours` must be an int in the range \[1, inf\)"),
        ({"neighbours": 33, "min_images": 5}, r"`neighbours` must be a number in 1 to 32\. Received: 33\."),
        ({"ranking": "best", "min_images": 5}, r"`ranking` must be one of: mutual_information, l1\."),
        ({"seed": -1}, r"`seed` must be an int"),
        ({}, r"Received: 1 with fewer: rare \(3\)\. Leave them out with --min-images 5"),
    ],
)
def test_bad_arguments_write_nothing(run, options, message):
    with pytest.raises(UserError, match=message):
        of(run, **{"label": "colour", **options})
    assert [path.name for path in run.parent.glob("[!.]*")] == ["extract"]
