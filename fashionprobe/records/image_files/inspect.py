"""What happens to the bytes of one image before they become a record: looked at, stripped, resized.

Only Pillow and the standard library: TensorFlow is the reader's. `inspect` sees every image of an ingest, so
it reads headers and checksums instead of pixels, and refuses what TensorFlow's decoders would refuse later,
in the middle of an epoch, or would decode to something else than the picture.
"""

import io
import re
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from PIL import Image, ImageChops, UnidentifiedImageError

from fashionprobe.records.image_files import exif, jpeg, png
from fashionprobe.records.image_files.info import FORMATS, MAX_BYTES, BadImage, ImageInfo

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def inspect(data: bytes, *, decode: bool = False) -> ImageInfo:
    """Read format, size and orientation of an image, and refuse one that could not be decoded later.

    JPEG and PNG are walked marker by marker and chunk by chunk, without decoding a pixel. The rarer formats
    are always decoded by Pillow. What a walk cannot find is damage inside the compressed data.

    Args:
        data: The bytes of the image file.
        decode: Decode JPEG and PNG with Pillow too: finds most of that damage, ten to a hundred times slower.

    Returns:
        What the header says.

    Raises:
        BadImage: The bytes are empty, no image, truncated, corrupt, too large, or of a format or a variety of
            it that TensorFlow cannot decode.
    """
    if not data:
        raise BadImage("empty file")
    if len(data) > MAX_BYTES:
        raise BadImage(f"file of {len(data):,} bytes; at most {MAX_BYTES:,} are taken")
    if data[:3] == b"\xff\xd8\xff":
        info = jpeg.inspect(data)
    elif data[:8] == png.SIGNATURE:
        info = png.inspect(data)
    else:
        return _inspect_other(data)
    if decode:
        _open(data).close()
    return info


def strip_metadata(data: bytes, info: ImageInfo) -> bytes:
    """Drop what does not change the pixels on the screen: camera data, thumbnails, comments, editing history.

    Colour (JFIF, Adobe and ICC segments, colour chunks) and orientation stay, and every compressed byte.

    Args:
        data: The bytes of the image file.
        info: What `inspect` returned for them.

    Returns:
        The shorter file; formats other than JPEG and PNG come back unchanged.
    """
    if info.format == "JPEG":
        return jpeg.strip(data, info.orientation)
    if info.format == "PNG":
        return png.strip(data, info.orientation)
    return data


def resize(data: bytes, size: tuple[int, int], fit: Literal["pad", "stretch"], info: ImageInfo) -> bytes:
    """Decode an image, turn it upright, bring it to one size and encode it as JPEG (quality 95, 4:4:4).

    Transparency is composited on white, ICC profiles are ignored, as the reading side does.

    Args:
        data: The bytes of the image file.
        size: (height, width) of the result in pixels.
        fit: "stretch" ignores the aspect ratio; "pad" keeps it and centres the image on white. A padded side
            is rounded half up, to one pixel at least; of an odd margin the larger part goes to the bottom or
            the right.
        info: What `inspect` returned for the bytes.

    Returns:
        The new JPEG file.

    Raises:
        BadImage: Pillow cannot decode the image.
    """
    height, width = size
    upright = (info.width, info.height) if info.orientation > 4 else (info.height, info.width)
    inner = size if fit == "stretch" else inside(upright, size)
    # Twice the size is left for the antialiased resize, so that the draft's box filter does not show.
    draft = inner[::-1] if info.orientation > 4 else inner
    image = _upright(_rgb(_open(data, draft=(2 * draft[1], 2 * draft[0]))), info)
    image = image.resize((inner[1], inner[0]), Image.Resampling.BILINEAR)
    if inner != size:
        canvas = Image.new("RGB", (width, height), "white")
        canvas.paste(image, ((width - inner[1]) // 2, (height - inner[0]) // 2))
        image = canvas
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()


def picture(data: bytes, info: ImageInfo, *, draft: int | None = None) -> Image.Image:
    """Decode an image and turn it upright: grey (L) when it is stored so, else RGB, transparency on white.

    Args:
        data: The bytes of the image file.
        info: What `inspect` returned for them.
        draft: Decode a JPEG at the smallest scale whose sides are this long at least, which is faster.

    Raises:
        BadImage: Pillow cannot decode the image.
    """
    image = _open(data, draft=(draft, draft) if draft else None)
    is_grey = image.mode == "L" and not image.has_transparency_data
    return _upright(image if is_grey else _rgb(image), info)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's warnings about large or slightly damaged files, which are taken or refused here.

    The filters of warnings belong to the process: enter this in one thread, around the threads that do the work.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def inside(shape: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Return the largest (height, width) of the shape's aspect ratio inside `size`, rounded half up."""
    (height, width), (rows, columns) = shape, size
    if rows * width <= columns * height:
        return rows, max(1, (2 * width * rows + height) // (2 * height))
    return max(1, (2 * height * columns + width) // (2 * width)), columns


def window(shape: Sequence[int], size: tuple[int, int], fit: Literal["pad", "stretch"]) -> tuple[int, int, int, int]:
    """Return where `decode.fit` puts a picture: (top, left, rows, columns) within `size`.

    Args:
        shape: Height and width of the picture.
        size: (height, width) of the result.
        fit: How the picture is brought to it.
    """
    rows, columns = size if fit == "stretch" else inside((shape[0], shape[1]), size)
    return (size[0] - rows) // 2, (size[1] - columns) // 2, rows, columns


def _inspect_other(data: bytes) -> ImageInfo:
    if data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8X" and data[20:21] and data[20] & 2:
        # Not only unreadable: TensorFlow 2.21 corrupts its memory on one without transparency.
        raise BadImage("animated WEBP; convert it to JPEG or PNG")
    with _open(data) as image:
        kind = str(image.format)
        width, height = image.size
        if kind == "GIF" and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            raise BadImage("GIF with transparent pixels, which would turn black; convert it to PNG")
        if kind == "BMP":
            _check_bmp(data)
        tiff = image.info.get("exif", b"") if kind == "WEBP" else b""
        orientation = exif.read_orientation(tiff.removeprefix(b"Exif\0\0"))
        return ImageInfo(kind, height, width, orientation, image.mode == "RGBA")


def _check_bmp(data: bytes) -> None:
    """Refuse what TensorFlow would misread: palettes, which it takes for grey, compression, odd depths."""
    header, depth, compression = struct.unpack_from("<I10xHI", data, 14)
    plain = header >= 40 and compression == 0 and depth in (8, 24, 32)
    if depth == 8:
        palette = data[14 + header : 14 + header + 1024]
        plain &= all(palette[i::4] == bytes(range(256)) for i in range(3))
    if not plain:
        raise BadImage("BMP with a palette or compression; convert it to JPEG or PNG")


def _open(data: bytes, *, draft: tuple[int, int] | None = None) -> Image.Image:
    """Decode the first frame with Pillow, a JPEG at the smallest scale above `draft` (width, height)."""
    try:
        image = Image.open(io.BytesIO(data))
        if image.format not in (*FORMATS, "MPO"):  # MPO: a JPEG with further pictures behind it
            raise BadImage(f"{image.format}; convert it to JPEG or PNG")
        if draft:
            image.draft(None, draft)
        image.load()
        if image.format == "PNG" and image.mode == "L" and isinstance(image.info.get("transparency"), int):
            # Pillow spreads 2 and 4 bits over 0 to 255, but not the grey that is transparent.
            image.info["transparency"] *= 255 // (2 ** min(data[24], 8) - 1)
    except UnidentifiedImageError:
        raise BadImage(_unknown(data)) from None
    except BadImage:
        raise
    except Image.DecompressionBombError:
        raise BadImage("too many pixels") from None
    except Exception as error:
        # Pillow's plugins raise OSError, SyntaxError, ValueError, struct.error and more on damaged files.
        raise BadImage(f"Pillow cannot decode it: {error}") from error
    return image


def _upright(image: Image.Image, info: ImageInfo) -> Image.Image:
    return image.transpose(_UPRIGHT[info.orientation]) if info.orientation in _UPRIGHT else image


def _unknown(data: bytes) -> str:
    if data[4:8] == b"ftyp":
        return "HEIF, AVIF or video; convert it to JPEG or PNG"
    if re.search(rb"<svg[\s>]", data[:4096]):
        return "SVG; convert it to JPEG or PNG"
    return "not an image"


def _rgb(image: Image.Image) -> Image.Image:
    """Convert to RGB as the reading side does: alpha on white, the high byte of 16 bits."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        step = 4 if image.mode == "I" else 2
        return Image.frombytes("L", image.size, image.tobytes()[1::step]).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if image.mode == "CMYK" and "adobe" not in image.info:
        # Without Adobe's marker 0 means no ink, as TensorFlow and browsers take it; Pillow inverts regardless.
        image = ImageChops.invert(image)
    return image.convert("RGB")
