"""Presets of KerasHub, from a folder: the hub itself is not asked."""

import importlib.util

import keras
import numpy as np
import pytest

from fashionprobe.backbones import architectures, load
from fashionprobe.backbones.descriptors import extractor
from fashionprobe.errors import UserError

IS_INSTALLED = importlib.util.find_spec("keras_hub") is not None
needs_hub = pytest.mark.skipif(not IS_INSTALLED, reason="keras-hub is not installed: pip install 'fashionprobe[hub]'")


@pytest.fixture(scope="module")
def preset(tmp_path_factory) -> str:
    """A small ResNet with random weights, which wants pixels less 51 and then divided by 255."""
    keras_hub = pytest.importorskip("keras_hub")
    keras.utils.set_random_seed(0)
    small = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64], input_conv_kernel_sizes=[7], stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1], stackwise_num_strides=[1, 2], block_type="basic_block",
    )  # fmt: skip
    converter = keras_hub.layers.ResNetImageConverter(image_size=(64, 48), scale=1 / 255, offset=[-0.2] * 3)
    processor = keras_hub.models.ResNetImageClassifierPreprocessor(image_converter=converter)
    folder = tmp_path_factory.mktemp("hub") / "preset"
    keras_hub.models.ResNetImageClassifier(backbone=small, num_classes=2, preprocessor=processor).save_to_preset(folder)
    return str(folder)


@needs_hub
def test_descriptors_of_a_preset(preset):
    import keras_hub
    import tensorflow as tf

    found = load(f"hub:{preset}", trust=True)
    assert (found.name, found.size, found.weights) == ("preset", (64, 48), "of the preset")
    np.testing.assert_allclose(found.preprocessing.mean, [51] * 3, rtol=1e-6)
    own = keras_hub.models.Backbone.from_preset(preset)
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 48, 3)).astype(np.float32)
    expected = np.asarray(own(images / 255 - 0.2)).mean(axis=(1, 2))
    np.testing.assert_allclose(extractor(found, [len(found.taps)])(tf.constant(images))[0], expected, rtol=1e-3)
    assert load(f"hub:{preset}", trust=True, weights="random").weights_sha256 != found.weights_sha256


@needs_hub
def test_a_folder_may_run_code(preset):
    with pytest.raises(UserError, match=r"others may run code.*Pass --trust"):
        architectures.check(f"hub:{preset}")


@needs_hub
@pytest.mark.parametrize("name", ["hub:", "hub:./nosuch"])
def test_a_preset_that_is_not_there(name):
    with pytest.raises(UserError, match=r"`backbone` must be .*hub"):
        load(name, trust=True)


@needs_hub
def test_a_hub_out_of_reach(monkeypatch):
    import keras_hub

    def unreachable(*_, **__):
        raise ConnectionError("no route to api.kaggle.com\nand more")

    monkeypatch.setattr(keras_hub.models.Backbone, "from_preset", unreachable)
    with pytest.raises(UserError, match=r"\(no route to api.kaggle.com\). .*save_to_preset") as caught:
        load("hub:resnet_18_imagenet")
    assert "\n" not in str(caught.value)


def test_without_keras_hub_the_extra_is_named(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "keras_hub" else real(name, *rest)
    )
    with pytest.raises(UserError, match=r"`keras_hub` is needed .* pip install 'fashionprobe\[hub\]'"):
        architectures.check("hub:resnet_18_imagenet")


@pytest.mark.parametrize("name", ["timm:resnet18", "torchvision:resnet18", "net.onnx", "net.safetensors"])
def test_other_frameworks_stay_out(name):
    with pytest.raises(UserError, match="Networks of torch and ONNX stay out: take the same one of KerasHub"):
        architectures.check(name)
