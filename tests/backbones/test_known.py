"""Networks by name with their classifiers, against Keras' own."""

import keras
import numpy as np
import pytest

from fashionprobe import backbones
from fashionprobe.backbones import known
from fashionprobe.errors import UserError
from fashionprobe.inputs.network import NetworkSpec

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory):
    """MobileNet as Keras builds it, with random weights, and the files of its weights with and without the top."""
    folder = tmp_path_factory.mktemp("mobilenet")
    keras.utils.set_random_seed(0)
    whole = keras.applications.MobileNet(weights=None)
    trunk = keras.applications.MobileNet(weights=None, include_top=False, input_shape=(224, 224, 3))
    whole.save_weights(folder / "whole.weights.h5")
    trunk.save_weights(folder / "trunk.weights.h5")
    return whole, folder


@pytest.mark.slow
def test_a_classifier_gives_the_probabilities_of_keras_and_takes_other_sizes(mobilenet):
    whole, folder = mobilenet
    path = str(folder / "whole.weights.h5")
    found = backbones.load("mobilenet", weights=path, classifier=True)
    images = RNG.uniform(-1, 1, (2, 224, 224, 3)).astype(np.float32)
    np.testing.assert_allclose(found.model(images), whole(images), atol=1e-6)
    small = backbones.load("mobilenet", weights=path, classifier=True, size=(96, 128))
    assert small.size == (96, 128) and small.model.output_shape == (None, 1000)
    assert small.model(images[:, :96, :128]).shape == (2, 1000)
    opened = NetworkSpec("mobilenet", path).open()
    assert opened.is_classifier and opened.class_name(282) == "tiger cat"


@pytest.mark.slow
def test_weights_without_classes_give_a_trunk(mobilenet):
    _, folder = mobilenet
    found = backbones.load("mobilenet", weights=str(folder / "trunk.weights.h5"), classifier=True)
    assert found.model.output_shape[-1] == 1024 and len(found.model.output_shape) == 4
    opened = NetworkSpec("mobilenet", str(folder / "trunk.weights.h5")).open()
    assert opened.classes is None and not opened.is_classifier


def test_a_classifier_that_flattens_its_map_keeps_its_size():
    image = keras.Input((8, 8, 3))
    flat = keras.layers.Dense(4)(keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(image)))
    model = keras.Model(image, flat)
    assert known.of_any_size(model) is model


@pytest.mark.parametrize(("name", "weights", "message"), [
    ("resnet18", "pretrained", r"Pass --weights random and train it, or --weights FILE\.pth with those of torchvision"),
    ("light", "pretrained", r"Pass --weights random and train it\."),
    ("mini", "imagenet", "Only efficientnet_lite0 and the backbones of keras.applications have ImageNet weights"),
    ("mobilenet", "no.pth", "which does not exist"),
])  # fmt: skip
def test_weights_that_a_network_has_not_are_said(name, weights, message):
    with pytest.raises(UserError, match=message):
        NetworkSpec(name, weights).check()
