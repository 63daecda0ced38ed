"""Images in class folders: classes, splits, wrapping folders, and what is left out."""

import pytest

from fashionprobe.errors import UserError
from fashionprobe.records.sources import folder


def rows(found):
    return [tuple(row) for row in found.items.itertuples(index=False)]


def test_one_sub_folder_a_class(put):
    found = folder.catalogue(put({"cat/1.jpg": b"a", "dog/sub/1.jpg": b"b", "dog/.hidden.jpg": b"c"}))
    assert list(found.items) == ["id", "class"]
    assert rows(found) == [("cat/1.jpg", "cat"), ("dog/sub/1.jpg", "dog")]
    assert found.read("dog/sub/1.jpg") == b"b"
    assert found.left_out == ()


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("training", "valid", "testing"), ("Train", "VALIDATION", "Test")]
)
def test_a_level_of_splits(put, names):
    found = folder.catalogue(put({f"{name}/cat/{number}.jpg": b"" for number, name in enumerate(names)}))
    splits = dict(
        zip(found.items["id"].str[0].str.lower() + found.items["id"].str[-5], found.items["split"], strict=True)
    )
    assert splits == {"t0": "train", "v1": "val", "t2": "test"}
    assert set(found.items["class"]) == {"cat"}


def test_one_split_alone_is_a_split(put):
    found = folder.catalogue(put({"test/cat/1.jpg": b"", "test/dog/1.jpg": b""}))
    assert rows(found) == [("test/cat/1.jpg", "cat", "test"), ("test/dog/1.jpg", "dog", "test")]


def test_train_beside_another_class_is_a_class(put):
    found = folder.catalogue(put({"train/1.jpg": b"", "bus/1.jpg": b""}))
    assert rows(found) == [("bus/1.jpg", "bus"), ("train/1.jpg", "train")]


@pytest.mark.parametrize("wrapper", ["data/", "data/images/"])
def test_a_wrapped_zip_is_looked_through(put_zip, wrapper):
    names = {"cat/1.jpg": b"a", "dog/2.jpg": b"b"}
    entries = {f"{wrapper}{name}": data for name, data in names.items()}
    found = folder.catalogue(put_zip({**entries, "__MACOSX/data/cat/._1.jpg": b""}))
    assert rows(found) == [("cat/1.jpg", "cat"), ("dog/2.jpg", "dog")]
    assert found.read("dog/2.jpg") == b"b"


def test_a_readme_or_a_table_does_not_change_the_levels(put):
    beside = {"README.md": b"", "data/LICENSE": b"", "tables/labels.csv": b""}
    found = folder.catalogue(put({"data/train/cat/1.jpg": b"", "data/test/dog/2.PNG": b"", **beside}))
    assert rows(found) == [("test/dog/2.PNG", "dog", "test"), ("train/cat/1.jpg", "cat", "train")]
    assert found.left_out == tuple((name, "not in a class folder") for name in sorted(beside))


def test_images_outside_a_class_folder_are_listed(put):
    found = folder.catalogue(put({"train/cat/1.jpg": b"", "test/2.jpg": b""}))
    assert rows(found) == [("train/cat/1.jpg", "cat", "train")]
    assert found.left_out == (("test/2.jpg", "not in a class folder"),)


def test_names_that_are_not_ascii(put):
    found = folder.catalogue(put({"Größe, ½/été 1.jpg": b"a", "靴/一.jpg": b"b"}))
    assert rows(found) == [("Größe, ½/été 1.jpg", "Größe, ½"), ("靴/一.jpg", "靴")]
    assert found.read("靴/一.jpg") == b"b"


@pytest.mark.parametrize("files", [{}, {"notes.txt": b""}, {".git/1.jpg": b""}])
def test_no_class_folder_is_refused(put, tmp_path, files):
    put(files)
    (tmp_path / "source").mkdir(exist_ok=True)
    with pytest.raises(UserError, match=r"without an image. Arrange the images as FOLDER/<class>/<image>"):
        folder.catalogue(tmp_path / "source")


def test_no_path_is_refused():
    with pytest.raises(
        UserError, match=r"`path` is missing: pass a folder of images, best with one sub-folder per class\."
    ):
        folder.catalogue(None)


def test_a_flat_folder_has_images_without_labels(put, photo):
    source = put({"1.jpg": photo(1), "2.PNG": photo(2), "notes.txt": b"hello"})
    found = folder.catalogue(source)
    assert found.items.columns.tolist() == ["id"] and found.items["id"].tolist() == ["1.jpg", "2.PNG"]
    assert found.read("1.jpg") == photo(1) and found.stratify is None
    assert found.left_out == (("notes.txt", "not called like an image"),)
    assert found.notes == ("No sub-folders: the images have no label.",)
