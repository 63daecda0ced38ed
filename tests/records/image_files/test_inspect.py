"""What `inspect` reads and refuses, what stripping keeps, what resizing draws; images made by Pillow."""

import io
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from image_files import encode, exif, picture, refusal
from PIL import Image, ImageChops, ImageOps

from fashionprobe.records.image_files import inspect


def open_rgb(data):
    return ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")


def largest_difference(a, b):
    return max(ImageChops.difference(a, b).tobytes())


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("kind", inspect.FORMATS)
def test_every_format_is_recognised(kind, decode):
    info = inspect.inspect(encode(picture(), kind), decode=decode)
    assert info == inspect.ImageInfo(kind, 30, 40, 1, False)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_read_and_survives_stripping(kind, orientation):
    data = encode(picture(), kind, exif=exif(orientation))
    info = inspect.inspect(data)
    assert info.orientation == orientation
    stripped = inspect.strip_metadata(data, info)
    assert inspect.inspect(stripped) == info
    assert open_rgb(stripped).tobytes() == open_rgb(data).tobytes()


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_invalid_orientation_is_upright(orientation):
    assert inspect.inspect(encode(picture(), exif=exif(orientation))).orientation == 1


def test_a_damaged_exif_block_is_upright():
    assert inspect.inspect(encode(picture(), exif=b"Exif\0\0II*\0\xff\xff\0\0")).orientation == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"id,label\n1,shirt\n", "not an image"),
        (b"\0\0\0\x1cftypheic" + bytes(20), "HEIF"),
        (b"<svg xmlns='x'/>", "SVG"),
        (encode(picture(), "TIFF"), "TIFF; convert it to JPEG or PNG"),
        (encode(picture(), "PPM"), "PPM; convert"),
        (encode(picture(mode="P"), "BMP"), "BMP with a palette"),
        (encode(picture(mode="P"), "GIF", transparency=picture(mode="P").getpixel((3, 3))), "turn black"),
        (encode(picture(), "WEBP", save_all=True, append_images=[picture().rotate(180)]), "animated WEBP"),
    ],
)
def test_what_cannot_be_decoded_is_refused_by_name(data, reason):
    assert reason in refusal(data)


def test_a_file_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(inspect, "MAX_BYTES", 100)
    assert "bytes; at most 100" in refusal(encode(picture()))


@pytest.mark.parametrize("kind", inspect.FORMATS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_cut_file_is_refused(kind, share):
    data = encode(picture(), kind)
    refusal(data[: int(share * len(data))])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_resizing_turns_upright(orientation):
    data = encode(picture(), exif=exif(orientation), quality=95)
    result = Image.open(io.BytesIO(inspect.resize(data, (20, 24), "stretch", inspect.inspect(data))))
    expected = open_rgb(data).resize((24, 20), Image.Resampling.BILINEAR)
    assert (result.format, result.mode, result.size) == ("JPEG", "RGB", (24, 20))
    assert largest_difference(result, expected) <= 10


@pytest.mark.parametrize(
    ("shape", "size", "box"),
    [
        ((10, 20), (9, 10), (0, 2, 10, 7)),  # 5 of 9 rows: 2 above, 2 below
        ((10, 20), (8, 10), (0, 1, 10, 6)),  # 5 of 8: 1 above, 2 below
        ((20, 10), (10, 8), (1, 0, 6, 10)),
        ((3, 2), (4, 4), (0, 0, 3, 4)),  # 2.67 columns are 3: none left of it, 1 right
        ((1, 100), (10, 10), (0, 4, 10, 5)),  # 0.1 rows are 1
    ],
)
def test_padding_geometry(shape, size, box):
    data = encode(Image.new("RGB", shape[::-1], "black"))
    result = Image.open(io.BytesIO(inspect.resize(data, size, "pad", inspect.inspect(data)))).convert("L")
    # Where the ringing of the encoder has not reached half of the range, the black box shows.
    assert result.point([255] * 128 + [0] * 128).getbbox() == box


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1"])
def test_resizing_converts_every_mode_on_white(mode):
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 0)).convert(mode) if mode in ("LA", "RGBA") else None
    image = image or Image.new("RGB", (8, 8), "white").convert(mode)
    data = encode(image, "JPEG" if mode == "CMYK" else "PNG")
    result = Image.open(io.BytesIO(inspect.resize(data, (8, 8), "pad", inspect.inspect(data))))
    assert result.getextrema() == ((255, 255),) * 3


def test_resizing_takes_the_high_byte_of_sixteen_bits():
    data = encode(Image.new("I;16", (8, 8), 100 * 256 + 255), "PNG")
    result = Image.open(io.BytesIO(inspect.resize(data, (8, 8), "stretch", inspect.inspect(data))))
    assert result.getextrema() == ((100, 100),) * 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_decoded_picture_is_upright_and_grey_when_it_is_stored_so(mode, orientation):
    data = encode(picture(mode=mode), "PNG", exif=exif(orientation))
    decoded = inspect.picture(data, inspect.inspect(data))
    assert decoded.mode == mode
    assert decoded.tobytes() == ImageOps.exif_transpose(Image.open(io.BytesIO(data))).tobytes()


def test_a_decoded_picture_has_no_transparency():
    data = encode(Image.new("L", (8, 8), 7), "PNG", transparency=7)
    assert inspect.picture(data, inspect.inspect(data)).getextrema() == ((255, 255),) * 3
    data = encode(Image.new("P", (8, 8), 0), "PNG")
    assert inspect.picture(data, inspect.inspect(data)).mode == "RGB"


def test_resizing_what_cannot_be_decoded_is_a_bad_image():
    data = encode(picture(), "PNG")
    with pytest.raises(inspect.BadImage, match="cannot decode"):
        inspect.resize(data[: len(data) // 2], (8, 8), "pad", inspect.inspect(data))


def test_pillows_warnings_stay_off_in_every_thread_and_the_filters_come_back(monkeypatch):
    # 1,200 pixels are above Pillow's limit, at which it warns, and below twice the limit, at which it refuses.
    palette = encode(picture(mode="P"), "PNG", transparency=bytes(range(0, 250, 10)))
    photograph = encode(picture())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.warns(Image.DecompressionBombWarning):
        inspect.inspect(photograph, decode=True)
    before = list(warnings.filters)

    def work(data):
        info = inspect.inspect(data, decode=True)
        return inspect.resize(data, (4, 4), "pad", info)

    with inspect.quiet(), ThreadPoolExecutor(8) as pool:
        results = set(pool.map(work, [palette, photograph] * 24))
    assert len(results) == 2
    assert warnings.filters == before
