"""Backbones: what they hold, where their weights come from, and what is said when they cannot be had."""

import inspect
import os
import random
import re
import sys
import urllib.error
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from fashionprobe import backbones
from fashionprobe.backbones import load
from fashionprobe.backbones.preprocessing import PREPROCESSING
from fashionprobe.errors import UserError

BATCH = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)


def small(size=(32, 32), channels=3, name="small"):
    inputs = keras.Input((*size, channels))
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.Conv2D(5, 3, strides=2, padding="same", name="last")(x)
    return keras.Model(inputs, x, name=name)


def trained(model):
    """Move every weight off its start, as training does."""
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in model.get_weights()])
    return model


def saved(model, folder, name="small.keras"):
    model.save(folder / name)
    return str(folder / name)


def error(*arguments, **options):
    with pytest.raises(UserError) as caught:
        load(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def values(backbone):
    return [np.asarray(weight) for weight in backbone.model.get_weights()]


def test_vgg16_with_random_weights():
    backbone = load("vgg16", weights="random", seed=3)
    assert backbone.name == "vgg16"
    assert backbone.taps == ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3")
    assert backbone.size == (224, 224)
    assert backbone.preprocessing.bgr
    assert backbone.weights == "random, seed 3"


def test_mobilenet_in_another_size():
    backbone = load("MobileNet", weights="random", size=(96, 64))
    assert backbone.size == (96, 64)
    assert backbone.taps[0] == "conv_pw_1_relu"
    assert backbone.preprocessing.scale == pytest.approx(PREPROCESSING["tf"].scale)


def test_a_name_that_keras_builds_upon_is_left_alone():
    assert len(load("EfficientNetV2B0", weights="random").taps) == 5


def test_random_weights_follow_the_seed(tmp_path):
    path = saved(trained(small()), tmp_path)
    first, again, other = (load(path, weights="random", preprocessing="none", seed=seed) for seed in (0, 0, 1))
    assert first.weights_sha256 == again.weights_sha256 != other.weights_sha256
    assert all((one == two).all() for one, two in zip(values(first), values(again), strict=True))
    # No kernel of one seed is a kernel of the next seed at another place.
    kernels = [weight.ravel()[:8] for found in (first, other) for weight in values(found) if weight.ndim > 1]
    assert len({tuple(np.round(kernel / np.abs(kernel).max(), 4)) for kernel in kernels}) == len(kernels)


def test_random_weights_are_really_random(tmp_path):
    backbone = load(saved(trained(small()), tmp_path), weights="random", preprocessing="none")
    norm = backbone.model.get_layer("norm")
    assert (np.asarray(norm.moving_mean) == 0).all()
    assert (np.asarray(norm.moving_variance) == 1).all()
    assert (np.asarray(norm.gamma) == 1).all()
    # Glorot: uniform within sqrt(6 / (3 * 3 * (3 + 4))).
    kernel = np.asarray(backbone.model.get_layer("conv").kernel)
    assert np.abs(kernel).max() <= np.sqrt(6 / 63)
    assert np.std(kernel) == pytest.approx(np.sqrt(2 / 63), rel=0.15)


def test_frozen_layers_get_random_weights_too(tmp_path):
    model = trained(small())
    model.trainable = False
    path = saved(model, tmp_path)
    first, again, other = (load(path, weights="random", preprocessing="none", seed=seed) for seed in (0, 0, 1))
    assert first.weights_sha256 == again.weights_sha256 != other.weights_sha256


def test_global_random_states_are_left_alone(tmp_path):
    path = saved(small(), tmp_path)
    keras.utils.set_random_seed(5)
    expected = [random.random(), np.random.random(), float(keras.random.uniform(()))]  # noqa: NPY002
    keras.utils.set_random_seed(5)
    load(path, weights="random", preprocessing="none")
    load("vgg16", weights="random")
    found = [random.random(), np.random.random(), float(keras.random.uniform(()))]  # noqa: NPY002
    assert found == expected


def test_a_model_file_brings_its_weights(tmp_path):
    model = trained(small())
    backbone = load(saved(model, tmp_path), preprocessing="tf")
    assert (backbone.name, backbone.weights, backbone.taps) == ("small.keras", "of the file", ("relu", "last"))
    assert backbone.size == (32, 32)
    np.testing.assert_allclose(backbone.model(BATCH), model(BATCH), rtol=1e-6)


def test_taps_by_name(tmp_path):
    assert load(saved(small(), tmp_path), taps=["norm"], preprocessing="none").taps == ("norm",)


def test_weights_of_another_file(tmp_path):
    path, model = saved(small(), tmp_path), trained(small())
    model.save_weights(tmp_path / "trained.weights.h5")
    backbone = load(path, weights=str(tmp_path / "trained.weights.h5"), preprocessing="none")
    assert backbone.weights == "trained.weights.h5"
    np.testing.assert_allclose(backbone.model(BATCH), model(BATCH), rtol=1e-6)


def test_nested_and_sequential_models_flatten_to_equal_outputs(tmp_path):
    inner = keras.Sequential([keras.Input((None, None, 4)), layers.Conv2D(4, 3), layers.ReLU()], name="inner")
    middle_in = keras.Input((None, None, 3))
    middle = keras.Model(middle_in, inner(layers.Conv2D(4, 3, name="first")(middle_in)), name="middle")
    outer = keras.Sequential([keras.Input((32, 32, 3)), middle, layers.Conv2D(2, 3, strides=2)], name="outer")
    trained(outer)
    backbone = load(saved(outer, tmp_path), preprocessing="none")
    assert not any(isinstance(layer, keras.Model) for layer in backbone.model.layers)
    np.testing.assert_array_equal(backbone.model(BATCH), outer(BATCH))


def test_random_weights_keep_an_adapted_normalization(tmp_path):
    normalization = layers.Normalization(name="pixels")
    normalization.adapt(BATCH)
    inputs = keras.Input((32, 32, 3))
    path = saved(keras.Model(inputs, layers.Conv2D(4, 3)(normalization(inputs))), tmp_path)
    backbone = load(path, weights="random")
    assert backbone.preprocessing == PREPROCESSING["none"]
    np.testing.assert_allclose(backbone.model.get_layer("pixels")(BATCH), normalization(BATCH), rtol=1e-6)


def like_mobilenet(scale=lambda images: images):
    inputs = keras.Input((32, 32, 3))
    x = scale(inputs)
    for number in (1, 3, 5, 11, 12):
        x = layers.Conv2D(3, 3, strides=1 + (number < 12), padding="same")(x)
        x = layers.ReLU(name=f"conv_pw_{number}_relu")(x)
    return keras.Model(inputs, x)


def test_preprocessing_travels_with_a_known_architecture(tmp_path):
    backbone = load(saved(like_mobilenet(), tmp_path))
    assert backbone.preprocessing.scale == pytest.approx(PREPROCESSING["tf"].scale)


@pytest.mark.parametrize("own", [layers.Rescaling(1 / 127.5, offset=-1), lambda images: images / 127.5 - 1.0])
def test_a_known_architecture_that_scales_its_pixels_gets_them_as_they_are(tmp_path, own):
    backbone = load(saved(like_mobilenet(own), tmp_path))
    assert backbone.preprocessing == PREPROCESSING["none"]


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Replace the download by one that fails, with an empty cache."""
    file_utils = sys.modules[keras.utils.get_file.__module__]

    def fail(*_):
        raise offline_error[0]

    offline_error = [urllib.error.URLError("Name or service not known")]
    monkeypatch.setattr(file_utils, "urlretrieve", fail)
    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path))
    return offline_error


RESNET = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
CHECKSUMS = [
    ("resnet50", RESNET, "4d473c1dd8becc155b73f8504c6f6626", "resnet"),
    ("vgg16", "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", "6d6bbae143d832006294945121d1f1fc", "vgg16"),
    ("vgg19", "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5", "253f8cb515780f3b799900260a226db6", "vgg19"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "file", "md5", "module"), CHECKSUMS)
def test_offline_says_file_md5_and_what_to_do(offline, capsys, name, file, md5, module):
    assert md5 in inspect.getsource(sys.modules[f"keras.src.applications.{module}"])
    text = error(name)
    assert text.startswith(
        f"`weights` must be downloadable, or the path of a local copy of {file} (MD5 {md5}). "
        "Received: a failed download (Name or service not known). Fetch https://"
    )
    assert text.endswith(f"/{file} elsewhere and pass --weights PATH/{file}, or use --weights random.")


def test_offline_without_published_checksum(offline, capsys):
    text = error("mobilenet")
    assert "a local copy of mobilenet_1_0_224_tf_no_top.h5 (Keras publishes no checksum of it). " in text


def test_offline_with_another_kind_of_checksum(offline, capsys):
    text = error("ConvNeXtTiny")
    digest = "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1"
    assert f"a local copy of convnext_tiny_notop.h5 (SHA-256 {digest}). " in text


def test_connection_lost_in_the_middle(offline, capsys):
    offline[0] = ConnectionResetError(104, "Connection reset by peer")
    assert "Received: a failed download ([Errno 104] Connection reset by peer). Fetch https://" in error("resnet50")


def test_other_errors_of_keras_come_through(monkeypatch):
    def broken(**_):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(keras.applications, "VGG16", broken)
    with pytest.raises(RuntimeError, match="out of luck"):
        load("vgg16")


def test_unknown_name(capsys):
    text = error("resnet5")
    assert re.match(r"`backbone` must be one of \d\d names. Received: resnet5. Did you mean 'resnet50', ", text)
    assert ", such as resnet50, vgg16, efficientnet_lite0. Received: qqq. Or pass a .keras file." in error("qqq")
    # What lists all of them does.
    script = re.search(r"`python -c '(.*)'` lists all names", text)[1]
    exec(script, {})
    assert {"'MobileNetV2'", "'VGG16'", "'ResNet50'"} <= set(re.findall(r"'\w+'", capsys.readouterr().out))


def test_file_that_is_not_there():
    assert error("no/model.keras") == (
        "`backbone` must be a name of keras.applications or the path of a .keras file. "
        "Received: 'no/model.keras', which does not exist."
    )


def test_file_of_weights_as_backbone(tmp_path):
    (tmp_path / "a.h5").touch()
    assert error(f"{tmp_path}/a.h5") == (
        f"`backbone` must be a .keras file. Received: '{tmp_path}/a.h5'. "
        "Name the architecture with --backbone and pass this file with --weights."
    )


def test_file_that_is_no_model(tmp_path):
    (tmp_path / "a.keras").write_bytes(b"no model")
    assert error(f"{tmp_path}/a.keras") == (
        "`backbone` must be a .keras file, as `model.save` of Keras 3 writes it. "
        f"Received: '{tmp_path}/a.keras', which is damaged, or not a .keras file."
    )


def test_code_in_a_model_file_is_refused(tmp_path):
    inputs = keras.Input((32, 32, 3))
    path = saved(keras.Model(inputs, layers.Lambda(lambda images: images / 255)(inputs)), tmp_path)
    text = error(path, preprocessing="none")
    assert text.startswith(
        "`backbone` must be a .keras file of layers, operations and settings of Keras that only compute. "
        f"Received: '{path}', with keras.layers.Lambda in layer lambda"
    )
    assert "--trust" in text
    assert load(path, preprocessing="none", trust=True).model.layers[-1].name.startswith("lambda")


def test_two_inputs(tmp_path):
    one, two = keras.Input((32, 32, 3)), keras.Input((32, 32, 3))
    text = error(saved(keras.Model([one, two], layers.Conv2D(2, 3)(layers.Add()([one, two]))), tmp_path))
    assert text.startswith(
        "`backbone` must be a model with one input, for commands give it images alone. Received: 2: "
    )


def test_grey_input(tmp_path):
    assert error(saved(small(channels=1), tmp_path)) == (
        "`backbone` must be a model with one input (batch, height, width, 3). Received: input shape (None, 32, 32, 1). "
        "Save one that makes its input of RGB: keras.Model(image, model(keras.ops.image.rgb_to_grayscale(image))), "
        "image = keras.Input((H, W, 3))."
    )
    image = keras.Input((32, 32, 3))
    behind = keras.Model(image, small(channels=1)(keras.ops.image.rgb_to_grayscale(image)))
    assert load(saved(behind, tmp_path), preprocessing="none").taps == ("relu", "last")
    assert "model(LAYERS(image))" in error(saved(small(channels=4), tmp_path))


def test_layer_used_twice(tmp_path):
    inputs, twice = keras.Input((32, 32, 3)), layers.Conv2D(3, 3, name="twice")
    assert error(saved(keras.Model(inputs, twice(twice(inputs))), tmp_path)) == (
        "`backbone` must be a model that uses each layer once. Received: a model that uses twice again."
    )


def test_fixed_size(tmp_path):
    path = saved(small((32, 48)), tmp_path)
    assert load(path, preprocessing="none", size=(32, 48)).size == (32, 48)
    assert error(path, preprocessing="none", size=(64, 64)) == (
        "`size` must be [32, 48], the fixed input of small. Received: [64, 64]."
    )


@pytest.mark.parametrize("size", [(4, 32), (32, 5000), (32,)])
def test_size_out_of_range(size):
    assert error("vgg16", weights="random", size=size) == (
        f"`size` must be [height, width], each in the range [8, 4096]. Received: {list(size)}."
    )


def test_unknown_preprocessing(tmp_path):
    assert error(saved(small(), tmp_path), preprocessing="caffee") == (
        "`preprocessing` must be one of: auto, none, tf, caffe, torch. Received: caffee. Did you mean 'caffe'?"
    )


def test_model_of_unknown_origin(tmp_path):
    assert error(saved(small(), tmp_path)) == (
        "`preprocessing` must be one of none, tf, caffe, torch for a model of unknown origin. Received: auto. "
        "'tf' maps pixels to [-1, 1], 'none' leaves [0, 255]."
    )


def test_weights_that_are_not_there(tmp_path):
    assert error(saved(small(), tmp_path), weights="imagnet") == (
        "`weights` must be 'pretrained', 'imagenet', 'random' or the path of a weights file. "
        "Received: 'imagnet', which does not exist."
    )


def test_weights_that_do_not_fit(tmp_path):
    other = keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(7, 5)])
    other.save_weights(tmp_path / "other.weights.h5")
    weights = f"{tmp_path}/other.weights.h5"
    text = error(saved(small(), tmp_path), weights=weights, preprocessing="none")
    start = "`weights` must be weights of small.keras without its classification layer. Received: "
    assert text.startswith(f"{start}'{weights}' (")
    assert text.endswith("Check that file and --backbone belong together.")


def test_model_without_known_structure(tmp_path):
    @keras.saving.register_keras_serializable("fashionprobe_tests")
    class Own(keras.Model):
        def __init__(self, **options):
            super().__init__(**options)
            self.conv = layers.Conv2D(2, 3)

        def call(self, images):
            return self.conv(images)

    model = Own()
    model(BATCH)
    assert error(saved(model, tmp_path)) == "`backbone` must be a functional or sequential model. Received: Own."


def test_real_weights_of_mobilenet():
    data = os.environ.get("FASHIONPROBE_REAL_DATA")
    path = Path(data or "").parent / "weights" / "mobilenet_imagenet_to_conv_pw_12.keras"
    if not data or not path.is_file():
        pytest.skip("FASHIONPROBE_REAL_DATA is not set, or has no folder `weights` with MobileNet beside it")
    backbone = backbones.load(str(path))
    assert backbone.taps[:4] == ("conv_pw_1_relu", "conv_pw_3_relu", "conv_pw_5_relu", "conv_pw_11_relu")
    assert backbone.preprocessing.scale == pytest.approx(PREPROCESSING["tf"].scale)
    assert backbone.weights == "of the file"
