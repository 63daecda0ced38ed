"""One forward pass -> the global-average-pooled descriptors of the chosen blocks."""

from collections.abc import Callable, Sequence
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from fashionprobe.backbones import Backbone, copy_model, copy_weights, kept_random_state
from fashionprobe.errors import UserError

Extractor = Callable[[tf.Tensor], list[tf.Tensor]]
Precision = Literal["float32", "bfloat16", "float16"]


@kept_random_state()
def extractor(
    backbone: Backbone, blocks: Sequence[int], *, precision: Precision = "float32", xla: bool = False
) -> Extractor:
    """Compile the forward pass that computes the descriptors of these blocks.

    The graph ends at the deepest block asked for. Batch normalisation is folded into the convolutions, and variables
    are frozen into constants. The backbone's own model is not touched.

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
    # Reversing the channels of every image costs several times the input pipeline; reversing one kernel costs nothing.
    reverse = backbone.preprocessing.bgr and not _reverse_first_kernel(model)
    mean = tf.constant(backbone.preprocessing.mean, tf.float32)
    scale = tf.constant(backbone.preprocessing.scale, tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((None, *backbone.size, 3), tf.float32)])
    def forward(images: tf.Tensor) -> list[tf.Tensor]:
        pixels = (images - mean) * scale
        maps = keras.tree.flatten(model(tf.reverse(pixels, [-1]) if reverse else pixels, training=False))
        return [tf.reduce_mean(tf.cast(feature_map, tf.float32), axis=(1, 2)) for feature_map in maps]

    # TensorFlow offers no public name for freezing a concrete function; this one has been stable since 2.0.
    frozen = convert_variables_to_constants_v2(forward.get_concrete_function())
    return tf.function(lambda images: frozen(images), jit_compile=True) if xla else frozen


def channels(backbone: Backbone, blocks: Sequence[int]) -> list[int]:
    """Return the number of channels of each block's tap."""
    return [int(backbone.model.get_layer(backbone.taps[block - 1]).output.shape[-1]) for block in blocks]


def _inference_copy(backbone: Backbone, blocks: Sequence[int], precision: Precision) -> keras.Model:
    """Copy the part of the model that the blocks need, in this precision, batch normalisation folded."""
    outputs = [backbone.model.get_layer(backbone.taps[block - 1]).output for block in blocks]
    cut = keras.Model(backbone.model.input, outputs)
    return _fold(copy_model(cut, dtype=precision if precision == "float32" else f"mixed_{precision}"))


def _fold(model: keras.Model) -> keras.Model:
    """Fold each batch normalisation that follows a convolution into the kernel and bias of that convolution.

    TensorFlow's own optimiser does so only where the convolution has no bias and the normalisation no shift.

    Args:
        model: A functional model whose layers serve no other.

    Returns:
        A copy that computes the same.
    """
    folded = {}
    for layer in model.layers:
        if type(layer) is keras.layers.BatchNormalization and layer.axis in (-1, 3):
            source = layer.input._keras_history.operation
            if _is_foldable(source) and all(output is not source.output for output in model.outputs):
                folded[source.name] = layer
    dropped = {layer.name for layer in folded.values()}

    def copy(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if layer.name in folded:
            config["use_bias"] = True
        return layer.__class__.from_config(config)

    def call(layer: keras.Layer, *args, **kwargs):
        return args[0] if layer.name in dropped else layer(*args, **kwargs)

    copied = keras.models.clone_model(model, clone_function=copy, call_function=call)
    for layer in model.layers:
        if layer.name in folded:
            copied.get_layer(layer.name).set_weights(_folded_weights(layer, folded[layer.name]))
        elif layer.weights and layer.name not in dropped:
            copy_weights(layer, copied.get_layer(layer.name))
    return copied


def _is_foldable(layer: keras.Layer) -> bool:
    """Return whether a layer is a plain convolution that only one other layer reads."""
    return (
        type(layer) in (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
        and layer.activation is keras.activations.linear
        and len(layer._inbound_nodes) == len(layer._outbound_nodes) == 1
    )


def _folded_weights(convolution: keras.Layer, normalization: keras.Layer) -> list[np.ndarray]:
    """Return the kernel and bias of a convolution that does the work of the normalisation after it."""
    kernel, *bias = (weight.astype(np.float64) for weight in convolution.get_weights())
    factor = 1 / np.sqrt(np.asarray(normalization.moving_variance, np.float64) + normalization.epsilon)
    if normalization.gamma is not None:
        factor *= np.asarray(normalization.gamma, np.float64)
    shift = ((bias[0] if bias else 0) - np.asarray(normalization.moving_mean, np.float64)) * factor
    if normalization.beta is not None:
        shift += np.asarray(normalization.beta, np.float64)
    # A depthwise kernel ends in (channels, multiplier), which number the output channels together.
    depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
    return [kernel * (factor.reshape(kernel.shape[2:]) if depthwise else factor), shift]


def _reverse_first_kernel(model: keras.Model) -> bool:
    """Make the one convolution that reads the pixels take RGB for BGR, if there is one; return whether."""
    consumers = [
        operation
        for operation in model.operations
        if not isinstance(operation, keras.layers.InputLayer | keras.layers.ZeroPadding2D)
        and any(_reads_pixels(tensor) for tensor in keras.tree.flatten(operation.input))
    ]
    # A padded image that is itself asked for must come with its channels reversed, too.
    if len(consumers) != 1 or any(_reads_pixels(tensor) for tensor in model.outputs):
        return False
    first = consumers[0]
    if type(first) is not keras.layers.Conv2D or first.groups != 1:
        return False
    first.kernel.assign(np.asarray(first.kernel)[:, :, ::-1, :])
    return True


def _reads_pixels(tensor: keras.KerasTensor) -> bool:
    source = tensor._keras_history.operation
    while isinstance(source, keras.layers.ZeroPadding2D):
        source = source.input._keras_history.operation
    return isinstance(source, keras.layers.InputLayer)
