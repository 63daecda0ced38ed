"""One forward pass -> the global-average-pooled descriptors of the chosen blocks."""

from collections.abc import Callable, Sequence
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from fashionprobe.backbones import Backbone
from fashionprobe.backbones.graph import absorb_scale, copy_model, fold, kept_random_state

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
    backbone.choose_blocks(blocks)
    model = _inference_copy(backbone, blocks, precision)
    wanted = backbone.preprocessing
    absorbed = absorb_scale(model, wanted.scale, bgr=wanted.bgr)
    # One value for each channel of a whole row: TensorFlow's broadcasting over three channels alone is slow.
    mean = tf.broadcast_to(tf.constant(wanted.mean, tf.float32), (backbone.size[1], 3))

    @tf.function(input_signature=[tf.TensorSpec((None, *backbone.size, 3), tf.float32)])
    def forward(images: tf.Tensor) -> list[tf.Tensor]:
        pixels = images - mean
        if not absorbed:
            pixels = tf.reverse(pixels * wanted.scale, [-1]) if wanted.bgr else pixels * wanted.scale
        maps = keras.tree.flatten(model(pixels, training=False))
        return [_pooled(tf.cast(feature_map, tf.float32)) for feature_map in maps]

    # TensorFlow offers no public name for freezing a concrete function; this one has been stable since 2.0.
    frozen = convert_variables_to_constants_v2(forward.get_concrete_function())
    return tf.function(lambda images: frozen(images), jit_compile=True) if xla else frozen


def same_shape(images: np.ndarray, count: int) -> np.ndarray:
    """Fill a batch up with black images.

    The last bits of a descriptor may depend on the shape of the batch (XLA, float16 and dense layers choose other
    orders of summation), but not on the place in it, nor on the other images.

    Args:
        images: float32 (batch, height, width, 3).
        count: Images that there must be, no fewer than there are.
    """
    missing = count - len(images)
    return np.pad(images, [(0, missing), (0, 0), (0, 0), (0, 0)]) if missing else images


def channels(backbone: Backbone, blocks: Sequence[int]) -> list[int]:
    """Return the number of channels of each block's tap."""
    return [int(backbone.model.get_layer(backbone.taps[block - 1]).output.shape[-1]) for block in blocks]


def _pooled(feature_map: tf.Tensor) -> tf.Tensor:
    """Return the mean over space; an embedding is a descriptor already."""
    return tf.reduce_mean(feature_map, axis=(1, 2)) if feature_map.shape.rank == 4 else feature_map


def _inference_copy(backbone: Backbone, blocks: Sequence[int], precision: Precision) -> keras.Model:
    """Copy the part of the model that the blocks need, in this precision, batch normalisation folded."""
    outputs = [backbone.model.get_layer(backbone.taps[block - 1]).output for block in blocks]
    cut = keras.Model(backbone.model.input, outputs)
    return fold(copy_model(cut, dtype=precision if precision == "float32" else f"mixed_{precision}"))
