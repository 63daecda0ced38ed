import json
import shutil

import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.records.record_set import open_record_set
from fashionprobe.stages import ingest
from fashionprobe.stages.selectivity import selectivity


@pytest.fixture(scope="module")
def options(garments_root, model_path):
    return {
        "dataset": garments_root / "tfrecords/small", "backbone": str(model_path), "size": 32, "label": "colour",
        "images": 6, "features": 4, "batch_size": 16,
    }  # fmt: skip


@pytest.fixture(scope="module")
def made(options, tmp_path_factory):
    return selectivity(**options, runs_root=str(tmp_path_factory.mktemp("runs")))


def pixels_of(garments_root):
    import tensorflow as tf

    from fashionprobe.records.read import read

    records = open_record_set(garments_root / "tfrecords/small")
    [(images, ids)] = list(read(records, size=(32, 32), batch_size=60))
    assert isinstance(images, tf.Tensor)
    return images.numpy(), [name.decode() for name in ids.numpy()]


def test_the_files_of_the_artifact(made):
    names = {path.name for path in made.path.iterdir()}
    figures = ["class_selectivity", "colour_selectivity", *(f"{kind}_block{block}" for block in (1, 2)
               for kind in ("neuron_features", "top_images"))]  # fmt: skip
    assert names == {
        "manifest.json", "selectivity.csv", "top_images.csv", "neuron_features_block1.npy",
        "neuron_features_block2.npy", *(f"{name}.{ending}" for name in figures for ending in ("svg", "png")),
    }  # fmt: skip
    assert (made.blocks, made.channels, made.reused) == ((1, 2), 20, False)


def test_the_tables_agree_with_keras_and_numpy(made, garments_root, model_path):
    import keras

    images, ids = pixels_of(garments_root)
    items = pd.read_csv(garments_root / "tfrecords/small/items.csv", dtype=str).set_index("id")
    model = keras.models.load_model(model_path)
    table = pd.read_csv(made.table, keep_default_na=False).set_index(["block", "channel"])
    top = pd.read_csv(made.path / "top_images.csv", dtype={"id": str})
    for block, layer in ((1, "first"), (2, "second")):
        maps = keras.Model(model.input, model.get_layer(layer).output)(images).numpy()
        peaks = maps.max((1, 2))
        for channel in range(maps.shape[-1]):
            rows = top[(top["block"] == block) & (top["channel"] == channel)]
            values = np.sort(peaks[:, channel])[::-1][:6]
            np.testing.assert_allclose(rows["value"], values[values > 0], rtol=1e-4)
            np.testing.assert_allclose(
                peaks[[ids.index(name) for name in rows["id"]], channel], rows["value"], rtol=1e-4
            )
            there = [maps[ids.index(row.id), row.row, row.column, channel] for row in rows.itertuples()]
            np.testing.assert_allclose(there, rows["value"], rtol=1e-4)
            classes = items.loc[rows["id"], "colour"].nunique()
            if len(rows):
                assert float(table.loc[(block, channel), "class_index"]) == pytest.approx((6 - classes) / 5, abs=1e-5)


def test_neuron_features_are_crops_of_the_images(made):
    first = np.load(made.path / "neuron_features_block1.npy")
    assert (first.dtype, first.shape) == (np.uint8, (4, 3, 3, 3))
    assert np.load(made.path / "neuron_features_block2.npy").shape == (16, 8, 8, 3)


def test_facts_say_what_was_measured(made):
    facts = json.loads((made.path / "manifest.json").read_text())["facts"]
    assert (facts["rows"], facts["label"], facts["images"]) == (60, "colour", 6)
    assert facts["blocks"]["1"]["receptive_field"] == [3, 3]
    table = pd.read_csv(made.table)
    assert facts["blocks"]["2"]["silent"] == (~table[table["block"] == 2]["alive"]).sum()
    assert made.silent == (~table["alive"]).sum()


def test_it_is_reused_and_depends_on_no_batch_size(made, options, tmp_path, empty_figures):
    again = selectivity(**{**options, "batch_size": 7}, runs_root=str(made.path.parent.parent))
    assert again.reused
    other = selectivity(**{**options, "batch_size": 7}, runs_root=str(tmp_path))
    one, two = pd.read_csv(made.table), pd.read_csv(other.table)
    numbers = ["max_activation", "class_index", "top_share", "colour_index"]
    np.testing.assert_allclose(one[numbers], two[numbers], atol=1e-4)
    assert one.drop(columns=[*numbers, "classes"]).equals(two.drop(columns=[*numbers, "classes"]))


def test_other_arguments_are_refused(made, options):
    with pytest.raises(UserError, match=r"images: 6 -> 7.*--overwrite"):
        selectivity(**{**options, "images": 7}, runs_root=str(made.path.parent.parent))


def test_the_label_is_by_default_the_one_of_the_split(options, tmp_path):
    records = ingest(dataset="g", source="garments", count=20, size=32, tfrecords_root=str(tmp_path))
    stratified = json.loads((records.path / "manifest.json").read_text())["facts"].get("stratify")
    given = {**options, "dataset": records, "label": None, "block": 1, "runs_root": str(tmp_path / "runs")}
    if stratified is None:
        with pytest.raises(UserError, match="`label` must be a label column"):
            selectivity(**given)
    else:
        made = selectivity(**given)
        assert json.loads((made.path / "manifest.json").read_text())["facts"]["label"] == stratified


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"label": "color"}, "`label` must be a label column of small.*Did you mean 'colour'"),
        ({"block": 3}, r"`block` must be in 1 to 2 for tiny.keras. Received: 3"),
        ({"block": []}, "`block` must be in 1 to 2"),
        ({"split": "vall"}, "`split` must be one of.*Did you mean 'val'"),
        ({"images": 1}, r"`images` must be an int in the range \[2, inf\)"),
        ({"features": 0}, "`features` must be an int"),
        ({"batch_size": 0}, "`batch_size` must be an int"),
        ({"seed": -1}, "`seed` must be"),
        ({"taps": ["frst"]}, "`taps` must be layer names"),
    ],
)
def test_bad_input_leaves_nothing_behind(options, tmp_path, changed, message):
    with pytest.raises(UserError, match=message):
        selectivity(**{**options, **changed}, runs_root=str(tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_damaged_records_leave_nothing_behind(options, garments_root, tmp_path):
    shutil.copytree(garments_root / "tfrecords", tmp_path / "tfrecords")
    shard = next((tmp_path / "tfrecords/small").glob("train-*.tfrecord"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 255
    shard.write_bytes(data)
    with pytest.raises(UserError, match=f"{shard.name}.*--overwrite"):
        selectivity(**{**options, "dataset": tmp_path / "tfrecords/small"}, runs_root=str(tmp_path / "runs"))
    assert not [path for path in (tmp_path / "runs/small").iterdir() if not path.name.startswith(".")]


def test_channel_masks(options, garments_root, tmp_path, monkeypatch):
    from fashionprobe.channels import top_images
    from fashionprobe.plots import sheets

    drawn, asked = {}, []
    sheet, mask = sheets.contact_sheet, top_images.channel_mask

    def contact_sheet(rows, *, title, remark):
        drawn[title] = rows
        return sheet(rows[:1], title=title)

    monkeypatch.setattr(sheets, "contact_sheet", contact_sheet)
    monkeypatch.setattr(
        top_images, "channel_mask",
        lambda *where, **how: asked.append((where[1:3], how["threshold"], how.get("how"))) or mask(*where, **how),
    )  # fmt: skip
    made = selectivity(**options, runs_root=str(tmp_path), block=2, channel=[5, 3], images_per_channel=4)
    assert (made.path / "channel_masks_block2.png").is_file()
    table = pd.read_csv(made.path / "top_images.csv")
    (rows,) = [rows for title, rows in drawn.items() if title.startswith("Channel masks")]
    assert [row.name.split("\n")[0] for row in rows] == ["channel 3", "masked", "channel 5", "masked"]
    for row, channel in ((rows[0], 3), (rows[2], 5)):
        best = table[table["channel"] == channel]
        assert list(row.captions) == list(best["id"][:4])
        assert (("second", channel), pytest.approx(best["value"].iloc[0] / 2), "receptive_field") in asked
    ids = [str(name) for name in table["id"][:2]]
    manifest = json.loads((made.path / "manifest.json").read_text())
    assert manifest["arguments"]["masks"] == {
        "channels": [3, 5], "images": 4, "ids": None, "threshold": None, "how": "receptive_field"
    }  # fmt: skip
    selectivity(
        **options, runs_root=str(tmp_path), block=2, channel=3, ids=ids, threshold=0.25, mask="bilinear", overwrite=True
    )
    assert asked[-1] == (("second", 3), 0.25, "bilinear")
    assert next(row.captions for title, rows in drawn.items() if "masks" in title for row in rows) == ids


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channel": 4}, r"`channel` must be in the range \[0, 4\) for block 1. Received: 4"),
        ({"channel": 1, "ids": "garment-1"}, r"`ids` must be one of .* names. Received: garment-1. Did you mean"),
        ({"channel": 1, "images_per_channel": 0}, "`images_per_channel` must be an int in the range"),
    ],
)
def test_channel_masks_that_cannot_be(options, tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        selectivity(**options, runs_root=str(tmp_path), **arguments)
