"""Search in the index of drawn garments: the stage, its files, and what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.inputs.descriptors import read_descriptors
from fashionprobe.stages import extract, index, ingest, search


@pytest.fixture
def root(garment_index, tmp_path) -> Path:
    shutil.copytree(garment_index, tmp_path / "w")
    return tmp_path / "w"


@pytest.fixture
def photo(root) -> str:
    """The first garment of the run, saved as a file."""
    return str(root / "shirt.png")


def runs(root: Path) -> dict[str, str]:
    return {"run": "g", "runs_root": str(root / "runs"), "tfrecords_root": str(root / "tfrecords")}


def items_of(root: Path) -> pd.DataFrame:
    return read_descriptors(root / "runs/g").items


def test_a_file_is_left_out_of_its_own_search_or_found_first(root, photo):
    first = items_of(root)["id"].iloc[0]
    for by in ("colour", "pattern", "both"):
        found = search(image=photo, by=by, top=60, **runs(root))
        assert len(set(found.ids)) == 59
        assert first not in found.ids
        assert list(found.distances) == sorted(found.distances)
        itself = search(image=photo, by=by, top=7, include_query=True, **runs(root))
        assert itself.ids == (first, *found.ids[:6])
    assert not (root / "runs/g/search").exists()


def test_an_id_is_left_out_of_its_own_search_or_found_first(root):
    name = items_of(root)["id"].iloc[3]
    found = search(id=name, by="colour", top=59, **runs(root))
    assert name not in found.ids
    assert len(set(found.ids)) == 59
    assert search(id=name, by="colour", top=1, include_query=True, **runs(root)).ids == (name,)


def test_the_distances_are_those_of_the_descriptors(root):
    names = items_of(root)["id"]
    index(**runs(root), groups=["colour=1:l2"], overwrite=True)
    points = np.load(root / "runs/g/extract/block1.npy").astype(np.float64)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    apart = np.linalg.norm(points - points[3], axis=1)
    apart[3] = np.inf
    found = search(id=names.iloc[3], by="colour", top=5, **runs(root))
    assert list(found.ids) == names.iloc[np.argsort(apart, kind="stable")[:5]].tolist()
    assert found.distances == pytest.approx(np.sort(apart)[:5], abs=1e-5)


def test_a_filter_keeps_the_nearest_of_those_for_which_it_is_true(root, caplog):
    caplog.set_level("INFO")
    items = items_of(root).set_index("id")
    name = items.index[3]
    everything = search(id=name, by="pattern", top=59, **runs(root))
    colours = items["colour"].unique()[:2].tolist()
    where = f"colour == '{colours[0]}' or colour == '{colours[1]}'"
    found = search(id=name, by="pattern", where=where, **runs(root))
    assert found.ids == tuple(each for each in everything.ids if items.loc[each, "colour"] in colours)
    assert search(id=name, by="pattern", where="colour == 'none'", **runs(root)).ids == ()
    assert "no image of the index is left to be found" in caplog.messages
    with pytest.raises(UserError, match=r"`where` must be a pandas query over the columns id, colour, pattern"):
        search(id=name, where="price < 30", **runs(root))


def test_many_queries_at_a_time_are_answered_like_each_alone(root, photo, tmp_path):
    shutil.copy(photo, root / "other.png")
    (root / "more").mkdir()
    shutil.copy(root / "shirt.png", root / "more/shirt.png")
    files = [photo, str(root / "more/shirt.png")]
    found = search(image=files, by="colour", top=3, **runs(root))
    assert [hit["query"] for hit in found.hits] == ["shirt.png"] * 3 + ["shirt.png (2)"] * 3
    assert found.ids[:3] == found.ids[3:] == search(image=photo, by="colour", top=3, **runs(root)).ids
    names = items_of(root)["id"].tolist()[:2]
    both = search(id=names, by="colour", top=2, save=True, **runs(root))
    assert both.ids == tuple(each for name in names for each in search(id=name, by="colour", top=2, **runs(root)).ids)
    table = pd.read_csv(both.path / "hits.csv")
    assert table.columns.tolist()[:4] == ["query", "rank", "id", "distance"]
    assert {"colour", "pattern"} <= {*table.columns}
    assert (both.path / "sheet.png").stat().st_size > 10_000


def test_results_are_written_as_json_and_csv_with_all_columns(root, photo, tmp_path):
    found = search(image=photo, top=4, output=str(tmp_path / "hits.json"), **runs(root))
    search(image=photo, top=4, output=str(tmp_path / "hits.csv"), **runs(root))
    rows = json.loads((tmp_path / "hits.json").read_text())
    assert [row["id"] for row in rows] == list(found.ids)
    items = items_of(root).set_index("id")
    assert [row["colour"] for row in rows] == items.loc[list(found.ids), "colour"].tolist()
    assert pd.read_csv(tmp_path / "hits.csv", dtype={"id": str})["id"].tolist() == list(found.ids)


def test_results_are_written_as_parquet(root, photo, tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'fashionprobe[parquet]'")
    found = search(image=photo, top=4, output=str(tmp_path / "hits.parquet"), **runs(root))
    assert pd.read_parquet(tmp_path / "hits.parquet")["id"].tolist() == list(found.ids)


def test_on_the_command_line_json_has_the_rows_and_nothing_is_written(root, photo, command, monkeypatch):
    monkeypatch.chdir(root)
    before = sorted(root.rglob("*"))
    code, out, _ = command("search", "--run", "g", "--image", photo, "--top", "2", "--json")
    assert code == 0
    first, _ = json.loads(out)["hits"]
    assert (first["query"], first["rank"]) == ("shirt.png", 1)
    assert {"id", "distance", "colour", "pattern"} <= {*first}
    assert sorted(root.rglob("*")) == before


def test_a_saved_search_is_reused_until_the_index_changes(root, photo, caplog):
    from fashionprobe.stages import index_remove

    caplog.set_level("INFO")
    asked = {"image": photo, "by": "colour", "top": 5, "save": True}
    first = search(**asked, **runs(root))
    assert f"wrote {first.path}. Look at {first.path / 'sheet.png'}" in caplog.messages
    search(**asked, **runs(root))
    assert f"reused {first.path}. Look at {first.path / 'sheet.png'}" in caplog.messages
    index_remove(run="g", ids=first.ids[0], runs_root=str(root / "runs"))
    after = search(**asked, **runs(root))
    assert after.path != first.path
    assert after.ids[0] == first.ids[1]


def test_another_network_cannot_describe_new_images(root, photo, tmp_path):
    import keras

    keras.utils.set_random_seed(1)
    image = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.MaxPooling2D()(keras.layers.Conv2D(4, 3, padding="same", name="first")(x))
    x = keras.layers.Conv2D(16, 3, padding="same", name="second")(x)
    keras.Model(image, keras.layers.GlobalAveragePooling2D()(x)).save(tmp_path / "other.keras")
    with pytest.raises(UserError, match=r"the network that described the run.*other.keras.*cannot be compared"):
        search(image=photo, by="colour", backbone=str(tmp_path / "other.keras"), **runs(root))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": "color"}, r"`by` must be one of: colour, pattern, both.*Did you mean 'colour'"),
        ({"top": 0}, r"`top` must be an int in the range \[1, inf\)"),
        ({"image": "nothing.jpg"}, r"`image` must be an image file. Received: 'nothing.jpg', which is not a file"),
        ({"image": __file__}, r"`images` must be an image file: JPEG, PNG"),
        ({"image": []}, r"`images` is missing: pass one image file or more"),
        ({"image": None}, r"`image` or `id` must be given, and only one of them. Received: none of them"),
        ({"id": "x"}, r"`image` or `id` must be given, and only one of them. Received: image and id"),
        ({"image": None, "id": "x"}, r"`id` must be the id of an image of the index"),
        ({"output": "hits.xlsx"}, r"`output` must be a file that ends in .json, .csv, .parquet. Received: hits.xlsx"),
        ({"output": "nowhere/hits.csv"}, r"`output` must be a file in a folder that is there"),
        ({"where": "colour ="}, r"`where` must be a pandas query"),
    ],
)
def test_errors_of_a_search(root, photo, arguments, message):
    with pytest.raises(UserError, match=message):
        search(**runs(root), **{"image": photo, "by": "colour", "save": True} | arguments)
    assert not list((root / "runs/g").glob("search/[!.]*"))


def test_an_approximate_index_finds_the_same_nearest(root):
    pytest.importorskip("faiss", reason="faiss is not installed: pip install 'fashionprobe[faiss]'")
    name = items_of(root)["id"].iloc[5]
    exact = search(id=name, by="colour", top=10, **runs(root))
    index(**runs(root), groups=["colour=1", "pattern=2"], approximate=True, overwrite=True)
    assert (root / "runs/g/index/part-0000.colour.faiss").is_file()
    found = search(id=name, by="colour", top=10, **runs(root))
    assert found.ids == exact.ids
    assert found.distances == exact.distances
    (root / "runs/g/index/part-0000.colour.faiss").write_bytes(b"x" * 10)
    with pytest.raises(UserError, match=r"must be as the stage wrote it"):
        search(id=name, by="colour", top=9, **runs(root))


def test_without_the_records_there_are_no_thumbnails(root):
    shutil.rmtree(root / "tfrecords")
    index(**runs(root), groups=["colour=1"], overwrite=True)
    name = items_of(root)["id"].iloc[0]
    assert (search(id=name, by="colour", top=3, save=True, **runs(root)).path / "sheet.png").is_file()


def test_the_default_of_top_is_36_or_all_there_are(root, pictures, tmp_path, model_path, empty_figures):
    name = items_of(root)["id"].iloc[0]
    assert len(search(id=name, by="colour", **runs(root)).ids) == 36
    there = {"tfrecords_root": str(tmp_path / "tfrecords"), "runs_root": str(tmp_path / "runs")}
    ingest(dataset="p", source="folder", path=str(pictures), tfrecords_root=there["tfrecords_root"])
    extract(dataset="p", backbone=str(model_path), size=32, **there)
    index(run="p", groups=["colour=1"], **there)
    assert len(search(run="p", id="cat/0.png", **there).ids) == 23
