import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import KINDS, build

from fashionprobe.errors import UserError
from fashionprobe.explain.backprop import gradient
from fashionprobe.explain.functions import saturation
from fashionprobe.explain.relu_rules import with_relu_rule

ACTIVATIONS = {
    "layer": lambda x: keras.layers.ReLU()(x),
    "layer of a user's name": lambda x: keras.layers.ReLU(name="user")(x),
    "greatest value": lambda x: keras.layers.ReLU(max_value=0.7)(x),
    "threshold": lambda x: keras.layers.ReLU(threshold=0.1)(x),
    "activation": lambda x: keras.layers.Activation("relu")(x),
    "activation of 6": lambda x: keras.layers.Activation("relu6")(x),
    "of a convolution": lambda x: keras.layers.Conv2D(6, 1, activation="relu")(x),
    "of a separable one": lambda x: keras.layers.SeparableConv2D(6, 1, activation="relu")(x),
    "of a depthwise one": lambda x: keras.layers.DepthwiseConv2D(1, activation="relu6")(x),
    "of a dense layer": lambda x: keras.layers.Dense(6, activation="relu")(x),
    "a layer as activation": lambda x: keras.layers.Activation(keras.layers.ReLU(max_value=0.7))(x),
    "TensorFlow's": lambda x: keras.layers.Activation(tf.nn.relu)(x),
    "operation": lambda x: keras.ops.relu(x),
    "operation of 6": lambda x: keras.ops.relu6(x),
    "function": lambda x: keras.activations.relu(x),
    "function with a limit": lambda x: keras.activations.relu(x, max_value=0.7),
}
"""Every way to write a ReLU."""

NONE = {
    "leaky layer": lambda x: keras.layers.LeakyReLU()(x),
    "slope": lambda x: keras.layers.ReLU(negative_slope=0.1)(x),
    "operation with a slope": lambda x: keras.activations.relu(x, negative_slope=0.1),
    "swish": lambda x: keras.layers.Activation("swish")(x),
    "linear": lambda x: keras.layers.Conv2D(6, 1)(x),
}


def small(rectify) -> keras.Model:
    """One ReLU of a kind between two convolutions whose weights have both signs."""
    keras.utils.set_random_seed(5)
    image = keras.Input((6, 6, 3))
    x = rectify(keras.layers.Conv2D(6, 3, name="below")(image))
    x = keras.layers.Flatten()(keras.layers.Conv2D(4, 1, name="above")(x))
    return keras.Model(image, keras.layers.Dense(3, name="scores")(x))


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(2).normal(0, 2, (3, 6, 6, 3)).astype(np.float32)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_every_kind_of_relu_gets_the_rule_and_computes_the_same(kind, pixels):
    model = small(ACTIVATIONS[kind])
    plain = gradient(model)(pixels)
    found = {}
    for rule in ("deconvnet", "guided"):
        copied = with_relu_rule(model, rule)
        np.testing.assert_array_equal(copied(pixels), model(pixels))
        found[rule] = gradient(copied)(pixels)
    scale = np.abs(plain).max()
    assert np.abs(found["deconvnet"] - plain).max() > 0.05 * scale
    assert np.abs(found["guided"] - plain).max() > 0.05 * scale
    assert np.abs(found["guided"] - found["deconvnet"]).max() > 0.05 * scale


@pytest.mark.parametrize(("high", "passed"), [(None, [0, 0, 1, 1]), (6.0, [0, 0, 1, 0])])
def test_the_rules_by_hand(high, passed):
    image = keras.Input((2, 2, 1))
    model = keras.Model(image, keras.layers.ReLU(max_value=high)(image))
    x = tf.constant([-2.0, 0.0, 3.0, 8.0], shape=(1, 2, 2, 1))
    for rule, above, expected in (
        ("guided", [5.0, 5.0, 5.0, 5.0], np.multiply(passed, 5.0)),
        ("guided", [-5.0, -5.0, -5.0, -5.0], np.zeros(4)),
        ("deconvnet", [5.0, 5.0, 5.0, 5.0], np.full(4, 5.0)),
        ("deconvnet", [-5.0, 4.0, -3.0, 2.0], [0, 4, 0, 2]),
    ):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = with_relu_rule(model, rule)(x)
        found = tape.gradient(y, x, output_gradients=tf.reshape(tf.constant(above), y.shape))
        np.testing.assert_array_equal(tf.reshape(found, (-1,)), expected)


@pytest.mark.parametrize("kind", NONE)
def test_a_model_without_relu_is_refused(kind):
    with pytest.raises(UserError, match=r"`model` must be a network with a ReLU. Received: .*none. Use `gradient`"):
        with_relu_rule(small(NONE[kind]), "guided")


def test_an_unknown_rule():
    with pytest.raises(UserError, match=r"one of: deconvnet, guided, gradient\. .* Did you mean 'guided'"):
        with_relu_rule(build("layer"), "guide")  # pyright: ignore[reportArgumentType]


def everything(model):
    return [
        (layer.name, id(layer), len(layer._inbound_nodes), len(layer._outbound_nodes), getattr(layer, "activation", 0))
        for layer in model._flatten_layers()
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_the_users_model_is_not_changed(kind, images):
    model = build(kind)
    before, weights, scores = everything(model), model.get_weights(), model(images).numpy()
    guided = with_relu_rule(model, "guided")
    gradient(guided, target=lambda scores: scores[:, 0])(images)
    assert everything(model) == before
    assert all(np.array_equal(*pair) for pair in zip(weights, model.get_weights(), strict=True))
    np.testing.assert_array_equal(model(images), scores)


def test_training_after_the_fact_shows(images):
    model = build("layer")
    guided = with_relu_rule(model, "guided")
    model.set_weights([weight * 2 for weight in model.get_weights()])
    np.testing.assert_array_equal(guided(images), model(images))
    assert all(any(one is other for other in model.weights) for one in guided.weights)


def test_a_compiled_model_with_a_loss_of_its_own():
    model = build("dense")
    model.compile(loss=lambda truth, scores: keras.ops.mean(scores))
    assert not with_relu_rule(model, "guided").compiled


def test_no_global_random_state_is_touched():
    model = build("layer")
    keras.utils.set_random_seed(1)
    expected = (keras.random.uniform(()), np.random.rand())  # noqa: NPY002
    keras.utils.set_random_seed(1)
    with_relu_rule(model, "guided")
    assert (keras.random.uniform(()), np.random.rand()) == expected  # noqa: NPY002


def test_half_precision_stays_half_precision():
    image = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(6, 3, dtype="mixed_bfloat16")(image)
    x = keras.layers.ReLU(dtype="mixed_bfloat16")(keras.ops.relu(x))
    model = keras.Model(image, x)
    copied = with_relu_rule(model, "guided")
    assert [each.output.dtype for each in copied.operations] == [each.output.dtype for each in model.operations]


def test_saturation_of_what_is_no_operation():
    assert saturation(None) is None
    assert saturation(keras.activations.gelu) is None
