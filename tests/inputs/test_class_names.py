import json

import pytest

from fashionprobe.backbones import imagenet
from fashionprobe.errors import UserError
from fashionprobe.inputs.class_names import read_class_names


@pytest.mark.parametrize(("name", "text"), [
    ("names.txt", "cat\ndog\n日本 é\n"),
    ("names.txt", "\ufeffcat\r\ndog\r\n日本 é\r\n\r\n"),
    ("names.json", json.dumps(["cat", "dog", "日本 é"])),
    ("names.json", json.dumps({"1": "dog", "0": "cat", "2": "日本 é"})),
    # As Keras keeps those of ImageNet.
    ("names.json", json.dumps({"0": ["n1", "cat"], "1": ["n2", "dog"], "2": ["n3", "日本 é"]})),
])  # fmt: skip
def test_names_are_read_in_the_order_of_the_outputs(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_class_names(str(tmp_path / name)) == ("cat", "dog", "日本 é")


@pytest.mark.parametrize(("name", "data", "why"), [
    ("names.txt", b"", "which is empty"),
    ("names.txt", b"cat\n\ndog\n", "without a name in line 2"),
    ("names.txt", b"cat\ndog\ncat\n", "with two classes 'cat'"),
    ("names.txt", b"\xff\xfe\x00", "which is damaged"),
    ("names.json", b"{", "which is damaged"),
    ("names.json", b"3", "which is damaged"),
    ("names.json", b'{"0": "cat", "2": "dog"}', "which is damaged"),
    ("names.json", b"[1, 2]", "which is damaged"),
    ("names.json", b"[" * 100_000, "which is damaged"),
    ("names.json", b'[[], "a"]', "which is damaged"),
    ("names.txt", b"a" * (8 * 2**20 + 1), "at most"),
])  # fmt: skip
def test_a_file_that_does_not_name_classes_is_refused(tmp_path, name, data, why):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match="a text file with a name per line, or a JSON list of names") as caught:
        read_class_names(str(tmp_path / name))
    assert why in str(caught.value)


def test_a_missing_file_is_said():
    with pytest.raises(UserError, match=r"`class_names` must be imagenet or the path of a file. Received: 'no.txt'"):
        read_class_names("no.txt")


def test_the_classes_of_imagenet_have_a_thousand_names():
    names = read_class_names("imagenet")
    assert len(set(names)) == len(names) == 1000
    known = {0: "tench", 168: "redbone", 282: "tiger cat", 698: "palace", 985: "daisy", 999: "toilet tissue"}
    assert {number: names[number] for number in known} == known
    by_name = imagenet.numbers_by_synonym()
    assert by_name["tinca tinca"] == (0,) and by_name["crane"] == (134, 517) and by_name["maillot"] == (638, 639)
    # A name of its own leads to each class, whatever synonyms it shares.
    assert all(number in by_name[name.lower()] for number, name in enumerate(names))
