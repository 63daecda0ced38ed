"""The one EXIF tag that changes the picture on the screen: the orientation."""

import struct

ORIENTATION = 0x0112


def read_orientation(tiff: bytes) -> int:
    """Read the orientation from the first directory of an EXIF block; 1 when it has none or is damaged."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if not order:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * entries, 12):
            tag, kind, count = struct.unpack_from(order + "HHI", tiff, entry)
            if tag == ORIENTATION:
                code = {1: "B", 3: "H", 4: "I"}.get(kind)
                value = struct.unpack_from(order + code, tiff, entry + 8)[0] if code and count == 1 else 1
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def block(orientation: int) -> bytes:
    """Write the smallest EXIF block: one directory with the orientation in it."""
    return struct.pack(">4sIHHHIHHI", b"MM\0*", 8, 1, ORIENTATION, 3, 1, orientation, 0, 0)
