"""One forward pass -> the global-average-pooled descriptors of the chosen blocks."""

from collections.abc import Callable, Sequence
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from fashionprobe.backbones import Backbone, copy_model
from fashionprobe.errors import UserError

Extractor = Callable[[tf.Tensor], list[tf.Tensor]]
Precision = Literal["float32", "bfloat16", "float16"]


def extractor(
    backbone: Backbone, blocks: Sequence[int], *, precision: Precision = "float32", xla: bool = False
) -> Extractor:
    """Compile the forward pass that computes the descriptors of these blocks.

    The graph ends at the deepest block asked for. Its variables are frozen into constants, which lets TensorFlow fold
    batch normalisation into the convolutions. The backbone's own model is not touched.

    Args:
        backbone: The backbone.
        blocks: Block numbers, 1 to `len(backbone.taps)`.
        precision: Type of the convolutions; pooling is always float32, because float16 sums overflow.
        xla: Compile with XLA; pays off for many batches of one size.

    Returns:
        A function from RGB images, float32 (batch, height, width, 3) in [0, 255], to one float32 (batch, channels)
        tensor for each block, in the order asked.

    Raises:
        UserError: If a block is not there.
    """
    for block in blocks:
        if not 1 <= block <= len(backbone.taps):
            raise UserError(
                "block", expected=f"in 1 to {len(backbone.taps)} for {backbone.name}", received=block,
                remedy="Leave --block out for all of them.",
            )  # fmt: skip
    model = _inference_copy(backbone, blocks, precision)
    mean = tf.constant(backbone.preprocessing.mean, tf.float32)
    scale = tf.constant(backbone.preprocessing.scale, tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((None, *backbone.size, 3), tf.float32)])
    def forward(images: tf.Tensor) -> list[tf.Tensor]:
        maps = keras.tree.flatten(model((images - mean) * scale, training=False))
        return [tf.reduce_mean(tf.cast(feature_map, tf.float32), axis=(1, 2)) for feature_map in maps]

    # TensorFlow offers no public name for freezing a concrete function; this one has been stable since 2.0.
    frozen = convert_variables_to_constants_v2(forward.get_concrete_function())
    return tf.function(lambda images: frozen(images), jit_compile=True) if xla else frozen


def channels(backbone: Backbone, blocks: Sequence[int]) -> list[int]:
    """Return the number of channels of each block's tap."""
    return [int(backbone.model.get_layer(backbone.taps[block - 1]).output.shape[-1]) for block in blocks]


def _inference_copy(backbone: Backbone, blocks: Sequence[int], precision: Precision) -> keras.Model:
    """Copy the part of the model that the blocks need, in this precision, taking RGB."""
    outputs = [backbone.model.get_layer(backbone.taps[block - 1]).output for block in blocks]
    cut = keras.Model(backbone.model.input, outputs)
    model = copy_model(cut, dtype=precision if precision == "float32" else f"mixed_{precision}")
    if not backbone.preprocessing.bgr:
        return model
    kernel = _first_kernel(model)
    if kernel is None:
        reverse = keras.layers.Lambda(lambda images: images[..., ::-1])
        inputs = keras.Input(model.input_shape[1:])
        return keras.Model(inputs, model(reverse(inputs)))
    # Reversing the channels of every image costs several times the input pipeline; reversing one kernel costs nothing.
    kernel.assign(np.asarray(kernel)[:, :, ::-1, :])
    return model


def _first_kernel(model: keras.Model) -> keras.Variable | None:
    """Return the kernel of the one convolution that reads the pixels, or None when another layer does."""
    consumers = [
        layer
        for layer in model.layers
        if not isinstance(layer, keras.layers.InputLayer | keras.layers.ZeroPadding2D)
        and any(_reads_pixels(tensor) for tensor in keras.tree.flatten(layer.input))
    ]
    if len(consumers) == 1 and type(consumers[0]) is keras.layers.Conv2D:
        return consumers[0].kernel
    return None


def _reads_pixels(tensor: keras.KerasTensor) -> bool:
    source = tensor._keras_history.operation
    while isinstance(source, keras.layers.ZeroPadding2D):
        source = source.input._keras_history.operation
    return isinstance(source, keras.layers.InputLayer)
