import csv
import json
import logging

import numpy as np
import pytest
from PIL import Image

from fashionprobe.errors import UserError
from fashionprobe.stages.maximize import maximize


@pytest.fixture
def given(model_path, tmp_path):
    """Arguments of a call that takes little time."""
    return {"backbone": str(model_path), "size": 16, "steps": 3, "runs_root": str(tmp_path / "runs")}


def rows_of(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_files_and_what_they_hold(given, model_path, tmp_path, caplog):
    import keras

    caplog.set_level(logging.INFO)
    made = maximize(block=2, channels=[3, 0, 1], **given)
    names = [f"block2_channel000{number}" for number in (0, 1, 3)]
    assert made.path == tmp_path / "runs/tiny/maximize"
    assert {path.name for path in made.path.iterdir()} == {
        "manifest.json", "units.csv", "history.csv", "mosaic.svg", "mosaic.png", *(f"{name}.png" for name in names),
    }  # fmt: skip
    assert made.images == tuple(made.path / f"{name}.png" for name in names)
    assert (made.mosaic, made.reused) == (made.path / "mosaic.png", False)
    assert caplog.messages[-1] == (
        f"wrote {made.path}: 3 pictures of second, 16 x 16 pixels, all of them in mosaic.png. "
        "Next: fashionprobe report --run tiny"
    )

    rows, history = rows_of(made.path / "units.csv"), rows_of(made.path / "history.csv")
    assert list(rows[0]) == ["file", "title", "layer", "channel", "score", "start_score"]
    assert [(row["title"], row["layer"], row["channel"]) for row in rows] == [
        ("channel 0", "second", "0"), ("channel 1", "second", "1"), ("channel 3", "second", "3"),
    ]  # fmt: skip
    assert list(history[0]) == ["step", *names]
    assert [row["step"] for row in history] == ["0", "1", "2"]
    assert [row["start_score"] for row in rows] == [history[0][name] for name in names]
    model = keras.saving.load_model(model_path)
    images = np.stack([np.asarray(Image.open(path), np.float32) for path in made.images])
    maps = keras.Model(model.input, model.get_layer("second").output)(images).numpy().mean(axis=(1, 2))
    for place, row in enumerate(rows):
        # The file holds whole numbers, of 255.
        assert float(row["score"]) == pytest.approx(maps[place, int(row["channel"])], abs=0.01)
        assert float(row["score"]) > float(row["start_score"])
    facts = json.loads((made.path / "manifest.json").read_text())["facts"]
    assert (facts["layer"], facts["block"], len(facts["units"])) == ("second", 2, 3)


def test_channels_from_all_over_the_layer(given, empty_figures):
    made = maximize(layer="first", **given)
    assert [path.name for path in made.images] == [f"first_channel000{number}.png" for number in range(4)]
    assert len(maximize(block=2, run="wide", **given).images) == 16


def test_reuse_and_refusal(given, empty_figures):
    maximize(block=1, channels=0, run="x", **given)
    again = maximize(block=1, channels=[0], run="x", batch_size=3, **given)
    assert again.reused
    with pytest.raises(UserError, match=r"an artifact that differs \(steps: 3 -> 4\)\. Pass --overwrite"):
        maximize(block=1, channels=0, run="x", **{**given, "steps": 4})
    assert not maximize(block=1, channels=0, run="x", overwrite=True, **{**given, "steps": 4}).reused


@pytest.mark.slow
def test_the_same_arguments_make_the_same_files(given):
    made = [maximize(block=2, channels=[0, 5], run=run, fourier=True, **given) for run in "ab"]
    first, second = (json.loads((each.path / "manifest.json").read_text())["files"] for each in made)
    assert first == second
    other = maximize(block=2, channels=[0, 5], run="c", fourier=True, seed=1, **given)
    assert other.images[0].read_bytes() != made[0].images[0].read_bytes()


def test_the_whole_artifact_or_none(given, tmp_path, monkeypatch, empty_figures):
    from fashionprobe.plots import save

    def full(figure, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(save, "save", full)
    with pytest.raises(OSError, match="No space left"):
        maximize(block=1, channels=0, **given)
    assert not (tmp_path / "runs/tiny/maximize").exists()
    monkeypatch.undo()
    assert not maximize(block=1, channels=0, **given).reused


@pytest.mark.slow
@pytest.mark.parametrize("option", ["l2", "total_variation", "blur", "small_norm", "small_contribution"])
def test_each_regulariser_changes_the_picture(given, option):
    plain, changed = ({**given, "blur": 0.0, "every": 1}, {**given, "blur": 0.0, "every": 1, option: 0.8})
    images = [maximize(block=2, channels=0, run=run, **each).images[0] for run, each in (("a", plain), ("b", changed))]
    assert images[0].read_bytes() != images[1].read_bytes()


def test_preprocessing_stands_before_the_network(given, tmp_path):
    import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3))
    model = keras.Model(image, keras.layers.Conv2D(1, 1, use_bias=False, name="map")(image))
    # Blue first, as caffe has it: the channel that answers to the network's first value answers to blue.
    model.set_weights([np.array([1.0, -1.0, -1.0], np.float32).reshape(1, 1, 3, 1)])
    model.save(tmp_path / "caffe.keras")
    options = {**given, "backbone": str(tmp_path / "caffe.keras"), "preprocessing": "caffe", "learning_rate": 1.0}
    red, green, blue = np.asarray(Image.open(maximize(layer="map", **options).images[0])).reshape(-1, 3).mean(axis=0)
    assert (red, green, blue) == pytest.approx((0, 0, 255), abs=1)


@pytest.fixture
def classifier(tmp_path):
    """A classifier of three classes where `train` would write it."""
    import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(x))
    folder = tmp_path / "runs/shop/train"
    folder.mkdir(parents=True)
    keras.Model(image, keras.layers.Softmax()(keras.layers.Dense(3, name="logits")(x))).save(folder / "model.keras")
    manifest = {"schema": 1, "stage": "train", "fingerprint": "", "arguments": {}, "inputs": {}, "files": {}}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "facts": {"classes": ["coat", "dress", "12"]}}))
    return folder / "model.keras"


def test_classes_by_name_and_number(classifier, tmp_path, empty_figures):
    given = {"backbone": str(classifier), "steps": 3, "runs_root": str(tmp_path / "runs")}
    made = maximize(classes=["dress", "0", "1", "12"], run="shop", **given)
    assert [path.name for path in made.images] == ["class0001.png", "class0000.png", "class0002.png"]
    assert [row["title"] for row in rows_of(made.path / "units.csv")] == ["dress", "coat", "12"]
    assert maximize(classes=1, run="number", **given).images[0].read_bytes() == made.images[0].read_bytes()
    for classes, message in (
        ("dres", "`classes` must be one of: coat, dress, 12. Received: dres. Did you mean 'dress'?"),
        ("3", "`classes` must be the number of a class, 0 to 2. Received: 3"),
        (-1, "`classes` must be the number of a class, 0 to 2. Received: -1"),
    ):
        with pytest.raises(UserError, match=message.replace("?", r"\?")):
            maximize(classes=classes, run="wrong", **given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "`block` or `layer` or `classes` must be given, and only one of them. Received: none of them. Such as"),
        ({"block": 1, "layer": "first"}, "only one of them. Received: block and layer"),
        ({"classes": 0, "channels": 0}, "`channels` cannot be combined with --classes"),
        ({"block": 3}, "`block` must be in 1 to 2 for tiny.keras. Received: 3"),
        ({"layer": "secnd"}, "`layer` must be a layer of .*second.*Received: secnd"),
        ({"block": 1, "channels": 4}, r"`channels` must be in the range \[0, 4\) for first. Received: \[4\]"),
        ({"block": 1, "channels": [-1, 2]}, "`channels` must be in the range"),
        ({"block": 1, "channels": []}, "`channels` must be in the range"),
        ({"classes": "dress"}, r"`classes` cannot be combined with a network without classes. Received: dress"),
        ({"block": 1, "steps": 0}, r"`steps` must be an int in the range \[1, inf\)"),
        ({"block": 1, "jitter": -1}, r"`jitter` must be an int in the range \[0, inf\)"),
        ({"block": 1, "blur": -0.5}, r"`blur` must be a number in the range \[0, inf\)"),
        ({"block": 1, "small_norm": 1.0}, r"`small_norm` must be a number in the range \[0, 1\)"),
        ({"block": 1, "learning_rate": 0.0}, r"`learning_rate` must be a number in the range \(0, inf\)"),
        ({"block": 1, "start": "gray"}, "Did you mean 'grey'"),
        ({"block": 1, "seed": -1}, "`seed` must be"),
        ({"block": 1, "batch_size": 0}, "`batch_size` must be"),
        ({"block": 1, "run": "a/b"}, "`run` must be a name of letters"),
    ],
)
def test_bad_arguments_write_nothing(given, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        maximize(**{**given, **options})
    assert not (tmp_path / "runs").exists()


def test_from_photographs(given, model_path, tmp_path):
    import keras

    for name in ("a.png", "b.png"):
        Image.effect_noise((40, 40), 60).convert("RGB").save(tmp_path / name)
    given |= {"images": [str(tmp_path / "a.png"), str(tmp_path / "b.png")], "size": 32}
    made = maximize(block=2, channels=[3, 0], octaves=2, octave_scale=2.0, **given)
    names = [f"image_00{image}_block2_channel000{channel}" for image in (1, 2) for channel in (0, 3)]
    assert made.images == tuple(made.path / f"{name}.png" for name in names)
    assert made.mosaic.is_file()
    for name in names:
        with Image.open(made.path / f"{name}_octave1.png") as octave:
            assert octave.size == (16, 16)
    rows = rows_of(made.path / "units.csv")
    assert [row["image"] for row in rows] == ["a.png", "a.png", "b.png", "b.png"]
    model = keras.saving.load_model(model_path)
    images = np.stack([np.asarray(Image.open(path), np.float32) for path in made.images])
    assert images.shape == (4, 32, 32, 3)
    maps = keras.Model(model.input, model.get_layer("second").output)(images).numpy().mean(axis=(1, 2))
    for place, row in enumerate(rows):
        assert float(row["score"]) == pytest.approx(maps[place, int(row["channel"])], abs=0.01)
    assert maximize(block=2, channels=[3, 0], octaves=2, octave_scale=2.0, **given).reused


def test_a_layer_as_a_whole_from_a_photograph(given, tmp_path, empty_figures):
    Image.effect_noise((40, 40), 60).convert("RGB").save(tmp_path / "a.png")
    made = maximize(layer="second", images=str(tmp_path / "a.png"), **given)
    assert [path.name for path in made.images] == ["image_001_second.png"]
    (row,) = rows_of(made.path / "units.csv")
    assert (row["title"], row["channel"]) == ("all channels", "-1") and float(row["score"]) > float(row["start_score"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 0, "images": "a.png"}, "`classes` cannot be combined with --images"),
        ({"block": 1, "images": "a.png", "fourier": True}, "`fourier` cannot be combined with --images"),
        ({"block": 1, "images": "a.png", "l2": 0.5}, "`l2` cannot be combined with --images"),
        ({"block": 1, "octaves": 2}, "`images` is missing: --octaves is for photographs"),
        ({"block": 1, "images": "no.png"}, "`images` must be image files. Received: 'no.png'"),
    ],
)
def test_what_photographs_do_not_go_with(given, arguments, message):
    with pytest.raises(UserError, match=message):
        maximize(**given, **arguments)
