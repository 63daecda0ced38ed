import json
import threading

import numpy as np
import pytest
from PIL import Image

from fashionprobe.errors import UserError
from fashionprobe.feedback.masks import drawings


def square(top, size=4, shape=(12, 10)):
    mask = np.zeros(shape, bool)
    mask[top : top + size, 2 : 2 + size] = True
    return mask


def keep(folder, mask, *, base="", author="kim", note="", id="a/1.png", **options):
    return drawings.save(folder, id, "cat", mask, author=author, note=note, base=base, **options)


def test_a_mask_comes_back_with_who_when_and_why(tmp_path):
    saved = keep(tmp_path / "marks", square(1), note="  the \n label ")
    assert not saved.clash and saved.version == saved.mark.now.version
    found = drawings.load(tmp_path / "marks", "a/1.png")
    assert found == saved.mark and found.label == "cat" and found.others == ()
    assert found.now.author == "kim" and found.now.note == "the label" and found.now.share == round(16 / 120, 6)
    assert found.now.time.endswith("+00:00")
    assert np.array_equal(drawings.mask_of(tmp_path / "marks", found.now), square(1))
    # 8 bits, 0 and 255: what other tools read.
    pixels = np.asarray(Image.open(tmp_path / "marks" / found.now.file))
    assert pixels.dtype == np.uint8 and set(np.unique(pixels)) == {0, 255} and pixels.shape == (12, 10)


def test_a_later_version_takes_the_place_of_the_one_it_was_drawn_on_and_leaves_no_file_behind(tmp_path):
    first = keep(tmp_path, square(1))
    second = keep(tmp_path, square(5), base=first.version)
    assert not second.clash and second.version != first.version
    assert sorted(path.suffix for path in tmp_path.iterdir() if not path.name.startswith(".")) == [".json", ".png"]
    # A note alone is a version, too, and needs no other file.
    third = keep(tmp_path, square(5), base=second.version, note="why")
    assert third.version != second.version and third.mark.now.file == second.mark.now.file


def test_the_same_sent_twice_is_saved_once(tmp_path):
    first = keep(tmp_path, square(1))
    again = keep(tmp_path, square(1), author="lee")  # the answer to the first was lost, so the base is the old one
    assert not again.clash and again.mark == first.mark


def test_what_was_saved_first_counts_and_the_other_is_kept_beside_it(tmp_path):
    keep(tmp_path, square(0))
    theirs = keep(tmp_path, square(1), base=keep(tmp_path, square(0)).version, author="lee")
    mine = keep(tmp_path, square(6), base=keep(tmp_path / "x", square(0)).version, author="kim")
    assert mine.clash and mine.mark.now == theirs.mark.now
    (other,) = drawings.load(tmp_path, "a/1.png").others
    assert other.author == "kim" and np.array_equal(drawings.mask_of(tmp_path, other), square(6))
    # The one who goes on drawing on the second one replaces it; a third person's is kept as well.
    later = keep(tmp_path, square(7), base="gone", author="kim", settles=[mine.version])
    assert [each.version for each in later.mark.others] == [later.version]
    third = keep(tmp_path, square(3), base="gone", author="ann")
    assert [each.author for each in third.mark.others] == ["kim", "ann"]


def test_a_choice_settles_a_clash(tmp_path):
    first = keep(tmp_path, square(0))
    second = keep(tmp_path, square(6), base="older", author="lee")
    both = keep(tmp_path, square(0) | square(6), base=first.version, settles=[second.version])
    assert not both.clash and both.mark.others == () and both.mark.now.share == round(32 / 120, 6)
    assert len(list(tmp_path.glob("*.png"))) == 1


def test_an_empty_mask_takes_the_mask_away(tmp_path):
    first = keep(tmp_path, square(0))
    keep(tmp_path, np.zeros((12, 10), bool), base=first.version)
    assert drawings.load(tmp_path, "a/1.png") is None and not list(tmp_path.glob("[!.]*"))
    noted = keep(tmp_path, np.zeros((12, 10), bool), note="nothing to see")
    assert noted.mark.now.file == "" and drawings.mask_of(tmp_path, noted.mark.now) is None


def test_ids_that_look_alike_or_lead_elsewhere_are_kept_apart_inside_the_folder(tmp_path):
    names = ["a/1", "a_1", "a 1", "../../a", "é", "x" * 300]
    for number, name in enumerate(names):
        keep(tmp_path / "marks", square(number), id=name)
    found = {mark.id: drawings.mask_of(tmp_path / "marks", mark.now) for mark in drawings.load_all(tmp_path / "marks")}
    assert set(found) == set(names)
    assert all(np.array_equal(found[name], square(number)) for number, name in enumerate(names))
    assert {path.parent for path in tmp_path.rglob("*.png")} == {tmp_path / "marks"}


def test_a_kill_before_the_note_is_written_leaves_the_version_before(tmp_path, monkeypatch):
    first = keep(tmp_path, square(0))
    whole = drawings.write_bytes

    def killed(path, data):
        if path.suffix == ".json":
            raise KeyboardInterrupt
        whole(path, data)

    monkeypatch.setattr(drawings, "write_bytes", killed)
    with pytest.raises(KeyboardInterrupt):
        keep(tmp_path, square(5), base=first.version)
    monkeypatch.undo()
    found = drawings.load(tmp_path, "a/1.png")
    assert found == first.mark and np.array_equal(drawings.mask_of(tmp_path, found.now), square(0))
    assert not keep(tmp_path, square(5), base=first.version).clash and len(list(tmp_path.glob("*.png"))) == 1


def test_many_at_once_lose_nothing(tmp_path):
    def draw(number):
        keep(tmp_path, square(number % 8), id=f"image {number % 4}", author=str(number), base="")

    threads = [threading.Thread(target=draw, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for image in range(4):
        mark = drawings.load(tmp_path, f"image {image}")
        versions = (mark.now, *mark.others)
        # Four people a picture, two different masks: each is there once.
        wanted = {square(number % 8).tobytes() for number in range(image, 16, 4)}
        assert {drawings.mask_of(tmp_path, each).tobytes() for each in versions} == wanted and len(versions) == 2


@pytest.mark.parametrize("content", ["{", "{}", '{"format": 1}', "[]"])
def test_a_damaged_note_is_named(tmp_path, content):
    keep(tmp_path, square(0))
    next(tmp_path.glob("*.json")).write_text(content)
    with pytest.raises(UserError, match=r"must be a note of a mask. Received: a damaged file"):
        drawings.load(tmp_path, "a/1.png")


def test_a_note_of_another_version_is_refused(tmp_path):
    keep(tmp_path, square(0))
    path = next(tmp_path.glob("*.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(UserError, match=r"must be format 1. Received: 2. Delete that file"):
        list(drawings.load_all(tmp_path))


def test_a_note_cannot_name_a_file_elsewhere(tmp_path):
    Image.fromarray(np.full((4, 4), 255, np.uint8)).save(tmp_path / "outside.png")
    assert drawings.mask_of(tmp_path / "marks", drawings.Version(file="../outside.png")) is None
