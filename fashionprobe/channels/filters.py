"""The filters of a network's last feature map: where they are, and their maps of images."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fashionprobe.errors import UserError
from fashionprobe.explain.cam import pooled_map
from fashionprobe.explain.explained_model import check_images, flat


@dataclass(frozen=True)
class Filters:
    """The filters of a network's last feature map.

    Attributes:
        count: Number of filters.
        layer: Name of the layer whose output they are.
        weights: Length of each filter's row in the kernel of the dense layer, float (count,); None where the network
            does not end in global average pooling and one dense layer.
        maps: Function of images (batch, height, width, channels) that returns float32 (batch, rows, columns, count).
    """

    count: int
    layer: str
    weights: np.ndarray | None
    maps: Callable[[np.ndarray], np.ndarray]


def open_filters(model: keras.Model) -> Filters:
    """Find the last feature map: the one before global average pooling and a dense layer, else the last that has space.

    Args:
        model: A functional or sequential model; one image input.

    Raises:
        UserError: If the network has no feature map.
    """
    model = flat(model)
    weights = None
    try:
        dense, tensor = pooled_map(model)
        weights = np.linalg.norm(np.asarray(dense.kernel), axis=1)
    except UserError:
        tensor = _last_map(model)
    trunk: Any = keras.Model(model.input, tensor)
    # One graph for batches of any length.
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)]
    forward: Any = tf.function(
        lambda pixels: tf.cast(trunk(pixels, training=False), tf.float32), input_signature=signature, autograph=False
    )

    def maps(images: np.ndarray) -> np.ndarray:
        return forward(check_images(model, images)).numpy()

    return Filters(int(tensor.shape[-1]), tensor._keras_history.operation.name, weights, maps)


def _last_map(model: keras.Model) -> Any:
    """Return the output of the last layer with a feature map of more than one cell."""
    for layer in reversed(model.layers):
        shape = getattr(layer.output, "shape", ())
        if len(shape) == 4 and tuple(shape[1:3]) != (1, 1) and not isinstance(layer, keras.layers.InputLayer):
            return layer.output
    raise UserError("model", expected="one with a feature map (batch, height, width, channels)", received=model.name)
