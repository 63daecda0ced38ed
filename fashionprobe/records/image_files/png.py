"""PNG files without decoding a pixel: walked chunk by chunk, checked, stripped of metadata."""

import struct
import zlib
from collections.abc import Iterator

from fashionprobe.records.image_files import exif
from fashionprobe.records.image_files.info import BadImage, ImageInfo, check_pixels

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_DROPPED_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt", b"tIME", b"eXIf"})
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


def inspect(data: bytes) -> ImageInfo:
    """Read the chunks of a PNG, checksums and all.

    Raises:
        BadImage: The file is damaged or cut.
    """
    seen, orientation, header = set(), 1, b""
    for kind, start, end in _chunks(data):
        if kind == b"IHDR":
            header = data[start:end]
        elif kind == b"eXIf":
            orientation = exif.read_orientation(data[start:end])
        elif kind == b"PLTE" and kind in seen:
            raise BadImage("corrupt PNG: two palettes")
        seen.add(kind)
    if len(header) != 13:
        raise BadImage("corrupt PNG: header")
    width, height, depth, colour, compression, filters, interlace = struct.unpack(">IIBBBBB", header)
    if not width or not height or depth not in _DEPTHS.get(colour, ()) or compression or filters or interlace > 1:
        raise BadImage("corrupt PNG: header")
    if b"IDAT" not in seen or (colour == 3 and b"PLTE" not in seen):
        raise BadImage("corrupt PNG: no pixels or no palette")
    check_pixels(height, width)
    return ImageInfo("PNG", height, width, orientation, colour in (4, 6) or b"tRNS" in seen)


def strip(data: bytes, orientation: int) -> bytes:
    """Drop text, time and EXIF, but for the orientation, from a PNG that `inspect` accepted."""
    kept = [SIGNATURE]
    for kind, start, end in _chunks(data):
        if kind not in _DROPPED_CHUNKS:
            kept.append(data[start - 8 : end + 4])
        if kind == b"IHDR" and orientation != 1:
            chunk = b"eXIf" + exif.block(orientation)
            kept.append(struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)))
    return b"".join(kept)


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
