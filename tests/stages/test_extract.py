import csv
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashionprobe.errors import UserError
from fashionprobe.stages import extract, ingest


def items_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "items.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def block(folder: Path, number: int) -> np.ndarray:
    return np.load(folder / f"block{number}.npy", mmap_mode="r")


@pytest.fixture
def roots(tmp_path) -> dict[str, str]:
    return {"tfrecords_root": str(tmp_path / "tfrecords"), "runs_root": str(tmp_path / "runs")}


def test_descriptors_agree_with_keras_and_numpy(tmp_path, pictures, model_path, roots):
    import keras

    records = ingest(dataset="x", source="folder", path=str(pictures), tfrecords_root=roots["tfrecords_root"])
    made = extract(dataset=records, backbone=str(model_path), size=[20, 24], batch_size=7, **roots)
    assert (made.path, made.images, made.blocks) == (tmp_path / "runs/x/extract", 24, (1, 2))

    model = keras.saving.load_model(model_path)
    taps = keras.Model(model.input, [model.get_layer("first").output, model.get_layer("second").output])
    rows = items_of(made.path)
    images = np.stack([np.asarray(Image.open(pictures / row["id"]), np.float32) for row in rows])
    for number, maps in enumerate(taps.predict(images, verbose=0), start=1):
        found = block(made.path, number)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, maps.mean(axis=(1, 2)), rtol=1e-3, atol=1e-6)


def test_rows_are_those_of_the_records(garments_root):
    described, stored = items_of(garments_root / "runs/small/extract"), items_of(garments_root / "tfrecords/small")
    assert list(described[0]) == ["row", "id", "colour", "pattern", "garment", "split"]
    assert [int(row["row"]) for row in described] == list(range(60))
    assert [row["id"] for row in described] == [row["id"] for row in stored]
    assert block(garments_root / "runs/small/extract", 1).shape == (60, 4)
    assert block(garments_root / "runs/small/extract", 2).shape == (60, 16)


def test_one_block_equals_its_column_of_all(garments_root, model_path, roots):
    one = extract(dataset=world_records(garments_root), backbone=str(model_path), size=32, block=2, **roots)
    assert one.blocks == (2,)
    assert {path.name for path in one.path.iterdir()} == {"items.csv", "block2.npy", "manifest.json"}
    np.testing.assert_allclose(block(one.path, 2), block(garments_root / "runs/small/extract", 2), rtol=1e-5, atol=1e-6)


def test_batch_size_changes_nothing_that_matters(garments_root, model_path, roots):
    other = extract(dataset=world_records(garments_root), backbone=str(model_path), size=32, batch_size=11, **roots)
    np.testing.assert_allclose(
        block(other.path, 2), block(garments_root / "runs/small/extract", 2), rtol=1e-5, atol=1e-6
    )


def world_records(garments_root: Path) -> Path:
    return garments_root / "tfrecords/small"


def test_splits(garments_root, model_path, roots):
    given = {"dataset": world_records(garments_root), "backbone": str(model_path), "size": 32, "run": "t", **roots}
    made = extract(split="test,train", **given)
    assert {row["split"] for row in items_of(made.path)} == {"train", "test"}
    assert [int(row["row"]) for row in items_of(made.path)] == list(range(made.images))
    assert extract(split=["train", "test"], **given).reused


def test_reuse_and_refusal(command, garments_root, model_path):
    words = ("extract", "--dataset", "small", "--tfrecords-root", garments_root / "tfrecords", "--backbone", model_path)
    code, out, _ = command(*words, "--size", 32)
    assert code == 0
    assert out.startswith("wrote runs/small/extract: 60 images (")
    assert out.endswith(" a second), blocks 1, 2. Next: fashionprobe classify --run small --label COLUMN\n")
    code, out, _ = command(*words, "--size", "32,32", "--batch_size", 5)
    assert out == (
        "reused runs/small/extract: 60 images, blocks 1, 2. Next: fashionprobe classify --run small --label COLUMN\n"
    )
    assert command(*words, "--size", 16, "--fit", "stretch")[::2] == (2, (
        "fashionprobe: error: `runs/small/extract` must be made by the same arguments. Received: an artifact that "
        'differs (fit: "pad" -> "stretch"; size: [32, 32] -> [16, 16]). Pass --overwrite to replace it, or move '
        "it away to keep it.\n"
    ))  # fmt: skip


def test_a_record_set_that_was_made_again_is_named(command, pictures, model_path):
    ingest = ("ingest", "--dataset", "p", "--source", "folder", "--path", pictures)
    extract = ("extract", "--dataset", "p", "--run", "p", "--backbone", model_path, "--size", 32)
    command(*ingest)
    assert command(*extract)[0] == 0
    command(*ingest, "--seed", 1, "--overwrite")
    assert command(*extract)[::2] == (2, (
        "fashionprobe: error: `runs/p/extract` must be made from the same inputs. Received: an artifact that differs "
        "(tfrecords/p was made again since, and differs). Pass --overwrite to replace it, or move it away to keep it.\n"
    ))  # fmt: skip
    command(*ingest[:2], "q", *ingest[3:], "--seed", 2)
    assert "(dataset: p -> q)" in command(extract[0], "--dataset", "q", *extract[3:])[2]


def test_garments_are_drawn_when_missing_as_ingest_draws_them(model_path, roots, monkeypatch):
    from fashionprobe.records import pack

    # The thousand garments of the default take seconds; fifty show the same.
    request = pack.Request
    monkeypatch.setattr(pack, "Request", lambda **given: request(**{**given, "count": 50}))
    extract(dataset="garments", backbone=str(model_path), size=32, **roots)
    assert ingest(dataset="garments", tfrecords_root=roots["tfrecords_root"]).reused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--dataset none", "`{root}/none` must be a finished artifact. Received: nothing there. Make it first: "
         "fashionprobe ingest --dataset none --source SOURCE --path PATH"),
        ("--run a/b", "`run` must be a name of letters, digits, '_' and '-'. Received: 'a/b'."),
        ("--run=", "`run` must be a name of letters, digits, '_' and '-'. Received: ''."),
        ("--block 3", "`block` must be in 1 to 2 for tiny.keras. Received: 3."),
        ("--block 0,1", "`block` must be in 1 to 2 for tiny.keras. Received: [0, 1]."),
        ("--block []", "`block` must be in 1 to 2 for tiny.keras. Received: []."),
        ("--taps ,", "`taps` is missing: pass a name, or several as a,b."),
        ("--split trian", "`split` must be one of: train, val, test. Received: trian. Did you mean 'train'?"),
        ("--batch-size 0", "`batch_size` must be an int in the range [1, inf). Received: 0."),
        ("--seed -1", "`seed` must be an int in the range [0, 2**32). Received: -1."),
        ("--backbone resnet5", "Received: resnet5. Did you mean 'resnet50', "),
        ("--backbone no.keras", "Received: 'no.keras', which does not exist."),
        ("--weights no.h5", "Received: 'no.h5', which does not exist."),
        ("--precision float23", "Did you mean 'float32'?"),
    ],
)  # fmt: skip
def test_bad_arguments_are_one_line_and_write_nothing(command, garments_root, model_path, tmp_path, options, message):
    given = {"--dataset": "small", "--backbone": str(model_path)}
    name, _, value = options.replace("=", " ").partition(" ")
    words = [word for pair in (given | {name: value}).items() for word in pair]
    code, out, err = command("extract", *words, "--tfrecords-root", garments_root / "tfrecords")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message.format(root=garments_root / "tfrecords") in err
    assert not (tmp_path / "runs").exists()


def test_weights_that_do_not_fit(command, garments_root, model_path, tmp_path):
    import keras

    other = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(other)
    words = ("extract", "--dataset", "small", "--backbone", model_path, "--tfrecords-root", garments_root / "tfrecords")
    code, _, err = command(*words, "--weights", other)
    assert (code, err.count("\n")) == (2, 1)
    assert "`weights` must be" in err
    assert str(other) in err


def damaged(garments_root: Path, tmp_path: Path, damage) -> Path:
    shutil.copytree(garments_root / "tfrecords", tmp_path / "tfrecords")
    shard = next((tmp_path / "tfrecords/small").glob("train-*.tfrecord"))
    damage(shard)
    return shard


def flip(shard: Path) -> None:
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 255
    shard.write_bytes(data)


@pytest.mark.parametrize("damage", [flip, lambda shard: os.truncate(shard, 100), Path.unlink])
def test_damaged_records(command, garments_root, model_path, tmp_path, damage):
    shard = damaged(garments_root, tmp_path, damage)
    code, out, err = command("extract", "--dataset", "small", "--backbone", model_path, "--size", 32)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert shard.name in err
    assert "--overwrite" in err
    assert not [path for path in (tmp_path / "runs/small").glob("*") if not path.name.startswith(".")]


def test_a_damaged_record_does_not_cost_the_rows_before_it(garments_root, model_path, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["fashionprobe.stages.extract"], "COMMIT_EVERY", 8)
    shutil.copytree(garments_root / "tfrecords", tmp_path / "tfrecords")
    shard = next((tmp_path / "tfrecords/small").glob("test-*.tfrecord"))
    whole = shard.read_bytes()
    flip(shard)
    run = {"dataset": tmp_path / "tfrecords/small", "backbone": str(model_path), "size": 32, "batch_size": 8}
    with pytest.raises(UserError, match=shard.name):
        extract(**run, runs_root=str(tmp_path / "runs"))
    shard.write_bytes(whole)
    made = extract(**run, runs_root=str(tmp_path / "runs"))
    assert json.loads((made.path / "manifest.json").read_text())["run"]["settings"]["rows_resumed"] >= 8
    np.testing.assert_array_equal(block(made.path, 2), block(extract(**run, runs_root=str(tmp_path / "anew")).path, 2))


def test_records_of_another_set(command, garments_root, model_path, tmp_path):
    shutil.copytree(garments_root / "tfrecords", tmp_path / "tfrecords")
    items = tmp_path / "tfrecords/small/items.csv"
    rows = items.read_text().splitlines(keepends=True)
    # As long as before, so that only reading the records can tell.
    items.write_text("".join([rows[0], rows[1].replace(rows[1].split(",")[1], rows[2].split(",")[1]), *rows[2:]]))
    code, _, err = command("extract", "--dataset", "small", "--backbone", model_path, "--size", 32)
    assert (code, err.count("\n")) == (2, 1)
    assert "records in the order of its items.csv. Received: records of another set" in err


def test_full_disk(command, garments_root, model_path, tmp_path):
    resource = pytest.importorskip("resource")
    words = ("extract", "--dataset", "small", "--backbone", "mini", "--block", 5, "--size", 32,
             "--tfrecords-root", garments_root / "tfrecords")  # fmt: skip
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, old[1]))
    try:
        code, out, err = command(*words)
        # Where the network is copied to, to be judged, is full as well.
        _, _, other = command(*words[:3], "--backbone", model_path, *words[7:])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "`runs/small/incomplete.extract." in err
    assert f"`{tempfile.gettempdir()}/" in other
    assert "File too large. Free some space" in other
    assert "File too large. Free some space; the same command resumes" in err
    assert command(*words)[0] == 0
    assert [path.name for path in (tmp_path / "runs/small").glob("[!.]*")] == ["extract"]


def test_stopped_extraction_goes_on_and_is_the_same(garments_root, model_path, tmp_path, monkeypatch):
    from fashionprobe.npy import RowWriter

    # The package's attribute of this name is the function.
    monkeypatch.setattr(sys.modules["fashionprobe.stages.extract"], "COMMIT_EVERY", 16)
    run = {"dataset": world_records(garments_root), "backbone": str(model_path), "size": 32, "batch_size": 8}
    whole = extract(**run, runs_root=str(tmp_path / "whole"))
    append = RowWriter.append

    def stop(self, arrays):
        append(self, arrays)
        if self.done == 40:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RowWriter, "append", stop)
        extract(**run, runs_root=str(tmp_path / "stopped"))
    resumed = extract(**run, runs_root=str(tmp_path / "stopped"))
    for name in ("block1.npy", "block2.npy", "items.csv"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes()
    manifest = json.loads((resumed.path / "manifest.json").read_text())
    assert manifest["run"]["settings"]["rows_resumed"] == 32


def test_empty_split(tmp_path, model_path, roots):
    ingest(dataset="g", source="garments", count=10, size=32, split=[1, 0, 0], tfrecords_root=roots["tfrecords_root"])
    with pytest.raises(
        UserError, match=r"`split` must be a split with images \(10 train, 0 val, 0 test\). Received: val"
    ):
        extract(dataset="g", backbone=str(model_path), split="val", **roots)
