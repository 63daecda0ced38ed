"""Pictures on their way to the page and back: data URIs out, checked bytes in."""

import base64
import binascii
import io

import numpy as np
from PIL import Image

from fashionprobe.errors import UserError
from fashionprobe.records.image_files import inspect
from fashionprobe.records.image_files.info import BadImage
from fashionprobe.records.image_files.read import EXPECTED, decoded

MAX_UPLOADED = 20 * 2**20
"""Bytes of an uploaded file at most."""

MAX_PIXELS = 50_000_000
"""Pixels of an uploaded picture at most: one takes 150 MB when it is decoded."""

MASK_COLOUR = (214, 39, 140)
"""Colour of masks on the page: not among those of heatmaps, and seen with any colour blindness on all of them."""

_PREFIX = "data:image/png;base64,"


def jpeg(image: np.ndarray, *, side: int | None = None) -> str:
    """Return a picture as the data URI of a JPEG file.

    Args:
        image: uint8 (height, width, 3), RGB.
        side: Longer side in pixels, where the picture is larger; None keeps its size.
    """
    picture = _shrunk(Image.fromarray(image), side)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def stored_jpeg(data: bytes) -> str:
    """Return the bytes of a JPEG file as a data URI; "" for none."""
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}" if data else ""


def png(image: np.ndarray) -> str:
    """Return a picture as the data URI of a PNG file.

    Args:
        image: uint8 (height, width, 3), RGB, or (height, width, 4), RGBA.
    """
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    return _PREFIX + base64.b64encode(buffer.getvalue()).decode("ascii")


def mask_png(mask: np.ndarray) -> str:
    """Return a mask, bool (height, width), as a PNG file that is transparent where nothing is masked."""
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[mask] = (*MASK_COLOUR, 255)
    return png(pixels)


def read_mask(uri: object, shape: tuple[int, int], canvas: tuple[int, int]) -> np.ndarray:
    """Return the mask that a page drew.

    Args:
        uri: Data URI of a PNG file with transparency, in the size of the page's canvas; "" for an empty mask.
        shape: (height, width) of the picture.
        canvas: (height, width) of the page's canvas.

    Returns:
        bool (*shape), True where at least half of a pixel's colour was drawn.

    Raises:
        UserError: If it is anything else.
    """
    expected = f"a PNG file of {canvas[1]} x {canvas[0]} pixels with transparency"
    if uri == "":
        return np.zeros(shape, bool)
    if not isinstance(uri, str) or not uri.startswith(_PREFIX) or len(uri) > MAX_UPLOADED:
        raise UserError("mask", expected=expected, received="something else")
    try:
        data = base64.b64decode(uri.removeprefix(_PREFIX), validate=True)
        with Image.open(io.BytesIO(data), formats=("PNG",)) as opened:
            # Before a pixel is decoded: the header says what there would be.
            if opened.mode != "RGBA" or opened.size != canvas[::-1]:
                received = f"{opened.size[0]} x {opened.size[1]} pixels of kind {opened.mode}"
                raise UserError("mask", expected=expected, received=received)
            alpha = opened.getchannel("A")
    except (binascii.Error, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError("mask", expected=expected, received="a damaged file") from error
    drawn = np.asarray(alpha) >= 128
    return resized(drawn, shape)


def resized(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bring a mask, bool (height, width), to another (height, width) by its nearest pixels."""
    if mask.shape == shape:
        return mask
    return np.asarray(Image.fromarray(mask).resize((shape[1], shape[0]), Image.Resampling.NEAREST))


class TooLarge(UserError):
    """An uploaded file, or the picture in it, that is larger than any that is taken."""


def read_upload(data: bytes, name: str) -> np.ndarray:
    """Decode an uploaded file as record sets are read: uint8 (height, width, 3), RGB, upright.

    Args:
        data: Its bytes.
        name: Its name, for the error.

    Raises:
        UserError: If it is too large, no image, or of a kind that is not taken.
    """
    check_upload(data)
    return decoded(data, name)


def check_upload(data: bytes) -> None:
    """Check an uploaded file before a pixel is decoded: a small file may hold a picture that fills the memory.

    Raises:
        TooLarge: If the file or the picture is too large.
        UserError: If it is no image, or of a kind that is not taken.
    """
    if len(data) > MAX_UPLOADED:
        raise TooLarge(
            "image", expected=f"a file of {MAX_UPLOADED // 2**20} MB or less",
            received=f"{len(data) / 2**20:.0f} MB", remedy="Make it smaller first.",
        )  # fmt: skip
    try:
        with inspect.quiet():
            info = inspect.inspect(data)
    except BadImage as error:
        raise UserError("image", expected=EXPECTED, received=str(error)) from error
    if info.height * info.width > MAX_PIXELS:
        received = f"{info.width} x {info.height} pixels"
        raise TooLarge("image", expected=f"a picture of {MAX_PIXELS:,} pixels or less", received=received)


def _shrunk(picture: Image.Image, side: int | None) -> Image.Image:
    longest = max(picture.size)
    if side is None or longest <= side:
        return picture
    size = (max(1, round(picture.width * side / longest)), max(1, round(picture.height * side / longest)))
    return picture.resize(size, Image.Resampling.LANCZOS)
