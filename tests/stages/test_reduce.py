import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from described_runs import described_run

from fashionprobe.attributes import reduce as reduction
from fashionprobe.errors import UserError
from fashionprobe.inputs.descriptors import RunDescriptors
from fashionprobe.report.exhibits import exhibits, gallery
from fashionprobe.stages.reduce import reduce


@pytest.fixture
def run(tmp_path) -> Path:
    """A run whose block 2 keeps two colours in two clumps, and whose block 1 is noise; ten images have no colour."""
    random = np.random.default_rng(0)
    colours = ["red"] * 30 + ["navy blue"] * 30 + [""] * 10
    clumps = np.repeat([[0.0] * 5, [9.0] * 5, [5.0] * 5], [30, 30, 10], axis=0) + random.normal(0, 0.3, (70, 5))
    labels = {"colour": colours, "x": ["even", "odd"] * 35, "one": "same"}
    return described_run(tmp_path, labels, {1: random.normal(size=(70, 4)), 2: clumps}, ids="<{}>.jpg")


@pytest.fixture
def seeds(monkeypatch) -> list:
    """Stand in for UMAP, which compiles for ten seconds: keep the first channels, and what it was given."""
    given = []

    def first_channels(known, dimensions, *, seed):
        given.append(seed)
        return SimpleNamespace(points=known.values[:, :dimensions] * np.float32(100))

    monkeypatch.setattr(reduction, "reduce", first_channels)
    return given


def of(run: Path, **arguments):
    return reduce(run="r", runs_root=str(run.parent.parent), tfrecords_root=str(run / "gone"), **arguments)


def test_the_block_whose_clusters_are_the_classes(run, seeds, caplog):
    caplog.set_level("INFO", "fashionprobe")
    made = of(run, label="colour,x", dimensions=[3], min_cluster_size=8, seed=5)
    table = pd.read_csv(made.table)
    assert list(table) == ["label", "block", "dimensions", "ari", "ami", "ari_clustered", "ami_clustered", "clusters",
                           "noise", "images"]  # fmt: skip
    keys = table[["block", "dimensions", "label"]].to_numpy().tolist()
    assert keys == [[block, number, label] for block in (1, 2) for number in (2, 3) for label in ("colour", "x")]
    assert set(table["images"]) == {60, 70}
    best = made.answers[0]
    assert (best.label, best.block) == ("colour", 2)
    assert best.ami > 0.8 > 0.2 > table.query("label == 'x'")["ami"].max()
    assert set(seeds) == {5}
    assert [path.name for path in made.path.glob("umap*")]
    assert np.load(made.path / "umap3_block2.npy").shape == (70, 3)
    expected = f"clusters agree best with colour at block 2 in {best.dimensions} dimensions: ARI {best.ari:.3f}, AMI "
    assert expected in caplog.text
    assert caplog.messages[-1] == f"wrote {made.path}. Next: fashionprobe report --run r"

    facts = json.loads((made.path / "manifest.json").read_text())["facts"]
    assert set(facts["versions"]) == {"umap-learn", "hdbscan", "numba"}
    # The bars of both labels come first, then the maps, those of the best blocks before the others.
    assert [Path(each["file"]).stem for each in facts["figures"]][:3] == ["clusters_colour", "clusters_x",
                                                                         "map_colour_block2"]  # fmt: skip
    assert all((made.path / each["file"]).is_file() for each in facts["figures"])
    assert all("no thumbnails" in each["caption"] for each in facts["figures"][2:])
    points = pd.read_csv(made.path / "points_block2.csv", keep_default_na=False)
    assert list(points) == ["row", "id", "x", "y", "cluster", "colour", "x_label"]
    assert points["colour"].tolist() == ["red"] * 30 + ["navy blue"] * 30 + [""] * 10
    assert of(run, label="colour,x", dimensions=[2, 3], min_cluster_size=8, seed=5).reused


def test_without_a_label_the_maps_show_the_clusters(run, seeds):
    made = of(run, block=2, min_cluster_size=8)
    assert made.answers == ()
    table = json.loads((made.path / "map_cluster_block2.json").read_text())
    assert "cluster 0" in json.dumps(table)
    assert pd.read_csv(made.path / "points_block2.csv")["cluster"].nunique() >= 3
    assert len(pd.read_csv(made.table)) == 0
    facts = json.loads((made.path / "manifest.json").read_text())["facts"]
    assert [each["title"] for each in facts["figures"]] == ["Block 2 by cluster"]


def test_thumbnails_and_sample_of_a_large_set(run, seeds, monkeypatch):
    # By this name the package `stages` holds the function.
    monkeypatch.setattr(sys.modules["fashionprobe.stages.reduce"], "records_of", lambda *_: "there")
    monkeypatch.setattr("fashionprobe.report.points.MOST", 12)
    asked = []

    def thumbnails(self, rows, tfrecords_root, *, height):
        asked.extend(rows)
        return [b"jpeg %d" % row for row in rows]

    monkeypatch.setattr(RunDescriptors, "thumbnails", thumbnails)
    made = of(run, label="colour", block=2, seed=None)
    assert len(asked) == len(set(asked)) == 12
    figures = json.loads((made.path / "manifest.json").read_text())["facts"]["figures"]
    assert "Here are 12 of the 70 images, drawn at random" in figures[1]["caption"]
    assert all("Computed without a seed" in each["caption"] for each in figures)
    (found,) = exhibits(SimpleNamespace(path=made.path, facts={"figures": figures[1:]}))
    assert len(found.points.dots) == len(found.points.pictures) == 12
    page = gallery([found], title="t", lead="l", facts={}, command="c")
    assert "&lt;" in page and "<script" not in page and "<0>" not in page
    assert seeds == [None]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label": "color"}, r"`label` must be a label column: colour, x, one. Received: color. Did you mean 'colour'"),
        ({"label": "one"}, r"`one` must be a column with two classes or more. Received: one class: \['same'\]"),
        ({"label": "x", "block": 3}, r"`block` must be among those that were extracted: 1, 2. Received: 3"),
        ({"label": "x", "dimensions": 0}, r"`dimensions` must be an int in the range \[1, inf\). Received: 0."),
        ({"label": "x", "dimensions": []}, r"`dimensions` must be a number, or several as 2,8. Received: \[\]."),
        ({"label": "x", "dimensions": 70}, r"`dimensions` must be in 1 to 69"),
        ({"label": "x", "neighbours": 1}, r"`neighbours` must be an int in the range \[2, inf\)"),
        ({"label": "x", "min_cluster_size": 1}, r"`min_cluster_size` must be an int in the range \[2, inf\)"),
        ({"label": "x", "min_cluster_size": 71}, r"`min_cluster_size` must be an int in the range \[2, 70\]"),
        (
            {"label": "x", "normalization": "l3"},
            r"`normalization` must be one of: none, l2, standard, whiten, sqrt",
        ),
        ({"label": "x", "seed": -1}, r"`seed` must be an int in the range"),
    ],
)
def test_bad_arguments_write_nothing(run, monkeypatch, arguments, message):
    # Nothing is computed before all is checked, so UMAP is not even imported.
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(UserError, match=message):
        of(run, **arguments)
    assert [path.name for path in run.parent.glob("[!.]*")] == ["extract"]
