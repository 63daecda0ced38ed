"""The index of a run, searched, tagged with, grown and given classes: on drawn garments and a network of two blocks."""

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fashionprobe.attributes import added_classes
from fashionprobe.errors import UserError
from fashionprobe.inputs import new_images
from fashionprobe.inputs.descriptors import read_descriptors
from fashionprobe.records.record_set import open_record_set
from fashionprobe.stages import attribute, extract, index, ingest, search, tag


@pytest.fixture(scope="module")
def made(tmp_path_factory, model_path) -> Path:
    """A folder with 60 garments described in run `g`, and an index of them by colour and pattern."""
    root = tmp_path_factory.mktemp("index")
    roots = {"tfrecords_root": str(root / "tfrecords"), "runs_root": str(root / "runs")}
    records = ingest(dataset="g", source="garments", count=60, size=32, tfrecords_root=roots["tfrecords_root"])
    extract(dataset=records, backbone=str(model_path), size=32, **roots)
    index(run="g", groups=["colour=1", "pattern=2"], **roots)
    return root


@pytest.fixture
def root(made, tmp_path) -> Path:
    shutil.copytree(made, tmp_path / "w")
    return tmp_path / "w"


def runs(root: Path) -> dict[str, str]:
    return {"run": "g", "runs_root": str(root / "runs")}


def roots(root: Path) -> dict[str, str]:
    return runs(root) | {"tfrecords_root": str(root / "tfrecords")}


@pytest.fixture
def photo(root) -> str:
    """The first garment of the run, saved as a file."""
    from fashionprobe.records.read import pictures, shard_paths

    records = open_record_set(root / "tfrecords/g")
    first = read_descriptors(root / "runs/g").items["id"].iloc[0]
    ((_, pixels),) = pictures(records, [first], shard_paths(records))
    Image.fromarray(pixels).save(root / "shirt.png")
    return str(root / "shirt.png")


def test_an_image_file_finds_its_own_record_first(root, photo):
    first = read_descriptors(root / "runs/g").items["id"].iloc[0]
    for by in ("colour", "pattern", "both"):
        found = search(image=photo, by=by, top=7, **runs(root))
        assert found.ids[0] == first
        assert len(found.ids) == 7
        assert list(found.distances) == sorted(found.distances)
        assert (found.path / "sheet.png").stat().st_size > 10_000
    table = pd.read_csv(found.path / "hits.csv")
    assert table.columns.tolist()[:3] == ["rank", "id", "distance"]
    assert {"colour", "pattern"} <= set(table.columns)
    assert search(image=photo, by="both", top=7, **runs(root)).reused


def test_an_image_of_the_index_is_left_out_of_its_own_search(root):
    name = read_descriptors(root / "runs/g").items["id"].iloc[3]
    found = search(id=name, by="colour", top=59, **runs(root))
    assert name not in found.ids
    assert len(set(found.ids)) == 59


def test_the_distances_are_those_of_the_descriptors(root):
    described = read_descriptors(root / "runs/g")
    index(**roots(root), groups=["colour=1:l2"], overwrite=True)
    points = np.load(root / "runs/g/extract/block1.npy").astype(np.float64)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    apart = np.linalg.norm(points - points[3], axis=1)
    apart[3] = np.inf
    found = search(id=described.items["id"].iloc[3], by="colour", top=5, **runs(root))
    assert list(found.ids) == described.items["id"].iloc[np.argsort(apart, kind="stable")[:5]].tolist()
    assert found.distances == pytest.approx(np.sort(apart)[:5], abs=1e-5)


def test_tagged_with_the_classes_of_the_label_columns(root, photo, caplog):
    caplog.set_level("INFO")
    answers = tag(image=photo, **runs(root))
    assert [(each.image, each.group) for each in answers] == [("shirt.png", "colour"), ("shirt.png", "pattern")]
    for each in answers:
        assert each.name == (each.nearest if each.distance <= each.reach else "none of these")
    assert caplog.messages[-1].startswith("shirt.png: colour ")
    (alone,) = tag(image=photo, group="pattern", **runs(root))
    assert alone == answers[1]


def test_images_are_described_in_batches(root, photo, monkeypatch):
    other, third = root / "other.png", root / "third.png"
    Image.new("RGB", (40, 32), "teal").save(other)
    Image.new("RGB", (32, 32), "red").save(third)
    alone = [answer for path in (photo, other, third) for answer in tag(image=str(path), **runs(root))]
    monkeypatch.setattr(new_images, "_together", lambda manifest: 2)
    together = tag(image=[photo, str(other), str(third)], **runs(root))
    assert [(each.image, each.name) for each in together] == [(each.image, each.name) for each in alone]
    assert [each.distance for each in together] == pytest.approx([each.distance for each in alone], abs=1e-5)


def test_no_image_is_an_error(root):
    for call in (lambda: tag(image=[], **runs(root)), lambda: index(images=[], **runs(root))):
        with pytest.raises(UserError, match=r"`images` is missing: pass one image file or more"):
            call()


def test_a_far_image_is_none_of_these(root, photo):
    index(**roots(root), groups=["shade=1"], overwrite=True)
    with pytest.raises(UserError, match=r"`group` must be one with a class or more. Received: 'shade', which has none"):
        tag(image=photo, **runs(root))
    pixels = np.asarray(Image.open(photo).convert("RGB")).astype(int)
    for number in range(5):
        Image.fromarray(np.clip(pixels + 3 * number, 0, 255).astype(np.uint8)).save(root / f"like{number}.png")
    Image.fromarray((255 - pixels).astype(np.uint8)).save(root / "far.png")
    likes = [str(root / f"like{number}.png") for number in range(5)]
    attribute.add(name="like it", group="shade", images=likes, **runs(root))
    near, far = tag(image=[likes[2], str(root / "far.png")], **runs(root))
    assert near.name == "like it"
    assert (far.name, far.nearest) == ("none of these", "like it")
    assert far.distance > far.reach > near.distance


def test_a_class_comes_and_goes_and_no_other_answer_changes(root):
    names = read_descriptors(root / "runs/g").items["id"].tolist()
    before = tag(id=names, group="pattern", **runs(root))
    known = attribute.list_classes(**runs(root))
    new = attribute.add(name="mine", group="pattern", id=names[:10], **runs(root))
    assert (new.images, new.added) == (10, True)
    after = tag(id=names, group="pattern", **runs(root))
    changed = [(old, now) for old, now in zip(before, after, strict=True) if old != now]
    assert changed
    assert all(now.nearest == "mine" and now.distance < old.distance for old, now in changed)
    assert [each for each in attribute.list_classes(**runs(root)) if each.name != "mine"] == list(known)
    attribute.remove(name="mine", group="pattern", **runs(root))
    assert tag(id=names, group="pattern", **runs(root)) == before


def test_a_class_of_a_label_can_be_removed_and_replaced(root):
    name = attribute.list_classes(group="colour", **runs(root))[0].name
    attribute.remove(name=name, group="colour", **runs(root))
    assert name not in [each.name for each in attribute.list_classes(group="colour", **runs(root))]
    ids = read_descriptors(root / "runs/g").items["id"].tolist()[:4]
    attribute.add(name=name, group="colour", id=ids, **runs(root))
    (found,) = [each for each in attribute.list_classes(group="colour", **runs(root)) if each.name == name]
    assert (found.images, found.added) == (4, True)
    with pytest.raises(UserError, match=r"a new class of colour.*which is there. Pass --overwrite"):
        attribute.add(name=name, group="colour", id=ids, **runs(root))
    assert attribute.add(name=name, group="colour", id=ids[:3], overwrite=True, **runs(root)).images == 3


def test_a_class_outlives_a_new_index_of_other_blocks(root, photo):
    ids = read_descriptors(root / "runs/g").items["id"].tolist()[:4]
    attribute.add(name="mine", group="pattern", id=ids, **runs(root))
    index(**roots(root), groups=["pattern=1:standard"], overwrite=True)
    assert "mine" in [each.name for each in attribute.list_classes(**runs(root))]
    assert tag(image=photo, group="pattern", **runs(root))


def test_a_class_of_another_network_is_refused_and_can_be_removed(root, photo):
    blocks = {1: np.ones((2, 4), np.float32), 2: np.ones((2, 16), np.float32)}
    added_classes.save(
        root / "runs/g/attributes", added_classes.AddedClass("colour", "alien", ("a", "b"), "0" * 64, blocks)
    )
    with pytest.raises(UserError, match=r"class alien` must be described by the network of the index"):
        tag(image=photo, **runs(root))
    attribute.remove(name="alien", group="colour", **runs(root))
    assert tag(image=photo, **runs(root))


def test_copies_count_once(root, photo, caplog):
    caplog.set_level("INFO")
    other = Image.new("RGB", (32, 32), "red")
    other.save(root / "red.png")
    made = attribute.add(name="m", group="colour", images=[photo, photo, str(root / "red.png")], **runs(root))
    assert made.images == 2
    assert "1 of the images are copies of another and count once" in caplog.messages
    with pytest.raises(UserError, match=r"two or more for a class.*Received: 1 for 'n'"):
        attribute.add(name="n", group="colour", images=[photo, photo], **runs(root))


@pytest.fixture
def other(root) -> str:
    """A picture that is not in the run, as a file."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(pixels).resize((32, 32), Image.Resampling.NEAREST).save(root / "scarf.png")
    return str(root / "scarf.png")


def test_images_are_added_without_a_rebuild(root, other):
    before = {path.name: path.stat().st_mtime_ns for path in (root / "runs/g/index").iterdir()}
    made = index(images=[other], **runs(root))
    assert made.images == 61
    assert {name: (root / "runs/g/index" / name).stat().st_mtime_ns for name in before} == before
    found = search(image=other, by="colour", top=2, **runs(root))
    assert found.ids[0] == "scarf"
    assert found.distances[0] == pytest.approx(0, abs=1e-4)
    # The same arguments find it as it is; others would lose the addition.
    assert index(**roots(root), groups=["colour=1", "pattern=2"]).images == 61
    with pytest.raises(UserError, match=r"an index with 1 addition. Pass the arguments it was made with, or delete"):
        index(**roots(root), groups=["colour=2"], overwrite=True)


def test_a_picture_is_in_the_index_once(root, photo, other, caplog):
    caplog.set_level("INFO")
    copy = root / "copy of the scarf.bmp"
    Image.open(other).save(copy)
    made = index(images=[other, str(copy), photo], **runs(root))
    assert (made.images, made.reused) == (61, False)
    first = read_descriptors(root / "runs/g").items["id"].iloc[0]
    assert f"{photo} is in the index already, as {first}" in caplog.messages
    assert f"{copy} is the same picture as {other} and counts once" in caplog.messages
    for path in (other, str(copy)):
        again = index(images=[path], **runs(root))
        assert (again.images, again.reused) == (61, True)
        assert f"{path} is in the index already, as scarf" in caplog.messages


def test_another_picture_of_the_same_name_has_an_id_of_its_own(root, other, caplog):
    caplog.set_level("INFO")
    (root / "more").mkdir()
    Image.new("RGB", (32, 32), "teal").save(root / "more/scarf.png")
    index(images=[other], **runs(root))
    assert index(images=[str(root / "more/scarf.png")], **runs(root)).images == 62
    assert f"{root / 'more/scarf.png'} is called 'scarf (2)': another picture has its name" in caplog.messages
    assert search(id="scarf (2)", by="colour", top=61, **runs(root)).ids.count("scarf") == 1


def test_an_index_of_files_names_new_ones_with_their_suffix(pictures, tmp_path, model_path):
    there = {"tfrecords_root": str(tmp_path / "tfrecords"), "runs_root": str(tmp_path / "runs")}
    ingest(dataset="p", source="folder", path=str(pictures), tfrecords_root=there["tfrecords_root"])
    extract(dataset="p", backbone=str(model_path), size=32, **there)
    index(run="p", groups=["colour=1"], **there)
    Image.new("RGB", (32, 32), "teal").save(tmp_path / "new.PNG")
    index(run="p", images=[str(tmp_path / "new.PNG")], **there)
    assert len(search(run="p", id="new.PNG", by="colour", top=1, **there).ids) == 1


def test_another_network_cannot_describe_new_images(root, photo, tmp_path):
    import keras

    keras.utils.set_random_seed(1)
    image = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.MaxPooling2D()(keras.layers.Conv2D(4, 3, padding="same", name="first")(x))
    x = keras.layers.Conv2D(16, 3, padding="same", name="second")(x)
    keras.Model(image, keras.layers.GlobalAveragePooling2D()(x)).save(tmp_path / "other.keras")
    with pytest.raises(UserError, match=r"the network that described the run.*other.keras.*cannot be compared"):
        search(image=photo, by="colour", backbone=str(tmp_path / "other.keras"), **runs(root))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": "color"}, r"`by` must be one of: colour, pattern, both.*Did you mean 'colour'"),
        ({"top": 61}, r"`top` must be in 1 to 60, the images of the index. Received: 61"),
        ({"top": 0}, r"`top` must be an int in the range \[1, inf\)"),
        ({"image": "nothing.jpg"}, r"`image` must be an image file. Received: 'nothing.jpg', which is not a file"),
        ({"image": __file__}, r"`images` must be an image file: JPEG, PNG"),
        ({"image": None}, r"`image` or `id` must be given, and only one of them. Received: none of them"),
        ({"id": "x"}, r"`image` or `id` must be given, and only one of them. Received: image and id"),
        ({"image": None, "id": "x"}, r"`id` must be the id of an image of the index"),
    ],
)
def test_errors_of_a_search(root, photo, arguments, message):
    with pytest.raises(UserError, match=message):
        search(**runs(root), **{"image": photo, "by": "colour"} | arguments)
    assert not list((root / "runs/g").glob("search/[!.]*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": "colour"}, r"`groups` must be name=block, such as colour=1:whiten pattern=4. Received: colour"),
        ({"groups": "colour=one"}, r"`groups` must be name=block.*Received: colour=one"),
        ({"groups": "colour=9"}, r"`block` must be among those that were extracted: 1, 2. Received: 9"),
        ({"groups": "colour=1:whitn"}, r"`groups` must be of a normalization: none, l2, standard, whiten.*'whiten'"),
        ({"groups": "both=1"}, r"`groups` must be names of letters.*Received: 'both'"),
        ({"groups": "a/b=1"}, r"`groups` must be names of letters"),
        ({"labels": "colour=colr"}, r"`labels` must be a label column:.*Did you mean 'colour'"),
        ({"labels": "shape=colour"}, r"`labels` must be of one of the groups: colour"),
        ({"coverage": 0.0}, r"`coverage` must be a number in the range \(0, 1\]. Received: 0.0"),
        ({"run": "none"}, r"nothing there. Make it first: fashionprobe extract"),
    ],
)
def test_errors_of_an_index(root, arguments, message):
    shutil.rmtree(root / "runs/g/index")
    with pytest.raises(UserError, match=message):
        index(**roots(root) | {"groups": "colour=1"} | arguments)
    assert not (root / "runs/g/index").exists()


def test_errors_of_classes(root, photo):
    with pytest.raises(UserError, match=r"`group` must be a group of the index: colour, pattern.*'colour'"):
        attribute.add(name="x", group="color", images=[photo], **runs(root))
    with pytest.raises(
        UserError, match=r"`images` or `id` must be given, and only one of them. Received: none of them"
    ):
        attribute.add(name="x", group="colour", **runs(root))
    with pytest.raises(UserError, match=r"`name` is missing: a class needs one"):
        attribute.add(name="  ", group="colour", images=[photo], **runs(root))
    with pytest.raises(UserError, match=r"`id` must be the id of an image that was extracted"):
        attribute.add(name="x", group="colour", id="unknown", **runs(root))
    with pytest.raises(UserError, match=r"`name` must be a class of colour:.*Received: x"):
        attribute.remove(name="x", group="colour", **runs(root))
    with pytest.raises(UserError, match=r"Make it first: fashionprobe index --run none"):
        attribute.list_classes(run="none", runs_root=str(root / "runs"))
    assert not (root / "runs/g/attributes").exists()


def test_an_approximate_index_finds_the_same_nearest(root):
    pytest.importorskip("faiss", reason="faiss is not installed: pip install 'fashionprobe[faiss]'")
    name = read_descriptors(root / "runs/g").items["id"].iloc[5]
    exact = search(id=name, by="colour", top=10, **runs(root))
    index(**roots(root), groups=["colour=1", "pattern=2"], approximate=True, overwrite=True)
    assert (root / "runs/g/index/part-0000.colour.faiss").is_file()
    found = search(id=name, by="colour", top=10, **runs(root))
    assert not found.reused
    assert found.ids == exact.ids
    assert found.distances == exact.distances
    (root / "runs/g/index/part-0000.colour.faiss").write_bytes(b"x" * 10)
    with pytest.raises(UserError, match=r"must be as the stage wrote it"):
        search(id=name, by="colour", top=9, **runs(root))


def test_without_the_records_there_are_no_thumbnails(root):
    shutil.rmtree(root / "tfrecords")
    index(**roots(root), groups=["colour=1"], overwrite=True)
    name = read_descriptors(root / "runs/g").items["id"].iloc[0]
    assert (search(id=name, by="colour", top=3, **runs(root)).path / "sheet.png").is_file()


@pytest.mark.slow
def test_a_killed_addition_loses_nothing(root, other):
    """A process that dies in the middle of writing, for real: what was there stays, and the next one succeeds."""
    script = (
        "import os, signal, sys\n"
        "from fashionprobe import npy\n"
        "from fashionprobe.stages import index\n"
        "npy.RowWriter.append = lambda self, arrays: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"index(run='g', images=[{other!r}], runs_root={str(root / 'runs')!r})\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert killed.returncode == -9
    name = read_descriptors(root / "runs/g").items["id"].iloc[0]
    assert len(search(id=name, by="colour", top=59, **runs(root)).ids) == 59
    assert index(images=[other], **runs(root)).images == 61


def test_readers_see_whole_classes_while_one_is_added_and_removed(root):
    ids = read_descriptors(root / "runs/g").items["id"].tolist()
    stop, seen, failed = threading.Event(), set(), []

    def read():
        while not stop.is_set():
            try:
                seen.add(len(attribute.list_classes(group="pattern", **runs(root))))
            except Exception as error:  # whatever it is, the test shall show it
                failed.append(error)
                return

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(5):
        attribute.add(name="mine", group="pattern", id=ids[:5], **runs(root))
        attribute.remove(name="mine", group="pattern", **runs(root))
    stop.set()
    reader.join()
    assert not failed
    count = len(attribute.list_classes(group="pattern", **runs(root)))
    assert seen <= {count, count + 1}


def test_names_are_found_however_they_are_spelled(root):
    ids = read_descriptors(root / "runs/g").items["id"].tolist()[:4]
    composed, decomposed = "Sch\u00fcrze", "Schu\u0308rze"
    made = attribute.add(name=decomposed, group="pattern", id=ids, **runs(root))
    assert made.name == composed
    with pytest.raises(UserError, match="`name` must be a new class of pattern"):
        attribute.add(name=composed, group="pattern", id=ids, **runs(root))
    attribute.remove(name=decomposed, group="pattern", **runs(root))
    assert composed not in [each.name for each in attribute.list_classes(**runs(root))]


def test_the_default_of_top_is_36_or_all_there_are(root, pictures, tmp_path, model_path, empty_figures):
    name = read_descriptors(root / "runs/g").items["id"].iloc[0]
    assert len(search(id=name, by="colour", **runs(root)).ids) == 36
    there = {"tfrecords_root": str(tmp_path / "tfrecords"), "runs_root": str(tmp_path / "runs")}
    ingest(dataset="p", source="folder", path=str(pictures), tfrecords_root=there["tfrecords_root"])
    extract(dataset="p", backbone=str(model_path), size=32, **there)
    index(run="p", groups=["colour=1"], **there)
    assert len(search(run="p", id="cat/0.png", **there).ids) == 23
