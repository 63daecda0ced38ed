"""From a request to a record set: what the artifact holds, when it is reused, refused, replaced."""

import io
import os
import shutil
import struct
import subprocess
import sys
import time
import unicodedata
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fashionprobe.errors import UserError

tf = pytest.importorskip("tensorflow")
from fashionprobe.records.pack import CATALOGUES, Request, pack  # noqa: E402
from fashionprobe.records.read import pictures, read, shard_paths  # noqa: E402
from fashionprobe.records.sources import SOURCES  # noqa: E402


def table(path, name="items.csv"):
    return pd.read_csv(path / name, dtype=str, keep_default_na=False)


def stored(records):
    """The encoded bytes by id, in the order of the files."""
    found = {}
    for record in tf.data.TFRecordDataset([str(path) for path in shard_paths(records)]).as_numpy_iterator():
        feature = tf.train.Example.FromString(record).features.feature
        found[feature["id"].bytes_list.value[0].decode()] = feature["image"].bytes_list.value[0]
    return found


@pytest.fixture
def target(tmp_path):
    return tmp_path / "tfrecords" / "set"


def test_a_catalogue_becomes_a_record_set(shop, photo, target):
    records = pack(Request("kaggle", str(shop()), label="baseColour", split=(4, 1, 1), shard_size=6), target, threads=2)
    assert sorted(path.name for path in target.iterdir()) == [
        "items.csv",
        "manifest.json",
        "skipped.csv",
        "test-00000-of-00001.tfrecord",
        "train-00000-of-00003.tfrecord",
        "train-00001-of-00003.tfrecord",
        "train-00002-of-00003.tfrecord",
        "val-00000-of-00001.tfrecord",
    ]
    items = table(target)
    assert list(items) == [
        "row", "id", "gender", "masterCategory", "subCategory", "articleType", "baseColour", "season", "year",
        "usage", "productDisplayName", "pattern", "split", "shard",
    ]  # fmt: skip
    assert items["row"].tolist() == [str(row) for row in range(24)]
    assert list(stored(records)) == items["id"].tolist()
    assert stored(records) == {str(number): photo(number) for number in range(24)}
    facts = records.facts
    assert facts["splits"] == {"train": 16, "val": 4, "test": 4}
    assert (facts["skipped"], facts["bad"]) == (0, 0)
    assert facts["images"] == {"format": {"JPEG": 24}, "orientation": {"1": 24}, "alpha": {"false": 24}}
    assert facts["columns"]["baseColour"] == {
        "missing": 0, "distinct": 3, "classes": {"Blue": 8, "Green": 8, "Red": 8},
    }  # fmt: skip
    assert facts["columns"]["pattern"] == {"missing": 24, "distinct": 0, "classes": {}}
    assert facts["notes"] == ["24 rows of styles.csv had commas without quotes in their last column; kept."]


def test_the_thesis_split_is_the_default_of_kaggle(shop, target):
    assert pack(Request("kaggle", str(shop(22))), target).facts["splits"] == {"train": 18, "val": 4, "test": 0}


def test_the_split_is_stratified_by_the_source_s_own_label_when_none_is_named(put, photo, target):
    root = put({f"{kind}/{number}.jpg": photo(number) for kind in ("cat", "dog", "owl") for number in range(20)})
    artifact = pack(Request(source="folder", path=str(root)), target)
    items = pd.read_csv(artifact.path / "items.csv")
    assert pd.crosstab(items["class"], items["split"])[["train", "val", "test"]].to_numpy().tolist() == [[16, 2, 2]] * 3


def test_folders_keep_their_own_split_unless_another_is_asked(put, photo, target):
    names = ("train/cat/1.jpg", "train/dog/2.jpg", "train/dog/4.jpg", "test/cat/3.jpg")
    source = put({name: photo(number) for number, name in enumerate(names)})
    assert pack(Request("folder", str(source)), target).facts["splits"] == {"train": 3, "val": 0, "test": 1}
    other = pack(Request("folder", str(source), split=(1, 1, 0)), target.with_name("other"))
    assert other.facts["splits"] == {"train": 2, "val": 2, "test": 0}


def test_names_that_are_not_ascii_survive(put, photo, tmp_path):
    source = put({"Größe, ½/été 1.jpg": photo(1), "靴/一.png": photo(2, "PNG")}, "Квелле")
    records = pack(Request("folder", str(source)), tmp_path / "täfrecords" / "set")
    assert stored(records) == {"Größe, ½/été 1.jpg": photo(1), "靴/一.png": photo(2, "PNG")}
    assert set(table(records.path)["class"]) == {"Größe, ½", "靴"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes any bytes as a file name")
def test_a_name_that_is_no_utf8_is_packed(put, photo, target):
    source = put({"a/1.jpg": photo(1)})
    with open(os.path.join(os.fsencode(source), b"a", b"caf\xe9.jpg"), "wb") as file:
        file.write(photo(2))
    assert set(stored(pack(Request("folder", str(source)), target))) == {"a/1.jpg", "a/caf\\xe9.jpg"}


def test_what_is_skipped_is_listed_and_counted(shop, target):
    source = shop(6)
    (source / "images/1.jpg").unlink()
    (source / "images/2.jpg").write_bytes(b"")
    (source / "images/99.jpg").write_bytes(b"no row")
    records = pack(Request("kaggle", str(source)), target)
    assert set(stored(records)) == {"0", "3", "4", "5"}
    assert sorted(table(target, "skipped.csv").itertuples(index=False, name=None)) == [
        ("1", "styles.csv: no image with this id"),
        ("2", "empty file"),
        ("99", "images: no row in styles.csv"),
    ]
    assert (records.facts["skipped"], records.facts["bad"]) == (3, 1)
    assert records.facts["skipped_by_reason"]["empty file"] == 1


def test_only_bad_images_are_an_error_and_leave_no_folder(put, target):
    source = put({"a/1.jpg": b"", "a/2.jpg": b"text"})
    with pytest.raises(UserError) as caught:
        pack(Request("folder", str(source)), target)
    assert str(caught.value).startswith(
        "`path` must be a source with a whole image. Received: 2 files, all of them bad"
    )
    assert [path for path in target.parent.iterdir() if path.is_dir()] == []


def test_strict_makes_a_bad_image_an_error(shop, target):
    source = shop(6)
    (source / "images/2.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"`2` must be a whole image. Received: empty file."):
        pack(Request("kaggle", str(source), strict=True), target)
    assert not target.exists()
    assert pack(Request("kaggle", str(source)), target).facts["bad"] == 1
    with pytest.raises(UserError, match=r"must be a record set without bad images. Received: 1 that an earlier run"):
        pack(Request("kaggle", str(source), strict=True), target)


def test_rows_without_an_image_are_never_fatal(shop, target):
    source = shop(6)
    (source / "images/2.jpg").unlink()
    assert pack(Request("kaggle", str(source), strict=True), target).facts["skipped"] == 1


def test_threads_do_not_change_a_byte(shop, target, tree_of):
    source = str(shop())
    sets = [pack(Request("kaggle", source, shard_size=4), target.with_name(str(n)), threads=n).path for n in (1, 4)]
    one, four = ({k: v for k, v in tree_of(path).items() if k != "manifest.json"} for path in sets)
    assert one == four


def test_a_zip_gives_the_same_records_as_its_folder(shop, tmp_path, target, tree_of):
    source = shop()
    with zipfile.ZipFile(tmp_path / "shop.zip", "w") as archive:
        for path in sorted(source.rglob("*")):
            archive.write(path, path.relative_to(source))
    first = pack(Request("kaggle", str(source)), target)
    second = pack(Request("kaggle", str(tmp_path / "shop.zip")), target)
    assert second.reused and second.fingerprint == first.fingerprint
    other = pack(Request("kaggle", str(tmp_path / "shop.zip")), target.with_name("zip"))
    assert stored(other) == stored(first)


def test_the_same_request_is_reused_and_another_refused_unless_overwritten(shop, target):
    source = str(shop())
    assert not pack(Request("kaggle", source, label="baseColour", classes=["Red", "Blue"]), target).reused
    assert pack(Request("kaggle", source, label="baseColour", classes=["Blue", "Red", "Red"]), target, threads=1).reused
    with pytest.raises(UserError) as caught:
        pack(Request("kaggle", source, label="baseColour", classes=["Red"], seed=3), target)
    message = str(caught.value)
    assert 'classes: ["Blue", "Red"] -> ["Red"]; seed: 0 -> 3' in message and "--overwrite" in message
    assert pack(Request("kaggle", source, label="baseColour", classes=["Red"]), target, overwrite=True).facts[
        "splits"
    ] == {"train": 7, "val": 1, "test": 0}


def test_a_changed_label_in_the_csv_is_noticed(shop, target):
    source = shop()
    pack(Request("kaggle", str(source)), target)
    styles = source / "styles.csv"
    styles.write_text(styles.read_text().replace("Red", "Tan"))
    with pytest.raises(UserError, match=r"shop changed since \(1 file: styles.csv\)\)"):
        pack(Request("kaggle", str(source)), target)


def later(path):
    """Give a file a date after all that was made so far."""
    os.utime(path, (time.time() + 60, time.time() + 60))


def test_files_of_the_source_that_changed_since_are_named(put, photo, target):
    source = put({f"{name}/{number}.jpg": photo(number) for name in "ab" for number in range(3)})
    request = Request("folder", str(source))
    pack(request, target)
    (source / "a/1.jpg").write_bytes(photo(1) + b"more")
    later(source / "a/1.jpg")
    (source / "b/0.jpg").unlink()
    with pytest.raises(UserError) as caught:
        pack(request, target)
    assert str(caught.value) == (
        f"`{target}` must be made from the same inputs. Received: an artifact that differs ({source} changed since "
        "(2 files: a/1.jpg, b/0.jpg)). Pass --overwrite to replace it, or move it away to keep it."
    )
    other = put({"a/1.jpg": photo(1), "b/1.jpg": photo(2)}, "elsewhere")
    with pytest.raises(UserError, match=f"differs \\(path: {source} -> {other}\\)"):
        pack(Request("folder", str(other)), target)


def test_a_zip_says_which_of_its_files_changed_since(put_zip, photo, target):
    request = Request("folder", str(put_zip({f"a/{number}.jpg": photo(number) for number in range(3)})))
    pack(request, target)
    with zipfile.ZipFile(request.path, "w") as archive:
        for number in range(3):
            date = (2050, 1, 1, 0, 0, 0) if number == 1 else (1999, 1, 1, 0, 0, 0)
            archive.writestr(zipfile.ZipInfo(f"a/{number}.jpg", date), photo(number) + b"x" * (number == 1))
    with pytest.raises(UserError, match=r"changed since \(1 file: a/1.jpg\)"):
        pack(request, target)


def test_a_file_of_the_same_size_that_is_newer_is_warned_of(put, photo, target, caplog):
    source = put({f"a/{number}.jpg": photo(number) for number in range(3)})
    request = Request("folder", str(source))
    pack(request, target)
    assert pack(request, target).reused and not caplog.messages
    later(source / "a/2.jpg")
    assert pack(request, target).reused
    (message,) = caplog.messages
    assert message.startswith(f"{source} may have changed since {target} was made (1 file: a/2.jpg, no other size)")


def test_garments_need_no_path_and_their_size_is_resolved(target):
    assert not pack(Request("garments", count=3), target).reused
    assert pack(Request("garments", count=3, size=(224, 224)), target).reused
    with pytest.raises(
        UserError,
        match=r"`path` cannot be combined with source garments, whose images are drawn. Received: x. Leave `path` out.",
    ):
        pack(Request("garments", path="x"), target)


def test_rate_and_marks_are_in_the_fingerprint_of_those_who_use_them_alone(shop, target):
    plain = {
        "source": "kaggle", "where": None, "label": None, "classes": None, "per_class": None, "split": None,
        "size": None, "fit": "pad", "strip_metadata": False, "check": False, "shard_size": 512, "seed": 0,
    }  # fmt: skip
    assert pack(Request("kaggle", str(shop(6))), target).manifest["arguments"] == plain
    drawn = plain | {"source": "garments", "count": 3, "size": [32, 32]}
    made = pack(Request("garments", count=3, size=(32, 32)), target.with_name("g"))
    assert made.manifest["arguments"] == drawn
    made = pack(Request("symbols", count=3, size=(32, 32)), target.with_name("s"))
    assert made.manifest["arguments"] == drawn | {"source": "symbols", "rate": 0.9, "marks": "symbols"}
    assert pack(Request("symbols", count=3, size=(32, 32), rate=0.9, marks="symbols"), target.with_name("s")).reused
    with pytest.raises(UserError, match=r"differs \(rate: 0.9 -> 0.0\)"):
        pack(Request("symbols", count=3, size=(32, 32), rate=0.0), target.with_name("s"))


def test_symbols_are_split_as_asked_before_they_get_their_marks(target):
    made = pack(Request("symbols", count=12, size=(32, 32), split=(1, 0, 1)), target)
    assert made.facts["splits"] == {"train": 6, "val": 0, "test": 12}
    items = table(target)
    assert set(items.loc[items["split"] == "test", "marks"]) == {"random", "without"}
    assert made.facts["stratify"] == "class"


def test_sketches_are_drawn_at_the_size_asked_for(put, target):
    source = put({"cat.ndjson": '{"drawing": [[[0, 9], [0, 9]]]}\n{"drawing": 1}\n'})
    made = pack(Request("quickdraw", str(source), size=(40, 60), split=(1, 0, 0)), target)
    (data,) = stored(made).values()
    assert (Image.open(io.BytesIO(data)).format, Image.open(io.BytesIO(data)).size) == ("PNG", (60, 40))
    assert table(target, "skipped.csv").to_numpy().tolist() == [["cat.ndjson/000001", "no drawing (no strokes)"]]


def test_copies_of_an_x_ray_stay_on_one_side_of_a_split_asked_for(put, photo, target):
    names = [f"train/gun/{flip}B0049_{number:04d}.jpg" for number in range(20) for flip in ("", "L", "U", "A")]
    made = pack(Request("xray", str(put({name: photo(int(name[-8:-4])) for name in names})), split=(1, 1, 1)), target)
    assert (table(target).groupby("original")["split"].nunique() == 1).all()
    assert min(made.facts["splits"].values()) > 8


def splits_of(records):
    items = pd.read_csv(records.path / "items.csv", dtype=str)
    return items.groupby("split")["id"].apply(sorted).to_dict()


def test_images_of_a_query_are_test_with_their_copies(put, photo, target):
    """A network is to be measured on another kind of photograph; a copy of one must not be trained on."""
    names = [f"train/{kind}/B00{series}_{kind}{n:03d}.jpg" for kind in "12" for series in (49, 79) for n in range(4)]
    source = put({name: photo(number) for number, name in enumerate(names)} | {"train/1/LB0079_1009.jpg": photo(4)})
    request_ = Request("xray", str(source), test_where="background == 'plain'", split=(50, 50, 0))
    found = splits_of(pack(request_, target))
    assert found["test"] == sorted(name for name in names if "B0049" in name)
    assert len(found["train"]) == len(found["val"]) + 1 == 5
    # Photograph 4 is that of a cluttered one; where it is test, so is its copy.
    query = "original == 'B0079_1000'"
    found = splits_of(pack(Request("xray", str(source), test_where=query), target, overwrite=True))
    assert found["test"] == ["train/1/B0079_1000.jpg", "train/1/LB0079_1009.jpg"]


def test_per_class_counts_on_either_side_of_a_query(put, photo, target):
    names = [f"{kind}/B00{series}_{n:04d}.jpg" for kind in "ab" for series in (49, 79) for n in range(4)]
    source = put({name: photo(number) for number, name in enumerate(names)})
    request_ = Request("xray", str(source), label="class", per_class=3, test_where="background == 'plain'")
    assert {split: len(ids) for split, ids in splits_of(pack(request_, target)).items() if split == "test"} == {
        "test": 6
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_where": "`class` == 'c'"}, "`test_where` must be a query that keeps an item"),
        ({"test_where": "`class` != 'c'"}, "`test_where` must be a query that leaves images to train on"),
        ({"test_where": "klass == 'a'"}, "`test_where` must be a pandas query over the columns id, class"),
        ({"test_where": "`class` == 'a'", "split": (80, 10, 10)}, "`split` must be parts of train and val, and 0"),
        ({"source": "symbols", "test_where": "`class` == 'xi'"}, "`test_where` cannot be combined with source symbols"),
    ],
)
def test_queries_for_test_that_do_not_work(put, photo, target, options, message):
    source = put({"a/1.jpg": photo(1), "b/2.jpg": photo(2)})
    given = {"source": "folder", "path": str(source)} | options
    if given["source"] == "symbols":
        del given["path"]
    with pytest.raises(UserError, match=message):
        pack(Request(**given), target)


def test_every_source_can_be_opened():
    assert tuple(CATALOGUES) == SOURCES


@pytest.fixture
def fashion(put):
    """The four files of Fashion-MNIST with 40 images for train and 20 for test."""
    files = {}
    for prefix, count in (("train", 40), ("t10k", 20)):
        pixels = np.random.default_rng(count).integers(0, 256, count * 784, np.uint8).tobytes()
        files[f"{prefix}-images-idx3-ubyte"] = struct.pack(">4I", 0x803, count, 28, 28) + pixels
        files[f"{prefix}-labels-idx1-ubyte"] = struct.pack(">2I", 0x801, count) + bytes(range(10)) * (count // 10)
    return str(put(files, "fashion"))


def test_fashion_mnist_keeps_its_train_and_test_and_has_no_val_of_its_own(fashion, target):
    made = pack(Request("fashion_mnist", fashion), target)
    assert made.facts["splits"] == {"train": 40, "val": 0, "test": 20}
    assert (table(target)["split"] == table(target)["id"].str.partition("/")[0]).all()
    assert made.facts["columns"]["class"]["classes"]["Ankle boot"] == 6


def test_a_split_of_fashion_mnist_that_is_asked_for_is_drawn_by_class_from_all_images(fashion, target):
    made = pack(Request("fashion_mnist", fashion, split=(4, 1, 1)), target)
    assert made.facts["splits"] == {"train": 40, "val": 10, "test": 10}
    assert (pd.crosstab(table(target)["class"], table(target)["split"]) == [1, 4, 1]).all(axis=None)
    assert pack(Request("fashion_mnist", fashion, split=(1, 0, 0)), target.with_name("all")).facts["splits"] == {
        "train": 60, "val": 0, "test": 0,
    }  # fmt: skip
    fit = Request("fashion_mnist", fashion, where="split == 'train'", split=(3, 1, 0))
    assert pack(fit, target.with_name("fit")).facts["splits"] == {"train": 30, "val": 10, "test": 0}
    assert table(target.with_name("fit"))["id"].str.startswith("train/").all()


def test_the_tiles_of_a_sprite_sheet_become_records(put, target):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 15, 3), np.uint8)
    sheet = io.BytesIO()
    Image.fromarray(pixels).save(sheet, "PNG")
    labels = "Name\tClass\n" + "".join(f"{row}\t{'ab'[row % 2]}\n" for row in range(9))
    source = put({"sprite.png": sheet.getvalue(), "metadata.tsv": labels})
    made = pack(Request("sprites", str(source), split=(7, 1, 1)), target)
    assert made.facts["splits"] == {"train": 7, "val": 1, "test": 1}
    assert (made.facts["stratify"], made.facts["notes"]) == ("Class", ["9 tiles of 5 x 4 pixels, 3 a row."])
    assert table(target).set_index("id").loc["000005", ["Name", "Class"]].tolist() == ["5", "b"]
    np.testing.assert_array_equal(Image.open(io.BytesIO(stored(made)["000005"])), pixels[4:8, 10:15])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"source": "garments", "rate": 0.5},
            r"`rate` cannot be combined with source garments, which puts no marks .* Only sym",
        ),
        ({"source": "folder", "marks": "dots"}, r"`marks` cannot be combined with source folder"),
        ({"source": "symbols", "marks": "dots"}, r"`marks` must be for symbols one of: symbols, none. Received: dots."),
        ({"source": "symbols", "rate": 2.0}, r"`rate` must be a number in \[0, 1\]. Received: 2.0."),
        (
            {"source": "symbols", "path": "x"},
            r"`path` cannot be combined with source symbols, whose images are drawn. Received: x.",
        ),
    ],
)
def test_marks_that_a_source_does_not_make_are_refused(target, options, message):
    with pytest.raises(UserError, match=message):
        pack(Request(**options), target)


def test_size_and_strip_metadata(shop, target):
    source = str(shop(4, size=(40, 20)))
    small = stored(pack(Request("kaggle", source, size=(8, 6)), target))
    assert {Image.open(io.BytesIO(data)).size for data in small.values()} == {(6, 8)}
    stripped = stored(pack(Request("kaggle", source, strip_metadata=True), target.with_name("stripped")))
    assert all(len(data) <= len((Path(source) / f"images/{name}.jpg").read_bytes()) for name, data in stripped.items())


# Not `ru_maxrss`: a child begins with that of the process it was forked from, here the tests'.
PEAK = """
import re, sys
from dataclasses import replace
from pathlib import Path
from fashionprobe.records.pack import Request, pack
pack(Request("kaggle", sys.argv[1]), Path(sys.argv[2]))
sys.stdout.write(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
def test_the_real_catalogue_whole(tmp_path):
    root = os.environ.get("FASHIONPROBE_REAL_DATA")
    if not root:
        pytest.skip("set FASHIONPROBE_REAL_DATA to the folder with fashion_products_12k.zip")
    source, target = Path(root) / "fashion_products_12k.zip", tmp_path / "set"
    done = subprocess.run([sys.executable, "-c", PEAK, source, target], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 1.5 * 2**30
    records = pack(Request("kaggle", str(source)), target)
    assert records.reused
    assert sum(records.facts["splits"].values()) == 12_041
    assert (records.facts["skipped"], len(table(target))) == (0, 12_041)
    with zipfile.ZipFile(source) as archive:
        images = {Path(name).stem: name for name in archive.namelist() if name.endswith(".jpg")}
        found = stored(records)
        assert found.keys() == images.keys()
        assert all(found[name] == archive.read(entry) for name, entry in images.items())
    (batch,) = read(records, outputs=("image",), batch_size=64).take(1)
    assert batch.shape == (64, 224, 224, 3)
    assert next(pictures(records, [table(target)["id"][0]], shard_paths(records)))[1].shape == (80, 60, 3)


def test_a_photo_listed_twice_is_not_on_both_sides_of_a_split(shop, tmp_path):
    """Else a network would be tested on a picture that it was trained on."""
    source = shop()
    images = sorted((source / "images").iterdir())
    for original, copy in zip(images[::2], images[1::2], strict=True):
        shutil.copyfile(original, copy)
    records = pack(Request("kaggle", str(source), split=(1, 1, 0)), tmp_path / "set")
    split = pd.read_csv(records.path / "items.csv", dtype=str).set_index("id")["split"]
    for original, copy in zip(images[::2], images[1::2], strict=True):
        assert split[original.stem] == split[copy.stem]
    assert set(split) == {"train", "val"}


def test_a_class_spelled_in_two_ways_is_one(put, photo, target):
    files = {}
    for split, form in (("val", "NFC"), ("train", "NFD")):
        for number in range(4):
            files[unicodedata.normalize(form, f"{split}/Schürze/größe{number}.jpg")] = photo(number)
    files["train/Rock/1.jpg"] = photo(9)
    records = pack(Request("folder", str(put(files))), target)
    assert records.facts["columns"]["class"]["classes"] == {"Rock": 1, "Schürze": 8}
    assert {name for name in table(target)["id"] if "Sch" in name} == set(stored(records)) - {"train/Rock/1.jpg"}
    assert all(unicodedata.is_normalized("NFC", name) for name in stored(records))
    chosen = Request("folder", str(put(files)), label="class", classes=["Schürze"])
    assert len(table(pack(chosen, target.with_name("chosen")).path)) == 8


def twice(put, save):
    """40 pictures, each as two files of the classes a and b by chance."""
    random, files = np.random.default_rng(0), {}
    for number in range(40):
        coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8)).resize(
            (64, 48), Image.Resampling.NEAREST
        )
        for name, data in save(coarse).items():
            files[f"{random.choice(['a', 'b'])}/{number} {name}"] = data
    return put(files, "twice")


def torn(records):
    """How many of the pictures are in several splits."""
    items = table(records.path)
    return int((items.groupby(items["id"].str.extract(r"/(\d+) ")[0])["split"].nunique() > 1).sum())


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_pictures_of_equal_pixels_stay_in_one_split(put, target):
    source = twice(put, lambda image: {f"{level}.png": saved(image, "PNG", compress_level=level) for level in (1, 9)})
    records = pack(Request("folder", str(source), split=(50, 25, 25)), target)
    assert torn(records) == 0
    assert records.facts["copies"] == {"equal": 40}


def test_near_copies_stay_in_one_split_when_asked_for(put, target):
    source = twice(put, lambda image: {f"{q}.jpg": saved(image, "JPEG", quality=q) for q in (95, 90)})
    apart = pack(Request("folder", str(source), split=(50, 25, 25)), target)
    assert torn(apart) > 10 and "copies" not in apart.facts
    together = pack(Request("folder", str(source), split=(50, 25, 25), near_copies=2), target, overwrite=True)
    assert torn(together) == 0
    assert together.facts["copies"] == {"near": 40}


def test_a_record_set_without_copies_is_reused_across_versions(shop, target):
    records = pack(Request("kaggle", str(shop())), target)
    assert "near_copies" not in records.manifest["arguments"] and "copies" not in records.facts


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (Request("garments", near_copies=1), "which has no copies"),
        (Request("folder", near_copies=1), "which comes with"),
    ],
)
def test_near_copies_where_no_split_is_drawn_are_refused(put, photo, target, request_, why):
    source = None if request_.source == "garments" else str(put({"train/a/1.jpg": photo(1), "val/a/2.jpg": photo(2)}))
    with pytest.raises(UserError, match=f"`near_copies` cannot be combined with this source, {why}"):
        pack(replace(request_, path=source), target)
