import pytest

from fashionprobe.artifacts import load
from fashionprobe.errors import UserError
from fashionprobe.records.select import choose_items
from fashionprobe.records.stream import Stream


@pytest.fixture
def records(world):
    return load(world / "tfrecords/small", stage="ingest", remedy="")


def open_stream(records, batch_size, splits=None):
    items, chosen = choose_items(records, splits)
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
        choose_items(records, ["vall"])
    with pytest.raises(UserError, match=r"`split` must be one with 99 images or more \(.*val"):
        choose_items(records, ["val"], least=99)


def test_records_of_another_set_are_refused(records):
    stream = open_stream(records, 60)
    stream.items["id"] = stream.items["id"][::-1].to_numpy()
    with pytest.raises(UserError, match=r"records in the order of its items\.csv"):
        list(stream.batches("all"))
