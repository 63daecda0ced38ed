"""The one reader: order, labels, size, shuffling, and what damage is called."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fashionprobe.artifacts import load
from fashionprobe.errors import UserError

tf = pytest.importorskip("tensorflow")
from fashionprobe.records.pack import Request, pack  # noqa: E402
from fashionprobe.records.read import picture_at, pictures, read, readable, shard_paths  # noqa: E402


@pytest.fixture
def records(shop, tmp_path):
    source = shop()
    request = Request("kaggle", str(source), label="baseColour", split=(4, 1, 1), shard_size=5)
    return pack(request, tmp_path / "set")


def items(records):
    return pd.read_csv(records.path / "items.csv", dtype=str, keep_default_na=False)


def ids(dataset):
    return [name.decode() for batch in dataset.as_numpy_iterator() for name in batch]


def test_the_order_is_that_of_items_csv(records):
    assert ids(read(records, outputs=("id",), batch_size=7)) == items(records)["id"].tolist()


@pytest.mark.parametrize("splits", [("val",), ("test", "train")])
def test_splits_are_read_in_the_order_of_items_csv(records, splits):
    table = items(records)
    expected = table.loc[table["split"].isin(splits), "id"].tolist()
    assert ids(read(records, outputs=("id",), splits=splits)) == expected


@pytest.mark.parametrize("skip", [0, 1, 13, 24])
def test_skip_leaves_out_the_first_records(records, skip):
    assert ids(read(records, outputs=("id",), skip=skip)) == items(records)["id"].tolist()[skip:]


def test_an_element_holds_what_was_asked_in_that_order(records):
    dataset = read(records, outputs=("id", "image", "baseColour"), size=(20, 14), batch_size=10)
    names, pixels, labels = next(iter(dataset))
    assert (names.dtype, pixels.dtype, labels.dtype) == (tf.string, tf.float32, tf.int64)
    assert (names.shape, pixels.shape, labels.shape) == ((10,), (10, 20, 14, 3), (10,))
    assert [len(batch[0]) for batch in dataset] == [10, 10, 4]


def test_labels_are_numbers_of_the_sorted_vocabulary(records):
    assert records.classes("baseColour") == ["Blue", "Green", "Red"]
    numbers = np.concatenate(list(read(records, outputs=("baseColour",)).as_numpy_iterator()))
    assert [["Blue", "Green", "Red"][number] for number in numbers] == items(records)["baseColour"].tolist()


def test_a_missing_label_is_minus_one(records):
    assert set(np.concatenate(list(read(records, outputs=("pattern",)).as_numpy_iterator()))) == {-1}


def test_one_picture_is_read_where_it_is_stored(records):
    table = items(records)
    places = table.groupby("shard").cumcount()
    stored = dict(pictures(records, table["id"], shard_paths(records)))
    for name, shard, place in zip(table["id"], table["shard"], places, strict=True):
        assert np.array_equal(picture_at(records, shard, place), stored[name])
    with pytest.raises(UserError, match=r"must be a TFRecord file of more than 99 records. Received: fewer"):
        picture_at(records, table["shard"].iloc[0], 99)


def test_pixels_are_those_of_pillow(records, photo):
    dataset = read(records, outputs=("id", "image"), size=(16, 12), batch_size=24)
    ((names, pixels),) = dataset.as_numpy_iterator()
    for name, image in zip(names, pixels, strict=True):
        np.testing.assert_array_equal(image, np.asarray(Image.open(io.BytesIO(photo(int(name))))))


def test_a_turned_photograph_is_read_upright(put, photo, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    source = put({"a/turned.jpg": photo(1, size=(16, 12), exif=exif), "a/upright.jpg": photo(1, size=(16, 12))})
    records = pack(Request("folder", str(source)), tmp_path / "set")
    assert records.facts["images"]["orientation"] == {"1": 1, "6": 1}
    found = dict(pictures(records, ["a/turned.jpg", "a/upright.jpg"], shard_paths(records)))
    np.testing.assert_array_equal(found["a/turned.jpg"], np.rot90(found["a/upright.jpg"], -1))
    dataset = read(records, outputs=("id", "image"), size=(16, 12), fit="stretch", batch_size=2)
    ((names, pixels),) = dataset.as_numpy_iterator()
    turned = pixels[names.tolist().index(b"a/turned.jpg")]
    np.testing.assert_array_equal(turned, found["a/turned.jpg"])


def test_each_pass_has_an_order_of_its_own_that_only_seed_and_number_fix(records, monkeypatch):
    import fashionprobe.records.read as module

    # Smaller than the set, so that several parts are shuffled.
    monkeypatch.setattr(module, "SHUFFLED_TOGETHER", 5)
    every = items(records)["id"].tolist()

    def passes(numbers, seed=5):
        return np.array(ids(read(records, outputs=("id",), passes=numbers, seed=seed))).reshape(len(numbers), -1)

    # TensorFlow's global seed, which belongs to the user's script, changes nothing; most often it is 0.
    tf.random.set_seed(0)
    three = passes(range(3))
    tf.random.set_seed(1)
    assert [sorted(row) for row in three.tolist()] == [sorted(every)] * 3
    assert len({tuple(row) for row in [*three.tolist(), every]}) == 4
    np.testing.assert_array_equal(passes(range(2, 3)), three[2:])
    assert passes(range(1), seed=6).tolist() != three[:1].tolist()


def test_a_pass_ends_with_its_own_smaller_batch(records):
    sizes = [len(batch) for batch in read(records, outputs=("id",), batch_size=10, passes=range(2))]
    assert sizes == [10, 10, 4, 10, 10, 4]


def test_only_numbered_classes_are_read_and_as_numbered(records):
    wanted = {"Red": 0, "Blue": 7}
    dataset = read(records, outputs=("id", "baseColour"), numbers={"baseColour": wanted})
    found = {
        name.decode(): int(number)
        for names, numbers in dataset
        for name, number in zip(names.numpy(), numbers, strict=True)
    }
    table = items(records).set_index("id")["baseColour"]
    assert found == {name: wanted[colour] for name, colour in table.items() if colour in wanted}
    order = [name for name in table.index if table[name] in wanted]
    rest = read(records, outputs=("id", "baseColour"), numbers={"baseColour": wanted}, skip=3)
    assert [name.decode() for names, _ in rest for name in names.numpy()] == order[3:]
    shuffled = read(records, outputs=("id", "baseColour"), numbers={"baseColour": wanted}, passes=range(1))
    assert sorted(name.decode() for names, _ in shuffled for name in names.numpy()) == sorted(order)


def test_pictures_come_in_their_own_size_and_stop_after_the_last(records, monkeypatch):
    table = items(records)
    wanted = [table["id"][3], table["id"][1]]
    found = list(pictures(records, wanted, shard_paths(records)[:1]))
    assert [name for name, _ in found] == [table["id"][1], table["id"][3]]
    assert all(picture.shape == (16, 12, 3) and picture.dtype == np.uint8 for _, picture in found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outputs": ("image", "basecolour")}, "Received: basecolour. Did you mean 'baseColour'?"),
        ({"splits": ("tests",)}, "one of: train, val, test. Received: tests. Did you mean 'test'?"),
        ({"splits": ()}, "`split` must be a split with images: train, val, test."),
    ],
)
def test_what_is_not_there_is_refused(records, options, message):
    with pytest.raises(UserError) as caught:
        read(records, **options)
    assert message in str(caught.value)


@pytest.mark.parametrize("passes", [None, range(2)])
def test_an_empty_split_is_refused(shop, tmp_path, passes):
    records = pack(Request("kaggle", str(shop(4)), split=(1, 1, 0)), tmp_path / "set")
    with pytest.raises(UserError, match=r"`split` must be a split with images: train, val. Received: test."):
        read(records, splits=("test",), passes=passes)


def test_a_column_of_titles_is_no_vocabulary(records, monkeypatch):
    records.facts["columns"]["productDisplayName"].pop("classes")
    with pytest.raises(UserError, match=r"a column with classes. Received: productDisplayName, with 24 values"):
        records.classes("productDisplayName")


@pytest.mark.parametrize("place", [4, 40, -3])
def test_a_flipped_byte_names_the_file(records, place):
    damaged = shard_paths(records)[2]
    data = bytearray(damaged.read_bytes())
    data[place] ^= 0x10
    damaged.write_bytes(data)
    with pytest.raises(UserError) as caught, readable(load(records.path, stage="ingest", remedy="")):
        ids(read(records, outputs=("id",)))
    message = str(caught.value)
    assert message.startswith(f"`{damaged}` must be a whole TFRecord file. Received: a truncated or damaged one.")
    assert "fashionprobe ingest --dataset set --overwrite" in message


def test_a_cut_file_is_named_when_it_is_opened_and_when_it_is_read(records):
    damaged = shard_paths(records)[1]
    damaged.write_bytes(damaged.read_bytes()[:-7])
    with pytest.raises(UserError, match=damaged.name):
        load(records.path, stage="ingest", remedy="Make it again.")
    with pytest.raises(UserError, match=damaged.name), readable(records):
        ids(read(records, outputs=("id",)))


def test_a_file_that_goes_while_reading_is_named(records):
    gone = shard_paths(records)[0]
    gone.unlink()
    with pytest.raises(UserError, match=gone.name), readable(records):
        ids(read(records, outputs=("id",)))


def test_other_errors_pass_through_readable(records):
    with pytest.raises(tf.errors.InvalidArgumentError), readable(records):
        raise tf.errors.InvalidArgumentError(None, None, "of the caller's own")
