"""Fashion-MNIST: the splits of its files, every pixel, the same set from gzipped, unpacked and downloaded files."""

import gzip
import io
import os
import struct
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashionprobe.errors import UserError
from fashionprobe.records.sources import fashion_mnist

COUNTS = {"train": 20, "t10k": 10}


def contents(seed=0):
    """Images and labels by the beginning of their files' names; each label comes once in ten."""
    random = np.random.default_rng(seed)
    return {
        prefix: (random.integers(0, 256, (count, 28, 28), np.uint8), (np.arange(count, dtype=np.uint8) + 3) % 10)
        for prefix, count in COUNTS.items()
    }


def files(parts, squeeze=gzip.compress):
    """The four files by name."""
    ending = "" if squeeze is bytes else ".gz"
    found = {}
    for prefix, (images, labels) in parts.items():
        found[f"{prefix}-images-idx3-ubyte{ending}"] = squeeze(struct.pack(">4I", 0x803, *images.shape) + bytes(images))
        found[f"{prefix}-labels-idx1-ubyte{ending}"] = squeeze(struct.pack(">2I", 0x801, len(labels)) + bytes(labels))
    return found


@pytest.mark.parametrize("squeeze", [bytes, gzip.compress])
def test_the_files_own_train_and_test_with_every_pixel(put, squeeze):
    parts = contents()
    catalogue = fashion_mnist.catalogue(put(files(parts, squeeze)))
    items = catalogue.items
    assert list(items) == ["id", "class", "split"]
    assert items.iloc[[0, 1, 7, 19, 20]].to_numpy().tolist() == [
        ["train/000000", "Dress", "train"],
        ["train/000001", "Coat", "train"],
        ["train/000007", "T-shirt/top", "train"],
        ["train/000019", "Pullover", "train"],
        ["test/000000", "Dress", "test"],
    ]
    assert items["split"].value_counts().to_dict() == {"train": 20, "test": 10}
    assert not catalogue.split_is_fixed and catalogue.stratify == "class"
    for split, prefix in (("train", "train"), ("test", "t10k")):
        for row, pixels in enumerate(parts[prefix][0]):
            image = Image.open(io.BytesIO(catalogue.read(f"{split}/{row:06d}")))
            assert (image.format, image.mode) == ("PNG", "L")
            np.testing.assert_array_equal(image, pixels)


def test_the_names_of_the_classes_are_in_the_order_of_the_labels():
    assert fashion_mnist.CLASSES[0] == "T-shirt/top" and fashion_mnist.CLASSES[4:6] == ("Coat", "Sandal")
    assert fashion_mnist.CLASSES[9] == "Ankle boot" and len(set(fashion_mnist.CLASSES)) == 10


def test_the_fingerprint_is_that_of_the_contents(put, monkeypatch):
    parts = contents()
    gzipped = fashion_mnist.catalogue(put(files(parts), "gzipped")).fingerprint
    assert fashion_mnist.catalogue(put(files(parts, bytes), "plain")).fingerprint == gzipped
    assert downloaded(monkeypatch, lambda: (parts["train"], parts["t10k"])).fingerprint == gzipped
    parts["t10k"][0][3, 4, 5] ^= 1
    assert fashion_mnist.catalogue(put(files(parts), "other")).fingerprint != gzipped
    parts["t10k"][0][3, 4, 5] ^= 1
    parts["train"][1][0] ^= 1
    assert fashion_mnist.catalogue(put(files(parts), "another")).fingerprint != gzipped


def test_the_same_image_twice_has_one_key(put):
    parts = contents()
    parts["t10k"][0][2] = parts["train"][0][5]
    catalogue = fashion_mnist.catalogue(put(files(parts)))
    assert catalogue.contents is not None
    keys = dict(zip(catalogue.items["id"], catalogue.contents(list(catalogue.items["id"])), strict=True))
    assert keys["test/000002"] == keys["train/000005"]
    assert len(set(keys.values())) == 29


def downloaded(monkeypatch, load_data):
    """The catalogue without a path, with this in place of Keras' downloader."""
    datasets = types.SimpleNamespace(fashion_mnist=types.SimpleNamespace(load_data=load_data))
    monkeypatch.setitem(sys.modules, "keras", types.SimpleNamespace(datasets=datasets))
    return fashion_mnist.catalogue()


def test_without_a_path_keras_downloads_it(monkeypatch):
    parts = contents()
    catalogue = downloaded(monkeypatch, lambda: (parts["train"], parts["t10k"]))
    assert catalogue.items["split"].value_counts().to_dict() == {"train": 20, "test": 10}
    np.testing.assert_array_equal(Image.open(io.BytesIO(catalogue.read("test/000004"))), parts["t10k"][0][4])


def test_a_failed_download_is_one_line_that_says_what_to_fetch(monkeypatch):
    def fail():
        raise OSError("URL fetch failure on https://x/y.gz: None -- [Errno -2] Name or service not known\nmore")

    with pytest.raises(UserError) as caught:
        downloaded(monkeypatch, fail)
    assert str(caught.value) == (
        "`path` must be a folder with the four files of Fashion-MNIST, or a download that works. Received: a failed "
        "download ([Errno -2] Name or service not known). Fetch the four files from "
        "https://github.com/zalandoresearch/fashion-mnist and pass --path FOLDER."
    )

    def stop():
        raise EOFError

    with pytest.raises(UserError, match=r"a failed download \(EOFError\)"):
        downloaded(monkeypatch, stop)


def test_what_was_downloaded_is_checked(monkeypatch):
    parts = contents()
    with pytest.raises(UserError, match=r"`train-labels-idx1-ubyte.gz` must be labels of 20 images. Received: 10 lab"):
        downloaded(monkeypatch, lambda: ((parts["train"][0], parts["t10k"][1]), parts["t10k"]))


@pytest.mark.parametrize("name", ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"])
def test_a_missing_file_is_named(put, name):
    source = put(files(contents()))
    (source / f"{name}-ubyte.gz").unlink()
    with pytest.raises(UserError, match=rf"`path` must be a folder with the four .*, without {name}-ubyte and {name}"):
        fashion_mnist.catalogue(source)


def test_no_folder(put):
    source = put({"file": ""})
    with pytest.raises(UserError, match=r"nowhere', which is not there. Fetch them from https://github.com/zalando"):
        fashion_mnist.catalogue(source / "nowhere")
    with pytest.raises(UserError, match=r"file', which is not a folder. Fetch them"):
        fashion_mnist.catalogue(source / "file")


def test_images_and_labels_that_do_not_fit_together(put):
    parts = contents()
    parts["t10k"] = (parts["t10k"][0], parts["t10k"][1][:-1])
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte.gz` must be labels of 10 images. Received: 9 labels."):
        fashion_mnist.catalogue(put(files(parts)))


@pytest.mark.parametrize("later", [0, 10, 255])
def test_a_label_above_nine(put, later):
    parts = contents()
    parts["train"][1][[4, 6]] = 10, later
    with pytest.raises(UserError, match=r"train-labels-idx1-ubyte.gz` must be labels from 0 to 9. Received: 10, .* 4."):
        fashion_mnist.catalogue(put(files(parts)))


def test_a_damaged_file_is_named(put):
    found = files(contents())
    found["t10k-images-idx3-ubyte.gz"] = found["t10k-images-idx3-ubyte.gz"][:200]
    with pytest.raises(UserError, match=r"t10k-images-idx3-ubyte.gz` must be an IDX file .* a damaged or cut gzip"):
        fashion_mnist.catalogue(put(found))


def test_the_real_excerpt():
    root = os.environ.get("FASHIONPROBE_REAL_DATA")
    if not root:
        pytest.skip("set FASHIONPROBE_REAL_DATA to the folder with fashion_mnist_10k")
    catalogue = fashion_mnist.catalogue(Path(root) / "fashion_mnist_10k")
    items = catalogue.items
    assert items["split"].value_counts().to_dict() == {"train": 8002, "test": 1998}
    assert set(items["class"]) == {*fashion_mnist.CLASSES}
    assert items["class"].value_counts().min() > 950
    # What the classes look like: trousers fill a narrow middle, bags the width, sandals little of either.
    mean = {}
    for name in ("Trouser", "Bag", "Sandal"):
        ids = items.loc[items["class"] == name, "id"][:50]
        mean[name] = np.mean([Image.open(io.BytesIO(catalogue.read(row))) for row in ids], axis=0)
    assert mean["Trouser"][:, :5].mean() < 5 and mean["Bag"][12:24, :5].mean() > 40
    assert mean["Sandal"].mean() < mean["Trouser"].mean() < mean["Bag"].mean()
