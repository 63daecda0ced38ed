import keras
import numpy as np
import pytest

from fashionprobe.channels.filters import open_filters
from fashionprobe.errors import UserError


def network(*layers):
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(image)
    for layer in layers:
        x = layer(x)
    return keras.Model(image, x)


def test_the_map_before_pooling_and_the_weights_of_the_dense_layer():
    model = network(keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, activation="softmax", name="dense"))
    model.get_layer("dense").set_weights([np.array([[3.0, 4, 0], [0, 0, 0], [0, 1, 0], [2, 2, 1]]), np.zeros(3)])
    found = open_filters(model)
    images = np.random.default_rng(0).uniform(0, 1, (3, 8, 8, 3)).astype(np.float32)
    assert (found.count, found.layer) == (4, "conv")
    np.testing.assert_allclose(found.weights, [5, 0, 1, 3])
    expected = keras.Model(model.input, model.get_layer("conv").output)(images)
    np.testing.assert_allclose(found.maps(images), expected, rtol=1e-5)
    np.testing.assert_allclose(found.maps(images[:1]), expected[:1], rtol=1e-5)
    for answer, wanted in zip(found.answers(images), (expected, model(images)), strict=True):
        np.testing.assert_allclose(answer, wanted, rtol=1e-5)


def test_another_head_leaves_the_last_map_that_has_space():
    pooled = keras.layers.GlobalAveragePooling2D(keepdims=True)
    found = open_filters(network(pooled, keras.layers.Flatten(), keras.layers.Dense(2)))
    assert (found.count, found.layer, found.weights) == (4, "conv", None)


def test_a_network_without_maps():
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(image)))
    with pytest.raises(UserError, match="`model` must be one with a feature map"):
        open_filters(model)
