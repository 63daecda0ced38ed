import csv
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from described_runs import described_run

from fashionprobe.errors import UserError
from fashionprobe.stages.pairs import pairs


@pytest.fixture
def run(tmp_path) -> Path:
    """A run whose block 2 knows the colour, with one picture twice; some colours are missing, one is rare."""
    random = np.random.default_rng(0)
    colours = ["red"] * 14 + ["blue"] * 14 + ["rare"] + [""] * 4
    knows = random.normal(0, 0.1, (33, 4)) + [[9.0 * (colour == "red")] for colour in colours]
    blind = random.normal(size=(33, 3))
    knows[1], blind[1] = knows[0], blind[0]
    return described_run(tmp_path, {"colour": colours, "a/b": ["x", *["y", "z"] * 16]}, {1: blind, 2: knows})


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def of(run: Path, **arguments):
    return pairs(run="r", runs_root=str(run.parent.parent), **arguments)


def test_the_answer_and_the_files(run, caplog):
    caplog.set_level("INFO")
    made = of(run, label="colour", min_images=5, pairs=91)
    (answer,) = made.answers
    assert (answer.label, answer.block, answer.space, answer.overlap, answer.auc) == ("colour", 2, "original", 0, 1)
    assert (made.table, os.fspath(made)) == (made.path / "overlap.csv", str(run.parent / "pairs"))
    assert caplog.messages[:2] == ["overlap by block, of all classes together; 0 is apart, 1 the same", "block  colour"]
    assert [line.split()[0] for line in caplog.messages[2:4]] == ["1", "2"]
    assert caplog.messages[4:] == [
        "colour: 4 images without this label left out",
        "colour: 1 rare classes left out (1 images)",
        "colour: 1 pairs of copies of one picture left out",
        "colour: all pairs of red (90) taken, fewer than 91",
        f"wrote {made.path}: colour overlaps least at block 2 (0.00; 0 apart, 1 the same). "
        "Next: fashionprobe report --run r",
    ]
    rows = table(made.table)
    assert [(row["block"], row["class"], row["positives"], row["negatives"]) for row in rows] == [
        (block, *counts) for block in "12" for counts in (("blue", "91", "91"), ("red", "90", "91"),
                                                          ("(all)", "181", "182"))
    ]  # fmt: skip
    assert {(row["label"], row["space"]) for row in rows} == {("colour", "original")}
    assert float(rows[2]["overlap"]) > 0.5
    histogram = table(made.path / "histograms.csv")
    assert len(histogram) == 2 * 3 * 50
    assert sum(int(row["positives"]) for row in histogram[:50]) == 91
    names = {"histograms_colour_original", "overlap_colour_original"}
    assert {path.stem for path in made.path.glob("*.png")} == {path.stem for path in made.path.glob("*.svg")} == names
    figures = json.loads((made.path / "manifest.json").read_text())["facts"]["figures"]
    assert {Path(each["file"]).stem for each in figures} == names
    assert of(run, label="colour", min_images=5, pairs=91).reused
    assert caplog.messages[-1].startswith("reused ")


def test_metric_normalization_bins_seed_and_several_labels(run, empty_figures):
    made = of(run, label=["colour", "a/b"], min_images=5, block=2, metric="cosine", normalization="standard", bins=7,
              pairs=20, seed=2)  # fmt: skip
    assert len(table(made.path / "histograms.csv")) == 2 * 3 * 7
    values = np.load(run / "block2.npy")[:28].astype(float)
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    medians = {row["class"]: float(row["positive_median"]) for row in table(made.table) if row["label"] == "colour"}
    # Standardized, the colours point in opposite directions.
    assert medians["red"] < 0.05 > medians["blue"]
    assert (made.path / "overlap_a_b_original.png").is_file()
    first = made.table.read_text()
    of(run, label=["colour", "a/b"], min_images=5, block=2, metric="cosine", normalization="standard", bins=7,
       pairs=20, seed=3, overwrite=True)  # fmt: skip
    assert made.table.read_text() != first


def test_the_reduced_space(run, empty_figures, monkeypatch, caplog):
    # UMAP itself, which compiles for seconds, has its own tests; here it finds what a projection on one axis shows.
    caplog.set_level("INFO")
    asked = []

    def reduce(points, dimensions, *, seed):
        asked.append((points.shape, dimensions, seed))
        return SimpleNamespace(points=np.repeat(points[:, :1] > 4, 2, axis=1) * np.float32(3))

    monkeypatch.setattr("fashionprobe.attributes.reduce.reduce", reduce)
    made = of(run, label="colour", min_images=5, metric="cosine", dimensions=2, seed=7)
    assert asked == [((28, 3), 2, 7), ((28, 4), 2, 7)]
    rows = [row for row in table(made.table) if row["class"] == "(all)"]
    assert [(row["block"], row["space"]) for row in rows] == [
        ("1", "original"), ("1", "umap2"), ("2", "original"), ("2", "umap2")]  # fmt: skip
    # In the reduced space all is measured by euclidean distance: 3 times the root of 2.
    assert (float(rows[3]["positive_median"]), float(rows[3]["negative_median"])) == (0, pytest.approx(18**0.5))
    assert made.answers[0].overlap == 0
    assert (made.path / "histograms_colour_umap2.png").is_file()
    assert "at block 2" in caplog.messages[-1]


def test_several_reduced_spaces(run, empty_figures, monkeypatch):
    monkeypatch.setattr(
        "fashionprobe.attributes.reduce.reduce",
        lambda points, dimensions, *, seed: SimpleNamespace(points=np.repeat(points[:, :1], dimensions, axis=1)),
    )
    made = of(run, label="colour", min_images=5, block=2, dimensions=[4, 2], overwrite=True)
    assert list(dict.fromkeys(row["space"] for row in table(made.table))) == ["original", "umap2", "umap4"]
    assert (made.path / "histograms_colour_umap4.png").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "colur"}, r"`label` must be a label column: colour, a/b\. Received: colur\. Did you mean 'colour'"),
        ({"block": 7}, r"`block` must be among those that were extracted: 1, 2\. Received: 7\."),
        ({"pairs": 0}, r"`pairs` must be an int in the range \[1, inf\)"),
        ({"bins": 1}, r"`bins` must be an int in the range \[2, inf\)"),
        ({"dimensions": 0}, r"`dimensions` must be an int in the range \[1, inf\)"),
        ({"metric": "cos", "min_images": 5}, r"`metric` must be one of: euclidean, cosine\."),
        (
            {"normalization": "l3", "min_images": 5},
            r"`normalization` must be one of: none, l2, standard, whiten, sqrt",
        ),
        ({"seed": -1}, r"`seed` must be an int"),
        ({}, r"two different images or more, .* Received: rare, with 1\. Leave rare classes out with --min-images"),
    ],
)
def test_bad_arguments_write_nothing(run, options, message):
    with pytest.raises(UserError, match=message):
        of(run, **{"label": "colour", **options})
    assert [path.name for path in run.parent.glob("[!.]*")] == ["extract"]
