"""Shards: how items are cut, what is written, what an interrupted or failed run leaves."""

import io
import json
import os
import warnings
import zlib
from collections import Counter

import pandas as pd
import pytest
from PIL import Image

from fashionprobe.errors import UserError

tf = pytest.importorskip("tensorflow")
from fashionprobe.records import write  # noqa: E402


def table(count, splits=("train",)):
    return pd.DataFrame(
        {
            "id": [f"i{row}" for row in range(count)],
            "colour": [("red", "blue", "")[row % 3] for row in range(count)],
            "split": [splits[row % len(splits)] for row in range(count)],
        }
    )


def examples(path):
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        feature = tf.train.Example.FromString(record).features.feature
        yield {name: (value.bytes_list.value or value.int64_list.value)[0] for name, value in sorted(feature.items())}


@pytest.fixture
def pictures(photo):
    """The bytes of image `i<number>`."""
    return lambda name: photo(int(name[1:]))


def test_plan_cuts_each_split_into_shards_of_mixed_items():
    shards = write.plan(table(50, ("train", "train", "train", "val", "test")), shard_size=12, seed=0)
    assert [(shard.name, len(shard.items)) for shard in shards] == [
        ("train-00000-of-00003.tfrecord", 12),
        ("train-00001-of-00003.tfrecord", 12),
        ("train-00002-of-00003.tfrecord", 6),
        ("val-00000-of-00001.tfrecord", 10),
        ("test-00000-of-00001.tfrecord", 10),
    ]
    order = [name for shard in shards for name in shard.items["id"]]
    assert sorted(order) == sorted(table(50)["id"]) and order != sorted(order)


def test_records_hold_the_original_bytes_and_every_label(tmp_path, pictures):
    shards = write.plan(table(9), shard_size=4, seed=0)
    done = []
    assert write.write_shards(tmp_path, shards, pictures, write.Packing(), threads=2, report=done.append) == 0
    assert sum(done) == 9
    for shard in shards:
        expected = shard.items.to_dict("records")
        assert list(examples(tmp_path / shard.name)) == [
            {
                "id": item["id"].encode(),
                "image": pictures(item["id"]),
                "label/colour": item["colour"].encode(),
                "label/split": b"train",
                "orientation": 1,
            }
            for item in expected
        ]


@pytest.mark.parametrize("threads", [1, 4])
def test_threads_do_not_change_a_byte(tmp_path, pictures, tree_of, threads):
    reference, folder = tmp_path / "a", tmp_path / "b"
    shards = write.plan(table(40, ("train", "val")), shard_size=5, seed=1)
    for path, number in ((reference, 2), (folder, threads)):
        path.mkdir()
        write.write_shards(path, shards, pictures, write.Packing(), threads=number)
    assert tree_of(folder) == tree_of(reference)


def test_bad_images_are_left_out_and_named(tmp_path, pictures, photo):
    bad = {
        "i0": b"",
        "i1": photo()[:200],
        "i2": b"a text",
        "i3": b"\xff\xd8\xff\xe0" + bytes(50),
        "i4": photo(kind="TIFF"),
    }
    shards = write.plan(table(8), shard_size=3, seed=0)
    write.write_shards(tmp_path, shards, lambda name: bad.get(name) or (b"" if name == "i0" else pictures(name)),
                       write.Packing(), threads=2)  # fmt: skip
    items, skipped, images = write.summary(tmp_path, shards)
    assert items["row"].tolist() == [0, 1, 2]
    assert set(items["id"]) == {"i5", "i6", "i7"}
    assert {name: reason.split(":")[0].split(";")[0] for name, reason in skipped} == {
        "i0": "empty file",
        "i1": "truncated JPEG",
        "i2": "not an image",
        "i3": "corrupt JPEG",
        "i4": "TIFF",
    }
    assert images == {"format": {"JPEG": 3}, "orientation": {"1": 3}, "alpha": {"false": 3}}
    stored = [example["id"].decode() for shard in shards for example in examples(tmp_path / shard.name)]
    assert stored == items["id"].tolist()


def test_strict_names_the_bad_image(tmp_path):
    with pytest.raises(UserError, match=r"`i0` must be a whole image. Received: empty file. Fix or remove it, or"):
        write.write_shards(tmp_path, write.plan(table(1), shard_size=3, seed=0), lambda name: b"",
                           write.Packing(strict=True), threads=1)  # fmt: skip


def test_an_interrupted_run_goes_on_with_the_missing_shards(tmp_path, pictures, tree_of):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir(), cut.mkdir()
    shards = write.plan(table(12), shard_size=3, seed=0)
    write.write_shards(whole, shards, pictures, write.Packing(), threads=1)
    unreached = {*shards[2].items["id"], *shards[3].items["id"]}

    def stopping(name):
        if name in unreached:
            raise KeyboardInterrupt
        return pictures(name)

    with pytest.raises(KeyboardInterrupt):
        write.write_shards(cut, shards, stopping, write.Packing(), threads=1)
    seen, done = Counter(), []

    def counting(name):
        seen[name] += 1
        return pictures(name)

    assert write.write_shards(cut, shards, counting, write.Packing(), threads=1, report=done.append) == 2
    assert set(seen) == unreached
    assert sum(done) == 12
    assert tree_of(cut) == tree_of(whole)


def test_size_stores_upright_jpegs_of_that_size(tmp_path, photo):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = photo(size=(40, 20), exif=exif)
    shards = write.plan(table(1), shard_size=3, seed=0)
    write.write_shards(tmp_path, shards, lambda name: data, write.Packing(size=(10, 8)), threads=1)
    (example,) = examples(tmp_path / shards[0].name)
    image = Image.open(io.BytesIO(example["image"]))
    assert (image.format, image.size, example["orientation"]) == ("JPEG", (8, 10), 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_strip_metadata_keeps_pixels_and_orientation(tmp_path, photo, kind):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera " * 100
    data = photo(kind=kind, exif=exif)
    shards = write.plan(table(1), shard_size=3, seed=0)
    write.write_shards(tmp_path, shards, lambda name: data, write.Packing(strip_metadata=True), threads=1)
    (example,) = examples(tmp_path / shards[0].name)
    assert example["orientation"] == 6
    assert len(example["image"]) < len(data) - 800
    assert Image.open(io.BytesIO(example["image"])).tobytes() == Image.open(io.BytesIO(data)).tobytes()


def test_check_finds_damage_that_the_structure_does_not_show(tmp_path, photo):
    data = bytearray(photo(kind="PNG"))
    start = data.index(b"IDAT")
    length = int.from_bytes(data[start - 4 : start], "big")
    data[start + 10 : start + 4 + length] = bytes(length - 6)
    data[start + 4 + length : start + 8 + length] = zlib.crc32(data[start : start + 4 + length]).to_bytes(4, "big")
    shards = write.plan(table(1), shard_size=3, seed=0)
    for check, count in ((False, 0), (True, 1)):
        folder = tmp_path / str(check)
        folder.mkdir()
        write.write_shards(folder, shards, lambda name: bytes(data), write.Packing(check=check), threads=1)
        assert len(json.loads((folder / f".{shards[0].name}.json").read_text())["skipped"]) == count


def test_pillows_warnings_do_not_become_errors_in_threads(tmp_path, photo, monkeypatch):
    palette = Image.open(io.BytesIO(photo(size=(40, 30)))).convert("P")
    file = io.BytesIO()
    palette.save(file, "PNG", transparency=bytes(range(0, 250, 10)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    before = list(warnings.filters)
    shards = write.plan(table(64), shard_size=2, seed=0)
    write.write_shards(tmp_path, shards, lambda name: file.getvalue(), write.Packing((8, 8), check=True), threads=8)
    items, skipped, _ = write.summary(tmp_path, shards)
    assert (len(items), skipped) == (64, [])
    assert warnings.filters == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_an_os_error(tmp_path, pictures):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match=str(tmp_path)):
        write.write_shards(tmp_path, write.plan(table(1), shard_size=3, seed=0), pictures, write.Packing(), threads=1)


def test_a_missing_folder_is_an_os_error_that_names_it(tmp_path, pictures):
    gone = tmp_path / "gone"
    with pytest.raises(OSError, match="gone"):
        write.write_shards(gone, write.plan(table(1), shard_size=3, seed=0), pictures, write.Packing(), threads=1)
