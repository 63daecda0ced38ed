"""Attention rollout against NumPy, from the weights, and what other methods answer to a vision transformer."""

import keras
import numpy as np
import pytest
from keras import layers

from fashionprobe.errors import UserError
from fashionprobe.explain import (
    AttentionRollout,
    Channel,
    GradCAM,
    Gradient,
    Occlusion,
    ScoreCAM,
    SmoothGrad,
)

HEADS, WIDTH, PATCH = 2, 4, 4


class ClassToken(layers.Layer):
    """One token more, before the others."""

    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]), initializer="random_normal")

    def call(self, x):
        return keras.ops.concatenate([keras.ops.repeat(self.token, keras.ops.shape(x)[0], axis=0), x], axis=1)


class Encoder(layers.Layer):
    """An attention inside a layer of one's own."""

    def __init__(self, name):
        super().__init__(name=name)
        self.attention = layers.MultiHeadAttention(HEADS, WIDTH, name="attention")

    def build(self, shape):
        self.attention.build(shape, shape)

    def call(self, x):
        return x + self.attention(x, x)


def transformer(*, token: bool, hidden: bool = False, sides=(12, 8)) -> keras.Model:
    keras.utils.set_random_seed(2)
    image = keras.Input((*sides, 3))
    x = layers.Reshape((-1, 8))(layers.Conv2D(8, PATCH, strides=PATCH, name="patches")(image))
    x = ClassToken()(x) if token else x
    for number in (1, 2):
        attention = layers.MultiHeadAttention(HEADS, WIDTH, name=f"attention{number}")
        x = Encoder(f"encoder{number}")(x) if hidden else layers.Add(name=f"out{number}")([x, attention(x, x)])
    pooled = x[:, 0] if token else layers.GlobalAveragePooling1D()(x)
    return keras.Model(image, layers.Dense(3, name="scores")(pooled), name="vit")


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return 3 * np.random.default_rng(0).random((2, 12, 8, 3), dtype=np.float32)


def rolled(model: keras.Model, photos: np.ndarray) -> np.ndarray:
    """The product of (A + I) / 2, with A worked out from the kernels of queries and keys: (batch, tokens, tokens)."""
    total: np.ndarray | float = 1.0
    for number in (1, 2):
        layer = model.get_layer(f"attention{number}")
        x = np.asarray(keras.Model(model.input, layer.input[0])(photos), np.float64)
        query_kernel, query_bias, key_kernel, key_bias = (np.asarray(each, np.float64) for each in layer.weights[:4])
        queries = np.einsum("btc,chd->bhtd", x, query_kernel) + query_bias[None, :, None]
        keys = np.einsum("btc,chd->bhtd", x, key_kernel) + key_bias[None, :, None]
        powers = np.exp(queries @ keys.transpose(0, 1, 3, 2) / np.sqrt(WIDTH))
        attention = (powers / powers.sum(axis=3, keepdims=True)).mean(axis=1)
        step = (attention + np.eye(x.shape[1])) / 2
        total = step if number == 1 else step @ total
    return np.asarray(total)


@pytest.mark.parametrize("token", [True, False])
def test_rollout_by_numpy(token, photos):
    model = transformer(token=token)
    found = AttentionRollout(model, batch_size=1)(photos)
    total = rolled(model, photos)
    expected = total[:, 0, 1:] if token else total.mean(axis=1)
    np.testing.assert_allclose(found, expected.reshape(2, 3, 2), rtol=1e-4)
    if not token:
        np.testing.assert_allclose(found.sum(axis=(1, 2)), 1, rtol=1e-5)


def test_rollout_by_hand():
    """Two patches; the first token attends to itself with 3/4, the second one with 1/2."""
    image = keras.Input((2, 1, 1))
    attention = layers.MultiHeadAttention(1, 1, use_bias=False)
    x = layers.Reshape((2, 1))(layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones")(image))
    model = keras.Model(image, layers.GlobalAveragePooling1D()(x + attention(x, x)))
    for kernel in attention.weights:
        kernel.assign(np.ones(kernel.shape))
    # Token 1 is ln 3 and token 2 is 0: of queries times keys, (ln 3)^2 and 0, and 0 and 0.
    root = np.sqrt(np.log(3))
    found = AttentionRollout(model)(np.array([root, 0], np.float32).reshape(1, 2, 1, 1))
    # The rows of (A + I) / 2 are (7/8, 1/8) and (1/4, 3/4): the mean is (9/16, 7/16).
    np.testing.assert_allclose(found.ravel(), [9 / 16, 7 / 16], rtol=1e-6)


def test_attention_inside_a_layer_and_nothing_is_left_behind(photos):
    model = transformer(token=False, hidden=True)
    expected = model(photos)
    explainer = AttentionRollout(model)
    maps = explainer(photos)
    assert (maps.shape, explainer.heatmap(photos).shape) == ((2, 3, 2), (2, 12, 8))
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), 1, rtol=1e-5)
    assert "call" not in vars(model.get_layer("encoder1").attention)
    np.testing.assert_array_equal(model(photos), expected)
    np.testing.assert_array_equal(explainer(photos, 1), maps)


def test_other_methods_explain_a_transformer_or_say_which_do(photos):
    model = transformer(token=True)
    for method in (Gradient(model), SmoothGrad(model, samples=1), Occlusion(model, windows=[4])):
        assert np.abs(method(photos[:1])).max() > 0
    assert Gradient(model, target=Channel("out1", 0))(photos).any()
    for make in (GradCAM, ScoreCAM):
        with pytest.raises(UserError, match=r"feature map behind its attention.*patches. Use attention_rollout, grad"):
            make(model)
    assert GradCAM(model, "patches")(photos).shape == (2, 3, 2)


def test_a_convolutional_network_that_attends_in_the_end_keeps_its_map(photos):
    image = keras.Input((12, 8, 3))
    x = layers.Conv2D(8, 3, strides=2, name="deep")(layers.Conv2D(4, 3, padding="same")(image))
    x = layers.Reshape((-1, 8))(x)
    model = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling1D()(layers.MultiHeadAttention(1, 4)(x, x))))
    assert GradCAM(model).layer == "deep"


def cross_attention() -> keras.Model:
    image = keras.Input((8, 8, 3))
    x = layers.Reshape((-1, 8))(layers.Conv2D(8, 4, strides=4)(image))
    return keras.Model(image, layers.Flatten()(layers.MultiHeadAttention(1, 4)(x[:, :1], x)), name="cross")


def odd_tokens() -> keras.Model:
    image = keras.Input((40, 40, 3))
    x = layers.Reshape((-1, 8))(layers.Conv2D(8, (2, 10), strides=(2, 10))(image))
    return keras.Model(image, layers.Flatten()(layers.MultiHeadAttention(1, 4)(x, x)), name="oblong")


@pytest.mark.parametrize(
    ("make", "side", "message"),
    [
        (lambda: keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten()]), 8, "MultiHeadAttention.*which has none"),
        (cross_attention, 8, "all its tokens to all of them.*Received: cross, with attention of 1 x 4"),
        (odd_tokens, 40, "square patches.*Received: 80 tokens for images of 40 x 40"),
    ],
)
def test_networks_without_a_rollout(make, side, message):
    with pytest.raises(UserError, match=message):
        AttentionRollout(make())(np.zeros((1, side, side, 3), np.float32))
