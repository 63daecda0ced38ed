"""Files of bytes in the IDX format of MNIST, gzipped or not, read without trust in what they say about themselves.

Reference:
    LeCun, Cortes and Burges, The MNIST database of handwritten digits, 1998: two zero bytes, the type (8: bytes), the
    number of axes, the length of each axis as a big-endian number of 32 bits, then the bytes themselves.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fashionprobe.errors import UserError

MOST = 100_000
"""Largest number of items that a file may announce: a small gzip file can hold any number of zeros."""

_GZIP = b"\x1f\x8b"
_BYTES = 8


def read(path: Path, item: tuple[int, ...]) -> np.ndarray:
    """Read an array of bytes; whether the file is gzipped is told by its first bytes, not by its name.

    Args:
        path: The file.
        item: Shape of one item: () for labels, (height, width) in pixels for images.

    Returns:
        uint8 (items, *item), not to be written to; a file that is not gzipped stays on disk (a memory map).

    Raises:
        UserError: If the file is damaged, cut, too large, or holds items of another shape.
        OSError: If the file cannot be opened.
    """
    start = 4 * (2 + len(item))
    with open(path, "rb") as plain:
        is_gzipped = plain.read(2) == _GZIP
        plain.seek(0)
        if not is_gzipped:
            count = _count(plain.read(start), item, path)
            _check_length(path.stat().st_size - start, count * math.prod(item), path, item)
            return np.memmap(path, np.uint8, "r", start, (count, *item))
        data = _unpacked(plain, start, item, path)
    return np.frombuffer(data, np.uint8).reshape(-1, *item)


def _unpacked(plain: BinaryIO, start: int, item: tuple[int, ...], path: Path) -> bytes:
    """Return what stands behind the header of a gzipped file, and unpack no more than the header announces."""
    try:
        with gzip.open(plain) as file:
            count = _count(file.read(start), item, path)
            # One byte more than there should be: the checksum is looked at only when the end is reached.
            data = file.read(count * math.prod(item) + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _wrong(path, item, f"a damaged or cut gzip file ({error})") from error
    _check_length(len(data), count * math.prod(item), path, item)
    return data


def _count(header: bytes, item: tuple[int, ...], path: Path) -> int:
    """Check the header of a file and return the number of items that it announces."""
    axes = 1 + len(item)
    if len(header) < 4 * (1 + axes):
        raise _wrong(path, item, f"a file of {len(header)} bytes")
    if header[:4] != bytes((0, 0, _BYTES, axes)):
        raise _wrong(path, item, f"a file that starts with {header[:4].hex(' ')}, not with 00 00 08 {axes:02x}")
    count, *shape = struct.unpack_from(f">{axes}I", header, 4)
    if tuple(shape) != item:
        raise _wrong(path, item, f"images of {' x '.join(map(str, shape))} pixels")
    if not 0 < count <= MOST:
        raise _wrong(path, item, f"{count:,} of them; 1 to {MOST:,} are taken")
    return count


def _check_length(found: int, announced: int, path: Path, item: tuple[int, ...]) -> None:
    if found < announced:
        raise _wrong(path, item, f"a cut file: {found:,} of the {announced:,} bytes that it announces")
    if found > announced:
        raise _wrong(path, item, f"more than the {announced:,} bytes that it announces")


def _wrong(path: Path, item: tuple[int, ...], received: str) -> UserError:
    kind = f"images of {' x '.join(map(str, item))} pixels" if item else "labels"
    return UserError(str(path), expected=f"an IDX file with {kind}", received=received, remedy="Download it again.")
