"""What is said of a backbone before Keras is imported, and that it agrees with what Keras says after."""

import subprocess
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers, ops

from fashionprobe import backbones
from fashionprobe.backbones import architectures
from fashionprobe.backbones.blocks import TAPS, find_taps
from fashionprobe.backbones.preprocessing import PREPROCESSING
from fashionprobe.errors import UserError


def error(*arguments, **options) -> str:
    with pytest.raises(UserError) as caught:
        architectures.check(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def saved(tmp_path, last=None, *, scale=None, size=(64, 64)):
    image = keras.Input((*size, 3))
    x = image if scale is None else scale(image)
    x = layers.Conv2D(4, 3, padding="same", name="first")(x)
    x = layers.Conv2D(5, 3, strides=2, padding="same", name="second")(x)
    x = layers.Conv2D(6, 3, strides=2, padding="same", name="third")(x)
    keras.Model(image, x if last is None else last(x)).save(tmp_path / "a.keras")
    return str(tmp_path / "a.keras")


def test_the_names_are_those_of_keras():
    names = {name for name in dir(keras.applications) if name[0].isupper()}
    assert set(architectures.applications().values()) == names


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ConvNeXtTiny", "MobileNetV3Small", "EfficientNetV2B0", "DenseNet121", "VGG16"])
def test_block_counts_are_those_that_are_found(name):
    loaded = backbones.load(name, weights="random")
    assert architectures.block_count(name.lower()) == len(find_taps(loaded.model))


def test_block_counts_of_the_nets_that_are_named():
    assert all(architectures.block_count(name) == len(taps) for name, taps in TAPS.items())


def test_wrong_names_and_numbers():
    assert "Did you mean 'resnet50'" in error("resnet5")
    assert error("vgg16", blocks=[6]) == "`block` must be in 1 to 5 for vgg16. Received: 6."
    assert error("convnexttiny", blocks=[2, 5]) == "`block` must be in 1 to 4 for convnexttiny. Received: [2, 5]."
    assert error("symbol", weights="random", blocks=[5]) == "`block` must be in 1 to 4 for symbol. Received: 5."
    assert error("mini", weights="imagenet").startswith("`weights` must be 'pretrained', 'random' or a path for mini.")
    assert error("light").startswith("`weights` must be 'random' or a path for light, which has no weights of its own.")
    assert "Did you mean 'caffe'?" in error("vgg16", preprocessing="cafe")
    assert "which does not exist" in error("vgg16", weights="no.h5")
    assert "which does not exist" in error("no.keras")
    assert architectures.check("VGG-16", blocks=[1, 5]) is None


def test_wrong_names_and_numbers_for_a_file(tmp_path):
    path = saved(tmp_path)
    assert error(path, preprocessing="none", blocks=[4]) == "`block` must be in 1 to 3 for a.keras. Received: 4."
    assert error(path, preprocessing="none", taps=["thrid"]).startswith(
        "`taps` must be layer names of a.keras, such as third"
    )
    assert error(path, preprocessing="none", layers=["secnd"]).startswith(
        "`layer` must be a layer of a, such as second"
    )
    assert architectures.check(path, preprocessing="none", blocks=[3], taps=["first", "second", "third"]) is None


def test_a_file_of_unknown_origin_needs_a_preprocessing(tmp_path):
    assert error(saved(tmp_path)) == str(architectures.unknown_preprocessing())
    assert architectures.check(saved(tmp_path, scale=layers.Rescaling(1 / 255))) is None


def test_a_file_that_is_not_an_image_network(tmp_path):
    image = keras.Input((8, 8, 1))
    keras.Model(image, layers.Conv2D(2, 3)(image)).save(tmp_path / "a.keras")
    assert error(str(tmp_path / "a.keras"), preprocessing="none").startswith(
        "`backbone` must be a model with one input (batch, height, width, 3). Received: input shape (batch, 8, 8, 1). "
        "Save one that makes its input of RGB: "
    )


PREFIXES = {
    "cast": lambda x: ops.cast(x, "float32"),
    "pad": lambda x: ops.pad(x, [[0, 0], [3, 3], [3, 3], [0, 0]], constant_values=7),
    "resize": lambda x: ops.image.resize(x, (48, 48)),
    "resizing": layers.Resizing(48, 48),
    "padding": layers.ZeroPadding2D(5),
    "flip": layers.RandomFlip(),
}


@pytest.mark.parametrize("name", PREFIXES)
def test_what_leaves_pixels_as_they_are_is_not_taken_for_scaling(name, tmp_path):
    with pytest.raises(UserError, match="for a model of unknown origin"):
        backbones.load(saved(tmp_path, scale=PREFIXES[name]))


@pytest.fixture(scope="module")
def bare():
    return keras.applications.MobileNet(alpha=0.25, weights=None, include_top=False)


@pytest.mark.parametrize("name", PREFIXES)
def test_a_bare_network_behind_it_keeps_its_own_preprocessing(name, bare, tmp_path):
    image = keras.Input((64, 64, 3))
    keras.Model(image, bare(PREFIXES[name](image))).save(tmp_path / "a.keras")
    loaded = backbones.load(str(tmp_path / "a.keras"))
    assert loaded.preprocessing == PREPROCESSING["tf"]


def normalized(x):
    layer = layers.BatchNormalization(name="norm")
    result = layer(x)
    layer.set_weights([np.ones(3), np.zeros(3), np.full(3, 127.0), np.full(3, 60.0)])
    return result


SCALING = {
    "rescaling": layers.Rescaling(1 / 127.5, -1),
    "arithmetic": lambda x: (x - 127.5) / 127.5,
    "bgr": lambda x: x[..., ::-1] - np.array([103.939, 116.779, 123.68], np.float32),
    "normalization": layers.Normalization(mean=[127.0] * 3, variance=[60.0] * 3),
    "batch-normalization": normalized,
    "cast-and-rescaling": lambda x: layers.Rescaling(1 / 255)(ops.cast(x, "float32")),
}


@pytest.mark.parametrize("name", SCALING)
def test_what_scales_pixels_is_found_by_sending_some_through(name, tmp_path):
    assert backbones.load(saved(tmp_path, scale=SCALING[name])).preprocessing == PREPROCESSING["none"]


WRONG = {
    "see --images red.png --method nosuch": "`method` must be one of 15 names",
    "see --images red.png --channel 1 --block 1 --method cam": "can explain other than a class",
    "extract --dataset garments --backbone mini --weights bomb.h5": "whose /conv unpacks to 400,000,000 bytes",
    "faithfulness --images red.png --method nosuch": "`method` must be one of 15 names",
    "train --dataset garments --augment nosuch": "`augment` must be one of",
    "see --images red.png --channel 5": "`block` is missing: --channel needs --block or --layer.",
    "see --images red.png --backbone resnet5": "Did you mean 'resnet50'",
    "see --images red.png --backbone vgg16 --block 6": "`block` must be in 1 to 5 for vgg16. Received: 6.",
    "see --images red.png --backbone a.keras": "for a model of unknown origin",
    "see --images red.png --backbone a.keras --preprocessing none --block 9": "in 1 to 3 for a.keras. Received: 9.",
    "see --images red.png --backbone a.keras --preprocessing none --layer thrid": "such as third",
    "extract --dataset garments --backbone vgg16 --block 7": "in 1 to 5 for vgg16",
    "train --dataset garments --backbone nosuch": "`backbone` must be",
    "embed --dataset garments --backbone nosuch": "`backbone` must be",
    "maximize --backbone vgg16 --block 8": "in 1 to 5 for vgg16",
    "activations --images red.png --backbone vgg16 --block 8": "in 1 to 5 for vgg16",
    "selectivity --dataset garments --backbone vgg16 --block 8": "in 1 to 5 for vgg16",
    "converge --dataset garments --backbone vgg16 --other-backbone nosuch": "`backbone` must be",
    "faithfulness --images red.png --backbone a.keras --taps nosuch": "layer names of a.keras",
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_arguments_are_refused_before_tensorflow_is_imported(words, tmp_path):
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "red.png")
    saved(tmp_path)
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.create_dataset("conv", (10**8,), "f4", chunks=(10**6,))
    program = (
        "import sys; from fashionprobe import cli\n"
        f"code = cli.main({words.split()!r})\n"
        "print(code, 'tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True,
        env={"PYTHONPATH": str(Path(architectures.__file__).parents[2])},
    )  # fmt: skip
    assert done.stdout == "2 False False\n", done.stderr
    assert WRONG[words] in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.keras", "bomb.h5", "red.png"]
