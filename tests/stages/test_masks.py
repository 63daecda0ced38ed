import json
import pickle

import numpy as np
import pandas as pd
import pytest
from image_files import encode, exif
from PIL import Image

from fashionprobe.artifacts import load
from fashionprobe.errors import UserError
from fashionprobe.stages import ingest
from fashionprobe.stages.masks import masks

SQUARE = np.zeros((20, 24), bool)
SQUARE[5:15, 6:18] = True


def picture(number):
    """A dark square on a light ground; the ground of number 4 has nothing on it."""
    pixels = np.full((20, 24, 3), 230, np.uint8)
    if number != 4:
        pixels[SQUARE] = 10 + number
    return pixels


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """A record set `boxes`: two classes, in train five images each and one stored turned, in val and test one."""
    root = tmp_path_factory.mktemp("boxes")
    for split, count in (("train", 5), ("val", 1), ("test", 1)):
        for name in ("ball", "cube"):
            folder = root / "pictures" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(picture(number)).save(folder / f"{number}.png")
    turned = Image.fromarray(picture(0)).transpose(Image.Transpose.ROTATE_90)
    (root / "pictures" / "train" / "cube" / "turned.jpg").write_bytes(encode(turned, exif=exif(6), quality=95))
    return ingest(dataset="boxes", source="folder", path=str(root / "pictures"), tfrecords_root=str(root / "tfrecords"))


@pytest.fixture
def make(records, tmp_path):
    def call(source="otsu", **arguments):
        return masks(dataset=records, source=source, runs_root=str(tmp_path / "runs"), **arguments)

    return call


def table_of(made):
    return pd.read_csv(made.table, dtype={"id": str}, keep_default_na=False)


def file_of(made, row):
    return np.asarray(Image.open(made.path / row.file))


def test_otsu_masks_the_ground_of_train_images(make, caplog):
    with caplog.at_level("INFO"):
        made = make(author="kim", note="plain ground")
    table = table_of(made)
    assert list(table) == ["id", "class", "file", "author", "time", "note", "share"]
    # Ten of eleven: two have nothing on them.
    assert made.masks == len(table) == 9 and made.left_out == 2 and not made.reused
    assert table["id"].str.startswith("train/").all() and not table["id"].str.endswith("4.png").any()
    assert (table["class"] == table["id"].str.split("/").str[1]).all()
    assert set(table["author"]) == {"kim"} and set(table["note"]) == {"plain ground"}
    assert table["time"].str.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00").all()
    assert list(table["file"]) == [f"mask-{number:05d}.png" for number in range(1, 10)]
    for row in table.itertuples():
        if row.id.endswith(".png"):
            assert np.array_equal(file_of(made, row), np.where(SQUARE, 0, 255)) and row.share == 0.75
    artifact = load(made.path, stage="masks", remedy="")
    assert artifact.facts["classes"] == {"ball": 4, "cube": 5} and artifact.facts["splits"] == {"train": 9}
    assert artifact.facts["figures"][0]["file"] == "masks.png" and (made.path / "masks.svg").is_file()
    assert "2 images left out, of which all or nothing would be masked" in caplog.text
    assert "9 masks, 75 % of an image on average. Next: fashionprobe refit --dataset boxes --run boxes" in caplog.text


def test_equal_runs_have_one_fingerprint_whatever_the_time(make, monkeypatch):
    made = make(samples=3)
    again = make(samples=3)
    assert again.reused and again.masks == made.masks
    first = load(made.path, stage="masks", remedy="").fingerprint
    import fashionprobe.inputs.masks as masked

    class Later:
        @staticmethod
        def now(zone):
            return masked.UTC and pd.Timestamp("2031-02-03T04:05:06+00:00")

    monkeypatch.setattr(masked, "datetime", Later)
    other = make(samples=3, run="other")
    assert load(other.path, stage="masks", remedy="").fingerprint == first
    assert set(table_of(other)["time"]) == {"2031-02-03T04:05:06+00:00"}
    assert list(table_of(other)["id"]) == list(table_of(made)["id"])
    with pytest.raises(UserError, match=r"an artifact that differs \(note: .* -> .*Pass --overwrite"):
        make(samples=3, note="changed")


def test_a_turned_picture_is_masked_upright(make, records):
    made = make("box", id="train/cube/turned.jpg", box=[0, 0, 0.5, 0.25])
    (row,) = table_of(made).itertuples()
    found = file_of(made, row)
    assert found.shape == (20, 24) and (found[:10, :6] == 255).all() and found.sum() == 255 * 60


@pytest.mark.parametrize("choice", [{"classes": "cube"}, {"where": "`class` == 'cube'"}])
def test_outside_box_of_chosen_classes_and_splits(make, choice):
    made = make("outside_box", box=[0.25, 0.25, 0.75, 0.75], split="val", **choice)
    (row,) = table_of(made).itertuples()
    assert row.id == "val/cube/0.png" and np.array_equal(file_of(made, row), np.where(SQUARE, 0, 255))


def test_filter_is_found_in_the_picture_without_its_padding(make, model_path):
    import tensorflow as tf

    from fashionprobe.backbones import load as load_backbone
    from fashionprobe.backbones import on_pixels
    from fashionprobe.explain.activations import activations
    from fashionprobe.records import decode

    made = make("filter", id="val/ball/0.png", backbone=str(model_path), size=48, block=1, channel=2, percentile=60)
    (row,) = table_of(made).itertuples()
    # 24 pixels wide become 48; 20 high become 40, with 4 rows of padding above and below.
    backbone = load_backbone(str(model_path), size=(48, 48))
    shown = decode.fit(tf.constant(picture(0)), (48, 48), "pad")
    answer = activations(on_pixels(backbone), [backbone.taps[0]])(shown[None])[0][..., 2:3]
    inner = tf.image.resize(tf.image.resize(answer, (48, 48))[:, 4:44], (20, 24))[0, ..., 0].numpy()
    wanted = inner > np.percentile(inner, 60)
    assert wanted.any() and not wanted.all()
    assert np.array_equal(file_of(made, row) == 255, wanted)


def test_a_filter_over_the_data_set_masks_the_images_in_which_it_is_strongest(make, records, model_path):
    import keras
    import tensorflow as tf

    from fashionprobe.records import decode
    from fashionprobe.records.record_set import open_record_set

    network = {"backbone": str(model_path), "size": 48, "block": 1, "channel": 2, "percentile": 60}
    made = make("filter", samples=6, percentile_of="dataset", **network)
    model = keras.models.load_model(model_path, compile=False)
    first = keras.Model(model.input, model.get_layer("first").output)
    opened = open_record_set(records.path)
    pictures = dict(opened.pictures([name for name in opened.items["id"] if name.startswith("train")]))
    # 24 x 20 pixels become 48 x 40, rows 4 to 43 of the map, which has a cell per pixel.
    maps = {
        name: first(decode.fit(tf.constant(picture), (48, 48), "pad")[None]).numpy()[0, ..., 2]
        for name, picture in pictures.items()
    }
    inner = {name: each[4:44] for name, each in maps.items()}
    limit = np.percentile(np.concatenate([each.ravel() for each in inner.values()]), 60)
    best = sorted(inner, key=lambda name: -inner[name].mean())[:6]
    wanted = {name: tf.image.resize(inner[name][..., None], (20, 24))[..., 0].numpy() > limit for name in best}
    best = [name for name in best if 0 < wanted[name].mean() < 1]
    table = table_of(made)
    assert len(best) >= 3 and sorted(table["id"]) == sorted(best)
    for row in table.itertuples():
        assert np.array_equal(file_of(made, row) == 255, wanted[row.id])
    # By name the images are those named, by the same limit; the percentile of each image is another recipe.
    named = make("filter", run="named", id=best[0], percentile_of="dataset", **network)
    assert np.array_equal(file_of(named, next(table_of(named).itertuples())), file_of(made, next(
        row for row in table.itertuples() if row.id == best[0]
    )))  # fmt: skip
    with pytest.raises(UserError, match=r"differs .*percentile_of"):
        make("filter", run="named", id=best[0], **network)


def test_png_folder(make, tmp_path):
    drawn = ~SQUARE
    for name in ("train/ball/0", "train/cube/turned", "val/cube/0"):
        path = tmp_path / "drawn" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn.astype(np.uint8) * 255).save(path)
    made = make("png", path=str(tmp_path / "drawn"))
    table = table_of(made)
    assert sorted(table["id"]) == ["train/ball/0.png", "train/cube/turned.jpg", "val/cube/0.png"]
    assert set(table["author"]) == {"png"}
    for row in table.itertuples():
        assert np.array_equal(file_of(made, row) == 255, drawn)
    # The same masks from somewhere else are the same; another pixel is not.
    (tmp_path / "drawn").rename(tmp_path / "moved")
    assert make("png", path=str(tmp_path / "moved")).reused
    drawn[0, 0] = False
    Image.fromarray(drawn.astype(np.uint8) * 255).save(tmp_path / "moved" / "val" / "cube" / "0.png")
    with pytest.raises(UserError, match=r"an artifact that differs \(masks: not the same as then\)"):
        make("png", path=str(tmp_path / "moved"))


def test_coco_masks_of_one_image_are_joined(make, tmp_path):
    runs = [{"size": [20, 24], "counts": [start, 40, 440 - start]} for start in (0, 100)]
    content = {
        "images": [{"id": 1, "file_name": "train/ball/1.png"}],
        "categories": [{"id": 1, "name": "tag"}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 1, "segmentation": each} for n, each in enumerate(runs)
        ],
    }
    (tmp_path / "c.json").write_text(json.dumps(content))
    made = make("coco", path=str(tmp_path / "c.json"), categories="tag")
    (row,) = table_of(made).itertuples()
    found = file_of(made, row)
    assert (found[:, :2] == 255).all() and (found[:, 5:7] == 255).all() and found.sum() == 255 * 80


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"train/ball/9": SQUARE, "x": SQUARE},
            r"named by their ids\. Received: 2 unknown: train/ball/9, x\. An id is",
        ),
        (
            {"test/ball/0": SQUARE},
            r"of train and val images: test images evaluate.*Received: 1 of test: test/ball/0\.png",
        ),
        ({"train/ball/0": SQUARE.T}, r"20 x 24 \(height x width\) for image train/ball/0\.png\. Received: 24 x 20"),
        ({"train/ball/0": SQUARE & False}, r"Received: an empty mask for image train/ball/0\.png\. Take it out"),
        ({"train/ball/0": SQUARE | True}, r"Received: a full mask for image train/ball/0\.png\. Take it out"),
        ({}, r"`path` must be one mask or more\. Received: none"),
    ],
)
def test_bad_masks_are_refused_and_nothing_is_written(make, tmp_path, content, message):
    good = {"train/cube/1": SQUARE} if content else {}
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(good | content))
    with pytest.raises(UserError, match=message):
        make("pickle", path=str(tmp_path / "m.pkl"))
    assert not [path for path in tmp_path.glob("runs/*/*") if not path.name.startswith(".")]


def test_no_image_gives_a_mask(make, tmp_path):
    with pytest.raises(
        UserError, match=r"`source` otsu gave a full or an empty mask for each of 1 images. Choose another"
    ):
        make(id="train/cube/4.png")
    assert not [path for path in tmp_path.glob("runs/*/*") if not path.name.startswith(".")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "ots"}, r"`source` must be one of: app, png, coco.*Did you mean 'otsu'"),
        ({"source": "png"}, r"`path` is missing: source png needs it\. Pass --path PATH"),
        ({"source": "box"}, r"`box` is missing: source box needs it.*the lower left quarter"),
        ({"source": "box", "box": [0, 0, 2, 1]}, r"`box` must be \(top, left, bottom, right\)"),
        ({"source": "filter"}, r"`channel` is missing: source filter needs it"),
        ({"path": "x"}, r"`path` cannot be combined with source otsu\. Received: x"),
        (
            {"source": "pickle", "path": "x", "samples": 3},
            r"`samples` cannot be combined with source pickle\. Received: 3",
        ),
        ({"source": "pickle", "path": "x", "categories": "a"}, r"`categories` cannot be combined with source pickle"),
        ({"id": "train/ball/0.png", "split": "train"}, r"`split` cannot be combined with --id"),
        ({"id": ["train/ball/0.png", "a", "b"]}, r"`id` must be ids of the record set\. Received: 2 unknown: a, b\."),
        ({"id": "test/ball/0.png"}, r"`id` must be of train and val images.*1 of test: test/ball/0\.png"),
        ({"split": "test"}, r"`split` must be one of: train, val\. Received: test\. Images of test are never masked"),
        ({"classes": "cub"}, r"`classes` must be a class of class: ball, cube\. Received: cub\. Did you mean 'cube'"),
        ({"where": "color == 'red'"}, r"`where` must be a pandas query"),
        ({"label": "clas"}, r"`label` must be a label column.*Did you mean 'class'"),
        ({"percentile_of": "dataset"}, r"`percentile_of` cannot be combined with source otsu\. Received: dataset"),
        ({"source": "filter", "channel": 0, "percentile_of": "all"}, r"`percentile_of` must be one of: image, dataset"),
        ({"samples": 0}, r"`samples` must be an int in the range \[1, inf\)"),
        ({"seed": -1}, r"`seed` must be an int"),
    ],
)
def test_arguments_that_do_not_fit(make, tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        make(**arguments)
    assert not (tmp_path / "runs").exists()


def test_filter_that_is_not_there(make, model_path):
    for arguments, message in (
        ({"channel": 16}, r"`channel` must be in the range \[0, 16\) for second\. Received: 16"),
        ({"channel": 0, "percentile": 100}, r"`percentile` must be in the range \[0, 100\)\. Received: 100"),
        ({"channel": 0, "block": 3}, r"`block` must be in 1 to 2"),
    ):
        with pytest.raises(UserError, match=message):
            make("filter", backbone=str(model_path), size=32, **arguments)
