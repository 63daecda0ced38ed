"""All explainers over the kinds of networks that users bring, against values worked out here, from the weights.

Each network is a body that ends in the feature map A, and a head of global average pooling and one dense layer, so that
the logits are mean(A) W + b. The body is also run layer by layer, under a tape of its own, by a loop that knows nothing
of the package.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from fashionprobe.explain import backprop, cam, occlusion, score_cam
from fashionprobe.explain.explained_model import probabilities

CLASSES = 4
SIZE = (12, 10)


def convolution(filters: int, name: str, **options: Any) -> keras.Layer:
    return layers.Conv2D(filters, 3, padding="same", bias_initializer="random_normal", name=name, **options)


def rectified(*first: Any, **options: Any) -> list[Any]:
    return [*first, convolution(5, "one", **options), layers.ReLU(), convolution(6, "two", **options), layers.ReLU()]


def depthwise() -> list[Any]:
    middle = layers.DepthwiseConv2D(3, padding="same", bias_initializer="random_normal")
    return [convolution(5, "one"), layers.ReLU(), middle, layers.ReLU(), convolution(6, "two"), layers.ReLU()]


def group_normalized() -> list[Any]:
    return [
        convolution(6, "one"), layers.GroupNormalization(3), layers.ReLU(), convolution(6, "two"), layers.ReLU(),
    ]  # fmt: skip


def smooth() -> list[Any]:
    return [convolution(5, "one", activation="gelu"), convolution(6, "two", activation="swish")]


def first_channels() -> list[Any]:
    return rectified(layers.Permute((3, 1, 2)), data_format="channels_first")


def batch_normalized() -> list[Any]:
    return [convolution(5, "one"), layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D(),
            convolution(6, "two"), layers.ReLU()]  # fmt: skip


BODIES: dict[str, Callable[[], list[Any]]] = {
    "plain": rectified,
    "rescaling": lambda: rectified(layers.Rescaling(1 / 127.5, -1)),
    "normalization": lambda: rectified(layers.Normalization(mean=[0.4] * 3, variance=[2.0] * 3)),
    "batch-norm": batch_normalized,
    "group-norm": group_normalized,
    "depthwise": depthwise,
    "no-relu": smooth,
    "channels-first": first_channels,
    "grey": rectified,
    "four-channels": rectified,
    "dynamic": rectified,
    "dynamic-group-norm": group_normalized,
    "nested": rectified,
    "mixed_float16": rectified,
    "mixed_bfloat16": rectified,
}


def _with(activation: Any) -> Callable[[], list[Any]]:
    return lambda: [layers.Dense(CLASSES, activation=activation, name="scores")]


def _then(*more: Callable[[], Any]) -> Callable[[], list[Any]]:
    return lambda: [layers.Dense(CLASSES, name="scores"), *(make() for make in more)]


HEADS: dict[str, Callable[[], list[Any]]] = {
    "softmax": _with("softmax"),
    "logits": _then(),
    "layer": _then(layers.Softmax),
    "activation": _then(lambda: layers.Activation("softmax")),
    "tensorflow": _with(tf.nn.softmax),
    "tensorflow-activation": _then(lambda: layers.Activation(tf.nn.softmax)),
    "tensorflow-log": _with(tf.nn.log_softmax),
    "tensorflow-sigmoid": _with(tf.nn.sigmoid),
    "ops": _with(keras.ops.softmax),
    "ops-nn": _with(keras.ops.nn.softmax),
    "operation": _then(lambda: keras.ops.softmax),
    "own": _with(lambda x: tf.nn.softmax(x)),
    "lambda": _then(lambda: layers.Lambda(tf.nn.softmax)),
    "sigmoid": _with("sigmoid"),
    "one-unit": lambda: [layers.Dense(1, activation="sigmoid", name="scores")],
    "dropout": lambda: [layers.Dropout(0.5), layers.Dense(CLASSES, activation="softmax", name="scores")],
}

NETWORKS = [*((body, "softmax") for body in BODIES), *(("plain", head) for head in HEADS if head != "softmax")]
NETWORKS.append(("nested", "tensorflow"))


class Case:
    """A network in one piece, and the same taken apart."""

    def __init__(self, body: str, head: str) -> None:
        keras.utils.set_random_seed(7)
        self.body, self.head = body, head
        policy = keras.config.dtype_policy().name
        if body.startswith("mixed"):
            keras.config.set_dtype_policy(body)
        try:
            self.model = self._build()
        finally:
            keras.config.set_dtype_policy(policy)
        self.images = np.random.default_rng(3).normal(0.5, 1, (2, *SIZE, self.channels)).astype(np.float32)
        scores = self.model.get_layer("scores")
        self.kernel, self.bias = (np.asarray(keras.ops.convert_to_numpy(each), np.float64) for each in scores.weights)
        self.classes = self.logits(self.images).argmax(axis=1)

    def _build(self) -> keras.Model:
        self.channels = {"grey": 1, "four-channels": 4}.get(self.body, 3)
        sides = (None, None) if self.body.startswith("dynamic") else SIZE
        self.layers = BODIES[self.body]()
        image = keras.Input((*sides, self.channels))
        x = image
        for layer in self.layers:
            x = layer(x)
        if self.body == "nested":
            inner, image = keras.Model(image, x, name="inner"), keras.Input((*sides, self.channels))
            x = inner(image)
        pooled = layers.GlobalAveragePooling2D(data_format="channels_first" if self.body == "channels-first" else None)(
            x
        )
        for layer in HEADS[self.head]():
            pooled = layer(pooled)
        return keras.Model(image, pooled)

    def maps(self, images: Any, relu: Callable[[tf.Tensor], tf.Tensor] = tf.nn.relu) -> tf.Tensor:
        """Run the body layer by layer, with another ReLU where one is given: float32 (batch, h, w, d)."""
        x = tf.convert_to_tensor(images)
        for layer in self.layers:
            x = relu(x) if isinstance(layer, layers.ReLU) else layer(x)
        x = tf.transpose(x, (0, 2, 3, 1)) if self.body == "channels-first" else x
        return tf.cast(x, tf.float32)

    def head_of(self, maps: tf.Tensor) -> tf.Tensor:
        means = tf.reduce_mean(maps, axis=(1, 2))
        return means @ tf.cast(self.kernel, tf.float32) + tf.cast(self.bias, tf.float32)

    def logits(self, images: Any) -> np.ndarray:
        return self.head_of(self.maps(images)).numpy()

    def probability(self, images: np.ndarray, number: int) -> np.ndarray:
        logits = self.logits(images)
        if "sigmoid" in self.head or self.head == "one-unit":
            return (1 / (1 + np.exp(-logits)))[:, number]
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers[:, number] / powers.sum(axis=1)

    def gradient(self, images: np.ndarray, relu: Callable[[tf.Tensor], tf.Tensor] = tf.nn.relu) -> np.ndarray:
        """Return the gradient of the logits; of several copies of each image, those of one image together."""
        pixels = tf.constant(images)
        classes = np.repeat(self.classes, len(images) // len(self.classes))
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            score = tf.gather(self.head_of(self.maps(pixels, relu)), classes, axis=1, batch_dims=1)
        return tape.gradient(score, pixels).numpy()

    @property
    def weights(self) -> np.ndarray:
        """The gradient of each image's logit with respect to the mean of each channel: (batch, d)."""
        return self.kernel[:, self.classes].T

    @property
    def is_half(self) -> bool:
        """Whether the body computes in half precision, 11 or 8 bits: a ReLU may then fall on the other side of 0."""
        return self.body.startswith("mixed")

    @property
    def has_relu(self) -> bool:
        return self.body != "no-relu"


def _cam(case: Case) -> np.ndarray:
    return np.maximum(np.einsum("bhwd,bd->bhw", case.maps(case.images), case.weights), 0)


def _per_cell(case: Case) -> tuple[np.ndarray, np.ndarray]:
    maps = case.maps(case.images).numpy()
    return maps, case.weights[:, None, None] / np.prod(maps.shape[1:3])


def _grad_cam(case: Case) -> np.ndarray:
    maps, gradient = _per_cell(case)
    return np.maximum((maps * gradient).sum(axis=-1), 0)


def _plus_plus(case: Case) -> np.ndarray:
    maps, gradient = _per_cell(case)
    alpha = 1 / (2 + maps.sum(axis=(1, 2), keepdims=True) * gradient)
    cells = np.prod(maps.shape[1:3])
    return np.maximum((maps * alpha * np.maximum(gradient, 0) * cells).sum(axis=-1), 0)


def _layer_cam(case: Case) -> np.ndarray:
    maps, gradient = _per_cell(case)
    return np.maximum((maps * np.maximum(gradient, 0)).sum(axis=-1), 0)


def _score_cam(case: Case) -> np.ndarray:
    maps = case.maps(case.images).numpy()
    result = np.zeros(maps.shape[:3])
    for place, (image, number) in enumerate(zip(case.images, case.classes, strict=True)):
        channels = [channel for channel in np.moveaxis(maps[place], -1, 0) if channel.max() > channel.min()]
        wide = [tf.image.resize(channel[..., None], SIZE).numpy() for channel in channels]
        seen = [(each - each.min()) / (each.max() - each.min()) * image for each in wide]
        result[place] = np.einsum("chw,c->hw", channels, case.probability(np.stack(seen).astype(np.float32), number))
    return np.maximum(result, 0)


def _occlusion(case: Case) -> np.ndarray:
    total, cover = np.zeros((2, *SIZE)), np.zeros(SIZE)
    noise = np.random.default_rng(0).normal(0.5, 0.1, (*SIZE, case.channels)).clip(0, 1)
    windows = [(slice(row, row + 4), slice(column, column + 4)) for row in (0, 2, 4, 6, 8) for column in (0, 2, 4, 6)]
    for place, number in enumerate(case.classes):
        hidden = np.repeat(case.images[place : place + 1], len(windows), axis=0)
        for image, window in zip(hidden, windows, strict=True):
            image[window] = -1 + 3 * noise[window]
        for window, probability in zip(windows, case.probability(hidden, number), strict=True):
            total[place][window] += 1 / probability
    for window in windows:
        cover[window] += 1
    return total / cover


def _deconvnet(case: Case) -> np.ndarray:
    @tf.custom_gradient
    def relu(x: tf.Tensor) -> Any:
        return tf.nn.relu(x), tf.nn.relu

    return case.gradient(case.images, relu)


def _guided(case: Case) -> np.ndarray:
    @tf.custom_gradient
    def relu(x: tf.Tensor) -> Any:
        return tf.nn.relu(x), lambda above: tf.where(x > 0, tf.nn.relu(above), tf.zeros_like(above))

    return case.gradient(case.images, relu)


def _guided_grad_cam(case: Case) -> np.ndarray:
    maps = _grad_cam(case)[..., None].astype(np.float32)
    return _guided(case) * tf.image.resize(maps, SIZE).numpy()


def _smooth(case: Case) -> np.ndarray:
    noise = np.stack([tf.random.stateless_normal(case.images.shape[1:], [5, number]).numpy() for number in range(3)])
    spread = np.ptp(case.images, axis=(1, 2, 3), keepdims=True)
    noisy = case.images[:, None] + 0.1 * spread[:, None] * noise
    gradients = case.gradient(noisy.reshape(-1, *case.images.shape[1:]).astype(np.float32))
    return gradients.reshape(noisy.shape).mean(axis=1)


def _integrated(case: Case) -> np.ndarray:
    shares = ((np.arange(400) + 0.5) / 400).astype(np.float32)
    points = case.images[:, None] * shares[:, None, None, None]
    gradients = case.gradient(points.reshape(-1, *case.images.shape[1:]))
    return case.images * gradients.reshape(points.shape).mean(axis=1)


Make = Callable[[keras.Model], Any]
EXPLAINERS: dict[str, tuple[Make, Callable[[Case], np.ndarray]]] = {
    "cam": (cam.cam, _cam),
    "grad_cam": (cam.grad_cam, _grad_cam),
    "percentile_cam": (lambda model: cam.percentile_cam(model, q=90), _grad_cam),
    "grad_cam_plus_plus": (cam.grad_cam_plus_plus, _plus_plus),
    "layer_cam": (cam.layer_cam, _layer_cam),
    "score_cam": (score_cam.score_cam, _score_cam),
    "occlusion": (
        lambda model: occlusion.occlusion(model, windows=[4], strides=[2], value_range=(-1, 2)), _occlusion,
    ),
    "gradient": (backprop.gradient, lambda case: case.gradient(case.images)),
    "deconvnet": (backprop.deconvnet, _deconvnet),
    "guided_backpropagation": (backprop.guided_backpropagation, _guided),
    "guided_grad_cam": (backprop.guided_grad_cam, _guided_grad_cam),
    "smooth_grad": (lambda model: backprop.smooth_grad(model, samples=3, deviation=0.1, seed=5), _smooth),
    "integrated_gradients": (
        lambda model: backprop.integrated_gradients(model, steps=400, batch_size=400), _integrated,
    ),
}  # fmt: skip
OF_RELU = ("deconvnet", "guided_backpropagation", "guided_grad_cam")


# With one body, how a head is taken off shows in the gradient and in guided backpropagation, which these are made of.
COMPOSED = ("guided_grad_cam", "smooth_grad", "integrated_gradients")
PAIRS = [
    pytest.param(
        (body, head), method, id=f"{body}-{head}-{method}",
        marks=[pytest.mark.slow] if head not in ("softmax", "tensorflow") and method in COMPOSED else [],
    )
    for body, head in NETWORKS for method in EXPLAINERS
]  # fmt: skip


@functools.cache
def built(body: str, head: str) -> Case:
    return Case(body, head)


@pytest.fixture
def case(request) -> Case:
    return built(*request.param)


def close(found: np.ndarray, expected: np.ndarray, *, is_half: bool) -> None:
    assert found.shape == expected.shape
    scale = np.abs(expected).max()
    assert scale > 0
    if is_half:
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.98
        assert abs(np.abs(found).mean() / np.abs(expected).mean() - 1) < 0.05
    else:
        np.testing.assert_allclose(found / scale, expected / scale, atol=2e-4)


@pytest.mark.parametrize("case", NETWORKS, ids="-".join, indirect=True)
def test_probabilities_are_those_of_the_model(case):
    found = probabilities(case.model)(case.images)
    expected = np.stack([case.probability(case.images, number) for number in range(found.shape[1])], axis=1)
    np.testing.assert_allclose(found, expected, atol=0.01 if case.is_half else 1e-6)
    if case.head not in ("logits", "tensorflow-log") and not case.is_half:
        np.testing.assert_allclose(found, case.model.predict(case.images, verbose=0), atol=1e-6)


@pytest.mark.parametrize(("case", "method"), PAIRS, indirect=["case"])
def test_explainers(case, method):
    make, expected = EXPLAINERS[method]
    if method in OF_RELU and not case.has_relu:
        pytest.skip("it explains networks with a ReLU")
    close(make(case.model)(case.images, case.classes), expected(case), is_half=case.is_half)
