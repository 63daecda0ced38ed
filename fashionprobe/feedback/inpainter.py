"""A generative inpainter: a small U-Net that learns, on the records' own images, what belongs into a hole."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fashionprobe import progress
from fashionprobe.backbones.graph import kept_random_state
from fashionprobe.errors import UserError
from fashionprobe.feedback.replace import Paint

STRIDE = 8
"""Height and width of what the network takes are multiples of it: it halves them three times."""

GREY = 127.5
"""What a hole shows to the network."""

TOTAL = 0.1
"""Weight of the error over the whole image beside that in the hole, which is 1."""

CELLS = (8, 2, 2, 2)
"""How many cells of 8, 4, 2 and 1 pixels the surroundings of a hole flow into it."""

LEARNING_RATE = 2e-3

Batches = Callable[[], Iterable[Any]] | tf.data.Dataset
"""Images, float32 (batch, height, width, 3), RGB in [0, 255]: a function that starts a new round, or a data set."""


def train_inpainter(
    batches: Batches,
    size: tuple[int, int],
    *,
    steps: int = 1000,
    seed: int,
    width: int = 24,
) -> keras.Model:
    """Train a network to fill holes in images like these.

    Each step cuts random holes, rectangles or strokes of a brush, out of one batch and learns to bring the pixels back.

    Args:
        batches: The images, gone through again and again. Those of another size are resized, bilinearly.
        size: (height, width) of the images to learn on, in multiples of 8 pixels: that of the images to paint is best.
        steps: Batches to learn from.
        seed: Seed of the weights and of the holes. Batches in the same order give the same network.
        width: Channels of the first convolution; those deeper have up to four times as many.

    Returns:
        A model for any height and width that are multiples of 8, not compiled: float32 (batch, height, width, 4),
        images in [0, 255] whose holes are grey and the hole as 0 or 1, to the images, float32 (batch, height, width,
        3). `as_paint` makes a `Paint` of it. Its `.keras` file loads where this module is imported, in safe mode too.

    Raises:
        UserError: If an argument is out of range, there are no batches, or they are no such images.

    Reference:
        Ronneberger, Fischer and Brox, U-Net: Convolutional Networks for Biomedical Image Segmentation, MICCAI 2015.
        https://arxiv.org/abs/1505.04597 (the network). Pathak et al., Context Encoders: Feature Learning by Inpainting,
        CVPR 2016. https://arxiv.org/abs/1604.07379 (the task). Yu et al., Free-Form Image Inpainting with Gated
        Convolution, ICCV 2019. https://arxiv.org/abs/1806.03589 (gates and
        strokes).
    """
    _check(size, steps, width)
    model = network(width, seed=seed)
    rate: Any = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build(model.trainable_variables)
    step = _step(model, optimizer, size)
    rng = np.random.default_rng(seed)
    with progress.bar(total=steps, unit="step", description="inpainter") as bar:
        for images in itertools.islice(_endless(batches, size), steps):
            error = float(step(images, holes(len(images), size, rng)))
            bar.update()
            bar.set_postfix_str(f"error {255 * error:.1f}")
    return model


def as_paint(model: keras.Model) -> Paint:
    """Make a `Paint` of a trained inpainter.

    Args:
        model: What `train_inpainter` returned, or was loaded from its `.keras` file.

    Returns:
        A function of an image, uint8 (height, width, 3), and a mask, bool (height, width), that returns the painted
        image, uint8. Height and width are free: the edge is repeated up to the next multiple of 8.

    Raises:
        UserError: If the model does not take images with a mask, and by the function if a mask covers a whole image.
    """
    if model.input_shape[-1:] != (4,) or model.output_shape[-1:] != (3,):
        raise UserError(
            "model", expected="an inpainter, from 4 channels to 3",
            received=f"a model from {model.input_shape} to {model.output_shape}",
        )  # fmt: skip
    # One trace for images of all sizes.
    signature = [tf.TensorSpec((None, None, None, 4), tf.float32)]
    predict = tf.function(lambda pixels: model(pixels, training=False), autograph=False, input_signature=signature)

    def paint(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        if np.shape(mask) != np.shape(image)[:2]:
            raise UserError("mask", expected=f"of the image's shape {np.shape(image)[:2]}", received=np.shape(mask))
        if np.all(mask):
            raise UserError("mask", expected="False somewhere, to paint from there", received="a full mask")
        hole = np.asarray(mask, bool)[..., None]
        pixels = np.concatenate([np.where(hole, GREY, image), hole], axis=-1).astype(np.float32)
        height, width = hole.shape[:2]
        margin = [(0, -height % STRIDE), (0, -width % STRIDE), (0, 0)]
        made: Any = predict(np.pad(pixels, margin, mode="edge")[None])
        made = np.rint(made.numpy()[0, :height, :width]).clip(0, 255)
        return np.where(hole, made, image).astype(np.uint8)

    return paint


def holes(count: int, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw holes to learn on: half of them a rectangle, half of them strokes of a brush.

    A side of a rectangle is a tenth to six tenths of the image's; a brush is 5 to 15 % of the shorter side wide and
    turns up to four times. Both may touch the border.

    Returns:
        bool (count, *size), none of them empty or full.
    """
    extent = np.array(size)
    sides = np.maximum(rng.uniform(0.1, 0.6, (count, 2)) * extent, 1).astype(int)
    starts = rng.integers(0, extent - sides, endpoint=True)
    rows, columns = (
        (np.arange(length) >= start[:, None]) & (np.arange(length) < (start + side)[:, None])
        for length, start, side in zip(size, starts.T, sides.T, strict=True)
    )  # fmt: skip
    boxes = rows[:, :, None] & columns[:, None, :]
    strokes = _strokes(rng.uniform(0, 1, (count, 5, 2)), rng.uniform(0.05, 0.15, count), size)
    return np.where(rng.random((count, 1, 1)) < 0.5, boxes, strokes)


def _strokes(corners: np.ndarray, widths: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Draw a brush along four corners each, (strokes, 4, 2) in [0, 1]; widths are shares of the shorter side."""
    extent, shorter = np.array(size), min(size)
    # Steps of at most 0.35 of the image, so that most of it stays.
    points = [corners[:, 0]]
    for corner in corners[:, 1:].swapaxes(0, 1):
        points.append((points[-1] + 0.7 * (corner - 0.5)).clip(0, 1))
    path = np.stack(points, axis=1) * extent
    start, step = path[:, :-1], np.diff(path, axis=1)
    pixels = np.stack(np.meshgrid(*(np.arange(length) + 0.5 for length in size), indexing="ij"), axis=-1)
    away = pixels[None, None] - start[:, :, None, None]
    length = np.maximum((step**2).sum(axis=-1), 1e-9)[..., None, None]
    along = (np.einsum("nshwc,nsc->nshw", away, step) / length).clip(0, 1)
    distance = np.linalg.norm(away - along[..., None] * step[:, :, None, None], axis=-1)
    # A brush of one pixel at least, so that no stroke falls between pixels.
    return distance.min(axis=1) <= np.maximum(widths * shorter / 2, 0.71)[:, None, None]


@kept_random_state()
def network(width: int, *, seed: int) -> keras.Model:
    """Build the network, untrained: `Flow` fills the holes smoothly, and a U-Net adds what that lacks.

    Args:
        width: Channels of the first convolution.
        seed: Seed of the weights.

    Returns:
        A model as `train_inpainter` returns it. Untrained, it adds nothing.
    """
    seeds = iter(range(seed * 100, seed * 100 + 100))

    def convolution(x: Any, channels: int, **given: Any) -> Any:
        start: Any = keras.initializers.HeNormal(seed=next(seeds) % 2**31)
        return keras.layers.Conv2D(channels, 3, padding="same", kernel_initializer=start, **given)(x)

    def gated(x: Any, channels: int, **given: Any) -> Any:
        # Features and their gates are one convolution: half as many weights to look after.
        both = convolution(x, 2 * channels, **given)
        gates = keras.layers.Activation("sigmoid")(both[..., channels:])
        return keras.layers.Multiply()([keras.layers.Activation("elu")(both[..., :channels]), gates])

    image = keras.Input((None, None, 4), name="image_and_mask")
    smooth: Any = Flow(name="flow")(image)
    # Pixels to [-1, 1], the mask to {0, 1}.
    offset: Any = [-1.0] * 3 + [0.0]
    x, skips = keras.layers.Rescaling([1 / 127.5] * 3 + [1.0], offset=offset)(smooth), []
    for channels in (width, 2 * width, 4 * width):
        x = gated(x, channels)
        skips.append(x)
        x = gated(x, channels, strides=2)
    for dilation in (1, 2, 4):
        x = keras.layers.Add()([x, gated(x, 4 * width, dilation_rate=dilation)])
    for skip in reversed(skips):
        x = keras.layers.Concatenate()([keras.layers.UpSampling2D()(x), skip])
        x = convolution(x, skip.shape[-1], activation="elu")
    # From zeros: training starts at the smooth image.
    more = keras.layers.Conv2D(3, 3, padding="same", kernel_initializer="zeros")(x)
    pixels = keras.layers.Add()([smooth[..., :3], keras.layers.Rescaling(127.5)(more)])
    return keras.Model(image, pixels, name="inpainter")


@keras.saving.register_keras_serializable(package="fashionprobe")
class Flow(keras.layers.Layer):
    """Fills holes smoothly: what is around them flows in, and deep in a hole the means of coarser levels shine through.

    Takes float (batch, height, width, 4), images and where they have holes, and returns them filled. What the holes
    showed is ignored.

    Reference:
        Gortler et al., The Lumigraph, SIGGRAPH 1996, section 3.4.3. https://doi.org/10.1145/237170.237200 (the levels).
    """

    def call(self, inputs: Any) -> Any:
        """Fill the holes."""
        known = 1 - inputs[..., 3:]
        # Levels are sums of the known pixels' colours and their number, both divided by the size of a cell.
        levels: list[Any] = [tf.concat([inputs[..., :3] * known, known], axis=-1)]
        for _ in CELLS[1:]:
            levels.append(tf.nn.avg_pool2d(levels[-1], 2, 2, "SAME"))
        # What is too deep for the coarsest level, too, takes the mean of the image.
        coarse: Any = _mean(tf.reduce_mean(levels[-1], (1, 2), keepdims=True))
        for level, cells in zip(reversed(levels), CELLS, strict=True):
            filled, reached = _mean(level), tf.sign(level[..., 3:])
            for _ in range(cells):
                near = _around(reached)
                filled = tf.where(reached > 0, filled, tf.math.divide_no_nan(_around(filled * reached), near))
                reached = tf.sign(near)
            coarse = tf.where(reached > 0, filled, tf.image.resize(coarse, tf.shape(level)[1:3]))
        return tf.concat([coarse, inputs[..., 3:]], axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape it was given."""
        return input_shape


def _mean(level: Any) -> Any:
    """Return the mean colour of the known pixels of each cell; 0 where there is none."""
    return tf.math.divide_no_nan(level[..., :3], level[..., 3:])


def _around(x: Any) -> Any:
    """Return the mean of each place and its neighbours."""
    return tf.nn.avg_pool2d(x, 3, 1, "SAME")


def _step(model: keras.Model, optimizer: keras.optimizers.Optimizer, size: tuple[int, int]) -> Any:
    """Compile a step: cut holes, fill them, compare, correct; returns the mean error in the holes, in [0, 1]."""

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec((None, *size, 3), tf.float32),
            tf.TensorSpec((None, *size), tf.bool),
        ],
    )
    def step(images: Any, masks: Any) -> tf.Tensor:
        hole = tf.cast(masks, tf.float32)[..., None]
        pixels = tf.concat([tf.where(masks[..., None], GREY, images), hole], axis=-1)
        with tf.GradientTape() as tape:
            error: Any = tf.abs(model(pixels, training=True) - images) / 255
            in_hole = tf.reduce_sum(error * hole) / (3 * tf.reduce_sum(hole))
            loss = in_hole + TOTAL * tf.reduce_mean(error)
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return in_hole

    return step


def _endless(batches: Batches, size: tuple[int, int]) -> Iterator[tf.Tensor]:
    """Go through the batches again and again, at this size."""
    while True:
        empty = True
        for images in batches if isinstance(batches, tf.data.Dataset) else batches():
            pixels: Any = tf.cast(images, tf.float32)
            if pixels.ndim != 4 or pixels.shape[-1] != 3:
                expected = "float32 images (batch, height, width, 3)"
                raise UserError("batches", expected=expected, received=tuple(pixels.shape))
            if not tf.reduce_all(tf.math.is_finite(pixels)):
                raise UserError("batches", expected="of finite values", received="NaN or infinity")
            if tuple(pixels.shape[1:3]) != tuple(size):
                pixels = tf.image.resize(pixels, size, antialias=True)
            if len(pixels):
                empty = False
                yield pixels
        if empty:
            raise UserError(
                "batches", expected="one image or more each time it is called", received="none",
                remedy="A generator that was used up stays empty: give a function that makes a new one.",
            )  # fmt: skip


def _check(size: tuple[int, int], steps: int, width: int) -> None:
    """Check the numbers that `train_inpainter` is given."""
    if len(size) != 2 or any(side < STRIDE or side % STRIDE for side in size):
        expected = f"(height, width) in multiples of {STRIDE} pixels"
        raise UserError("size", expected=expected, received=size, remedy="Images of other sizes are resized to it.")
    for name, value in (("steps", steps), ("width", width)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise UserError(name, expected="an int in the range [1, inf)", received=value)
