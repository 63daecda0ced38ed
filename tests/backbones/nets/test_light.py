import keras
import numpy as np
import pytest

from fashionprobe import backbones
from fashionprobe.backbones.preprocessing import PREPROCESSING
from fashionprobe.errors import UserError
from fashionprobe.siamese.embedder import embedder


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


def test_the_light_model_is_that_of_table_4():
    backbone = backbones.load("light_model", weights="random")
    model = embedder(backbone, 2, pooling="flatten")
    skipped = ("InputLayer", "Rescaling", "RGBToGrayscale")
    kinds = [type(layer).__name__ for layer in model.operations if type(layer).__name__ not in skipped]
    assert kinds == ["Conv2D", "ReLU"] * 4 + ["MaxPooling2D", "Flatten", "Dense"]
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.kernel.shape for layer in convolutions] == [(3, 3, 1, 4), (3, 3, 4, 8), (3, 3, 8, 16), (3, 3, 16, 32)]
    assert model.get_layer("flat").output.shape == (None, 3200)
    assert model.count_params() == 12_546
    outputs = [backbone.model.get_layer(tap).output for tap in backbone.taps]
    spec = keras.Model(backbone.model.input, outputs).compute_output_spec(keras.KerasTensor((1, 28, 28, 3)))
    assert [each.shape[1:] for each in spec] == [(26, 26, 4), (24, 24, 8), (22, 22, 16), (10, 10, 32)]


def test_the_light_model_computes_what_numpy_does():
    model = embedder(backbones.load("light_model", weights="random", size=(12, 13), seed=3), 2, pooling="flatten")
    images = np.random.default_rng(0).uniform(0, 255, (2, 12, 13, 3)).astype(np.float32)
    maps = (images.astype(float) / 255 @ [0.2989, 0.587, 0.114])[..., None]
    for number in range(1, 5):
        kernel, bias = model.get_layer(f"block{number}_conv").get_weights()
        windows = np.lib.stride_tricks.sliding_window_view(maps, (3, 3), axis=(1, 2))
        maps = np.maximum(np.einsum("bhwcij,ijcf->bhwf", windows, kernel) + bias, 0)
    assert maps.shape == (2, 4, 5, 32)
    # The fifth column has no neighbour to be pooled with.
    pooled = maps[:, :, :4].reshape(2, 2, 2, 2, 2, 32).max(axis=(2, 4))
    kernel, bias = model.get_layer("embedding").get_weights()
    np.testing.assert_allclose(model(images), pooled.reshape(2, -1) @ kernel + bias, rtol=1e-4, atol=1e-6)


def test_ten_pixels_are_enough_for_the_light_model_and_nine_are_not():
    for side, parameters in ((10, 6144 + 32 * 2 + 2), (11, 6144 + 32 * 2 + 2), (12, 6144 + 4 * 32 * 2 + 2)):
        backbone = backbones.load("light_model", weights="random", size=(side, side))
        assert embedder(backbone, 2, pooling="flatten").count_params() == parameters
    for side in (9, 8):
        with pytest.raises(UserError, match=rf"`size` must be large enough for light_model. Received: \[{side}, "):
            backbones.load("light_model", weights="random", size=(side, side))
