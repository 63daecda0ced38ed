"""The decoding graphs against Pillow, and the fitting against values worked by hand."""

import io
import struct
import zlib

import numpy as np
import pytest
from image_files import encode, picture
from PIL import Image, ImageOps

from fashionprobe.records.image_files import inspect

tf = pytest.importorskip("tensorflow")
from fashionprobe.records import decode  # noqa: E402


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def on_white(data):
    """What the picture looks like, by Pillow."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB")).astype(int)


def read(data, formats=None, orientations=None, alpha=None):
    """Decode through a tf.data map, as the reader does."""
    info = inspect.inspect(data)
    options = {
        "formats": formats or {info.format},
        "orientations": orientations or {info.orientation},
        "alpha": info.has_alpha if alpha is None else alpha,
    }
    dataset = tf.data.Dataset.from_tensors((data, np.int64(info.orientation)))
    (image,) = dataset.map(lambda text, turn: decode.decode(text, turn, **options))
    assert image.dtype == tf.uint8
    return image.numpy().astype(int)


def drop_adobe(data):
    start = data.index(b"\xff\xee")
    return data[:start] + data[start + 16 :]


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}])
def test_jpeg_equals_pillow_to_the_bit(mode, options):
    data = encode(picture((61, 47), mode), **options)
    np.testing.assert_array_equal(read(data), on_white(data))


def test_ycck_equals_pillow():
    data = encode(picture(mode="CMYK"))
    start = data.index(b"Adobe") + 11
    data = data[:start] + b"\x02" + data[start + 1 :]
    np.testing.assert_array_equal(read(data), on_white(data))


def test_cmyk_without_adobe_marker_is_not_inverted():
    marked = encode(picture(mode="CMYK"), quality=95)
    bare = drop_adobe(marked)
    # Without the marker the same numbers mean the complement, to the reader and to `images.resize` alike.
    resized = inspect.resize(bare, (30, 40), "stretch", inspect.inspect(bare))
    assert np.abs(read(bare) - on_white(resized)).mean() < 2
    assert np.abs(read(bare) - read(marked)).mean() > 50


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("1", {}),
        ("L", {}),
        ("P", {}),
        ("RGB", {}),
        ("LA", {}),
        ("RGBA", {}),
        ("P", {"transparency": 3}),
        ("P", {"transparency": bytes(range(0, 250, 10))}),
        ("L", {"transparency": 90}),
    ],
)
def test_png_equals_pillow_on_white(mode, options):
    image = picture(mode="RGB")
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    data = encode(image.convert(mode), "PNG", **options)
    np.testing.assert_array_equal(read(data), on_white(data))


def test_sixteen_bit_png_keeps_the_high_byte():
    data = encode(Image.new("I;16", (5, 4), 100 * 256 + 255), "PNG")
    assert np.unique(read(data)).tolist() == [100]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("kind", ["BMP", "WEBP"])
def test_bmp_and_webp_equal_pillow(kind, mode):
    image = picture()
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    data = encode(image.convert(mode), kind)
    np.testing.assert_array_equal(read(data), on_white(data))


def test_gif_gives_its_first_frame():
    first = picture(mode="P")
    data = encode(first, "GIF", save_all=True, append_images=[picture().rotate(180).convert("P")])
    np.testing.assert_array_equal(read(data), on_white(data))


@pytest.mark.parametrize(
    ("orientation", "known"),
    [
        *((o, {o}) for o in range(1, 9)),
        *((o, set(range(1, 9))) for o in range(1, 9)),
        (1, {1, 6}),
        (6, {1, 6}),
    ],
)
def test_orientation_equals_pillow(orientation, known):
    data = encode(picture(), exif=exif(orientation))
    np.testing.assert_array_equal(read(data, orientations=known), on_white(data))


@pytest.mark.parametrize("kind", inspect.FORMATS)
def test_a_mixed_data_set_decodes_each_format(kind):
    data = encode(picture(), kind)
    expected = on_white(data)
    np.testing.assert_array_equal(read(data, formats=inspect.FORMATS, alpha=True), expected)
    np.testing.assert_array_equal(read(data, formats=inspect.FORMATS), expected)


def test_upright_jpegs_are_decoded_by_one_op():
    graph = tf.function(lambda data: decode.decode(data, tf.constant(1), formats={"JPEG"}, orientations={1}))
    concrete = graph.get_concrete_function(tf.TensorSpec((), tf.string))
    kinds = {op.type for op in concrete.graph.get_operations()} - {"Placeholder", "Const", "Identity", "NoOp"}
    assert kinds == {"DecodeJpeg"}


def test_webp_without_a_decoder_names_tensorflow(monkeypatch):
    monkeypatch.delattr(tf.io, "decode_webp")
    with pytest.raises(ValueError, match="`tensorflow` must be a version that decodes WEBP"):
        decode.decode(tf.constant(b""), tf.constant(1), formats={"WEBP"})


def fit(pixels, size, how, **options):
    image = tf.constant(np.asarray(pixels, np.uint8))
    dataset = tf.data.Dataset.from_tensors(image).map(lambda x: decode.fit(x, size, how, **options))
    assert dataset.element_spec == tf.TensorSpec((*size, 3), tf.float32)
    (result,) = dataset
    return result.numpy()


def grey(rows):
    return np.repeat(np.asarray(rows, np.uint8)[..., None], 3, axis=2)


def test_enlarging_by_hand():
    # Half-pixel centres: output column x samples input x / 2 - 1 / 4, clamped to the image.
    result = fit(grey([[0, 80], [160, 240]]), (4, 4), "stretch")
    rows = np.array([0, 40, 120, 160])[:, None] + np.array([0, 20, 60, 80])
    np.testing.assert_allclose(result, np.repeat(rows[..., None], 3, axis=2), atol=1e-4)


@pytest.mark.parametrize("size", [(20, 20), (13, 31), (60, 17), (47, 20)])
def test_shrinking_agrees_with_pillow(size):
    image = picture((61, 47))
    expected = np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR)).astype(float)
    assert np.abs(fit(image, size, "stretch") - expected).max() <= 1.01


def test_shrinking_without_antialiasing_takes_the_nearest_pixels():
    stripes = grey([[0, 255, 0, 255, 0, 255, 0, 255, 0]] * 9)
    assert np.unique(fit(stripes, (3, 3), "stretch", antialias=False)).tolist() == [0, 255]
    averaged = fit(stripes, (3, 3), "stretch")
    assert averaged.min() > 80 and averaged.max() < 175


@pytest.mark.parametrize("how", ["pad", "stretch"])
def test_the_right_size_is_left_alone(how):
    image = np.asarray(picture())
    np.testing.assert_array_equal(fit(image, (30, 40), how), image)


@pytest.mark.parametrize(
    ("shape", "size", "box"),
    [
        ((10, 20), (9, 10), (2, 7, 0, 10)),  # 5 of 9 rows: 2 above, 2 below
        ((10, 20), (8, 10), (1, 6, 0, 10)),  # 5 of 8: 1 above, 2 below
        ((20, 10), (10, 8), (0, 10, 1, 6)),
        ((3, 2), (4, 4), (0, 4, 0, 3)),  # 2.67 columns are 3: none left of it, 1 right
        ((1, 100), (10, 10), (4, 5, 0, 10)),  # 0.1 rows are 1
        ((7, 7), (5, 5), (0, 5, 0, 5)),
        ((5, 5), (5, 8), (0, 5, 1, 6)),  # padded without a resize to speak of
    ],
)
def test_padding_geometry(shape, size, box):
    result = fit(np.full((*shape, 3), 10), size, "pad")
    top, bottom, left, right = box
    expected = np.full((*size, 3), 255.0)
    expected[top:bottom, left:right] = 10
    np.testing.assert_allclose(result, expected, atol=1e-3)


def test_background():
    assert fit(np.zeros((2, 4, 3)), (4, 4), "pad", background=7)[0, 0].tolist() == [7, 7, 7]


def few_bits(colour, depth, transparent=b""):
    """A PNG of `depth` bits with every value in it: grey (0), or a palette (3)."""
    values = np.arange(2**depth).repeat(9)
    bits = "".join(format(value, f"0{depth}b") for value in values)
    row = bytes(int(bits[start : start + 8].ljust(8, "0"), 2) for start in range(0, len(bits), 8))
    palette = np.random.default_rng(depth).integers(0, 256, 3 * 2**depth, np.uint8).tobytes()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", len(values), 2, depth, colour, 0, 0, 0))]
    chunks += [(b"PLTE", palette)] if colour == 3 else []
    chunks += [(b"tRNS", transparent)] if transparent else []
    chunks += [(b"IDAT", zlib.compress(2 * (b"\0" + row))), (b"IEND", b"")]
    packed = (
        struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("colour", [0, 3])
def test_a_png_of_few_bits_is_read_the_same_beside_transparent_ones(colour, depth):
    data = few_bits(colour, depth)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    np.testing.assert_array_equal(read(data, formats={"PNG"}, alpha=False), expected)
    np.testing.assert_array_equal(read(data, formats={"PNG"}, alpha=True), expected)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_palette_keeps_its_own_alpha_even_where_it_is_what_tensorflow_fills_in(depth):
    data = few_bits(3, depth, bytes([2**depth - 1]) * 2**depth)
    np.testing.assert_array_equal(read(data), on_white(data))
    assert read(data).min() > 235


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_the_transparent_grey_of_few_bits_is_white_to_reader_and_resize(depth):
    data = few_bits(0, depth, struct.pack(">H", 1))
    info = inspect.inspect(data)
    levels = np.arange(2**depth) * (255 // (2**depth - 1))
    levels[1] = 255
    assert read(data)[0, ::9, 0].tolist() == levels.tolist()
    assert np.asarray(inspect.picture(data, info))[0, ::9, 0].tolist() == levels.tolist()
