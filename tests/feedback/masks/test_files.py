import unicodedata

import numpy as np
import pytest
from PIL import Image

from fashionprobe.errors import UserError
from fashionprobe.feedback.masks.files import by_id, read_folder, read_png

MASK = np.array([[0, 1, 1], [0, 0, 1]], bool)
OTHER = np.array([[1, 0, 0], [0, 0, 0]], bool)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def test_masks_of_8_bits_and_of_1(tmp_path):
    assert np.array_equal(read_png(save(tmp_path / "a.png", MASK.astype(np.uint8) * 255)), MASK)
    one_bit = read_png(save(tmp_path / "b.png", MASK))
    assert np.array_equal(one_bit, MASK) and one_bit.dtype == bool


@pytest.mark.parametrize(
    ("pixels", "received"),
    [
        (MASK.astype(np.uint8), r"the values 0, 1\."),
        (MASK.astype(np.uint8) * 254, r"the values 0, 254\."),
        (np.arange(8, dtype=np.uint8)[None], r"the values 0, 1, 2, 3, 4 and 3 more\."),
        (np.repeat(MASK[..., None], 3, axis=2).astype(np.uint8) * 255, r"pixels of kind RGB\."),
        (MASK.astype(np.uint16) * 255, r"pixels of kind I;16\."),
    ],
)
def test_other_pixels_are_refused(tmp_path, pixels, received):
    path = save(tmp_path / "bad.png", pixels)
    with pytest.raises(UserError, match=rf"bad\.png` must be a grey PNG.*Received: {received} Save it as 8-bit grey"):
        read_png(path)


def test_what_is_no_png_is_refused(tmp_path):
    save(tmp_path / "jpeg.png", MASK.astype(np.uint8)).write_bytes(b"\xff\xd8 no PNG")
    with pytest.raises(UserError, match=r"jpeg\.png` must be .*Received: no PNG file, or a damaged one"):
        read_png(tmp_path / "jpeg.png")
    whole = save(tmp_path / "cut.png", np.zeros((50, 50), np.uint8)).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:50])
    with pytest.raises(UserError, match=r"cut\.png` must be .*Received: no PNG file, or a damaged one"):
        read_png(tmp_path / "cut.png")


def test_folder_gives_names_with_sub_folders(tmp_path):
    save(tmp_path / "gun" / "B1.png", MASK)
    save(tmp_path / "knife.v2.PNG", OTHER)
    save(tmp_path / ".trash" / "x.png", MASK)
    (tmp_path / "notes.txt").write_text("no mask")
    found = read_folder(tmp_path)
    assert [name for name, _ in found] == ["gun/B1", "knife.v2"]
    assert np.array_equal(found[0][1], MASK) and np.array_equal(found[1][1], OTHER)


def test_folder_without_masks_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"`path` must be a folder of PNG files\. Received: .*without one"):
        read_folder(tmp_path)
    with pytest.raises(UserError, match=r"`path` must be a folder of PNG files\. Received: .*which does not exist"):
        read_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["gun/B1.jpg", "gun/B1", "gun/B1.png"])
def test_an_id_may_go_without_its_suffix_or_with_another(name):
    found = by_id([("7", OTHER), (name, MASK)], ["gun/B1.jpg", "gun/B2.jpg", "7"])
    assert list(found) == ["gun/B1.jpg", "7"]
    assert np.array_equal(found["gun/B1.jpg"], MASK) and np.array_equal(found["7"], OTHER)


def test_the_id_itself_comes_before_one_like_it():
    found = by_id([("a.jpg", MASK), ("a.png", OTHER)], ["a.jpg", "a.png"])
    assert np.array_equal(found["a.jpg"], MASK) and np.array_equal(found["a.png"], OTHER)


def test_masks_of_one_image_are_joined():
    found = by_id([("a", MASK), ("a.jpg", OTHER)], ["a.jpg"])
    assert np.array_equal(found["a.jpg"], MASK | OTHER)


def test_unknown_names_are_counted_and_the_first_listed():
    found = [(f"x{number}", MASK) for number in range(7)]
    with pytest.raises(UserError, match=r"Received: 7 unknown: x0, x1, x2, x3, x4 \.\.\.\. An id is gun/B1\.jpg; as a"):
        by_id([*found, ("gun/B1", MASK)], ["gun/B1.jpg"])


def test_doubtful_names_sizes_and_no_mask_are_refused():
    with pytest.raises(UserError, match=r"name one image\. Received: a, which may be a\.jpg or a\.png"):
        by_id([("a", MASK)], ["a.jpg", "a.png"])
    with pytest.raises(UserError, match=r"of one size for image a\.jpg\. Received: 2 x 3 and 3 x 2"):
        by_id([("a", MASK), ("a.jpg", MASK.T)], ["a.jpg"])
    with pytest.raises(UserError, match=r"`path` must be one mask or more\. Received: none"):
        by_id([], ["a"])


@pytest.mark.parametrize("ids", ["NFC", "NFD"])
@pytest.mark.parametrize("names", ["NFC", "NFD"])
@pytest.mark.parametrize("name", ["Schürze/größe.png", "Schürze/größe"])
def test_names_are_compared_however_they_are_spelled(names, ids, name):
    known = unicodedata.normalize(ids, "Schürze/größe.png")
    found = by_id([(unicodedata.normalize(names, name), MASK)], [known])
    assert list(found) == [known]
