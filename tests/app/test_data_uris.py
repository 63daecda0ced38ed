import base64
import io

import numpy as np
import pytest
from image_files import encode, exif
from PIL import Image

from fashionprobe.app import data_uris
from fashionprobe.errors import UserError


def uri(data, kind="png"):
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def ink(alpha):
    """A canvas with this alpha."""
    pixels = np.zeros((*alpha.shape, 4), np.uint8)
    pixels[..., 3] = alpha
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_mask_goes_out_and_comes_back():
    mask = np.random.default_rng(0).random((9, 7)) > 0.5
    assert np.array_equal(data_uris.read_mask(data_uris.mask_png(mask), (9, 7), (9, 7)), mask)


def test_a_pixel_counts_when_half_of_it_is_drawn():
    alpha = np.array([[0, 127, 128, 255]], np.uint8)
    assert data_uris.read_mask(uri(ink(alpha)), (1, 4), (1, 4)).tolist() == [[False, False, True, True]]


def test_a_mask_of_a_smaller_copy_covers_the_whole_picture_and_comes_back_the_same():
    drawn = np.random.default_rng(1).random((20, 30)) > 0.5
    whole = data_uris.read_mask(data_uris.mask_png(drawn), (53, 79), (20, 30))
    assert whole.shape == (53, 79) and np.array_equal(data_uris.resized(whole, (20, 30)), drawn)


def test_no_mask_is_an_empty_one():
    assert not data_uris.read_mask("", (3, 2), (3, 2)).any()


GREY = encode(Image.new("L", (4, 4)), kind="PNG")
JPEG = encode(Image.new("RGB", (4, 4)))


@pytest.mark.parametrize(
    "bad",
    [None, 3, "x", "data:image/png;base64,***", uri(b"no image"), uri(GREY), uri(JPEG), uri(JPEG, "jpeg"),
     uri(ink(np.zeros((4, 5), np.uint8))), uri(ink(np.zeros((4, 4), np.uint8))[:45])],
)  # fmt: skip
def test_anything_else_is_no_mask(bad):
    with pytest.raises(UserError, match=r"`mask` must be a PNG file of 4 x 4 pixels with transparency"):
        data_uris.read_mask(bad, (4, 4), (4, 4))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_uploads_of_the_known_kinds_are_read(kind):
    found = data_uris.read_upload(encode(Image.new("RGB", (6, 4), (200, 100, 50)), kind=kind), "x")
    assert (
        found.shape == (4, 6, 3)
        and found.dtype == np.uint8
        and abs(found[0, 0].astype(int) - (200, 100, 50)).max() < 12
    )


def test_an_upload_is_upright():
    turned = Image.new("RGB", (6, 4))
    assert data_uris.read_upload(encode(turned, exif=exif(6)), "x").shape == (6, 4, 3)


@pytest.mark.parametrize(
    "data, message",
    [(b"", "empty file"), (b"GIF89a", "`image` must be"), (b"%PDF-1.4", "not an image"), (JPEG[:-20], "`image"),
     (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "SVG")],
)  # fmt: skip
def test_uploads_that_are_no_picture_are_refused(data, message):
    with pytest.raises(UserError, match=message):
        data_uris.read_upload(data, "x")


def test_a_large_upload_is_refused_before_it_is_decoded(monkeypatch):
    with pytest.raises(UserError, match=r"must be a file of 20 MB or less. Received: 21 MB"):
        data_uris.read_upload(b"\0" * (21 * 2**20), "x")
    monkeypatch.setattr(data_uris, "MAX_PIXELS", 100)
    monkeypatch.setattr(data_uris, "decoded", None)
    with pytest.raises(UserError, match=r"must be a picture of 100 pixels or less. Received: 20 x 10 pixels"):
        data_uris.read_upload(encode(Image.new("RGB", (20, 10))), "x")


def test_pictures_are_shrunk_and_never_enlarged():
    wide = data_uris.jpeg(np.zeros((100, 300, 3), np.uint8), side=60)
    found = Image.open(io.BytesIO(base64.b64decode(wide.split(",")[1])))
    assert found.format == "JPEG" and found.size == (60, 20)
    small = data_uris.jpeg(np.zeros((10, 30, 3), np.uint8), side=60)
    assert Image.open(io.BytesIO(base64.b64decode(small.split(",")[1]))).size == (30, 10)
