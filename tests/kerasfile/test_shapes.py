"""Shapes and numbers of weights, against what Keras says once it has built the same layer."""

import json
import math

import keras
import numpy as np
import pytest
from keras import layers, ops

from fashionprobe.kerasfile import allowed, parameters, shapes, sizes
from fashionprobe.kerasfile.archive import Header

MAP, SEQUENCE, VIDEO, VOLUME = (12, 10, 6), (7, 5), (4, 12, 10, 3), (6, 8, 10, 3)


def measured(inputs, outputs, tmp_path):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(keras.Model(inputs, outputs))))
    return sizes.measure(allowed.clean(config, tmp_path), Header(tmp_path, config, 0))


LAYERS = {
    "conv": (MAP, lambda: layers.Conv2D(8, (3, 2), strides=2)),
    "conv-same-dilated": (MAP, lambda: layers.Conv2D(8, 3, dilation_rate=2, padding="same")),
    "conv-valid-dilated": (MAP, lambda: layers.Conv2D(8, 3, dilation_rate=2)),
    "conv-groups": (MAP, lambda: layers.Conv2D(8, 3, groups=2)),
    "conv1d-causal": (SEQUENCE, lambda: layers.Conv1D(8, 3, padding="causal")),
    "conv3d": (VOLUME, lambda: layers.Conv3D(4, 2, strides=2)),
    "transposed-valid": (MAP, lambda: layers.Conv2DTranspose(8, 5, strides=2)),
    "transposed-same": (MAP, lambda: layers.Conv2DTranspose(8, 3, strides=2, padding="same")),
    "depthwise": (MAP, lambda: layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2)),
    "separable": (MAP, lambda: layers.SeparableConv2D(8, 3, padding="same")),
    "pool": (MAP, lambda: layers.MaxPooling2D(3, strides=2, padding="same")),
    "pool-default-strides": (MAP, lambda: layers.AveragePooling2D(3)),
    "adaptive": (MAP, lambda: layers.AdaptiveAveragePooling2D((3, 2))),
    "global": (MAP, lambda: layers.GlobalAveragePooling2D()),
    "global-kept": (MAP, lambda: layers.GlobalMaxPooling2D(keepdims=True)),
    "upsampling": (MAP, lambda: layers.UpSampling2D((2, 3))),
    "padding": (MAP, lambda: layers.ZeroPadding2D(((1, 0), (2, 3)))),
    "padding1d": (SEQUENCE, lambda: layers.ZeroPadding1D((1, 2))),
    "cropping": (MAP, lambda: layers.Cropping2D((1, 2))),
    "resizing": (MAP, lambda: layers.Resizing(5, 9)),
    "flatten": (MAP, lambda: layers.Flatten()),
    "reshape": (MAP, lambda: layers.Reshape((-1, 6))),
    "permute": (MAP, lambda: layers.Permute((3, 1, 2))),
    "repeat": ((5,), lambda: layers.RepeatVector(4)),
    "dense": (MAP, lambda: layers.Dense(9)),
    "embedding": ((5,), lambda: layers.Embedding(11, 3)),
    "lstm": (SEQUENCE, lambda: layers.LSTM(4)),
    "gru-sequences": (SEQUENCE, lambda: layers.GRU(4, return_sequences=True)),
    "bidirectional": (SEQUENCE, lambda: layers.Bidirectional(layers.LSTM(4, return_sequences=True))),
    "cells": (SEQUENCE, lambda: layers.RNN(layers.StackedRNNCells([layers.GRUCell(3), layers.LSTMCell(2)]))),
    "conv-lstm": (VIDEO, lambda: layers.ConvLSTM2D(4, 3, return_sequences=True)),
    "each-time": (VIDEO, lambda: layers.TimeDistributed(layers.Conv2D(4, 3))),
    "spectral": (MAP, lambda: layers.SpectralNormalization(layers.Conv2D(4, 3))),
    "einsum": (SEQUENCE, lambda: layers.EinsumDense("abc,cd->abd", output_shape=(None, 4), bias_axes="d")),
    "batch-norm": (MAP, lambda: layers.BatchNormalization()),
    "layer-norm": (MAP, lambda: layers.LayerNormalization()),
    "group-norm": (MAP, lambda: layers.GroupNormalization(2)),
    "normalization": (MAP, lambda: layers.Normalization()),
    "prelu": (MAP, lambda: layers.PReLU(shared_axes=[1, 2])),
    "softmax": (MAP, lambda: layers.Softmax()),
    "dropout": (MAP, lambda: layers.Dropout(0.5)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, tmp_path):
    shape, make = LAYERS[name]
    image = keras.Input(shape)
    layer = make()
    result = layer(image)
    graph = measured(image, result, tmp_path)
    # Keras leaves some sides open that are known.
    pairs = zip(graph.nodes[-1].shape[1:], result.shape[1:], strict=True)
    assert all(side in (mine, None) for mine, side in pairs)
    count = layer.count_params()
    assert count <= graph.weights <= 2.2 * count + 4 * shape[-1] + 60


OPERATIONS = {
    "arithmetic": lambda x: (x * 2 + ops.ones((10, 1))) / 3,
    "mean": lambda x: ops.mean(x, axis=(1, 2)),
    "mean-kept": lambda x: ops.max(x, axis=-1, keepdims=True),
    "reshape": lambda x: ops.reshape(x, (-1, 60, 12)),
    "transpose": lambda x: ops.transpose(x, (0, 3, 1, 2)),
    "swap": lambda x: ops.swapaxes(x, 1, 2),
    "move": lambda x: ops.moveaxis(x, 3, 1),
    "expand": lambda x: ops.expand_dims(x, 2),
    "squeeze": lambda x: ops.squeeze(x[:, :1], 1),
    "concatenate": lambda x: ops.concatenate([x, x[:, :3]], 1),
    "stack": lambda x: ops.stack([x, x, x], 1),
    "split": lambda x: ops.split(x, [2, 5], axis=1)[1] * 2,
    "item": lambda x: x[:, 2:9:2, ..., 0],
    "item-new-axis": lambda x: x[:, None, 3],
    "pad": lambda x: ops.pad(x, [[0, 0], [1, 2], [3, 0], [0, 0]]),
    "resize": lambda x: ops.image.resize(x, (24, 30)),
    "tile": lambda x: ops.tile(x, (1, 2, 1, 3)),
    "repeat": lambda x: ops.repeat(x, 3, axis=2),
    "matmul": lambda x: ops.matmul(x, np.ones((6, 4), np.float32)),
    "einsum": lambda x: ops.einsum("bhwc,cd->bhwd", x, np.ones((6, 9), np.float32)),
    "broadcast": lambda x: ops.broadcast_to(x[:, :1, :1, :1], (1, 12, 10, 6)),
    "where": lambda x: ops.where(x > 0, x, 0.0),
    "depth-to-space": lambda x: ops.nn.depth_to_space(x[..., :4], 2) if hasattr(ops.nn, "depth_to_space") else x,
    "pool": lambda x: ops.nn.max_pool(x, 2, 2),
    "softmax": lambda x: ops.softmax(ops.relu(x)),
    "grey": lambda x: ops.image.rgb_to_grayscale(x[..., :3]),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name, tmp_path):
    image = keras.Input(MAP)
    result = OPERATIONS[name](image)
    graph = measured(image, result, tmp_path)
    assert graph.is_measured
    assert graph.nodes[-1].shape[1:] == tuple(result.shape[1:])


@pytest.mark.parametrize(
    "name", ["ConvNeXtTiny", "DenseNet121", "EfficientNetV2B0", "MobileNetV3Small", "NASNetMobile", "ResNet50V2"]
)
def test_networks_of_keras_applications(name, tmp_path):
    model = getattr(keras.applications, name)(weights=None, input_shape=(224, 224, 3))
    graph = measured(model.input, model.output, tmp_path)
    assert graph.is_measured
    known = {node.name: node.shape for node in graph.nodes}
    plain = [layer for layer in model.layers if not isinstance(layer, keras.Model)]
    assert {layer.name: (1, *layer.output.shape[1:]) for layer in plain}.items() <= known.items()
    assert model.count_params() <= graph.weights < 1.02 * model.count_params()


def test_lists_where_numbers_belong_are_not_repeated():
    for config in ({"filters": [1], "kernel_size": 1}, {"filters": True, "kernel_size": 1}):
        with pytest.raises(TypeError):
            parameters.weights("Conv2D", config, (1, 9, 9, 10**9))
    with pytest.raises(TypeError):
        shapes.output("Reshape", {"target_shape": [10**9, [1, 2]]}, [(1, 4)], is_operation=False)
    with pytest.raises(TypeError):
        shapes.output("Dense", {"units": "9"}, [(1, 4)], is_operation=False)


def test_a_huge_split_takes_no_memory():
    parts = shapes.output("Split", {"axis": 1, "indices_or_sections": 10**12}, [(1, 4)], is_operation=True)
    assert len(parts) == 4
    assert math.prod(parts[0]) == 0
