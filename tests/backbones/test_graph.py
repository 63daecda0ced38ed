import keras
import numpy as np
import pytest
from keras import layers

from fashionprobe.backbones.graph import absorb_scale, copy_model, flatten, fold

BATCH = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)


@pytest.fixture
def normalized():
    """A model with a normalisation behind each kind of convolution, and one behind a map that is used twice."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((32, 32, 3))
    x = layers.BatchNormalization(name="plain")(layers.Conv2D(4, 3, name="a")(inputs))
    x = layers.BatchNormalization(name="deep", scale=False)(layers.DepthwiseConv2D(3, depth_multiplier=2, name="b")(x))
    twice = layers.Conv2D(8, 1, name="c")(x)
    x = layers.Add()([twice, layers.BatchNormalization(name="kept")(twice)])
    model = keras.Model(inputs, x)
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.5, 1.5, weight.shape).astype(np.float32) for weight in model.get_weights()])
    return model


def test_fold_computes_the_same_with_fewer_layers(normalized):
    folded = fold(normalized)
    assert [layer.name for layer in folded.layers if isinstance(layer, layers.BatchNormalization)] == ["kept"]
    np.testing.assert_allclose(folded(BATCH), normalized(BATCH, training=False), rtol=2e-5)


def test_fold_by_hand():
    inputs = keras.Input((1, 1, 3))
    model = keras.Model(inputs, layers.BatchNormalization(epsilon=1.0)(layers.Conv2D(1, 1, use_bias=False)(inputs)))
    gamma, beta, mean, variance = (np.array([value]) for value in (4.0, 5.0, 2.0, 3.0))
    model.set_weights([np.ones((1, 1, 3, 1)), gamma, beta, mean, variance])
    # gamma / sqrt(variance + epsilon) = 4 / 2 = 2; beta - mean * 2 = 1
    kernel, bias = fold(model).layers[1].get_weights()
    assert (kernel.ravel().tolist(), bias.tolist()) == ([2.0, 2.0, 2.0], [1.0])


@pytest.mark.parametrize("bgr", [True, False])
def test_absorb_scale_does_the_preprocessing_of_the_pixels(normalized, bgr):
    scale = np.array([0.5, 2.0, 3.0], np.float32)
    prepared = BATCH * scale
    before = np.asarray(normalized(prepared[..., ::-1] if bgr else prepared, training=False))
    assert absorb_scale(normalized, scale.tolist(), bgr=bgr)
    np.testing.assert_allclose(normalized(BATCH, training=False), before, rtol=1e-5)


def test_absorb_scale_leaves_a_model_whose_pixels_two_layers_read():
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, layers.Add()([layers.Conv2D(3, 1)(inputs), inputs]))
    before = np.asarray(model(BATCH))
    assert not absorb_scale(model, (1.0, 2.0, 3.0), bgr=True)
    np.testing.assert_array_equal(model(BATCH), before)


def test_flatten_leaves_a_flat_model_as_it_is():
    model = keras.Model(inputs := keras.Input((32, 32, 3)), layers.Conv2D(4, 3)(inputs))
    assert flatten(model) is model


def test_copy_keeps_an_adapted_normalization():
    normalization = layers.Normalization()
    normalization.adapt(BATCH)
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, layers.Conv2D(4, 3)(normalization(inputs)))
    np.testing.assert_array_equal(copy_model(model)(BATCH), model(BATCH))
