"""The nets to be trained from scratch: the maps, filters and reach that they promise, and how they are loaded."""

import keras
import numpy as np
import pytest

from fashionprobe import backbones
from fashionprobe.backbones import blocks, nets
from fashionprobe.backbones.preprocessing import PREPROCESSING
from fashionprobe.errors import UserError


def maps(name):
    backbone = backbones.load(name, weights="random")
    outputs = [backbone.model.get_layer(tap).output for tap in backbone.taps]
    spec = keras.Model(backbone.model.input, outputs).compute_output_spec(keras.KerasTensor((1, *backbone.size, 3)))
    return backbone, [tuple(each.shape[1:]) for each in spec]


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("residual", 224, [(224, 224, 64), (112, 112, 64), (56, 56, 64), (28, 28, 64), (14, 14, 64)]),
        ("vgg_residual", 224, [(224, 224, 16), (112, 112, 24), (56, 56, 32), (28, 28, 48), (14, 14, 64)]),
        ("vgg_plain", 72, [(72, 72, 16), (36, 36, 32), (18, 18, 64)]),
        ("sketch", 128, [(128, 128, 64), (64, 64, 64), (32, 32, 64), (16, 16, 64), (16, 16, 64)]),
        ("symbol", 72, [(72, 72, 16), (36, 36, 32), (18, 18, 48), (18, 18, 64)]),
    ],
)
def test_blocks_have_the_maps_of_the_thesis(name, size, expected):
    backbone, shapes = maps(name)
    assert backbone.size == (size, size)
    assert shapes == expected
    assert backbone.taps == tuple(f"block{number + 1}_out" for number in range(len(expected)))
    assert backbone.preprocessing == PREPROCESSING["none"]


@pytest.mark.parametrize("name", ["residual", "sketch"])
def test_each_large_block_convolves_with_three_sizes_and_skips(name):
    model = nets.NETS[name][0]()
    kernels = [layer.kernel_size[0] for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    # The one of size 1 brings the three channels of the image to the width of the first skip connection.
    assert sorted(kernels) == [1, *[3] * 5, *[4] * 5, *[5] * 5]
    assert {layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D)} == {64}
    assert sum(isinstance(layer, keras.layers.Add) for layer in model.layers) == 5


def kinds(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


def test_the_net_of_the_animals_has_two_convolutions_a_block_with_normalisation_and_sums():
    model = nets.NETS["vgg_residual"][0]()
    three = [layer for layer in kinds(model, keras.layers.Conv2D) if layer.kernel_size == (3, 3)]
    assert [layer.filters for layer in three] == [16, 16, 24, 24, 32, 32, 48, 48, 64, 64]
    assert len(kinds(model, keras.layers.Add)) == 5
    assert len(kinds(model, keras.layers.BatchNormalization)) == len(kinds(model, keras.layers.Conv2D))


def test_the_net_of_the_symbols_has_neither_normalisation_nor_sums():
    model = nets.NETS["vgg_plain"][0]()
    assert [layer.kernel_size for layer in kinds(model, keras.layers.Conv2D)] == [(3, 3)] * 6
    assert not kinds(model, keras.layers.Add) and not kinds(model, keras.layers.BatchNormalization)


def multiplications(model, size):
    total, shape = 0, keras.KerasTensor((1, *size, 3))
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    spec = keras.Model(model.input, [layer.output for layer in layers]).compute_output_spec(shape)
    for layer, output in zip(layers, spec, strict=True):
        total += int(np.prod(output.shape[1:3])) * int(np.prod(layer.kernel.shape))
    return total


def test_the_symbol_net_is_cheap():
    assert multiplications(nets.fine_maps.symbol(), (72, 72)) == pytest.approx(27e6, rel=0.02)


def test_a_cell_of_the_symbol_net_sees_26_pixels():
    """By the gradient of one cell of the last map with respect to the image, on positive weights."""
    import tensorflow as tf

    model = nets.fine_maps.symbol()
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.set_weights([np.full(layer.kernel.shape, 0.01, np.float32)])
    # On one grey every pixel of a pooled square is the largest; else the gradient would see only one.
    image = tf.Variable(np.random.default_rng(0).uniform(0, 200, (40, 72, 72, 3)).astype(np.float32))
    with tf.GradientTape() as tape:
        cell = tf.reduce_sum(model(image, training=False)[:, 9, 9])
    reached = (np.asarray(tape.gradient(cell, image)) != 0).any(axis=(0, 3))
    rows, columns = np.flatnonzero(reached.any(axis=1)), np.flatnonzero(reached.any(axis=0))
    assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == 26


def test_white_paper_is_zero_inside():
    for name in ("sketch", "symbol"):
        rescaling = nets.NETS[name][0]().get_layer("rescaling")
        np.testing.assert_allclose(rescaling(np.array([255.0, 0.0])), [0, 1], atol=1e-6)


def test_the_seed_draws_the_weights():
    first, again, other = (backbones.load("symbol", weights="random", seed=seed) for seed in (1, 1, 2))
    assert first.weights_sha256 == again.weights_sha256 != other.weights_sha256
    assert first.weights == "random, seed 1"


def test_weights_are_loaded_from_a_file(tmp_path):
    first = backbones.load("symbol", weights="random", seed=3)
    first.model.save_weights(tmp_path / "symbol.weights.h5")
    again = backbones.load("symbol", weights=str(tmp_path / "symbol.weights.h5"))
    assert again.weights_sha256 == first.weights_sha256


@pytest.mark.parametrize("weights", ["pretrained", "imagenet"])
def test_weights_that_are_not_there_are_refused(weights):
    with pytest.raises(UserError) as caught:
        backbones.load("symbol", weights=weights)
    assert str(caught.value) == (
        "`weights` must be 'random' or a path for symbol, which has no weights of its own. "
        f"Received: {weights}. Pass --weights random and train it."
    )


def test_a_wrong_name_suggests_the_net():
    with pytest.raises(UserError, match="Did you mean 'symbol'"):
        backbones.load("symbols", weights="random")


def test_the_blocks_are_found_by_their_names_in_a_model_of_another_name():
    """As in the file of a trained net: by the reductions alone two of its blocks would be one."""
    assert blocks.find_taps(nets.fine_maps.symbol(), (72, 72)) == ("block1_out", "block2_out", "block4_out")
    assert blocks.choose_taps(nets.fine_maps.symbol(), None, (72, 72)) == blocks.TAPS["symbol"]
