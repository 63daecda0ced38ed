"""What happens to the bytes of one image before they become a record: looked at, stripped, resized.

Only Pillow and the standard library: TensorFlow is the reader's. `inspect` sees every image of an ingest, so
it reads headers and checksums instead of pixels, and refuses what TensorFlow's decoders would refuse later,
in the middle of an epoch, or would decode to something else than the picture.
"""

import functools
import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageChops, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
MAX_BYTES = 256 * 2**20  # a photograph of Pillow's largest size is far below, a protocol buffer must be below 2 GiB

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DHT, _SOI, _EOI, _SOS, _DQT, _DRI = 0xFFC4, 0xFFD8, 0xFFD9, 0xFFDA, 0xFFDB, 0xFFDD
_SOF = frozenset({0xFFC0, 0xFFC1, 0xFFC2})  # baseline, extended, progressive
_OTHER_SOF = frozenset(range(0xFFC0, 0xFFD0)) - _SOF - {_DHT}
_BARE_MARKERS = frozenset({0xFFFF, 0xFF01, *range(0xFFD0, 0xFFD8)})  # a fill byte, TEM, RST0..7: no length
_MARKER_AND_LENGTH = struct.Struct(">HH")
_BITS = bytes(range(16))
_KEPT_SEGMENTS = {0xFFE0: b"JFIF\0", 0xFFE2: b"ICC_PROFILE\0", 0xFFEE: b"Adobe"}
_DROPPED_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt", b"tIME", b"eXIf"})
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


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
        info = _inspect_jpeg(data)
    elif data[:8] == _PNG_SIGNATURE:
        info = _inspect_png(data)
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
        return _strip_jpeg(data, info)
    if info.format == "PNG":
        return _strip_png(data, info)
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
    inner = size if fit == "stretch" else _inside(upright, size)
    # Twice the size is left for the antialiased resize, so that the draft's box filter does not show.
    draft = inner[::-1] if info.orientation > 4 else inner
    image = _rgb(_open(data, draft=(2 * draft[1], 2 * draft[0])))
    if info.orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[info.orientation])
    image = image.resize((inner[1], inner[0]), Image.Resampling.BILINEAR)
    if inner != size:
        canvas = Image.new("RGB", (width, height), "white")
        canvas.paste(image, ((width - inner[1]) // 2, (height - inner[0]) // 2))
        image = canvas
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()


def _inside(shape: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Return the largest (height, width) of the shape's aspect ratio inside `size`, rounded half up."""
    (height, width), (rows, columns) = shape, size
    if rows * width <= columns * height:
        return rows, max(1, (2 * width * rows + height) // (2 * height))
    return max(1, (2 * height * columns + width) // (2 * width)), columns


def _inspect_jpeg(data: bytes) -> ImageInfo:
    frame, orientation, tables = b"", 0, set()
    segments = _segments(data)
    for marker, start, end in segments:
        if marker == _DHT:
            tables.update(_huffman(data[start:end]))
        elif marker == _DQT:
            tables |= _quantization(data[start:end])
        elif marker in _SOF:
            if frame:
                raise BadImage("corrupt JPEG: two frame headers")
            frame = data[start:end]
        elif marker == 0xFFE1 and not orientation and data.startswith(b"Exif\0\0", start):
            orientation = _orientation(data[start + 6 : end])
        elif marker in _OTHER_SOF:
            raise BadImage("lossless, hierarchical or arithmetic-coded JPEG; convert it to a plain JPEG or PNG")
        elif marker == _DRI and end - start != 2:
            raise BadImage("corrupt JPEG: restart interval")
    if not frame:
        raise BadImage("corrupt JPEG: no frame header")
    height, width = _frame(frame)
    _check_pixels(height, width)
    _, start, end = segments[-1]
    _check_scan(data[start:end], frame, frozenset(tables))
    # Searching behind the scan's header passes over the end marker of a thumbnail inside EXIF.
    if data.startswith(b"\xff\xda", end):
        raise BadImage("corrupt JPEG: empty scan")
    if data.rfind(b"\xff\xd9", end) < 0:
        raise BadImage("truncated JPEG: no end-of-image marker")
    return ImageInfo("JPEG", height, width, orientation or 1)


def _segments(data: bytes) -> list[tuple[int, int, int]]:
    """List (marker, start, end) of the payloads of a JPEG's segments, up to the header of the first scan."""
    segments, start, marker = [], 2, 0
    unpack = _MARKER_AND_LENGTH.unpack_from
    try:
        while marker != _SOS:
            marker, length = unpack(data, start)
            if marker in _BARE_MARKERS:
                start += 1 if marker == 0xFFFF else 2
                continue
            if marker < 0xFFC0 or length < 2 or marker in (_SOI, _EOI):
                raise BadImage("corrupt JPEG: no segment where one must begin")
            end = start + 2 + length
            segments.append((marker, start + 4, end))
            start = end
    except struct.error:
        raise BadImage("truncated JPEG: no scan") from None
    return segments


# Some checks are remembered by content: one camera, shop or encoder writes the same headers into all of its
# files, and looking them up is ten times cheaper than checking them.


@functools.lru_cache(maxsize=1024)
def _frame(payload: bytes) -> tuple[int, int]:
    """Check a frame header and return (height, width)."""
    if len(payload) < 9 or len(payload) != 6 + 3 * payload[5]:
        raise BadImage("corrupt JPEG: frame header")
    precision, height, width, components = struct.unpack_from(">BHHB", payload)
    if precision != 8 or components not in (1, 3, 4):
        raise BadImage(f"JPEG of {precision} bits and {components} components; convert it to 8-bit RGB")
    across, down = [s >> 4 for s in payload[7::3]], [s & 15 for s in payload[7::3]]
    # Sampling factors from 1 to 4 that divide the largest: libjpeg upsamples by whole numbers only.
    bad = any(not 1 <= s <= 4 or max(factors) % s for factors in (across, down) for s in factors)
    if bad or not height or not width or max(payload[8::3]) > 3:
        raise BadImage("corrupt JPEG: frame header")
    return height, width


def _huffman(payload: bytes) -> list[int]:
    """Check a segment of Huffman tables; return their ids, 16..19 for DC and 32..35 for AC."""
    ids, start, length = [], 0, len(payload)
    while start < length:
        selector, symbols = payload[start], start + 17
        start = symbols + sum(payload[start + 1 : symbols])
        # A DC symbol is a number of bits. A damaged count of codes shows in the length of the segment.
        if selector & 0xEC or start > length or (selector < 4 and payload[symbols:start].translate(None, _BITS)):
            raise BadImage("corrupt JPEG: Huffman table")
        ids.append(16 + selector)
    return ids


@functools.lru_cache(maxsize=1024)
def _quantization(payload: bytes) -> frozenset[int]:
    """Check a segment of quantization tables; return their ids, 0..3."""
    ids, start = [], 0
    while start < len(payload):
        if payload[start] & 0xEC:
            raise BadImage("corrupt JPEG: quantization table")
        ids.append(payload[start] & 15)
        start += 129 if payload[start] >> 4 else 65
    if start != len(payload):
        raise BadImage("corrupt JPEG: quantization table")
    return frozenset(ids)


@functools.lru_cache(maxsize=1024)
def _check_scan(scan: bytes, frame: bytes, tables: frozenset[int]) -> None:
    """Check that the header of the first scan names components of the frame, and tables that exist."""
    count = scan[0] if scan else 0
    quantization = dict(zip(frame[6::3], frame[8::3], strict=True))
    sampling = dict(zip(frame[6::3], frame[7::3], strict=True))
    components, selectors = scan[1:-3:2], scan[2:-3:2]
    if not 1 <= count <= 4 or len(scan) != 4 + 2 * count or not set(components) <= set(quantization):
        raise BadImage("corrupt JPEG: scan header")
    needed = {quantization[component] for component in components}
    needed |= {16 + (selector >> 4) for selector in selectors}
    if scan[-2]:  # AC coefficients too, as in every scan that is not progressive
        needed |= {32 + (selector & 15) for selector in selectors}
    if max(tables, default=0) < 16:  # a frame of a film (Motion JPEG), which relies on the standard Huffman tables
        needed = {i for i in needed if i < 16}
    blocks = sum((sampling[c] >> 4) * (sampling[c] & 15) for c in components)
    if not needed <= tables or (count > 1 and blocks > 10):
        raise BadImage("corrupt JPEG: scan without its tables")


def _inspect_png(data: bytes) -> ImageInfo:
    seen, orientation, header = set(), 1, b""
    for kind, start, end in _chunks(data):
        if kind == b"IHDR":
            header = data[start:end]
        elif kind == b"eXIf":
            orientation = _orientation(data[start:end])
        elif kind == b"PLTE" and kind in seen:
            raise BadImage("corrupt PNG: two palettes")
        seen.add(kind)
    if len(header) != 13:
        raise BadImage("corrupt PNG: header")
    width, height, depth, colour, compression, filters, interlace = struct.unpack(">IIBBBBB", header)
    if not width or not height or depth not in _PNG_DEPTHS.get(colour, ()) or compression or filters or interlace > 1:
        raise BadImage("corrupt PNG: header")
    if b"IDAT" not in seen or (colour == 3 and b"PLTE" not in seen):
        raise BadImage("corrupt PNG: no pixels or no palette")
    _check_pixels(height, width)
    return ImageInfo("PNG", height, width, orientation, colour in (4, 6) or b"tRNS" in seen)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, start, end) of the payload of each chunk of a PNG up to its end, checksums checked."""
    view, start, kind = memoryview(data), 8, b""
    while kind != b"IEND":
        if start + 12 > len(data):
            raise BadImage("truncated PNG: no end chunk")
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 8 + length
        if end + 4 > len(data):
            raise BadImage("truncated PNG")
        if (kind == b"IHDR") != (start == 8) or zlib.crc32(view[start + 4 : end]) != int.from_bytes(
            view[end : end + 4]
        ):
            raise BadImage("corrupt PNG: checksum or order of chunks")
        yield kind, start + 8, end
        start = end + 4


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
        exif = image.info.get("exif", b"") if kind == "WEBP" else b""
        return ImageInfo(kind, height, width, _orientation(exif.removeprefix(b"Exif\0\0")), image.mode == "RGBA")


def _check_bmp(data: bytes) -> None:
    """Refuse what TensorFlow would misread: palettes, which it takes for grey, compression, odd depths."""
    header, depth, compression = struct.unpack_from("<I10xHI", data, 14)
    plain = header >= 40 and compression == 0 and depth in (8, 24, 32)
    if depth == 8:
        palette = data[14 + header : 14 + header + 1024]
        plain &= all(palette[i::4] == bytes(range(256)) for i in range(3))
    if not plain:
        raise BadImage("BMP with a palette or compression; convert it to JPEG or PNG")


def _orientation(tiff: bytes) -> int:
    """Read the orientation from the first directory of an EXIF block; 1 when it has none or is damaged."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if not order:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * entries, 12):
            tag, kind, count = struct.unpack_from(order + "HHI", tiff, entry)
            if tag == 0x0112:
                code = {1: "B", 3: "H", 4: "I"}.get(kind)
                value = struct.unpack_from(order + code, tiff, entry + 8)[0] if code and count == 1 else 1
                return value if value in _UPRIGHT else 1
    except struct.error:
        pass
    return 1


def _exif(orientation: int) -> bytes:
    """Write the smallest EXIF block: one directory with the orientation in it."""
    return struct.pack(">4sIHHHIHHI", b"MM\0*", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def _strip_jpeg(data: bytes, info: ImageInfo) -> bytes:
    segments, exif = _segments(data), b""
    if info.orientation != 1:
        tiff = _exif(info.orientation)
        exif = struct.pack(">HH6s", 0xFFE1, len(tiff) + 8, b"Exif") + tiff
    kept, several, pictures = [data[:2]], False, False
    for marker, start, end in segments:
        if marker == 0xFFFE or 0xFFE0 <= marker <= 0xFFEF:
            pictures |= data.startswith(b"MPF\0", start)
            if not data.startswith(_KEPT_SEGMENTS.get(marker, b"\xff\xff"), start):
                continue
        # JFIF must be the first segment where there is one, EXIF the next.
        if marker != 0xFFE0 and exif:
            kept.append(exif)
            exif = b""
        several |= marker == 0xFFC2
        kept.append(data[start - 4 : end])
    scan, stop = segments[-1][2], len(data)
    if pictures or not data.endswith(b"\xff\xd9"):
        # Further pictures, films and junk follow. Where there are several scans, a table between two of them
        # may hold the bytes of an end marker, so that only the last one is sure.
        stop = 2 + (data.rfind(b"\xff\xd9") if several else data.find(b"\xff\xd9", scan))
    kept.append(data[scan:stop])
    return b"".join(kept)


def _strip_png(data: bytes, info: ImageInfo) -> bytes:
    kept = [_PNG_SIGNATURE]
    for kind, start, end in _chunks(data):
        if kind not in _DROPPED_CHUNKS:
            kept.append(data[start - 8 : end + 4])
        if kind == b"IHDR" and info.orientation != 1:
            chunk = b"eXIf" + _exif(info.orientation)
            kept.append(struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)))
    return b"".join(kept)


def _check_pixels(height: int, width: int) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    if limit and height * width > 2 * limit:
        raise BadImage(f"{width} x {height} pixels; at most {2 * limit:,} are taken")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Pillow's warnings about large or slightly damaged files: they are taken or refused here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.simplefilter("ignore", UserWarning)
        yield


def _open(data: bytes, *, draft: tuple[int, int] | None = None) -> Image.Image:
    """Decode the first frame with Pillow, a JPEG at the smallest scale above `draft` (width, height)."""
    with _quiet():
        try:
            image = Image.open(io.BytesIO(data))
            if image.format not in (*FORMATS, "MPO"):  # MPO: a JPEG with further pictures behind it
                raise BadImage(f"{image.format}; convert it to JPEG or PNG")
            if draft:
                image.draft(None, draft)
            image.load()
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
        # Without Adobe's marker 0 is no ink, as TensorFlow and browsers take it; Pillow inverts regardless.
        image = ImageChops.invert(image)
    return image.convert("RGB")
