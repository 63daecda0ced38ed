"""Sketches: bitmaps and drawings of a folder, each read from its own place, broken lines left out."""

import io
import json
import unicodedata

import numpy as np
import pytest
from PIL import Image

from fashionprobe.errors import UserError
from fashionprobe.records.image_files.info import BadImage
from fashionprobe.records.sources import quickdraw

# A square with its diagonal, and a level line.
SQUARE = [[[0, 255, 255, 0, 0], [0, 0, 255, 255, 0]], [[0, 255], [0, 255]]]
LINE = [[[0, 255], [100, 100]]]


def line(drawing, **more):
    return json.dumps({"word": "cat", "key_id": "5", "recognized": True, "drawing": drawing, **more})


def pixels(catalogue, name):
    return np.asarray(Image.open(io.BytesIO(catalogue.read(name))))


@pytest.fixture
def folder(tmp_path):
    bitmaps = np.zeros((3, 784), np.uint8)
    bitmaps[1, 28 * 4 + 7] = 200  # row 4, column 7
    np.save(tmp_path / "full_numpy_bitmap_aircraft carrier.npy", bitmaps)
    (tmp_path / "full_simplified_cat.ndjson").write_text(
        "\n".join([line(SQUARE), line(LINE, recognized=False, word="chat é"), "", line(LINE)]), encoding="utf-8"
    )
    return tmp_path


def test_items_of_both_kinds(folder):
    items = quickdraw.catalogue(folder).items
    assert items.to_numpy().tolist() == [
        ["full_numpy_bitmap_aircraft carrier.npy/000000", "aircraft carrier", ""],
        ["full_numpy_bitmap_aircraft carrier.npy/000001", "aircraft carrier", ""],
        ["full_numpy_bitmap_aircraft carrier.npy/000002", "aircraft carrier", ""],
        ["full_simplified_cat.ndjson/000000", "cat", "true"],
        ["full_simplified_cat.ndjson/000001", "chat é", "false"],
        ["full_simplified_cat.ndjson/000003", "cat", "true"],
    ]
    assert list(items) == ["id", "class", "recognized"]


def test_bitmaps_are_dark_on_white_and_have_no_column_of_recognition(folder):
    (folder / "full_simplified_cat.ndjson").unlink()
    catalogue = quickdraw.catalogue(folder)
    assert list(catalogue.items) == ["id", "class"]
    expected = np.full((28, 28), 255)
    expected[4, 7] = 55
    np.testing.assert_array_equal(pixels(catalogue, catalogue.items["id"][1]), expected)
    larger = quickdraw.catalogue(folder, (56, 84))
    assert pixels(larger, larger.items["id"][1]).shape == (56, 84)


def test_drawings_fill_the_picture_and_are_read_from_their_own_line(folder):
    catalogue = quickdraw.catalogue(folder)
    square, level = (pixels(catalogue, f"full_simplified_cat.ndjson/{number:06d}") for number in (0, 3))
    assert square.shape == level.shape == quickdraw.SIZE
    dark = np.argwhere(square < 128)
    assert dark.min(axis=0).tolist() == [6, 6] and dark.max(axis=0).tolist() == [121, 121]
    # The diagonal runs down to the right, the line level through the middle, and edges are smooth.
    assert square[40, 40] < 128 < square[40, 88]
    rows, columns = np.nonzero(level < 128)
    assert set(rows) <= {62, 63, 64, 65} and (columns.min(), columns.max()) == (6, 121)
    assert len(np.unique(square)) > 4
    assert pixels(quickdraw.catalogue(folder, (40, 60)), "full_simplified_cat.ndjson/000000").shape == (40, 60)


def test_the_raw_format_with_times_gives_the_same_picture(tmp_path):
    raw = [[*stroke, list(range(len(stroke[0])))] for stroke in (np.array(SQUARE[0]) * 1.7 + 31.5,)]
    raw = [[list(map(float, part)) for part in stroke] for stroke in raw]
    (tmp_path / "a.ndjson").write_text(line(SQUARE[:1]) + "\n" + line(raw))
    catalogue = quickdraw.catalogue(tmp_path)
    np.testing.assert_array_equal(*(pixels(catalogue, name) for name in catalogue.items["id"]))


def test_a_single_point_is_a_dot(tmp_path):
    (tmp_path / "dot.ndjson").write_text(json.dumps({"drawing": [[[9], [9]]]}))
    catalogue = quickdraw.catalogue(tmp_path)
    assert catalogue.items.to_numpy().tolist() == [["dot.ndjson/000000", "dot", ""]]
    rows, columns = np.nonzero(pixels(catalogue, "dot.ndjson/000000") < 128)
    assert len(rows) and rows.mean() == columns.mean() == 63.5


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"word": "cat", "drawi', "no drawing (Invalid control character"),
        ("[1, 2]", "no drawing (no strokes)"),
        (line([]), "no drawing (no strokes)"),
        (line([[[1, 2], [1]]]), "no drawing (strokes are not lists"),
        (line([[["a"], ["b"]]]), "no drawing (strokes are not lists"),
        (line([[[], []]]), "no drawing (strokes are not lists"),
        (line([[1, 2]]), "no drawing (strokes are not lists"),
        (line([[[1e400], [2]]]), "no drawing (strokes are not lists"),
        ("[" * 100_000, "no drawing ("),
    ],
)
def test_broken_lines_are_left_out_with_a_reason(tmp_path, text, reason):
    (tmp_path / "cat.ndjson").write_text(line(LINE) + "\n" + text + "\n" + line(SQUARE) + "\n")
    catalogue = quickdraw.catalogue(tmp_path)
    assert catalogue.items["id"].tolist() == ["cat.ndjson/000000", "cat.ndjson/000002"]
    ((name, said),) = catalogue.left_out
    assert name == "cat.ndjson/000001" and said.startswith(reason)


def test_files_that_are_no_sketches_are_left_out_and_never_unpickled(folder):
    np.save(folder / "objects.npy", np.array([{"a": 1}], object), allow_pickle=True)
    np.save(folder / "floats.npy", np.zeros((2, 784)))
    (folder / "empty.npy").touch()
    (folder / "README.md").write_text("hello")
    catalogue = quickdraw.catalogue(folder)
    assert len(catalogue.items) == 6
    said = dict(catalogue.left_out)
    assert set(said) == {"objects.npy", "floats.npy", "empty.npy", "README.md"}
    assert said["objects.npy"].startswith("not an array of numbers (Array can't be memory-mapped: Python objects")
    assert said["floats.npy"] == "not uint8 (count, 784), but float64 (2, 784)"
    assert said["README.md"] == "neither .npy nor .ndjson"


def test_a_line_that_changed_since_is_a_bad_image(folder):
    catalogue = quickdraw.catalogue(folder)
    file = folder / "full_simplified_cat.ndjson"
    file.write_bytes(b"x" * file.stat().st_size)
    with pytest.raises(BadImage):
        catalogue.read("full_simplified_cat.ndjson/000001")


def test_a_path_without_sketches_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"`path` must be a folder with .npy or .ndjson files. Received: nothing."):
        quickdraw.catalogue(None)
    (tmp_path / "a.txt").touch()
    with pytest.raises(UserError, match=r"without one \(the first, a.txt: neither .npy nor .ndjson\)"):
        quickdraw.catalogue(tmp_path)


def test_files_are_read_however_their_names_are_spelled(tmp_path):
    name = unicodedata.normalize("NFD", "full_simplified_Schürze.ndjson")
    (tmp_path / name).write_text(json.dumps({"drawing": SQUARE}), encoding="utf-8")
    catalogue = quickdraw.catalogue(tmp_path)
    assert catalogue.items[["id", "class"]].to_numpy().tolist() == [
        ["full_simplified_Schürze.ndjson/000000", "Schürze"]
    ]
    assert pixels(catalogue, "full_simplified_Schürze.ndjson/000000").min() == 0
