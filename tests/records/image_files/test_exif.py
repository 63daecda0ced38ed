"""The orientation out of EXIF blocks written by hand."""

import struct

import pytest

from fashionprobe.records.image_files import exif


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_written_block_is_read_back(orientation):
    assert exif.read_orientation(exif.block(orientation)) == orientation


@pytest.mark.parametrize(("kind", "code"), [(1, "B3x"), (3, "H2x"), (4, "I")])
@pytest.mark.parametrize(("order", "magic"), [("<", b"II*\0"), (">", b"MM\0*")])
def test_both_byte_orders_and_every_width(order, magic, kind, code):
    other = struct.pack(order + "HHII", 0x010F, 2, 4, 0)
    entry = struct.pack(order + "HHI" + code, 0x0112, kind, 1, 6)
    assert exif.read_orientation(magic + struct.pack(order + "IH", 8, 2) + other + entry) == 6


@pytest.mark.parametrize("cut", range(20))
def test_a_cut_block_is_upright(cut):
    assert exif.read_orientation(exif.block(6)[:cut]) == 1


@pytest.mark.parametrize("block", [b"", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"nothing at all"])
def test_what_is_no_exif_is_upright(block):
    assert exif.read_orientation(block) == 1
