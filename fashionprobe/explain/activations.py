"""What the layers of a network answer to an image: feature maps, channels that never fire, first-layer kernels."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from fashionprobe.errors import UserError
from fashionprobe.explain import functions
from fashionprobe.explain.explained_model import check_images, find_map, flat


def activations(model: keras.Model, layers: Sequence[str]) -> Callable[[np.ndarray | tf.Tensor], list[tf.Tensor]]:
    """Compile the forward pass to the feature maps of several layers: once, for batches of any size.

    Args:
        model: A functional or sequential model, with models nested to any depth.
        layers: Names of layers with a feature map, of inner models too.

    Returns:
        A function from images, float (batch, height, width, channels), values as the model takes them, to one
        float32 tensor (batch, rows, columns, channels) a layer, in the order asked.

    Raises:
        UserError: If no layer is named, or one is not there or has no feature map; on a call, if images do not fit.
    """
    if not layers:
        raise UserError("layers", expected="the name of a layer or several", received="none")
    model = flat(model)
    cut = keras.Model(model.input, [find_map(model, name).output for name in layers])

    @tf.function(autograph=False, input_signature=[tf.TensorSpec(model.input_shape, tf.float32)])
    def forward(images: tf.Tensor) -> list[tf.Tensor]:
        return [tf.cast(each, tf.float32) for each in keras.tree.flatten(cut(images, training=False))]

    return lambda images: forward(check_images(model, images))


def relu_layers(model: keras.Model) -> list[str]:
    """Return the names of the layers with a feature map that end in a ReLU or a ReLU6, from the image on.

    Args:
        model: A functional or sequential model, with models nested to any depth.

    Raises:
        UserError: If there is none.
    """
    model = flat(model)
    found = [
        layer.name for layer in model.layers
        if len(getattr(layer.output, "shape", ())) == 4
        and (functions.saturation(layer) or functions.saturation(functions.activation(layer))) is not None
    ]  # fmt: skip
    if not found:
        raise UserError("layer", expected="names of layers", received=f"relu, which {model.name} does not have")
    return found


def dead(maps: np.ndarray) -> np.ndarray:
    """Tell which channels are silent for each image: nowhere above 0.

    Args:
        maps: float (batch, rows, columns, channels).

    Returns:
        bool (batch, channels).
    """
    return np.logical_not(np.any(np.asarray(maps) > 0, axis=(1, 2)))


def kernels(model: keras.Model) -> np.ndarray:
    """Return the kernels of the first convolution as pictures.

    Zero is mid-grey in all of them, and each is scaled by its own greatest value.

    Args:
        model: A functional or sequential model whose first layer with weights is a convolution.

    Returns:
        float32 (kernels, height, width, image channels) in [0, 1], in the order of the model's image channels.

    Raises:
        UserError: If the first layer with weights is not a convolution.
    """
    model = flat(model)
    # Normalisation of the pixels comes before and has weights of its own.
    weighted = [layer for layer in model.layers if layer.weights and not isinstance(layer, keras.layers.Normalization)]
    if not weighted or not isinstance(weighted[0], keras.layers.Conv2D):
        received = f"{weighted[0].name}, a {type(weighted[0]).__name__} layer" if weighted else "no layer with weights"
        raise UserError("model", expected="one that starts with a convolution", received=received)
    kernel = np.moveaxis(np.asarray(keras.ops.convert_to_numpy(weighted[0].kernel), np.float32), -1, 0)
    greatest = np.abs(kernel).max(axis=(1, 2, 3), keepdims=True)
    return 0.5 + 0.5 * kernel / np.where(greatest > 0, greatest, 1.0)
