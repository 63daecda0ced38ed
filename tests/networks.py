"""Small networks in all the shapes that users bring."""

import keras
import numpy as np
import pytest

CLASSES = 5


def layers(activation: str | None) -> list[keras.Layer]:
    """Two convolutions and a dense layer, with three kinds of ReLU between them."""
    return [
        keras.layers.Conv2D(6, 3, padding="same", activation="relu", name="first"),
        keras.layers.MaxPooling2D(name="pool"),
        keras.layers.Conv2D(8, 3, padding="same", name="second"),
        keras.layers.BatchNormalization(name="normalized"),
        keras.layers.ReLU(name="second_relu"),
        keras.layers.Conv2D(7, 3, padding="same", name="third"),
        keras.layers.Activation("relu", name="third_relu"),
        keras.layers.GlobalAveragePooling2D(name="descriptor"),
        keras.layers.Dense(CLASSES, activation=activation, name="scores"),
    ]


def chain(inputs, parts):
    for part in parts:
        inputs = part(inputs)
    return inputs


def _shake(model: keras.Model) -> keras.Model:
    """Give biases and batch statistics values that are not the first ones, or errors in them would not show."""
    random = np.random.default_rng(1)
    model.set_weights([weight + np.abs(random.normal(0, 0.1, weight.shape)) for weight in model.get_weights()])
    return model


def build(kind: str) -> keras.Model:
    """Build the same network in one of the shapes of `KINDS`, with the same weights in each."""
    keras.utils.set_random_seed(3)
    parts = layers("softmax" if kind in ("dense", "sequential", "nested") else None)
    if kind.endswith("layer"):
        parts.append(keras.layers.Softmax(name="probabilities"))
    if kind == "activation":
        parts.append(keras.layers.Activation("softmax", name="probabilities"))
    if kind.startswith("sequential"):
        return _shake(keras.Sequential([keras.Input((16, 16, 3)), *parts]))
    image = keras.Input((16, 16, 3))
    if kind.startswith("nested"):
        inner_image = keras.Input((16, 16, 3))
        inner = keras.Model(inner_image, chain(inner_image, parts[:7]), name="inner")
        return _shake(keras.Sequential([image, inner, *parts[7:]]))
    return _shake(keras.Model(image, chain(image, parts)))


KINDS = (
    "logits", "dense", "layer", "activation", "sequential", "sequential_layer", "nested", "nested_layer",
)  # fmt: skip
"""No softmax; in the dense layer; as a Softmax layer; as an Activation; as Sequential; with a model inside."""


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Four images, float32 (4, 16, 16, 3) in [0, 1]."""
    return np.random.default_rng(0).random((4, 16, 16, 3), dtype=np.float32)


@pytest.fixture(scope="session")
def network() -> keras.Model:
    """The network with a Softmax layer; tests only read it."""
    return build("layer")


@pytest.fixture(scope="session")
def logits() -> keras.Model:
    """The same network without the softmax; tests only read it."""
    return build("logits")
