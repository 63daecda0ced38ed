"""Which PNG files are taken, and what stripping leaves of them; files made by Pillow."""

import io
import struct
import zlib

import pytest
from image_files import encode, picture, refusal
from PIL import Image, ImageCms

from fashionprobe.records.image_files import inspect


def chunk(kind, payload):
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


@pytest.mark.parametrize(
    ("mode", "options", "alpha"),
    [
        ("L", {}, False),
        ("P", {}, False),
        ("LA", {}, True),
        ("RGBA", {}, True),
        ("P", {"transparency": 3}, True),
        ("I;16", {}, False),
    ],
)
def test_png_alpha(mode, options, alpha):
    image = picture(mode=mode) if mode != "I;16" else Image.new("I;16", (40, 30), 700)
    assert inspect.inspect(encode(image, "PNG", **options)).has_alpha is alpha


@pytest.mark.parametrize("decode", [False, True])
def test_a_bomb_is_refused_from_its_header(decode):
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    assert "50000 x 50000 pixels" in refusal(data, decode=decode)


def test_a_wrong_checksum_is_refused():
    data = bytearray(encode(picture(), "PNG"))
    data[len(data) // 2] ^= 1
    assert "checksum" in refusal(bytes(data))


def test_stripping_a_png_keeps_pixels_and_colour():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encode(picture(mode="RGBA"), "PNG", icc_profile=profile)
    end = data.rindex(b"IEND") - 4
    data = data[:end] + chunk(b"tEXt", b"Author\0me") + chunk(b"tIME", bytes(7)) + data[end:] + b"junk"
    stripped = inspect.strip_metadata(data, inspect.inspect(data))
    assert b"Author" not in stripped and b"tIME" not in stripped and b"junk" not in stripped
    after = Image.open(io.BytesIO(stripped))
    assert after.info["icc_profile"] == profile
    assert after.tobytes() == picture(mode="RGBA").tobytes()
