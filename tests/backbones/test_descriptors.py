"""Descriptors against numbers worked by hand and against Keras and NumPy."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from fashionprobe.backbones import Backbone, load
from fashionprobe.backbones.blocks import find_taps
from fashionprobe.backbones.descriptors import channels, extractor
from fashionprobe.backbones.pooling import Pooling
from fashionprobe.backbones.preprocessing import PREPROCESSING, Preprocessing
from fashionprobe.errors import UserError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 32, 32, 3)).astype(np.float32)
ODD = Preprocessing(mean=(120.0, 110.0, 100.0), scale=(0.02, 0.01, 0.03), bgr=True)


def backbone(model, *, taps=None, preprocessing=PREPROCESSING["none"], size=(32, 32)):
    return Backbone("small", model, taps or find_taps(model, size), preprocessing, size, "of the test", "")


def trained(model):
    """Give every weight a value of its own, so that nothing cancels; variances stay positive."""
    rng = np.random.default_rng(1)
    for variable in model.variables:
        start = rng.uniform(0.5, 1.5, variable.shape)
        variable.assign(start if len(variable.shape) == 1 else (start - 1) / np.prod(variable.shape[:-1]) ** 0.5)
    return model


def chain(*parts, size=(32, 32)):
    inputs = x = keras.Input((*size, 3))
    for part in parts:
        x = part(x)
    return trained(keras.Model(inputs, x))


def block(number, filters=8, **options):
    yield layers.Conv2D(filters, 3, padding="same", name=f"conv{number}", **options)
    yield layers.BatchNormalization(name=f"norm{number}")
    yield layers.ReLU(name=f"relu{number}")


def expected(probed, images=IMAGES):
    """The descriptors by Keras's own forward pass and NumPy."""
    maps = keras.Model(probed.model.input, [probed.model.get_layer(tap).output for tap in probed.taps])
    found = keras.tree.flatten(maps(probed.preprocessing(images), training=False))
    return [np.asarray(feature_map, np.float64).mean(axis=(1, 2)) for feature_map in found]


def relative(found, wanted):
    return max(
        float(np.linalg.norm(np.asarray(one) - other) / np.linalg.norm(other))
        for one, other in zip(found, wanted, strict=True)
    )


def everything(probed):
    return list(range(1, len(probed.taps) + 1))


def operations(forward):
    return [operation.name for operation in forward.graph.get_operations()]


def test_one_convolution_worked_by_hand():
    model = keras.Sequential([keras.Input((2, 2, 3)), layers.Conv2D(2, 1, activation="relu", name="conv")])
    model = keras.Model(model.inputs, model.outputs)
    # Channel 0 is red less blue, channel 1 twice green plus 1.
    kernel = np.array([[1, 0], [0, 2], [-1, 0]], np.float32)[None, None]
    model.set_weights([kernel, np.array([0, 1], np.float32)])
    image = np.array([[[[9, 1, 5], [2, 0, 8]], [[4, 3, 4], [7, 2, 1]]]], np.float32)
    (found,) = extractor(backbone(model, taps=("conv",), size=(2, 2)), [1])(tf.constant(image))
    # Red less blue: 4, -6 (cut to 0), 0, 6. Twice green plus 1: 3, 1, 7, 5.
    assert found.numpy().tolist() == [[2.5, 4.0]]
    # With blue first the same kernel sees blue less red: -4, 6, 0, -6.
    reverse = backbone(model, taps=("conv",), size=(2, 2), preprocessing=Preprocessing(bgr=True))
    assert extractor(reverse, [1])(tf.constant(image))[0].numpy().tolist() == [[1.5, 4.0]]


def test_two_convolutions_and_a_normalisation_worked_by_hand():
    inputs = keras.Input((2, 2, 3))
    x = layers.Conv2D(1, 1, name="first")(inputs)
    x = layers.BatchNormalization(epsilon=0.0, name="norm")(x)
    model = keras.Model(inputs, layers.Conv2D(1, 2, name="second")(layers.ReLU(name="relu")(x)))
    model.get_layer("first").set_weights([np.ones((1, 1, 3, 1)), np.array([1.0])])
    # Gamma 3, beta 1, mean 11, variance 4: the map x becomes 3 (x - 11) / 2 + 1.
    model.get_layer("norm").set_weights([np.array([value]) for value in (3.0, 1.0, 11.0, 4.0)])
    model.get_layer("second").set_weights([np.array([[1.0, 2.0], [3.0, 4.0]])[:, :, None, None], np.array([-5.0])])
    image = np.array([[[[1, 2, 3], [4, 4, 4]], [[0, 0, 0], [5, 5, 6]]]], np.float32)
    # Sums plus 1: 7, 13, 1, 17; normalised -5, 4, -14, 10; rectified 0, 4, 0, 10; mean 3.5.
    # Second: 0 * 1 + 4 * 2 + 0 * 3 + 10 * 4 - 5 = 43.
    probed = backbone(model, taps=("relu", "second"), size=(2, 2))
    first, second = extractor(probed, [1, 2])(tf.constant(image))
    assert first.numpy() == pytest.approx(np.array([[3.5]]), rel=1e-6)
    assert second.numpy() == pytest.approx(np.array([[43.0]]), rel=1e-6)


@pytest.mark.slow
def test_resnet50_equals_keras_and_numpy():
    probed = load("resnet50", weights="random", size=(64, 64))
    trained_alike = np.random.default_rng(2)
    for variable in probed.model.variables:
        if len(variable.shape) == 1:
            variable.assign(np.asarray(variable) + trained_alike.uniform(-0.2, 0.2, variable.shape))
    images = RNG.integers(0, 256, (3, 64, 64, 3)).astype(np.float32)
    forward = extractor(probed, [1, 2, 3, 4, 5])
    found = forward(tf.constant(images))
    assert [tensor.shape[1] for tensor in found] == channels(probed, [1, 2, 3, 4, 5]) == [64, 256, 512, 1024, 2048]
    assert relative(found, expected(probed, images)) < 1e-5
    # All batch normalisation is gone, and no image is reversed.
    assert not any("_bn" in name for name in operations(forward))
    assert not any("Reverse" in name for name in operations(forward))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}, {"scale": False, "center": False}])
def test_batch_normalisation_is_folded(bias, options):
    model = chain(
        layers.Conv2D(4, 3, use_bias=bias), layers.BatchNormalization(**options), layers.ReLU(),
        layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=bias), layers.BatchNormalization(**options),
    )  # fmt: skip
    probed = backbone(model, taps=tuple(layer.name for layer in model.layers[2::2]), preprocessing=ODD)
    forward = extractor(probed, [1, 2])
    assert relative(forward(tf.constant(IMAGES)), expected(probed)) < 1e-5
    assert not any("normalization" in name for name in operations(forward))


def branching(kind):
    """Models in which a batch normalisation must not be folded."""
    inputs = keras.Input((32, 32, 3))
    activation = "relu" if kind == "activation" else None
    x = layers.Conv2D(4, 3, padding="same", name="conv", activation=activation)(inputs)
    y = layers.BatchNormalization(name="norm")(x)
    if kind == "shared":
        y = layers.Add(name="sum")([x, y])
    if kind == "pooled":
        y = layers.BatchNormalization(name="more")(layers.MaxPooling2D()(y))
    return trained(keras.Model(inputs, layers.Conv2D(5, 3, name="last")(y)))


@pytest.mark.parametrize("kind", ["shared", "activation", "asked", "pooled"])
def test_batch_normalisation_that_cannot_be_folded(kind):
    taps = ("conv", "norm", "last") if kind == "asked" else ("norm", "last")
    probed = backbone(branching(kind), taps=taps, preprocessing=ODD)
    assert relative(extractor(probed, everything(probed))(tf.constant(IMAGES)), expected(probed)) < 1e-5


def two_readers():
    inputs = keras.Input((32, 32, 3))
    both = layers.Concatenate(name="both")(
        [layers.Conv2D(2, 3, padding="same", name="one")(inputs), layers.Conv2D(2, 5, padding="same")(inputs)]
    )
    return trained(keras.Model(inputs, both))


def convolution_and_arithmetic():
    inputs = keras.Input((32, 32, 3))
    convolved = layers.Conv2D(3, 3, padding="same", name="conv")(inputs)
    return trained(keras.Model(inputs, layers.ReLU(name="sum")(convolved + inputs * 2.0)))


FIRST = {
    "convolution": lambda: chain(*block(1)),
    "padding, then convolution": lambda: chain(layers.ZeroPadding2D(2), layers.Conv2D(4, 5, strides=2)),
    "depthwise": lambda: chain(layers.DepthwiseConv2D(3), layers.ReLU()),
    "separable": lambda: chain(layers.SeparableConv2D(6, 3)),
    "normalisation": lambda: chain(layers.BatchNormalization(), *block(1)),
    "pooling": lambda: chain(layers.AveragePooling2D(2), *block(1)),
    "rescaling": lambda: chain(layers.Rescaling(0.1), *block(1)),
    "groups": lambda: chain(layers.Conv2D(6, 3, groups=3)),
    "two readers": two_readers,
    "convolution and arithmetic": convolution_and_arithmetic,
    "arithmetic": lambda: chain(lambda pixels: pixels * 2.0 + 1.0, *block(1)),
    "the padded image itself": lambda: chain(layers.ZeroPadding2D(1, name="padded"), layers.Conv2D(4, 3)),
}


@pytest.mark.parametrize("kind", FIRST)
def test_blue_first_whatever_reads_the_pixels(kind):
    model = FIRST[kind]()
    taps = ("padded", model.layers[-1].name) if kind == "the padded image itself" else (model.layers[-1].name,)
    probed = backbone(model, taps=taps, preprocessing=ODD)
    assert relative(extractor(probed, everything(probed))(tf.constant(IMAGES)), expected(probed)) < 1e-5


def test_group_normalisation_and_any_size():
    model = chain(
        layers.Conv2D(8, 3, padding="same", name="conv1"), layers.GroupNormalization(4), layers.ReLU(),
        layers.MaxPooling2D(), layers.Conv2D(6, 3, name="conv2"), layers.GroupNormalization(-1), size=(None, None),
    )  # fmt: skip
    probed = backbone(model)
    assert len(probed.taps) == 2
    assert relative(extractor(probed, [1, 2])(tf.constant(IMAGES)), expected(probed)) < 1e-5
    smaller = backbone(model, size=(20, 24))
    assert (
        relative(extractor(smaller, [1, 2])(tf.constant(IMAGES[:, :20, :24])), expected(smaller, IMAGES[:, :20, :24]))
        < 1e-5
    )


def test_tokens_are_averaged():
    image = keras.Input((32, 32, 3))
    x = layers.Reshape((-1, 8))(layers.Conv2D(8, 8, strides=8, name="patches")(image))
    model = keras.Model(image, layers.Add(name="out")([x, layers.MultiHeadAttention(2, 4)(x, x)]))
    probed = backbone(trained(model))
    tokens = np.asarray(model(IMAGES), np.float64)
    poolings = (Pooling(), Pooling("mean_std"))
    mean, both = extractor(probed, [1], poolings=poolings)(tf.constant(IMAGES))
    np.testing.assert_allclose(mean, tokens.mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(both, np.hstack([tokens.mean(axis=1), tokens.std(axis=1)]), rtol=1e-3)
    with pytest.raises(UserError, match=r"`region` must be whole for tokens.*Received: centre for out"):
        extractor(probed, [1], poolings=[Pooling("mean", "centre")])


def test_the_first_convolution_as_tap():
    probed = backbone(chain(*block(1)), taps=("conv1", "relu1"), preprocessing=ODD)
    assert relative(extractor(probed, [1, 2])(tf.constant(IMAGES)), expected(probed)) < 1e-5


def test_adapted_normalization_is_kept():
    normalization = layers.Normalization()
    normalization.adapt(IMAGES)
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, layers.Conv2D(4, 3)(normalization(inputs)))
    probed = backbone(model, taps=(model.layers[-1].name,))
    assert relative(extractor(probed, [1])(tf.constant(IMAGES)), expected(probed)) < 1e-5


def deep():
    return chain(*block(1), layers.MaxPooling2D(), *block(2), layers.MaxPooling2D(), *block(3, use_bias=False))


def test_the_graph_ends_at_the_deepest_block():
    probed = backbone(deep())
    assert probed.taps == ("relu1", "relu2", "relu3")
    names = operations(extractor(probed, [1]))
    assert any("conv1" in name for name in names)
    assert not any("conv2" in name or "conv3" in name or "pool" in name for name in names)
    assert not any("conv3" in name for name in operations(extractor(probed, [2, 1])))


def test_blocks_come_in_the_order_asked():
    probed = backbone(deep())
    ones, threes = extractor(probed, [1])(tf.constant(IMAGES))[0], extractor(probed, [3])(tf.constant(IMAGES))[0]
    found = extractor(probed, [3, 1])(tf.constant(IMAGES))
    np.testing.assert_allclose(found[0], threes, rtol=1e-5)
    np.testing.assert_allclose(found[1], ones, rtol=1e-5)


def test_the_users_model_is_unchanged():
    model = deep()
    config, weights = model.get_config(), model.get_weights()
    nodes = [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in model.layers]
    extractor(backbone(model, preprocessing=ODD), [1, 2], precision="bfloat16")(tf.constant(IMAGES))
    assert model.get_config() == config
    assert [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in model.layers] == nodes
    assert all((one == other).all() for one, other in zip(model.get_weights(), weights, strict=True))


def test_pythons_random_numbers_are_left_alone():
    probed = backbone(deep())
    state = random.getstate()
    extractor(probed, [1])
    assert random.getstate() == state


def test_an_image_is_described_alike_in_any_batch():
    forward = extractor(backbone(deep(), preprocessing=ODD), [1, 2, 3])
    together = forward(tf.constant(IMAGES))
    alone = [forward(tf.constant(IMAGES[row : row + 1])) for row in range(len(IMAGES))]
    for place, found in enumerate(together):
        single = np.concatenate([one[place] for one in alone])
        np.testing.assert_allclose(found, single, rtol=1e-5, atol=1e-5 * np.abs(single).max())


def test_bfloat16_is_within_a_hundredth():
    probed = backbone(deep(), preprocessing=PREPROCESSING["tf"])
    exact = [tensor.numpy() for tensor in extractor(probed, [1, 2, 3])(tf.constant(IMAGES))]
    coarse = extractor(probed, [1, 2, 3], precision="bfloat16")(tf.constant(IMAGES))
    assert all(tensor.dtype == tf.float32 for tensor in coarse)
    assert 1e-6 < relative(coarse, exact) < 0.01


def test_float16_does_not_overflow_in_pooling():
    model = chain(layers.Conv2D(2, 1, name="conv"))
    # Activations near 30,000: float16 holds one of them, but not the sum of three.
    model.set_weights([np.full((1, 1, 3, 2), 40.0), np.zeros(2)])
    probed = backbone(model, taps=("conv",))
    bright = tf.constant(IMAGES * 0.2 + 204)
    (found,) = extractor(probed, [1], precision="float16")(bright)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, expected(probed, bright.numpy())[0], rtol=0.01)


def test_xla_computes_the_same():
    probed = backbone(deep(), preprocessing=ODD)
    found = extractor(probed, [1, 2, 3], xla=True)(tf.constant(IMAGES))
    assert relative(found, expected(probed)) < 1e-5


@pytest.mark.parametrize("number", [0, 4])
def test_block_out_of_range(number):
    with pytest.raises(UserError) as caught:
        extractor(backbone(deep()), [1, number])
    assert str(caught.value) == (
        f"`block` must be in 1 to 3 for small. Received: {number}. Leave --block out for all of them."
    )
