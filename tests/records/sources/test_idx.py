"""IDX files: gzipped or not, whole or damaged, and never more than they announce."""

import gzip
import struct

import numpy as np
import pytest

from fashionprobe.errors import UserError
from fashionprobe.records.sources import idx


def packed(array, magic=None, shape=None):
    """Bytes of an IDX file, whose header may lie."""
    magic = magic or bytes((0, 0, 8, array.ndim))
    return magic + struct.pack(f">{array.ndim}I", *(shape or array.shape)) + array.astype(np.uint8).tobytes()


IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
WHOLE = packed(IMAGES)


@pytest.mark.parametrize("squeeze", [bytes, gzip.compress])
@pytest.mark.parametrize("name", ["images", "images.gz"])
def test_the_bytes_tell_whether_a_file_is_gzipped(tmp_path, squeeze, name):
    """Browsers unpack what they download and keep its name."""
    (tmp_path / name).write_bytes(squeeze(WHOLE))
    read = idx.read(tmp_path / name, (3, 4))
    np.testing.assert_array_equal(read, IMAGES)
    assert read.dtype == np.uint8 and not read.flags.writeable
    assert isinstance(read, np.memmap) == (squeeze is bytes)


def test_labels_have_one_axis(tmp_path):
    (tmp_path / "labels").write_bytes(b"\0\0\x08\x01" + b"\0\0\0\x03" + b"\x07\x00\x09")
    assert idx.read(tmp_path / "labels", ()).tolist() == [7, 0, 9]


@pytest.mark.parametrize("squeeze", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("data", "received"),
    [
        (b"", "a file of 0 bytes"),
        (WHOLE[:15], "a file of 15 bytes"),
        (packed(IMAGES, magic=b"\0\0\x0d\x03"), "a file that starts with 00 00 0d 03, not with 00 00 08 03"),
        (b"\x89PNG" + WHOLE[4:], "a file that starts with 89 50 4e 47, not with"),
        (packed(IMAGES[0]) + bytes(9), "a file that starts with 00 00 08 02, not with"),
        (packed(IMAGES.reshape(2, 4, 3)), "images of 4 x 3 pixels"),
        (WHOLE[:-1], "a cut file: 23 of the 24 bytes that it announces"),
        (WHOLE + b"\0", "more than the 24 bytes that it announces"),
        (packed(IMAGES[:0]), "0 of them; 1 to 100,000 are taken"),
        (packed(IMAGES, shape=(2**32 - 1, 3, 4)), "4,294,967,295 of them; 1 to 100,000 are taken"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path, squeeze, data, received):
    (tmp_path / "images").write_bytes(squeeze(data))
    with pytest.raises(UserError) as caught:
        idx.read(tmp_path / "images", (3, 4))
    message = f"`{tmp_path / 'images'}` must be an IDX file with images of 3 x 4 pixels. Received: {received}"
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith(". Download it again.")


def test_damage_in_a_gzip_file_is_found(tmp_path):
    whole = gzip.compress(WHOLE)
    flipped = bytearray(whole)
    flipped[-5] ^= 1  # in the checksum
    for damaged, reason in ((whole[:-9], "ended before"), (bytes(flipped), "CRC check failed"), (whole[:5], "ended")):
        (tmp_path / "images").write_bytes(damaged)
        with pytest.raises(UserError, match=rf"Received: a damaged or cut gzip file \(.*{reason}"):
            idx.read(tmp_path / "images", (3, 4))


def test_no_more_is_unpacked_than_the_header_announces(tmp_path, monkeypatch):
    (tmp_path / "bomb").write_bytes(gzip.compress(packed(np.zeros((100, 300, 400)), shape=(1, 300, 400))))
    asked = []
    read = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, size=-1: asked.append(size) or read(self, size))
    with pytest.raises(UserError, match=r"more than the 120,000 bytes that it announces"):
        idx.read(tmp_path / "bomb", (300, 400))
    assert asked == [16, 120_001]
