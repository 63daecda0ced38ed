"""A folder and a zip file read alike; damaged zip files; names that lead outside."""

import os
import struct
import sys
import unicodedata

import pytest

from fashionprobe.errors import UserError
from fashionprobe.records.image_files.info import BadImage
from fashionprobe.records.sources.tree import FileTree

FILES = {"a/1.jpg": b"one", "a/b/2.jpg": b"two", "ä/é 3.jpg": b"three"}


@pytest.fixture(params=["folder", "zip"])
def path(request, put, put_zip):
    return put(FILES) if request.param == "folder" else put_zip(FILES)


def test_a_folder_and_a_zip_list_and_read_the_same(path):
    tree = FileTree(path)
    assert tree.sizes == {name: len(data) for name, data in FILES.items()}
    assert list(tree.sizes) == sorted(FILES)
    assert {name: tree.read(name) for name in tree.sizes} == FILES


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a", "a/../a/1.jpg", "", "nothing.jpg"])
def test_only_listed_names_are_read(path, name):
    with pytest.raises(BadImage, match="no such file"):
        FileTree(path).read(name)


def test_a_zip_entry_that_leads_outside_is_left_out(put_zip):
    assert list(FileTree(put_zip({"../../etc/passwd": b"mine", "a/../1.jpg": b"", "1.jpg": b""})).sizes) == ["1.jpg"]


def test_hidden_files_and_mac_copies_are_left_out(put, put_zip):
    hidden = {".DS_Store": b"", "a/.cache/1.jpg": b"", "__MACOSX/a/._1.jpg": b""}
    assert list(FileTree(put_zip(FILES | hidden)).sizes) == sorted(FILES)
    del hidden["__MACOSX/a/._1.jpg"]
    assert list(FileTree(put(FILES | hidden)).sizes) == sorted(FILES)


def test_links_to_files_are_read_and_links_to_folders_are_not_followed(put):
    root = put(FILES)
    (root / "loop").symlink_to(root)
    (root / "a/link.jpg").symlink_to(root / "a/1.jpg")
    (root / "a/broken.jpg").symlink_to(root / "nowhere")
    tree = FileTree(root)
    assert set(tree.sizes) == {*FILES, "a/link.jpg"}
    assert tree.read("a/link.jpg") == b"one"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes any bytes as a file name")
def test_a_name_that_is_no_utf8_is_listed_with_escapes_and_read(put):
    root = put(FILES)
    with open(os.path.join(os.fsencode(root), b"caf\xe9.jpg"), "wb") as file:
        file.write(b"four")
    tree = FileTree(root)
    assert tree.read("caf\\xe9.jpg") == b"four"
    assert "\n".join(tree.sizes).encode()


def test_a_bad_checksum_names_the_zip(put_zip):
    path = put_zip({"1.jpg": b"some bytes"})
    data = bytearray(path.read_bytes())
    # CRC-32 of the entry, in the central directory: 16 bytes behind its signature.
    data[data.index(b"PK\1\2") + 16] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadImage, match=r"damaged in the zip file \(Bad CRC-32"):
        FileTree(path).read("1.jpg")


def test_an_encrypted_entry_says_so(put_zip):
    path = put_zip({"1.jpg": b"some bytes"})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = data.index(signature) + offset
        data[start : start + 2] = struct.pack("<H", 1)
    path.write_bytes(data)
    with pytest.raises(BadImage, match=r"damaged in the zip file \(.*encrypted"):
        FileTree(path).read("1.jpg")


def test_damaged_compressed_data_names_the_zip(put_zip):
    path = put_zip({"1.jpg": bytes(range(256)) * 8})
    data = bytearray(path.read_bytes())
    data[40:60] = b"\xff" * 20
    path.write_bytes(data)
    with pytest.raises(BadImage, match="damaged in the zip file"):
        FileTree(path).read("1.jpg")


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(UserError, match=r"`path` must be a folder or a zip file. Received: '.*shoes', which does not"):
        FileTree(tmp_path / "shoes")


def test_a_cut_zip_is_named(put_zip):
    path = put_zip(FILES)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"which is neither \(File is not a zip file\). Download it again"):
        FileTree(path)


def test_an_unreadable_file_says_why(put):
    root = put(FILES)
    tree = FileTree(root)
    (root / "a/1.jpg").unlink()
    with pytest.raises(BadImage, match="unreadable"):
        tree.read("a/1.jpg")


def test_the_fingerprint_covers_names_sizes_and_named_contents(put):
    first = FileTree(put(FILES, "1"))
    same = FileTree(put(FILES, "2"))
    other = FileTree(put({**FILES, "a/1.jpg": b"own"}, "3"))
    longer = FileTree(put({**FILES, "a/1.jpg": b"ones"}, "4"))
    assert first.fingerprint() == same.fingerprint() == other.fingerprint() != longer.fingerprint()
    assert first.fingerprint("a/1.jpg") != other.fingerprint("a/1.jpg")


def test_the_same_bytes_have_the_same_key_and_others_another(put, put_zip):
    files = {"a.jpg": b"one", "b.jpg": b"two", "c.jpg": b"one", "d.jpg": b"three"}
    for tree in (FileTree(put(files)), FileTree(put_zip(files))):
        one, two, copy, three = tree.contents(["a.jpg", "b.jpg", "c.jpg", "d.jpg"])
        assert one == copy
        assert len({one, two, three}) == 3


def test_only_files_of_one_size_are_read_for_their_key(put, monkeypatch):
    tree = FileTree(put({"a.jpg": b"one", "b.jpg": b"three", "c.jpg": b"two"}))
    read = []
    original = tree.read
    monkeypatch.setattr(tree, "read", lambda name: read.append(name) or original(name))
    tree.contents(["a.jpg", "b.jpg", "c.jpg"])
    assert read == ["a.jpg", "c.jpg"]


def test_a_file_that_goes_has_a_key_of_its_own(put):
    folder = put({"a.jpg": b"one", "b.jpg": b"two"})
    tree = FileTree(folder)
    (folder / "a.jpg").unlink()
    gone, there = tree.contents(["a.jpg", "b.jpg"])
    assert gone != there


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_names_are_in_nfc_and_files_of_one_name_stay_two(put, put_zip, kind):
    files = {unicodedata.normalize(form, f"größe/ü{form[-1]}.jpg"): form.encode() for form in ("NFC", "NFD")}
    files |= {unicodedata.normalize(form, "größe/ü.jpg"): form.encode() for form in ("NFC", "NFD")}
    tree = FileTree(put(files) if kind == "folder" else put_zip(files))
    assert set(tree.sizes) == {"größe/üC.jpg", "größe/üD.jpg", "größe/ü.jpg", "größe/ü (2).jpg"}
    read = {name: tree.read(name) for name in tree.sizes}
    assert {read["größe/ü.jpg"], read["größe/ü (2).jpg"]} == {b"NFC", b"NFD"}
    assert (read["größe/üC.jpg"], read["größe/üD.jpg"]) == (b"NFC", b"NFD")
    assert len(set(tree.contents(list(tree.sizes)))) == 2
