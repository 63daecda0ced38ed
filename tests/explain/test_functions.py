"""Activations by what they compute: whatever their name, and nothing that only looks like them."""

import functools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import activations, layers, ops

from fashionprobe.explain.functions import saturation, squashing

SQUASHING = {
    "softmax": [
        activations.softmax, ops.softmax, ops.nn.softmax, tf.nn.softmax, tf.math.softmax, layers.Softmax(),
        lambda x: tf.exp(x) / tf.reduce_sum(tf.exp(x), axis=-1, keepdims=True), layers.Activation(tf.nn.softmax),
        layers.Dense(3, activation="softmax"), layers.Dense(3, activation=tf.nn.softmax), layers.Lambda(tf.nn.softmax),
        layers.Dense(3, activation=layers.Softmax()),
    ],
    "log_softmax": [activations.log_softmax, ops.log_softmax, tf.nn.log_softmax],
    "sigmoid": [activations.sigmoid, ops.sigmoid, tf.nn.sigmoid, tf.math.sigmoid, lambda x: 1 / (1 + tf.exp(-x))],
    "linear": [activations.linear, tf.identity, lambda x: x, layers.Dense(3), layers.Activation("linear")],
    None: [
        activations.relu, tf.nn.tanh, activations.hard_sigmoid, lambda x: tf.nn.softmax(x / 2), layers.Softmax(axis=0),
        lambda x: tf.nn.softmax(x, axis=0), layers.Conv2D, "softmax", None, layers.GlobalAveragePooling2D(),
        lambda x: 1 / 0, lambda x, y: x, tf.reduce_sum, layers.PReLU(),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("name", "function"), [(name, each) for name, group in SQUASHING.items() for each in group])
def test_squashing(name, function):
    assert squashing(function) == name


@pytest.mark.parametrize(
    ("limit", "function"),
    [
        (math.inf, activations.relu), (math.inf, tf.nn.relu), (math.inf, ops.relu), (math.inf, layers.ReLU()),
        (math.inf, lambda x: tf.maximum(x, 0.0)), (math.inf, layers.ReLU(threshold=0.5)),
        (math.inf, lambda x: tf.where(x > 0, x, tf.zeros_like(x))), (6, tf.nn.relu6), (6, activations.relu6),
        (3, layers.ReLU(max_value=3)), (2.5, functools.partial(activations.relu, max_value=2.5)),
        (None, activations.leaky_relu), (None, layers.LeakyReLU()), (None, layers.ReLU(negative_slope=0.1)),
        (None, activations.elu), (None, activations.gelu), (None, tf.nn.softplus), (None, activations.linear),
        (None, tf.abs), (None, lambda x: 2 * tf.nn.relu(x)), (None, None), (None, layers.Conv2D(3, 3)),
        (None, lambda x: -tf.nn.relu(x)), (None, tf.zeros_like),
        (None, tf.nn.softmax), (None, activations.softmax), (None, lambda x: tf.nn.softmax(x, axis=0)),
    ],
)  # fmt: skip
def test_saturation(limit, function):
    assert saturation(function) == limit


def test_a_head_that_is_not_known_is_said(caplog):
    from fashionprobe.explain.explained_model import probabilities

    image = keras.Input((4, 4, 3))
    pooled = layers.GlobalAveragePooling2D()(image)
    for activation in ("relu", "tanh"):
        caplog.clear()
        model = keras.Model(image, layers.Dense(3, activation=activation, name="head")(pooled), name=activation)
        found = probabilities(model)(np.ones((1, 4, 4, 3), np.float32))
        assert [record.getMessage() for record in caplog.records] == [
            f"{activation} ends in head with an activation that is neither softmax nor sigmoid: what it returns is "
            "explained as it is, and a softmax of that stands for the probability."
        ]
        np.testing.assert_allclose(found.sum(), 1, rtol=1e-6)
    caplog.clear()
    probabilities(keras.Model(image, layers.Dense(3, activation=tf.nn.softmax)(pooled)))
    assert not caplog.records
