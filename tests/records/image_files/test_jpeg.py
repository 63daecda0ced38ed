"""Which JPEG files are taken, and what stripping leaves of them; files made by Pillow."""

import io

import pytest
from image_files import encode, exif, picture, refusal
from PIL import Image, ImageCms

from fashionprobe.records.image_files import inspect


@pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_blocks": 2}, {"optimize": True}])
def test_jpeg_varieties_are_taken(options):
    assert inspect.inspect(encode(picture(), **options), decode=True).width == 40


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpeg_colour_spaces_are_taken(mode):
    assert inspect.inspect(encode(picture(mode=mode))).format == "JPEG"


def test_trailing_bytes_are_taken_and_stripped():
    data = encode(picture())
    info = inspect.inspect(data + b"a film")
    assert inspect.strip_metadata(data + b"a film", info) == data


def test_a_file_without_metadata_is_unchanged_by_stripping():
    data = encode(picture())
    assert inspect.strip_metadata(data, inspect.inspect(data)) == data


def test_a_thumbnail_does_not_pass_for_the_end_of_the_image():
    data = encode(picture((400, 300)), exif=exif(1, thumbnail=encode(picture())))
    assert inspect.inspect(data).width == 400
    assert "truncated" in refusal(data[: len(data) // 2])


@pytest.mark.parametrize("marker", [b"\xff\xdb", b"\xff\xc0", b"\xff\xda"])
def test_a_jpeg_without_a_needed_segment_is_refused(marker):
    data = encode(picture())
    start = data.index(marker)
    length = int.from_bytes(data[start + 2 : start + 4], "big")
    refusal(data[:start] + data[start + 2 + length :])


@pytest.mark.parametrize("offset", [4, 11, 12])
def test_a_damaged_frame_header_is_refused(offset):
    data = bytearray(encode(picture()))
    data[data.index(b"\xff\xc0") + offset] = 0x77
    refusal(bytes(data))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 95, "subsampling": 0}])
def test_stripping_a_jpeg_keeps_pixels_and_profile_and_shrinks(options):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    thumbnail = encode(picture())
    data = encode(picture(), icc_profile=profile, exif=exif(1, thumbnail), comment=b"bought at noon", **options)
    stripped = inspect.strip_metadata(data, inspect.inspect(data))
    assert len(stripped) < len(data) - len(thumbnail)
    assert b"noon" not in stripped and b"camera" not in stripped
    before, after = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(stripped))
    assert after.info["icc_profile"] == profile
    assert after.tobytes() == before.tobytes()


def test_stripping_a_cmyk_jpeg_keeps_the_marker_of_its_colours():
    data = encode(picture(mode="CMYK"), comment=b"noon")
    stripped = inspect.strip_metadata(data, inspect.inspect(data))
    assert b"Adobe" in stripped and b"noon" not in stripped
    assert Image.open(io.BytesIO(stripped)).tobytes() == Image.open(io.BytesIO(data)).tobytes()
