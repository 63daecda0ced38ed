import json

import keras
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.stages import activations


def of(root, model_path, tmp_path, **arguments):
    return activations(
        dataset="small", run="a", backbone=str(model_path), size=32, tfrecords_root=str(root / "tfrecords"),
        runs_root=str(tmp_path), **arguments,
    )  # fmt: skip


def test_grids_dead_channels_and_kernels(garments_root, model_path, tmp_path):
    made = of(garments_root, model_path, tmp_path, samples=5)
    assert made.layers == ("first", "second")
    table = pd.read_csv(made.path / "dead_channels.csv")
    assert list(table["layer"]) == ["first", "second"] and list(table["channels"]) == [4, 16]
    assert (table["images"] == 5).all()
    # What is silent for all images is silent for each.
    assert (table["silent_for_all_images"] <= table["silent_for_one_image"] + 1e-6).all()
    for name in ("activations_block1", "activations_block2", "dead_channels", "kernels"):
        assert (made.path / f"{name}.png").is_file() and (made.path / f"{name}.svg").is_file()
    page = made.page.read_text(encoding="utf-8")
    assert page.count("<figure") == 4 and "Kernels of the first layer" in page
    assert of(garments_root, model_path, tmp_path, samples=5).reused


def test_layers_by_name(garments_root, model_path, tmp_path, empty_figures):
    assert of(garments_root, model_path, tmp_path, layer="second", samples=2).layers == ("second",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "secnd"}, "such as second"),
        ({"layer": "global_average_pooling2d"}, "`layer` must be "),
        ({"block": 3}, r"`block` must be in 1 to 2 for tiny.keras. Received: 3"),
        ({"block": 1, "layer": "first"}, "`block` cannot be combined with --layer"),
        ({"channels": 0}, "`channels` must be an int in the range"),
    ],
)
def test_bad_input(garments_root, model_path, tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        of(garments_root, model_path, tmp_path, **arguments)
    assert not (tmp_path / "a" / "activations").exists()


def test_channels_by_number(garments_root, model_path, tmp_path, monkeypatch):
    from fashionprobe.plots import channels

    drawn = []
    grid = channels.channel_grid
    monkeypatch.setattr(
        channels, "channel_grid", lambda maps, **options: drawn.append(options) or grid(maps, **options)
    )
    made = of(garments_root, model_path, tmp_path, samples=1, block=2, channel=[7, 4])
    assert drawn == [{"title": "block 2 (second)", "most": 64, "channels": [4, 7]}]
    assert json.loads((made.path / "manifest.json").read_text())["arguments"]["channel"] == [4, 7]
    with pytest.raises(UserError, match=r"`channel` must be in the range \[0, 4\) for first. Received: 7"):
        of(garments_root, model_path, tmp_path, samples=1, channel=[2, 7], overwrite=True)


def test_all_relu_layers_at_once(tmp_path, garments_root, empty_figures):
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="one")(image)
    x = keras.layers.Conv2D(4, 3, activation="gelu", name="two")(x)
    x = keras.layers.ReLU(6.0, name="three")(keras.layers.Conv2D(4, 3, name="four")(x))
    x = keras.layers.ReLU(name="flat")(keras.layers.GlobalAveragePooling2D()(x))
    path = tmp_path / "net.keras"
    keras.Model(image, x).save(path)
    assert of(garments_root, path, tmp_path, layer="relu", samples=1, preprocessing="none").layers == ("one", "three")


def test_no_relu_layer(tmp_path, garments_root):
    image = keras.Input((32, 32, 3))
    keras.Model(image, keras.layers.Conv2D(4, 3, activation="gelu")(image)).save(tmp_path / "net.keras")
    with pytest.raises(UserError, match=r"`layer` must be names of layers. Received: relu, which .* does not have"):
        of(garments_root, tmp_path / "net.keras", tmp_path, layer="relu", samples=1, preprocessing="none")


def test_network_inversion(garments_root, model_path, tmp_path):
    made = of(garments_root, model_path, tmp_path, samples=2, invert=20)
    table = pd.read_csv(made.path / "inversion.csv")
    assert list(table["layer"]) == ["first", "second"] * 2
    # 1 would be as far as no activation at all.
    assert table["distance"].between(0, 0.9).all()
    assert (made.path / "inversion.png").is_file()
    assert json.loads((made.path / "manifest.json").read_text())["arguments"]["invert"] == 20
