import keras
import numpy as np
import pytest
from networks import KINDS, build

from fashionprobe.errors import UserError
from fashionprobe.explain.activations import activations, dead, kernels


@pytest.mark.parametrize("kind", KINDS)
def test_the_layers_asked_for_in_their_order(kind, images):
    model = build("logits")
    expected = keras.Model(model.input, [model.get_layer(name).output for name in ("third", "first")])(images)
    found = activations(build(kind), ["third", "first"])(images)
    assert [each.shape for each in found] == [(4, 8, 8, 7), (4, 16, 16, 6)]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_model_without_classes(model_path):
    model = keras.saving.load_model(model_path)
    assert activations(model, ["second"])(np.zeros((1, 8, 8, 3)))[0].shape == (1, 4, 4, 16)


def test_a_channel_that_is_nowhere_above_zero_is_dead():
    maps = np.zeros((2, 2, 2, 3))
    maps[0, 1, 0, 1] = 0.5
    maps[1, :, :, 2] = -1.0
    assert dead(maps).tolist() == [[True, False, True], [True, True, True]]


def test_kernels_have_zero_at_mid_grey():
    image = keras.Input((8, 8, 3))
    layer = keras.layers.Conv2D(2, 2)
    model = keras.Model(image, layer(keras.layers.Rescaling(2.0)(image)))
    kernel = np.zeros((2, 2, 3, 2), np.float32)
    kernel[0, 1, 2, 0] = -4.0
    kernel[1, 0, 0, 0] = 2.0
    layer.set_weights([kernel, np.ones(2)])
    found = kernels(model)
    assert found.shape == (2, 2, 2, 3)
    assert (found[0, 0, 1, 2], found[0, 1, 0, 0], found[0, 0, 0, 0]) == (0.0, 0.75, 0.5)
    assert np.all(found[1] == 0.5)


def test_a_model_that_does_not_start_with_a_convolution():
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Dense(2, name="scores")(keras.layers.Flatten()(image)))
    with pytest.raises(UserError, match=r"starts with a convolution\. Received: scores, a Dense layer"):
        kernels(model)
    with pytest.raises(UserError, match="one with a feature map"):
        activations(model, ["scores"])
