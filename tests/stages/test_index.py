"""The index of a run, searched, tagged with, grown and given classes: on drawn garments and a network of two blocks."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashionprobe.attributes import added_classes
from fashionprobe.errors import UserError
from fashionprobe.inputs import new_images
from fashionprobe.inputs.descriptors import read_descriptors
from fashionprobe.stages import attribute, index, tag


@pytest.fixture
def root(garment_index, tmp_path) -> Path:
    shutil.copytree(garment_index, tmp_path / "w")
    return tmp_path / "w"


def runs(root: Path) -> dict[str, str]:
    return {"run": "g", "runs_root": str(root / "runs")}


def roots(root: Path) -> dict[str, str]:
    return runs(root) | {"tfrecords_root": str(root / "tfrecords")}


@pytest.fixture
def photo(root) -> str:
    """The first garment of the run, saved as a file."""
    return str(root / "shirt.png")


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
    for call in (lambda: tag(image=[], **runs(root)),):
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
    # Among more classes each has a smaller share, and nothing else is another.
    after = [replace(now, probability=old.probability) for old, now in zip(before, after, strict=True)]
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
