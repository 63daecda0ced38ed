"""Pairs of images for a network that embeds them: against similarities and gradients worked out by hand."""

import keras
import numpy as np
import pytest
from keras import layers

from fashionprobe.errors import UserError
from fashionprobe.explain import (
    Deletion,
    GradCAM,
    Gradient,
    IntegratedGradients,
    LayerCAM,
    Similarity,
    functional,
    methods,
)
from fashionprobe.explain.heatmaps import heatmap

MATRIX = np.random.default_rng(3).normal(size=(2 * 2 * 3, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def linear() -> keras.Model:
    """The embedding MATRIX^T x of an image x."""
    image = keras.Input((2, 2, 3))
    dense = layers.Dense(4, use_bias=False)
    model = keras.Model(image, dense(layers.Flatten()(image)))
    dense.set_weights([MATRIX])
    return model


@pytest.fixture(scope="module")
def pooled() -> keras.Model:
    """A convolution with a ReLU whose mean over space is the embedding."""
    keras.utils.set_random_seed(4)
    image = keras.Input((10, 8, 3))
    x = layers.Conv2D(6, 3, activation="relu", bias_initializer="random_normal", name="conv")(image)
    return keras.Model(image, layers.GlobalAveragePooling2D()(x), name="embedder")


def pictures(shape, seed):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_the_gradient_of_a_linear_embedding(metric, linear):
    images, others = pictures((3, 2, 2, 3), 1), pictures((3, 2, 2, 3), 2)
    a, b = images.reshape(3, -1) @ MATRIX, others.reshape(3, -1) @ MATRIX
    length = np.linalg.norm(a, axis=1, keepdims=True)
    unit_a, unit_b = a / length, b / np.linalg.norm(b, axis=1, keepdims=True)
    cosine = (unit_a * unit_b).sum(axis=1, keepdims=True)
    # d/da of a.b, of -|a - b|^2, and of the cosine; then back through the matrix.
    along = {"dot": b, "euclidean": -2 * (a - b), "cosine": (unit_b - cosine * unit_a) / length}[metric]
    expected = (along @ MATRIX.T).reshape(images.shape)
    explainer = Gradient(linear, target=Similarity(others, metric))
    np.testing.assert_allclose(explainer(images), expected, rtol=1e-4, atol=1e-6)
    one = Gradient(linear, target=Similarity(others[1], metric))(images)
    np.testing.assert_allclose(one[1], expected[1], rtol=1e-4, atol=1e-6)
    # The number of the other image, as of a class.
    np.testing.assert_allclose(explainer(images[1:2], 1), one[1:2], rtol=1e-5)
    assert f"the {metric} similarity to another image" in repr(explainer)


def test_the_values_of_integrated_gradients_sum_up_to_the_product(linear):
    images, others = pictures((2, 2, 2, 3), 1), pictures((2, 2, 2, 3), 2)
    product = ((images.reshape(2, -1) @ MATRIX) * (others.reshape(2, -1) @ MATRIX)).sum(axis=1)
    values = IntegratedGradients(linear, steps=2, target=Similarity(others, "dot"))(images)
    np.testing.assert_allclose(values.sum(axis=(1, 2, 3)), product, rtol=1e-4)


def test_each_place_has_its_share_of_the_product(pooled):
    images, others = pictures((3, 10, 8, 3), 1), pictures((3, 10, 8, 3), 2)
    maps = np.asarray(pooled.get_layer("conv")(images))
    embedded, beside = maps.mean(axis=(1, 2)), np.asarray(pooled(others))
    shares = np.einsum("bhwd,bd->bhw", maps, beside) / (8 * 6)
    found = GradCAM(pooled, target=Similarity(others, "dot"), relu=False)(images)
    np.testing.assert_allclose(found, shares, rtol=1e-4)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), (embedded * beside).sum(axis=1), rtol=1e-4)
    cosine = GradCAM(pooled, target=Similarity(others), relu=False)(images)
    np.testing.assert_allclose(cosine.sum(axis=(1, 2)), 0, atol=1e-5)
    assert np.abs(cosine).max() > 1e-4


def test_both_images_of_a_pair(pooled):
    images, others = pictures((3, 10, 8, 3), 1), pictures((3, 10, 8, 3), 2)
    explainer = GradCAM(pooled, batch_size=2)
    of_images, of_others = explainer.pair(images, others)
    np.testing.assert_allclose(of_images, GradCAM(pooled, target=Similarity(others)).heatmap(images), atol=1e-6)
    np.testing.assert_allclose(of_others, GradCAM(pooled, target=Similarity(images)).heatmap(others), atol=1e-6)
    # One query for several, and the explainer itself is as before.
    np.testing.assert_allclose(explainer.pair(images[:1], others)[1][0], of_others[0], atol=1e-6)
    assert explainer.target is None
    # The same as a network with two inputs, one of which is held.
    a, b = keras.Input((10, 8, 3), name="a"), keras.Input((10, 8, 3), name="b")
    two = keras.Model([a, b], keras.ops.sum(pooled(a) * pooled(b), axis=1, keepdims=True))
    held = functional(two, input="a", inputs={"b": others[0]})
    expected = heatmap(GradCAM(held)(images[:1], 0), (10, 8))
    np.testing.assert_allclose(explainer.pair(images[:1], others[:1], "dot")[0], expected, atol=1e-5)


@pytest.mark.parametrize("method", [name for name in methods.METHODS if name not in methods.OF_CLASSES])
def test_every_method_explains_a_pair(method, pooled):
    image, others = pictures((2, 10, 8, 3), 1), pictures((2, 10, 8, 3), 2)
    options = {**methods.quick_options(method, (10, 8)), **({"channels": 3} if method == "score_cam" else {})}
    explain = methods.explainer(method, pooled, target=Similarity(others), **options)
    alone = methods.explainer(method, pooled, target=Similarity(others[1]), **options)
    maps = explain(image, [1, 0])
    assert maps.any()
    np.testing.assert_allclose(maps[:1], alone(image[:1]), rtol=1e-3, atol=1e-5)


def test_deletion_counts_how_alike_they_still_are(linear):
    images, others = pictures((1, 2, 2, 3), 1), pictures((1, 2, 2, 3), 2)
    a, b = images.reshape(-1) @ MATRIX, others.reshape(-1) @ MATRIX
    curve = Deletion(linear, steps=1, baseline=0.0, target=Similarity(others))(images, np.ones((1, 2, 2)))
    expected = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    np.testing.assert_allclose(curve.probabilities, [[expected, 0]], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model, x: Similarity(x, "cosin"), "`metric`.*cosin.*cosine"),
        (lambda model, x: Similarity(x[0, 0]), r"`others` must be images.*Received: shape \[8, 3\]"),
        (lambda model, x: Similarity("a.jpg"), "`others` must be images.*Received: str"),
        (lambda model, x: GradCAM(model, target=Similarity(x[:, :4])), r"`images` must be a batch of shape"),
        (lambda model, x: GradCAM(model, target=Similarity(x))(x[:2]), "`classes` must be .*Received: 3 for 2 images"),
        (lambda model, x: Gradient(model, target=Similarity(x))(x, 3), r"`classes` must be in the range \[0, 3\)"),
        (lambda model, x: GradCAM(model).pair(x, x[:2]), "`others` must be 3 images, or one. Received: 2"),
        (lambda model, x: LayerCAM(model).pair(x, x), "`method` must be one that can explain other than a class"),
        (
            lambda model, x: GradCAM(keras.Model(model.input, model.get_layer("conv").output), target=Similarity(x)),
            r"`model` must be a network that embeds images.*Received: output \(None, 8, 6, 6\)",
        ),
    ],
)
def test_pairs_that_do_not_fit(call, message, pooled):
    with pytest.raises(UserError, match=message):
        call(pooled, pictures((3, 10, 8, 3), 1))
