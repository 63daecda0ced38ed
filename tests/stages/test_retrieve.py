import json
import logging
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from described_runs import described_run

from fashionprobe.artifacts import Recipe, build
from fashionprobe.errors import UserError
from fashionprobe.stages.ingest import ingest
from fashionprobe.stages.retrieve import retrieve


@pytest.fixture
def run(tmp_path) -> Path:
    """A run whose block 1 knows the colour and whose block 2 knows the weave; ten images have no weave."""
    random = np.random.default_rng(0)
    colours, weaves = ["red", "blue", "teal"] * 14, ["plain"] * 16 + ["twill"] * 16 + [""] * 10

    def knows(names: list[str]) -> np.ndarray:
        numbers = np.unique(names, return_inverse=True)[1]
        return (5 * numbers[:, None] + random.normal(0, 0.1, (42, 4))).astype(np.float32)

    labels = {"colour": colours, "fabric/weave": weaves, "rare": ["few"] * 2 + ["many"] * 8 + [""] * 32}
    return described_run(tmp_path, labels, {1: knows(colours), 2: knows(weaves)})


def of(run: Path, **arguments):
    root = run.parent.parent
    return retrieve(run="r", runs_root=str(root), tfrecords_root=str(root / "none"), **arguments)


def test_the_right_blocks_are_found_alone_and_together(run, caplog):
    caplog.set_level(logging.INFO, "fashionprobe")
    given = {"label": "colour,fabric/weave", "top": 4, "block": [1, 2]}
    made = of(run, normalization="none,l2", **given)
    colour, weave = made.answers
    assert (colour.label, colour.block, colour.normalization, colour.precision) == ("colour", 1, "none", 1)
    assert (weave.label, weave.block, weave.precision, weave.last_precision) == ("fabric/weave", 2, 1, 1)
    assert colour.chance == pytest.approx(13 / 41)
    assert colour.last_block == 2 and colour.last_precision < 0.6
    assert made.both == 1
    assert os.fspath(made) == str(run.parent / "retrieve")
    *_, missing, pictures, last = caplog.messages
    assert missing == "fabric/weave: 10 images without this label left out"
    assert pictures.startswith("No contact sheets: the record set that was described is gone")
    assert last == (
        f"wrote {made.path}: colour: precision@4 1.00 at block 1, {colour.last_precision:.2f} at block 2; "
        "fabric/weave: precision@4 1.00 at block 2; both at once: 1.00. Next: fashionprobe report --run r"
    )
    assert of(run, normalization=["none", "l2"], **given).reused


def test_tables_and_figures(run):
    folder = of(run, label="colour,fabric/weave", top=4, queries=20, block=[1, 2]).path
    table = pd.read_csv(folder / "retrieval.csv")
    assert list(table) == ["label", "block", "normalization", "precision_mean", "low", "high", "chance", "queries"]
    assert list(table["normalization"]) == ["none", "whiten"] * 4
    assert set(table["queries"]) == {20}
    results = pd.read_csv(folder / "results_colour.csv")
    assert list(results) == ["query", "rank", "id", "class", "distance"]
    assert list(results["rank"][:5]) == [1, 2, 3, 4, 1]
    queries = pd.read_csv(folder / "queries_colour.csv").set_index("id")
    right = results["class"] == queries["class"][results["query"]].to_numpy()
    pd.testing.assert_series_equal(
        right.groupby(results["query"]).mean(), queries["precision"].sort_index(), check_names=False
    )  # fmt: skip
    classes = pd.read_csv(folder / "per_class_fabric_weave.csv")
    assert set(classes["class"]) == {"plain", "twill"}
    assert len(classes) == 2 * 2 * 2
    both = pd.read_csv(folder / "both.csv")
    assert list(both["by"][:3]) == ["colour, block 1", "fabric/weave, block 2", "both"]
    noted = [each["file"] for each in json.loads((folder / "manifest.json").read_text())["facts"]["figures"]]
    assert noted == ["retrieval_colour.png", "retrieval_fabric_weave.png", "both.png"]
    assert all((folder / name).is_file() and (folder / name).with_suffix(".svg").is_file() for name in noted)


def test_contact_sheets_of_the_pictures(tmp_path):
    roots = {"tfrecords_root": str(tmp_path / "tfrecords"), "runs_root": str(tmp_path / "runs")}
    records = ingest(dataset="g", source="garments", count=20, size=32, tfrecords_root=roots["tfrecords_root"])
    items = pd.read_csv(records.path / "items.csv").drop(columns="shard")

    def write(folder: Path) -> dict:
        items.assign(half=["one", "two"] * 10).to_csv(folder / "items.csv", index=False)
        np.save(folder / "block1.npy", np.random.default_rng(0).random((20, 3), dtype=np.float32))
        return {"blocks": {"1": {}}, "dataset": "g"}

    made_from = {"records": json.loads((records.path / "manifest.json").read_text())["fingerprint"]}
    build(tmp_path / "runs/g/extract", Recipe("extract", {}, made_from), write)
    made = retrieve(run="g", label="half", top=3, queries=8, normalization="none", **roots)
    facts = json.loads((made.path / "manifest.json").read_text())["facts"]
    assert [each["file"] for each in facts["figures"]] == ["retrieval_half.png", "best_half.png", "worst_half.png"]
    assert [each.get("zoom", False) for each in facts["figures"]] == [False, True, True]
    assert (made.path / "best_half.png").stat().st_size > 10_000
    assert made.both is None


def test_seed_decides_the_queries(run):
    first = (of(run, label="colour", queries=5, top=3).path / "queries_colour.csv").read_text()
    again = of(run, label="colour", queries=5, top=3, seed=1, overwrite=True).path / "queries_colour.csv"
    assert set(first.splitlines()) != set(again.read_text().splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label": "colur"}, r"Did you mean 'colour'"),
        ({"label": "colour", "top": 42}, r"`top` must be in 1 to 41, the number of other images"),
        ({"label": "colour", "top": 0}, r"`top` must be an int in the range \[1, inf\)"),
        ({"label": "colour", "block": 7}, r"`block` must be among those that were extracted: 1, 2"),
        ({"label": "colour", "normalization": "white"}, r"`normalization` must be one of: none, l2, .* mean 'whiten'"),
        ({"label": "colour", "metric": "cosin"}, r"`metric` must be one of: euclidean, cosine"),
        (
            {"label": "rare,colour", "top": 10},
            r"`label` rare and colour: only 10 images have both, and --top 10 needs at least 11",
        ),
        ({"label": "colour", "min_images": 15}, r"`label` must be a column with a class of 15 images or more"),
        ({"label": "colour", "seed": -1}, r"`seed` must be"),
    ],
)
def test_bad_arguments_write_nothing(run, arguments, message):
    with pytest.raises(UserError, match=message):
        of(run, **arguments)
    assert [path.name for path in run.parent.glob("[!.]*")] == ["extract"]


def test_one_class_is_refused(tmp_path):
    run = described_run(tmp_path, {"colour": "red"}, {1: np.random.default_rng(0).normal(size=(30, 3))})
    with pytest.raises(UserError, match=r"`colour` must be a column with two classes or more. Received: one class"):
        retrieve(run="r", label="colour", runs_root=str(run.parent.parent))
    assert not (run.parent / "retrieve").exists()


@pytest.mark.parametrize(("images", "top"), [(8, 3), (11, 10), (30, 10)])
def test_the_default_of_top_fits_a_small_set(tmp_path, empty_figures, images, top):
    colours = np.array(["red", "blue"])[np.arange(images) % 2]
    points = np.random.default_rng(0).normal(size=(images, 3))
    run = described_run(tmp_path, {"colour": colours}, {1: points})
    made = retrieve(run="r", label="colour", runs_root=str(run.parent.parent))
    assert json.loads((made.path / "manifest.json").read_text())["facts"]["top"] == top
    with pytest.raises(UserError, match=f"`top` must be in 1 to {images - 1}, the number of other images"):
        retrieve(run="r", label="colour", top=images, runs_root=str(run.parent.parent), overwrite=True)
