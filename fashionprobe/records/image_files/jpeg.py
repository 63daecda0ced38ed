"""JPEG files without decoding a pixel: walked marker by marker, checked, stripped of metadata."""

import functools
import hashlib
import struct

from fashionprobe.records.image_files import exif
from fashionprobe.records.image_files.info import BadImage, ImageInfo, check_pixels

_DHT, _SOI, _EOI, _SOS, _DQT, _DRI = 0xFFC4, 0xFFD8, 0xFFD9, 0xFFDA, 0xFFDB, 0xFFDD
_SOF = frozenset({0xFFC0, 0xFFC1, 0xFFC2})  # baseline, extended, progressive
_OTHER_SOF = frozenset(range(0xFFC0, 0xFFD0)) - _SOF - {_DHT}
_BARE_MARKERS = frozenset({0xFFFF, 0xFF01, *range(0xFFD0, 0xFFD8)})  # a fill byte, TEM, RST0..7: no length
_MARKER_AND_LENGTH = struct.Struct(">HH")
_BITS = bytes(range(16))
_STANDARD_TABLES = (0, 208, 416)
"""Bytes of the standard Huffman tables of a film's frame, which leaves them out, of grey and of colour."""
_KEPT_SEGMENTS = {0xFFE0: b"JFIF\0", 0xFFE2: b"ICC_PROFILE\0", 0xFFEE: b"Adobe"}


def inspect(data: bytes) -> ImageInfo:
    """Read the header of a JPEG up to its first scan.

    Raises:
        BadImage: The headers are damaged, the end is missing, or TensorFlow cannot decode the variety.
    """
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
            orientation = exif.read_orientation(data[start + 6 : end])
        elif marker in _OTHER_SOF:
            raise BadImage("lossless, hierarchical or arithmetic-coded JPEG; convert it to a plain JPEG or PNG")
        elif marker == _DRI and end - start != 2:
            raise BadImage("corrupt JPEG: restart interval")
    if not frame:
        raise BadImage("corrupt JPEG: no frame header")
    height, width = _frame(frame)
    check_pixels(height, width)
    _, start, end = segments[-1]
    _check_scan(data[start:end], frame, frozenset(tables))
    # Searching behind the scan's header passes over the end marker of a thumbnail inside EXIF.
    if data.startswith(b"\xff\xda", end):
        raise BadImage("corrupt JPEG: empty scan")
    if data.rfind(b"\xff\xd9", end) < 0:
        raise BadImage("truncated JPEG: no end-of-image marker")
    return ImageInfo("JPEG", height, width, orientation or 1)


def strip(data: bytes, orientation: int) -> bytes:
    """Drop all but colour, orientation and compressed data from a JPEG that `inspect` accepted."""
    segments, turn = _segments(data), b""
    if orientation != 1:
        tiff = exif.block(orientation)
        turn = struct.pack(">HH6s", 0xFFE1, len(tiff) + 8, b"Exif") + tiff
    kept, several, pictures = [data[:2]], False, False
    for marker, start, end in segments:
        if marker == 0xFFFE or 0xFFE0 <= marker <= 0xFFEF:
            pictures |= data.startswith(b"MPF\0", start)
            if not data.startswith(_KEPT_SEGMENTS.get(marker, b"\xff\xff"), start):
                continue
        # JFIF must be the first segment where there is one, EXIF the next.
        if marker != 0xFFE0 and turn:
            kept.append(turn)
            turn = b""
        several |= marker == 0xFFC2
        kept.append(data[start - 4 : end])
    scan, stop = segments[-1][2], len(data)
    if pictures or not data.endswith(b"\xff\xd9"):
        # Further pictures, films and junk follow. Where there are several scans, a table between two of them
        # may hold the bytes of an end marker, so that only the last one is sure.
        stop = 2 + (data.rfind(b"\xff\xd9") if several else data.find(b"\xff\xd9", scan))
    kept.append(data[scan:stop])
    return b"".join(kept)


def coded(data: bytes) -> tuple[str, str, str]:
    """Return what a JPEG that `inspect` accepted says about its pixels without decoding one.

    Returns:
        A digest of size, sampling and quantization, which two files that hold the same coefficients share; how they
        are coded (sequential or progressive, by the standard Huffman tables or by its own), in which a lossless change
        of the coding changes; and a digest of all that decides the pixels, whatever else the file holds.
    """
    plain = strip(data, 1)
    segments = _segments(plain)
    payloads = [(marker, plain[start:end]) for marker, start, end in segments]
    tables = sorted(payload for marker, payload in payloads if marker == _DQT)
    frame = next((marker, payload) for marker, payload in payloads if marker in _SOF)
    lengths = sum(len(payload) for marker, payload in payloads if marker == _DHT)
    group = hashlib.blake2b(b"".join([frame[1], *tables]), digest_size=16).hexdigest()
    coding = f"{frame[0] == 0xFFC2} {lengths in _STANDARD_TABLES}"
    # JFIF says that the colours are YCbCr, and Adobe's segment which they are; the density in one says nothing.
    kept = [payload[:5] if marker == 0xFFE0 else payload for marker, payload in payloads if marker != 0xFFE2]
    return group, coding, hashlib.blake2b(b"".join([*kept, plain[segments[-1][2] :]]), digest_size=16).hexdigest()


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
