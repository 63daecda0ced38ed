"""What is known of an image before its pixels are, and the exception for one that cannot become a record."""

from dataclasses import dataclass
from typing import Literal

from PIL import Image

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
MAX_BYTES = 256 * 2**20  # a photograph of Pillow's largest size is far below, a protocol buffer must be below 2 GiB


class BadImage(ValueError):
    """Bytes that cannot become a record; the message is the reason, short enough for one line of a list."""


@dataclass(frozen=True)
class ImageInfo:
    """What the header of an image says.

    Attributes:
        format: One of `FORMATS`.
        height: Height in pixels as stored, before the orientation is applied.
        width: Width in pixels as stored.
        orientation: EXIF orientation from 1 to 8; 1 when absent or invalid.
        has_alpha: Whether pixels may be transparent; never so for JPEG, GIF and BMP.
    """

    format: str
    height: int
    width: int
    orientation: int = 1
    has_alpha: bool = False


@dataclass(frozen=True)
class Resizing:
    """How the images of a record set were brought to one size before they were stored.

    Attributes:
        size: (height, width) in pixels.
        fit: Keep the aspect ratio and pad with white, or stretch.
    """

    size: tuple[int, int]
    fit: Literal["pad", "stretch"]


def check_pixels(height: int, width: int) -> None:
    """Refuse an image with more pixels than Pillow decodes, before anything makes room for them."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit and height * width > 2 * limit:
        raise BadImage(f"{width} x {height} pixels; at most {2 * limit:,} are taken")
