"""What a record holds, read back by TensorFlow and by the protocol buffer itself."""

import pytest

tf = pytest.importorskip("tensorflow")
from fashionprobe.records import schema  # noqa: E402


def test_a_record_is_an_example_with_these_features():
    record = schema.serialize(b"\xff\xd8bytes", name="é1", orientation=6, labels={"colour": "Größe", "split": ""})
    feature = tf.train.Example.FromString(record).features.feature
    assert set(feature) == {"image", "id", "orientation", "label/colour", "label/split"}
    assert feature["image"].bytes_list.value == [b"\xff\xd8bytes"]
    assert feature["id"].bytes_list.value == ["é1".encode()]
    assert feature["orientation"].int64_list.value == [6]
    assert feature["label/colour"].bytes_list.value == ["Größe".encode()]
    assert feature["label/split"].bytes_list.value == [b""]


def test_a_record_is_parsed_by_the_features():
    record = schema.serialize(b"x", name="1", orientation=1, labels={"colour": "red", "year": "2012"})
    found = tf.io.parse_single_example(record, schema.features(["year"]))
    assert {name: value.numpy() for name, value in found.items()} == {
        "image": b"x", "id": b"1", "orientation": 1, "label/year": b"2012",
    }  # fmt: skip


def test_equal_records_have_equal_bytes_whatever_the_order_of_the_labels():
    labels = {f"column {number}": str(number) for number in range(20)}
    turned = dict(reversed(labels.items()))
    assert schema.serialize(b"x", name="1", orientation=1, labels=labels) == schema.serialize(
        b"x", name="1", orientation=1, labels=turned
    )
