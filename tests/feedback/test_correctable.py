"""Every shape of network is opened at its last map and its logits, and what cannot be corrected is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import CLASSES, KINDS, build
from scipy.special import softmax

from fashionprobe.errors import UserError
from fashionprobe.feedback.correctable import Correctable
from fashionprobe.feedback.refit import Stepper

IMAGES = np.random.default_rng(0).random((4, 16, 16, 3), dtype=np.float32)


def flat_head():
    """A network that ends in Flatten and Dense: no class activation map."""
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, strides=4, padding="same", activation="relu", name="only")(image)
    x = keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(x))
    return keras.Model(image, x, name="flat_head")


@pytest.fixture(scope="module")
def expected():
    """The last map and the logits of the network that all kinds share."""
    model = build("logits")
    maps = keras.Model(model.input, [model.get_layer("third_relu").output, model.output])
    return [each.numpy() for each in maps(IMAGES, training=False)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_opened_at_its_map_and_its_logits(kind, expected):
    model = build(kind)
    network = Correctable(model)
    maps, scores = network(tf.constant(IMAGES), training=False)
    np.testing.assert_allclose(maps, expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scores, expected[1], rtol=1e-5, atol=1e-5)
    assert (network.tap, network.shape, network.classes) == ("third_relu", (8, 8, 7), CLASSES)
    assert network.dense.name == "scores"
    network.need_head()
    np.testing.assert_array_equal(network.kernel(), network.dense.get_weights()[0])
    # The user's own layers are trained, unless a model is inside.
    before = model.get_weights()[0]
    network.model.set_weights([weight + 1 for weight in network.model.get_weights()])
    np.testing.assert_array_equal(model.get_weights()[0], before if kind.startswith("nested") else before + 1)


def test_probabilities_come_in_portions(expected):
    network = Correctable(build("dense"))
    maps, scores = expected
    for images in (IMAGES, list(IMAGES)):
        np.testing.assert_allclose(
            network.probabilities(np.asarray(images), batch_size=3), softmax(scores, axis=1), rtol=1e-4
        )
    sure, means = network.infer((IMAGES * 255).astype(np.uint8), batch_size=4)
    assert sure.shape == (4, CLASSES)
    assert sure.dtype == means.dtype == np.float32
    np.testing.assert_allclose(network.infer(IMAGES)[1], maps.mean(axis=(1, 2)), rtol=1e-5)
    nothing = network.infer(IMAGES[:0])
    assert [each.shape for each in nothing] == [(0, CLASSES), (0, 7)]


def test_probabilities_are_those_of_the_weights_of_now():
    network = Correctable(build("dense"))
    network.probabilities(IMAGES)
    network.model.set_weights([weight * 0 for weight in network.model.get_weights()])
    np.testing.assert_allclose(network.probabilities(IMAGES), 1 / CLASSES)


def test_training_uses_the_statistics_of_the_batch():
    network = Correctable(build("dense"))
    moving = network.model.get_layer("normalized").moving_mean
    before = moving.numpy().copy()
    still, _ = network(tf.constant(IMAGES), training=False)
    np.testing.assert_array_equal(moving, before)
    trained, _ = network(tf.constant(IMAGES), training=True)
    assert np.abs(moving.numpy() - before).max() > 0
    assert np.abs(trained - still).max() > 1e-3


def test_frozen_layers_keep_weights_and_batch_statistics():
    model = build("dense")
    network = Correctable(model)
    network.freeze("second_relu")
    before = {layer.name: [each.copy() for each in layer.get_weights()] for layer in model.layers}
    stepper = Stepper(network, "ce", "sgd")
    stepper.rate(0.1)
    batch = (tf.constant(IMAGES), tf.constant([0, 1, 2, 3]), tf.zeros((4, 8, 8)), tf.zeros((4, 16, 16)))
    stepper.step(*batch)
    same = {
        layer.name: all(np.array_equal(*pair) for pair in zip(before[layer.name], layer.get_weights(), strict=True))
        for layer in model.layers
        if layer.weights
    }
    assert same == {"first": True, "second": True, "normalized": True, "third": False, "scores": False}
    network.freeze(None)
    assert all(layer.trainable for layer in model.layers)
    with pytest.raises(UserError, match=r"`freeze` must be a layer of .*, such as second.*Received: secnd"):
        network.freeze("secnd")


def test_a_network_without_the_head():
    network = Correctable(flat_head())
    assert (network.dense, network.tap, network.shape, network.classes) == (None, "only", (4, 4, 4), 3)
    for loss in ("rrr_g", "dropout"):
        with pytest.raises(
            UserError,
            match=r"`loss` must be ce, pas, pasa, rrr or a replacement for a network that does not end in "
            r"GlobalAveragePooling2D and one Dense layer. Received: .* flat_head ends otherwise",
        ):
            Stepper(network, loss)
    with pytest.raises(UserError, match=r"`head` must be kept for a network that does not end in"):
        network.need_head("head")
    with pytest.raises(UserError, match="ends otherwise"):
        network.kernel()
    mask = np.zeros((4, 4, 4), np.float32)
    mask[:, 0] = 1
    batch = (tf.constant(IMAGES), tf.constant([0, 1, 2, 0]), tf.constant(mask), tf.zeros((4, 16, 16)))
    maps, scores = (each.numpy() for each in network(batch[0], training=False))
    entropy, penalty = Stepper(network, "pas").terms(*batch)
    np.testing.assert_allclose(penalty, np.abs(maps[:, 0]).sum() / 4, rtol=1e-5)
    sure = softmax(scores, axis=1)[range(4), [0, 1, 2, 0]]
    np.testing.assert_allclose(entropy, -np.log(sure).mean(), rtol=1e-5)
    stepper = Stepper(network, "pasa")
    stepper._setting["b"].assign(5.0)
    stepper._setting["th"].assign(0.8)
    act = np.abs(maps[:, 0]).sum(axis=(1, 2)) / 4 / 5
    np.testing.assert_allclose(stepper.terms(*batch)[1], (act * 5 ** (sure / 0.8)).mean(), rtol=1e-5)


def ends_in(classes, activation, size=(8, 8)):
    image = keras.Input((*size, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 3)(image))
    return keras.Model(image, keras.layers.Dense(classes, activation=activation)(x), name="odd")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (ends_in(1, "sigmoid"), "`backbone` must be a classifier with a softmax over two classes or more. "
         "Received: odd, which ends in a sigmoid of 1 outputs"),
        (ends_in(3, "sigmoid"), "Received: odd, which ends in a sigmoid of 3 outputs"),
        (ends_in(1, None), "Received: odd, which ends in a softmax of 1 outputs"),
        (ends_in(2, "softmax", (None, None)), r"`backbone` must be a classifier of images of one size. "
         r"Received: input \(None, None, None, 3\)"),
    ],
)  # fmt: skip
def test_networks_that_are_refused(model, message):
    with pytest.raises(UserError, match=message):
        Correctable(model)


def test_a_network_without_a_map_is_refused():
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(image)))
    with pytest.raises(UserError, match="one with a feature map"):
        Correctable(model)


def test_dropout_starts_afresh_from_a_seed():
    image = keras.Input((4, 4, 3))
    x = keras.layers.Dropout(0.5)(keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3)(image)))
    network = Correctable(keras.Model(image, keras.layers.Dense(2)(x)))
    found = []
    for seed in (0, 0, 1):
        network.reseed(seed)
        found.append(network(tf.constant(IMAGES[:, :4, :4]), training=True)[1].numpy())
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 0
