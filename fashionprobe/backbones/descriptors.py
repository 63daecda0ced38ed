"""One forward pass -> the descriptors of the chosen blocks: their feature maps, summarised over space."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from fashionprobe.backbones import Backbone
from fashionprobe.backbones.graph import absorb_scale, copy_model, fold, kept_random_state
from fashionprobe.backbones.pooling import Pooling
from fashionprobe.errors import UserError

Extractor = Callable[[tf.Tensor], list[tf.Tensor]]
Precision = Literal["float32", "bfloat16", "float16"]


@kept_random_state()
def extractor(
    backbone: Backbone,
    blocks: Sequence[int],
    *,
    poolings: Sequence[Pooling] = (Pooling(),),
    precision: Precision = "float32",
    xla: bool = False,
) -> Extractor:
    """Compile the forward pass that computes the descriptors of these blocks.

    The graph ends at the deepest block asked for. Batch normalisation is folded into the convolutions, and variables
    are frozen into constants. The backbone's own model is not touched.

    Args:
        backbone: The backbone.
        blocks: Block numbers, 1 to `len(backbone.taps)`.
        poolings: How the feature map of a block is summarised; one descriptor each.
        precision: Type of the convolutions; pooling is always float32, because float16 sums overflow.
        xla: Compile with XLA; pays off for many batches of one size.

    Returns:
        A function from RGB images, float32 (batch, height, width, 3) in [0, 255], to one float32 (batch, channels)
        tensor for each block and pooling, in the order asked; `mean_std` has twice as many columns. Where the
        foreground is asked for, a last tensor (batch, 1) has the share of the image that was taken for it; 1 where the
        ground is not plain and the whole image was used.

    Raises:
        UserError: If a block is not there, or a part of the image is asked of tokens.
    """
    backbone.choose_blocks(blocks)
    model = _inference_copy(backbone, blocks, precision)
    wanted = backbone.preprocessing
    absorbed = absorb_scale(model, wanted.scale, bgr=wanted.bgr)
    regions = {name: make for name, make in _REGIONS.items() if name in {pooling.region for pooling in poolings}}
    tokens = [layer.name for layer in _taps(backbone, blocks) if len(layer.output.shape) == 3]
    if tokens and regions:
        raise UserError(
            "region", expected="whole for tokens, of which it is not known where they are in the image",
            received=f"{next(iter(regions))} for {tokens[0]}",
        )  # fmt: skip
    # One value for each channel of a whole row: TensorFlow's broadcasting over three channels alone is slow.
    mean = tf.broadcast_to(tf.constant(wanted.mean, tf.float32), (backbone.size[1], 3))

    @tf.function(input_signature=[tf.TensorSpec((None, *backbone.size, 3), tf.float32)])
    def forward(images: tf.Tensor) -> list[tf.Tensor]:
        pixels = images - mean
        if not absorbed:
            pixels = tf.reverse(pixels * wanted.scale, [-1]) if wanted.bgr else pixels * wanted.scale
        maps = [tf.cast(each, tf.float32) for each in keras.tree.flatten(model(pixels, training=False))]
        weights = {name: make(images) for name, make in regions.items()}
        found = [pooled(each, pooling.pool, weights.get(pooling.region)) for each in maps for pooling in poolings]
        if "foreground" in weights:
            found.append(tf.reduce_mean(weights["foreground"], axis=(1, 2)))
        return found

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
    return [int(layer.output.shape[-1]) for layer in _taps(backbone, blocks)]


def _taps(backbone: Backbone, blocks: Sequence[int]) -> list[Any]:
    """Return the layers that end blocks."""
    return [backbone.model.get_layer(backbone.taps[block - 1]) for block in blocks]


def pooled(feature_map: tf.Tensor, pool: str, weights: tf.Tensor | None = None) -> tf.Tensor:
    """Summarise a feature map over space.

    Args:
        feature_map: float32 (batch, rows, columns, channels); or tokens (batch, tokens, channels), over all of which
            it is summarised; an embedding (batch, channels) is a descriptor already.
        pool: One of `pooling.POOLS`.
        weights: float32 (batch, height, width, 1), how much each place of the image counts, in [0, 1]; None for all
            alike. They are averaged to the resolution of the map.

    Returns:
        float32 (batch, channels), of "mean_std" (batch, 2 channels).

    Reference:
        The generalised mean: Radenovic, Tolias and Chum, Fine-tuning CNN Image Retrieval with No Human Annotation,
        TPAMI 2019, https://arxiv.org/abs/1711.02512.
    """
    if feature_map.shape.rank == 3:
        feature_map = feature_map[:, :, None]
    if feature_map.shape.rank != 4:
        return tf.concat([feature_map, tf.zeros_like(feature_map)], axis=1) if pool == "mean_std" else feature_map
    shares = None if weights is None else _shares(weights, feature_map)
    if pool == "max":
        seen = feature_map if shares is None else tf.where(shares > 0, feature_map, feature_map.dtype.min)
        return tf.reduce_max(seen, axis=(1, 2))
    if pool == "gem":
        powers = tf.maximum(feature_map, GEM_LEAST)
        return _mean(powers * powers * powers, shares) ** (1 / 3)
    mean = _mean(feature_map, shares)
    if pool == "mean":
        return mean
    variance = _mean(tf.math.squared_difference(feature_map, mean[:, None, None, :]), shares)
    return tf.concat([mean, tf.sqrt(variance)], axis=1)


def _shares(weights: tf.Tensor, feature_map: tf.Tensor) -> tf.Tensor:
    """Return how much each place of a map counts, (batch, rows, columns, 1), 1 in all."""
    small = tf.image.resize(weights, tf.shape(feature_map)[1:3], method="area")
    return small / tf.reduce_sum(small, axis=(1, 2), keepdims=True)


def _mean(values: tf.Tensor, shares: tf.Tensor | None) -> tf.Tensor:
    """Return the mean over space, as a product of matrices where places count differently: one pass, nothing copied."""
    if shares is None:
        return tf.reduce_mean(values, axis=(1, 2))
    shape = tf.shape(values)
    flat = tf.reshape(values, (shape[0], -1, values.shape[-1]))
    return tf.squeeze(tf.matmul(tf.reshape(shares, (shape[0], 1, -1)), flat), axis=1)


def foreground(images: tf.Tensor) -> tf.Tensor:
    """Find what differs from a plain ground, the colour of most of the border, as on photographs of products.

    White rows and columns at the border are looked past, where the border is not plain with them: they pad a picture
    with a ground of another colour to the shape of the input.

    Args:
        images: float32 (batch, height, width, 3), RGB in [0, 255].

    Returns:
        float32 (batch, height, width, 1), 1 for the foreground; all 1 where the ground is not plain, or nothing, or
        nearly nothing, differs from it.
    """
    white = tf.reduce_min(images, axis=3) >= WHITE
    inside = [_inside(tf.reduce_all(white, axis=axis)) for axis in (2, 1)]
    box = inside[0][:, :, None] & inside[1][:, None, :]
    everywhere = tf.ones_like(box)
    padded, plain = _before_ground(images, box), _before_ground(images, everywhere)
    mask = tf.where(plain[1], plain[0], padded[0])
    return tf.where(plain[1] | padded[1], mask, tf.ones_like(mask))


def _inside(white: tf.Tensor) -> tf.Tensor:
    """Return which lines are not among the white ones at either end: bool (batch, lines)."""
    white = tf.cast(white, tf.int32)
    ends = tf.math.cumprod(white, axis=1) + tf.math.cumprod(white, axis=1, reverse=True)
    return ends == 0


def _before_ground(images: tf.Tensor, box: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return what differs from the ground within a box, float32 (batch, height, width, 1), and whether to use it."""
    border, there = _border(images, box)
    count = tf.reduce_sum(tf.cast(there, tf.int32), axis=1)
    # What is not there is sorted behind all that is.
    ordered = tf.sort(tf.where(tf.expand_dims(there, 2), border, np.inf), axis=1)
    ground = tf.gather(ordered, count // 2, axis=1, batch_dims=1)
    is_ground = there & (tf.reduce_max(tf.abs(border - ground[:, None, :]), axis=2) <= TOLERANCE)
    plain = tf.reduce_sum(tf.cast(is_ground, tf.float32), axis=1) >= PLAIN * tf.cast(count, tf.float32)
    differs = tf.reduce_max(tf.abs(images - ground[:, None, None, :]), axis=3) > TOLERANCE
    mask = tf.expand_dims(tf.cast(differs & box, tf.float32), 3)
    usable = plain & (count > 0) & (tf.reduce_mean(mask, axis=(1, 2, 3)) >= LEAST)
    return mask, usable[:, None, None, None]


def _border(images: tf.Tensor, box: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the pixels along the border of a box, (batch, pixels, 3), and which of them are in it."""
    pixels, there = [], []
    # Of long lines not each pixel: the ground has one colour, and sorting them all would take as long as a block.
    apart = max(1, int(images.shape[1] or 0) // PIXELS)
    for turn in ((0, 1, 2), (0, 2, 1)):
        turned, inside = tf.transpose(images, (*turn, 3)), tf.transpose(box, turn)
        lines = tf.cast(tf.reduce_any(inside, axis=2), tf.int32)
        first, last = tf.argmax(lines, axis=1), tf.shape(lines, tf.int64)[1] - 1 - tf.argmax(lines[:, ::-1], axis=1)
        for line in [*(tf.minimum(first + step, last) for step in range(EDGE)),
                     *(tf.maximum(last - step, first) for step in range(EDGE))]:  # fmt: skip
            pixels.append(tf.gather(turned, line, axis=1, batch_dims=1)[:, ::apart])
            there.append(tf.gather(inside, line, axis=1, batch_dims=1)[:, ::apart])
    return tf.concat(pixels, axis=1), tf.concat(there, axis=1)


def _centre(images: tf.Tensor) -> tf.Tensor:
    """Return 1 for the middle half of both sides, else 0: float32 (batch, height, width, 1)."""
    height, width = (int(side or 0) for side in images.shape[1:3])
    mask = np.zeros((1, height, width, 1), np.float32)
    mask[:, height // 4 : height - height // 4, width // 4 : width - width // 4] = 1
    return tf.repeat(tf.constant(mask), tf.shape(images)[0], axis=0)


_REGIONS = {"foreground": foreground, "centre": _centre}

GEM_LEAST = 1e-6
"""For the generalised mean, of exponent 3: what is less, such as negative values without a ReLU, counts as this."""

EDGE, PIXELS, TOLERANCE, PLAIN, LEAST, WHITE = 2, 56, 24.0, 0.75, 0.01, 254.0
"""Of the foreground: width of the border in pixels; how many pixels of each of its lines are looked at; how far a
channel of the ground may be from its median; the share of the border that has to be ground; the smallest share of the
image that is taken for a foreground; and the least value of padding."""


def _inference_copy(backbone: Backbone, blocks: Sequence[int], precision: Precision) -> keras.Model:
    """Copy the part of the model that the blocks need, in this precision, batch normalisation folded."""
    cut = keras.Model(backbone.model.input, [layer.output for layer in _taps(backbone, blocks)])
    return fold(copy_model(cut, dtype=precision if precision == "float32" else f"mixed_{precision}"))
