import keras
import numpy as np
import pytest

from fashionprobe import backbones
from fashionprobe.backbones.preprocessing import PREPROCESSING


@pytest.mark.parametrize(("name", "parameters"), [("light", 6144), ("light_bn", 6084 + 4 * 60)])
def test_four_convolutions_each_halved(name, parameters):
    backbone = backbones.load(name, weights="random")
    assert backbone.size == (28, 28)
    assert backbone.model.count_params() == parameters
    outputs = [backbone.model.get_layer(tap).output for tap in backbone.taps]
    spec = keras.Model(backbone.model.input, outputs).compute_output_spec(keras.KerasTensor((1, 28, 28, 3)))
    assert [each.shape[1:] for each in spec] == [(14, 14, 4), (7, 7, 8), (3, 3, 16), (1, 1, 32)]
    assert backbone.preprocessing == PREPROCESSING["none"]


def test_colour_is_taken_out():
    model = backbones.load("light", weights="random").model
    grey = np.random.default_rng(0).uniform(0, 255, (2, 28, 28, 1)).astype(np.float32)
    # By the luminance of the channels (ITU-R BT.601).
    coloured = grey + np.array([0.587, -0.299, 0.0], np.float32) * 40
    np.testing.assert_allclose(model(coloured), model(np.repeat(grey, 3, axis=3)), atol=1e-3)
