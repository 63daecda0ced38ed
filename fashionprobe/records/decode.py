"""From the bytes of a record to a float image of one size, inside a `tf.data` graph.

The formats and orientations that occur in a data set stand in its manifest, so the graph holds only the
branches it needs: a data set of upright JPEGs is decoded by one op.
"""

from collections.abc import Collection
from typing import Literal

import tensorflow as tf

from fashionprobe.errors import UserError

# decode_jpeg reads PNG too; one without alpha comes out as from decode_png.
_ONE_OP = frozenset({"JPEG", "PNG"})


def decode(
    data: tf.Tensor,
    orientation: tf.Tensor,
    *,
    formats: Collection[str],
    orientations: Collection[int] = (1,),
    alpha: bool = False,
) -> tf.Tensor:
    """Decode the bytes of one image, turn it upright and composite transparency on white.

    Args:
        data: String scalar, the bytes of an image that `images.inspect` accepted.
        orientation: Integer scalar from 1 to 8, the EXIF orientation.
        formats: The formats that occur in the data set, of `images.FORMATS`.
        orientations: The orientations that occur in the data set.
        alpha: Whether any PNG or WEBP of the data set has an alpha channel or transparent colour.

    Returns:
        uint8 (height, width, 3), RGB.

    Raises:
        UserError: The data set holds WEBP images and the installed TensorFlow has no decoder for them.
    """
    image = _pixels(data, frozenset(formats), alpha)
    image.set_shape((None, None, 3))
    turned = sorted(set(orientations) - {1})
    if not turned:
        return image
    branches = {value: (lambda value=value: _upright(image, value)) for value in turned}
    if 1 in orientations:
        # Nearly all images of a mixed data set are upright: one cheap test before the switch.
        return tf.cond(tf.equal(orientation, 1), lambda: image, lambda: _switch(orientation, branches))
    return _switch(orientation, branches)


def fit(
    image: tf.Tensor,
    size: tuple[int, int],
    how: Literal["pad", "stretch"],
    background: float = 255,
    *,
    antialias: bool = True,
) -> tf.Tensor:
    """Bring an image to one size, bilinearly; antialiased where it shrinks, within a level of Pillow.

    Args:
        image: uint8 or float32 (height, width, 3), RGB in [0, 255].
        size: (height, width) of the result in pixels.
        how: "stretch" ignores the aspect ratio; "pad" keeps it and centres the image. A padded side is
            rounded half up, to one pixel at least; of an odd margin the larger part goes to the bottom or the
            right.
        background: Grey value of the padding.
        antialias: Weigh all pixels of a shrinking image, not only the four nearest. This costs more than
            decoding does; images resized once, at ingestion, are spared both.

    Returns:
        float32 (size[0], size[1], 3), RGB in [0, 255].
    """
    shape = tf.shape(image)

    def change() -> tf.Tensor:
        if how == "stretch":
            return _resize(image, shape, size, antialias)
        return _pad(image, shape, size, background, antialias)

    same = tf.reduce_all(tf.equal(shape[:2], size))
    result = tf.cond(same, lambda: tf.cast(image, tf.float32), change)
    result.set_shape((*size, 3))
    return result


def _pixels(data: tf.Tensor, formats: frozenset[str], alpha: bool) -> tf.Tensor:
    """Decode to uint8 (height, width, 3) by the one op that all formats share, or by the first bytes."""
    readers = []
    if alpha and "PNG" in formats:
        readers.append((b"\x89PNG", _png_with_alpha))
        formats -= {"PNG"}
    special = {"GIF": (b"GIF8", _gif), "BMP": (b"BM", _bmp), "WEBP": (b"RIFF", _webp)}
    readers += [special[name] for name in special if name in formats]
    if formats & _ONE_OP:
        readers.append((b"", _jpeg))
    return _by_magic(data, readers)


def _by_magic(data: tf.Tensor, readers: list) -> tf.Tensor:
    """Decode by the first reader whose magic bytes the data begin with; the last reader is not tested."""
    (magic, reader), *rest = readers
    if not rest:
        return reader(data)
    matches = tf.equal(tf.strings.substr(data, 0, len(magic)), magic)
    return tf.cond(matches, lambda: reader(data), lambda: _by_magic(data, rest))


def _jpeg(data: tf.Tensor) -> tf.Tensor:
    # The accurate transform agrees with Pillow to the bit and costs a few per cent.
    return tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")


def _png_with_alpha(data: tf.Tensor) -> tf.Tensor:
    depth = tf.io.decode_raw(tf.strings.substr(data, 24, 1), tf.uint8)[0]
    few_bits = tf.less(depth, 8)
    return tf.cond(few_bits, lambda: _png_of_few_bits(data, depth), lambda: _on_white(_png_rgba(data)))


def _png_rgba(data: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_png(data, channels=4)


def _png_of_few_bits(data: tf.Tensor, depth: tf.Tensor) -> tf.Tensor:
    """Decode a PNG of 1, 2 or 4 bits, whose missing alpha TensorFlow fills with the largest value of so many bits."""
    stored, image = tf.io.decode_png(data, channels=0), _png_rgba(data)
    filled = tf.bitwise.left_shift(tf.constant(1, tf.uint8), depth) - 1
    # With a transparent colour alpha is 0 or 255; a palette with alpha of its own, any value, comes in four channels.
    own = tf.equal(tf.shape(stored)[2], 4)
    opaque = tf.logical_and(tf.logical_not(own), tf.equal(image[:, :, 3:], filled))
    alpha = tf.where(opaque, tf.constant(255, tf.uint8), image[:, :, 3:])
    return _on_white(tf.concat([image[:, :, :3], alpha], axis=2))


def _gif(data: tf.Tensor) -> tf.Tensor:
    # Unlike decode_gif, which decodes every frame.
    return tf.io.decode_image(data, channels=3, expand_animations=False)


def _bmp(data: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_bmp(data, channels=0)
    grey = tf.equal(tf.shape(image)[2], 1)
    return tf.cond(grey, lambda: tf.tile(image, (1, 1, 3)), lambda: image[:, :, :3])


def _webp(data: tf.Tensor) -> tf.Tensor:
    if not hasattr(tf.io, "decode_webp"):
        raise UserError(
            "tensorflow",
            expected="a version that decodes WEBP, such as 2.21",
            received=tf.__version__,
            remedy="Upgrade it, or convert the images to JPEG or PNG and ingest them again.",
        )
    image = tf.io.decode_webp(data)[0]
    opaque = tf.equal(tf.shape(image)[2], 3)
    return tf.cond(opaque, lambda: image, lambda: _on_white(image))


def _on_white(image: tf.Tensor) -> tf.Tensor:
    """Composite uint8 (height, width, 4) on white, rounded as Pillow's alpha_composite."""
    image = tf.cast(image, tf.int32)
    colour, opacity = image[:, :, :3], image[:, :, 3:]
    total = colour * opacity + 255 * (255 - opacity)
    return tf.cast((total + 127) // 255, tf.uint8)


def _switch(orientation: tf.Tensor, branches: dict) -> tf.Tensor:
    """Run the branch of an orientation; the last one without a test."""
    (value, branch), *rest = branches.items()
    if not rest:
        return branch()
    return tf.cond(tf.equal(orientation, value), branch, lambda: _switch(orientation, dict(rest)))


def _upright(image: tf.Tensor, orientation: int) -> tf.Tensor:
    """Turn an image stored with an EXIF orientation from 2 to 8 upright."""
    if orientation > 4:
        image = tf.transpose(image, (1, 0, 2))
    axes = [axis for axis, values in ((0, (3, 4, 7, 8)), (1, (2, 3, 6, 7))) if orientation in values]
    return tf.reverse(image, axes) if axes else image


def _pad(image: tf.Tensor, shape: tf.Tensor, size: tuple[int, int], background: float, antialias: bool) -> tf.Tensor:
    """Resize inside `size`, keeping the aspect ratio, and fill the rest."""
    rows, columns = size
    # Whole numbers, so that the rounding is the same here, in `images.resize` and on every device.
    height, width = shape[0], shape[1]
    tall = rows * width <= columns * height
    inner_rows = tf.where(tall, rows, tf.maximum(1, (2 * height * columns + width) // (2 * width)))
    inner_columns = tf.where(tall, tf.maximum(1, (2 * width * rows + height) // (2 * height)), columns)
    image = _resize(image, shape, tf.stack([inner_rows, inner_columns]), antialias)
    top, left = (rows - inner_rows) // 2, (columns - inner_columns) // 2
    margins = [[top, rows - inner_rows - top], [left, columns - inner_columns - left], [0, 0]]
    full = tf.logical_and(tf.equal(inner_rows, rows), tf.equal(inner_columns, columns))
    return tf.cond(full, lambda: image, lambda: tf.pad(image, margins, constant_values=background))


def _resize(image: tf.Tensor, shape: tf.Tensor, size: tuple[int, int] | tf.Tensor, antialias: bool) -> tf.Tensor:
    """Resize to float32; the antialiasing kernel, which changes nothing else, only where a side shrinks."""
    if not antialias:
        return tf.image.resize(image, size)
    return tf.cond(
        tf.reduce_any(tf.less(size, shape[:2])),
        lambda: tf.image.resize(image, size, antialias=True),
        lambda: tf.image.resize(image, size),
    )
