import json
import shutil

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image

from fashionprobe.artifacts import Recipe, build
from fashionprobe.errors import UserError
from fashionprobe.inputs.masks import Mask, fitted, open_masks, write_masks
from fashionprobe.records import decode
from fashionprobe.records.record_set import open_record_set
from fashionprobe.stages import ingest


@pytest.mark.parametrize("shape", [(20, 24), (33, 7), (64, 64), (5, 90)])
@pytest.mark.parametrize("size", [(32, 32), (17, 40)])
def test_masks_follow_their_pictures(shape, size):
    # A black picture on white padding shows where the picture is.
    shown = decode.fit(tf.zeros((*shape, 3), tf.uint8), size, "pad").numpy()[..., 0] == 0
    assert np.array_equal(fitted(np.ones(shape, bool), size, "pad"), shown)
    assert fitted(np.ones(shape, bool), size, "stretch").all()


def test_any_overlap_counts_and_padding_is_not_masked():
    mask = np.zeros((4, 8), bool)
    mask[0, 0] = mask[3, 7] = True
    found = fitted(mask, (4, 4), "pad")  # one cell of 2 x 2 pixels each, a row of padding above and below
    assert found.astype(int).tolist() == [[0] * 4, [1, 0, 0, 0], [0, 0, 0, 1], [0] * 4]
    assert found.dtype == bool


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """A record set of pictures of two sizes, three in train and one in val and test."""
    root = tmp_path_factory.mktemp("sizes")
    for name, shape in {"train/a/1": (6, 9), "train/a/2": (8, 8), "train/b/3": (6, 9), "val/b/4": (8, 8),
                        "test/a/5": (8, 8)}.items():  # fmt: skip
        path = root / "pictures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((*shape, 3), len(name), np.uint8)).save(path)
    made = ingest(dataset="s", source="folder", path=str(root / "pictures"), tfrecords_root=str(root / "tfrecords"))
    return open_record_set(made.path)


def corner(shape):
    mask = np.zeros(shape, bool)
    mask[-2:, :3] = True
    return mask


@pytest.fixture
def written(records, tmp_path):
    drawn = [
        Mask(name, name.split("/")[1], corner((6, 9) if name[-5] in "13" else (8, 8)), "kim")
        for name in ("train/a/1.png", "val/b/4.png")
    ]

    def write(draft):
        write_masks(draft, drawn)
        return {"dataset": "s"}

    return build(tmp_path / "runs" / "r" / "masks", Recipe("masks", {}, {"records": records.fingerprint}), write)


def test_masks_are_opened_by_run_path_or_result(written, records, tmp_path):
    opened = open_masks("r", records, runs_root=str(tmp_path / "runs"))
    assert opened.ids == ("train/a/1.png", "val/b/4.png")
    assert opened.splits == ("train", "val") and opened.classes == ("a", "b")
    assert [mask.shape for mask in opened.drawn] == [(6, 9), (8, 8)]
    assert all(np.array_equal(mask, corner(mask.shape)) for mask in opened.drawn)
    found = opened.fitted((16, 16), "pad")
    assert found.shape == (2, 16, 16) and found.dtype == bool
    assert np.array_equal(found[1], np.kron(corner((8, 8)), np.ones((2, 2), bool)))
    for given in (written.path, str(written.path)):
        assert open_masks(given, records).ids == opened.ids


def test_pictures_of_some_records(records):
    found = dict(records.pictures(["val/b/4.png", "train/a/1.png"]))
    assert {name: picture.shape for name, picture in found.items()} == {
        "val/b/4.png": (8, 8, 3), "train/a/1.png": (6, 9, 3)
    }  # fmt: skip


def test_masks_that_are_not_there_name_the_command(records, tmp_path):
    with pytest.raises(UserError, match=r"Make it first: fashionprobe masks --dataset s --run r --source"):
        open_masks("r", records, runs_root=str(tmp_path))


def test_masks_of_another_record_set_are_refused(written, records):
    manifest = json.loads((written.path / "manifest.json").read_text())
    manifest["inputs"]["records"] = "0" * 64
    (written.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"masks of the record set s as it is now.*or one that was recreated since"):
        open_masks(written.path, records)


def change(path, **cells):
    table = pd.read_csv(path / "masks.csv", dtype=str, keep_default_na=False)
    for column, value in cells.items():
        table.loc[0, column] = value
    table.to_csv(path / "masks.csv", index=False)
    relist(path)


def relist(path):
    """Make the manifest say that the files are as they were written."""
    manifest = json.loads((path / "manifest.json").read_text())
    for name, listed in manifest["files"].items():
        listed["size"] = (path / name).stat().st_size
    (path / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (
            {"id": "train/a/9.png"},
            r"masks\.csv` must be a table of ids of s, each once\. Received: train/a/9\.png, unk",
        ),
        ({"id": "val/b/4.png"}, r"Received: val/b/4\.png twice"),
        ({"id": "test/a/5.png"}, r"without images of test, which measures\. Received: test/a/5\.png"),
        ({"id": "train/a/2.png"}, r"mask-00001\.png` must be 8 x 8 .* as image train/a/2\.png is\. Received: 6 x 9"),
        ({"file": "mask-00007.png"}, r"mask-00007\.png` must be a mask .*Received: No such file or directory"),
        ({"file": "../../x.png"}, r"masks/x\.png` must be a mask .*Received: No such file or directory"),
    ],
)
def test_tables_that_do_not_fit_are_refused(written, records, cells, message):
    change(written.path, **cells)
    with pytest.raises(UserError, match=message + r".*Make it again: fashionprobe masks --dataset s --run r"):
        open_masks(written.path, records)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (corner((6, 9)).astype(np.uint8), r"a mask of 0 and 255, .*Received: the values 0, 1\."),
        (np.zeros((6, 9), np.uint8), r"a mask of a part of the image\. Received: an empty one"),
        (np.full((6, 9), 255, np.uint8), r"a mask of a part of the image\. Received: a full one"),
    ],
)
def test_masks_that_are_none_are_refused(written, records, pixels, message):
    Image.fromarray(pixels).save(written.path / "mask-00001.png")
    relist(written.path)
    with pytest.raises(UserError, match=rf"mask-00001\.png` must be {message}"):
        open_masks(written.path, records)


def test_damaged_artifacts_are_refused(written, records, tmp_path):
    (written.path / "masks.csv").write_text("id,class\n1,2\n")
    relist(written.path)
    with pytest.raises(UserError, match=r"a table with the columns id, class, file, .*Received: no file"):
        open_masks(written.path, records)
    (written.path / "mask-00002.png").unlink()
    with pytest.raises(UserError, match=r"mask-00002\.png` must be as the stage wrote it"):
        open_masks(written.path, records)
    shutil.rmtree(written.path)
