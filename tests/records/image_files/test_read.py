import numpy as np
import pytest
from PIL import Image

from fashionprobe.errors import UserError
from fashionprobe.records.image_files.read import read_files


def test_files_of_any_format_come_as_one_batch(tmp_path):
    pixels = np.zeros((6, 6, 3), np.uint8)
    pixels[:3] = (200, 100, 0)
    for name in ("a.png", "b.bmp", "c.gif", "d.webp"):
        Image.fromarray(pixels).save(tmp_path / name, **({"lossless": True} if name == "d.webp" else {}))
    found = read_files([str(tmp_path / name) for name in ("a.png", "b.bmp", "c.gif", "d.webp")], (6, 6))
    assert (found.dtype, found.shape) == (np.float32, (4, 6, 6, 3))
    assert (found == pixels).all()


def test_padding_is_white_and_stretching_leaves_none(tmp_path):
    Image.new("RGB", (4, 8), "black").save(tmp_path / "tall.png")
    padded = read_files([str(tmp_path / "tall.png")], (8, 8))[0]
    assert (padded[:, :2] == 255).all() and (padded[:, 2:6] == 0).all() and (padded[:, 6:] == 255).all()
    assert (read_files([str(tmp_path / "tall.png")], (8, 8), "stretch") == 0).all()


def test_the_camera_was_turned(tmp_path):
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[0] = 255
    data = Image.Exif()
    data[274] = 3
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=data)
    found = read_files([str(tmp_path / "turned.png")], (4, 4))[0]
    assert (found[3] == 255).all() and (found[:3] == 0).all()


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "does not exist"), (b"", "empty file"), (b"hello there", "not an image")]
)
def test_what_is_no_image(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(UserError, match=f"`images` must be an image file.*{reason}"):
        read_files([str(tmp_path / "x.jpg")], (4, 4))


def test_a_folder_and_a_cut_file(tmp_path):
    with pytest.raises(UserError, match="a folder"):
        read_files([str(tmp_path)], (4, 4))
    Image.effect_noise((64, 64), 50).convert("RGB").save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"cut\.jpg"):
        read_files([str(tmp_path / "cut.jpg")], (4, 4))
