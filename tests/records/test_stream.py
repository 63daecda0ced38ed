import pytest

from fashionprobe.errors import UserError
from fashionprobe.records.record_set import open_record_set
from fashionprobe.records.stream import Stream


@pytest.fixture
def records(garments_root):
    return open_record_set(garments_root / "tfrecords/small")


def open_stream(records, batch_size, splits=None):
    items, chosen = records.in_splits(splits)
    return Stream(records, items, chosen, (16, 16), "pad", batch_size)


def test_it_can_be_read_again_and_the_order_is_that_of_the_items(records):
    stream = open_stream(records, 7)
    first, second = list(stream.batches("a")), list(stream.batches("b"))
    assert [len(batch) for batch in first] == [7] * 8 + [4]
    assert all((one == other).all() for one, other in zip(first, second, strict=True))
    assert len(stream.items) == 60


def test_pictures_are_rows_of_the_stream(records):
    [whole] = open_stream(records, 60).batches("all")
    found = open_stream(records, 8).pictures({3, 8, 59})
    assert sorted(found) == [3, 8, 59]
    assert all((found[row] == whole[row]).all() for row in found)
    assert open_stream(records, 8).pictures(set()) == {}


def test_splits(records):
    stream = open_stream(records, 60, ["val"])
    [images] = stream.batches("val")
    assert len(images) == len(stream.items) == (stream.items["split"] == "val").sum()
    with pytest.raises(UserError, match="`split` must be one of"):
        records.in_splits(["vall"])
    with pytest.raises(UserError, match=r"`split` must be a split with 99 images or more \(.*val"):
        records.in_splits(["val"], least=99)


def test_records_of_another_set_are_refused(records):
    stream = open_stream(records, 60)
    stream.items["id"] = stream.items["id"][::-1].to_numpy()
    with pytest.raises(UserError, match=r"records in the order of its items\.csv"):
        list(stream.batches("all"))
