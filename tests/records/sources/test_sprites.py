"""Sprite sheets: each tile beside its own label, and sheets and tables that do not fit refused."""

import io
import struct
import unicodedata
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from fashionprobe.errors import UserError
from fashionprobe.records.sources import sprites


def tiles_of(count, size=(4, 6), channels=3, seed=0):
    """uint8 (count, *size, channels): noise."""
    return np.random.default_rng(seed).integers(0, 256, (count, *size, channels), np.uint8)


def encoded(pixels, kind="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def laid_out(tiles, columns):
    """The tiles on a black square, row by row, one by one."""
    height, width = tiles.shape[1:3]
    large = np.zeros((columns * height, columns * width, tiles.shape[3]), np.uint8)
    for number, tile in enumerate(tiles):
        y, x = number // columns * height, number % columns * width
        large[y : y + height, x : x + width] = tile
    return large.squeeze()


def read(catalogue, name):
    return np.asarray(Image.open(io.BytesIO(catalogue.read(name))))


NAMES = "".join(f"kind {number % 3}\n" for number in range(7))
TABLE = "Index\tLabel\tsplit\n" + "".join(f'{9 - row}\t"a" b, c\t{"train" if row else "test"}\n' for row in range(7))
TILES = tiles_of(7)
SHEET = encoded(laid_out(TILES, 3))


def test_one_column_has_no_header_and_each_tile_its_label(put):
    catalogue = sprites.catalogue(put({"sprite.png": SHEET, "metadata.tsv": NAMES, "config.pbtxt": "x"}))
    assert list(catalogue.items) == ["id", "class"]
    assert catalogue.items.to_numpy().tolist() == [[f"{row:06d}", f"kind {row % 3}"] for row in range(7)]
    for row, tile in enumerate(TILES):
        np.testing.assert_array_equal(read(catalogue, f"{row:06d}"), tile)
    assert catalogue.notes == ("7 tiles of 6 x 4 pixels, 3 a row.",)
    assert catalogue.stratify == "class"


def test_several_columns_have_a_header_and_quotes_mean_nothing_in_a_tsv(put):
    catalogue = sprites.catalogue(put({"sprite.png": SHEET, "metadata.tsv": TABLE}))
    assert list(catalogue.items) == ["id", "Index", "Label", "split"]
    assert catalogue.items.iloc[0].tolist() == ["000000", "9", '"a" b, c', "test"]
    assert catalogue.stratify == "Label"
    neither = sprites.catalogue(put({"sprite.png": SHEET, "metadata.tsv": TABLE.replace("Label", "word")}, "neither"))
    assert neither.stratify == "Index"


def test_a_csv_has_quotes_and_commas_and_windows_ends_its_lines_in_its_own_way(put):
    rows = "\r\n".join(["\ufeffname,class", *(f'"a, {row}",cat' for row in range(7)), "", ""])
    catalogue = sprites.catalogue(put({"A.JPG": encoded(laid_out(TILES, 3), "JPEG"), "b.CSV": rows}))
    assert catalogue.items["name"].tolist() == [f"a, {row}" for row in range(7)]
    assert read(catalogue, "000003").shape == (4, 6, 3)


def test_grey_stays_grey_and_transparency_turns_white(put):
    grey = tiles_of(4, channels=1)
    catalogue = sprites.catalogue(put({"s.png": encoded(laid_out(grey, 2)), "t.tsv": "a\n" * 4}))
    np.testing.assert_array_equal(read(catalogue, "000003"), grey[3, :, :, 0])
    clear = tiles_of(4, channels=4)
    clear[..., 3] = 255
    clear[1, :, :, 3] = 0
    catalogue = sprites.catalogue(put({"s.png": encoded(laid_out(clear, 2)), "t.tsv": "a\n" * 4}, "clear"))
    np.testing.assert_array_equal(read(catalogue, "000000"), clear[0, :, :, :3])
    assert read(catalogue, "000001").min() == 255


@pytest.mark.parametrize("count", [1, 2, 4, 5, 9, 10])
def test_the_grid_is_the_smallest_square_that_holds_all_labels(put, count):
    tiles = tiles_of(count)
    side = {1: 1, 2: 2, 4: 2, 5: 3, 9: 3, 10: 4}[count]
    catalogue = sprites.catalogue(put({"s.png": encoded(laid_out(tiles, side)), "t.tsv": "a\n" * count}))
    np.testing.assert_array_equal(read(catalogue, f"{count - 1:06d}"), tiles[-1])


def test_a_zip_is_a_folder_and_the_fingerprint_that_of_the_contents(put, put_zip):
    files = {"sprite.png": SHEET, "metadata.tsv": NAMES}
    plain = sprites.catalogue(put(files))
    zipped = sprites.catalogue(put_zip(files))
    assert zipped.fingerprint == plain.fingerprint and zipped.read("000002") == plain.read("000002")
    other = sprites.catalogue(put(files | {"metadata.tsv": NAMES.replace("kind 2", "kind 3")}, "other"))
    assert other.fingerprint != plain.fingerprint


def test_the_same_tile_twice_has_one_key(put):
    tiles = TILES.copy()
    tiles[5] = tiles[1]
    catalogue = sprites.catalogue(put({"s.png": encoded(laid_out(tiles, 3)), "t.tsv": NAMES}))
    assert catalogue.contents is not None
    keys = catalogue.contents(list(catalogue.items["id"]))
    assert keys[5] == keys[1] and len(set(keys)) == 6


@pytest.mark.parametrize("pictures", [0, 2, 3, 4, 8])
def test_blank_tiles_with_labels_are_counted(put, pictures):
    source = put({"s.png": encoded(laid_out(tiles_of(9)[:pictures], 3)), "t.tsv": "a\n" * 9})
    assert sprites.catalogue(source).notes[1].startswith(f"Blank tiles with a label at the end: {9 - pictures}.")


def test_a_tile_of_any_one_colour_is_blank(put):
    white = laid_out(TILES, 3)
    white[8:, 6:] = 255
    catalogue = sprites.catalogue(put({"s.png": encoded(white), "t.tsv": NAMES}))
    assert catalogue.notes == ("7 tiles of 6 x 4 pixels, 3 a row.",)


def test_a_large_sheet_is_taken_without_a_warning(put, monkeypatch):
    """Pillow warns from this size on, and refuses twice the size."""
    source = put({"sprite.png": SHEET, "metadata.tsv": NAMES})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 12 * 18 - 1)
    assert len(sprites.catalogue(source).items) == 7
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 12 * 18 // 2 - 1)
    with pytest.raises(UserError, match=r"a bad one \(18 x 12 pixels; at most 214 are taken\)"):
        sprites.catalogue(source)


def test_a_label_too_many_is_told(put):
    catalogue = sprites.catalogue(put({"s.png": SHEET, "t.tsv": "class\n" + NAMES}))
    assert catalogue.notes[1] == "Blank tiles with a label at the end: 1. Has a table of one column a header?"


def test_pictures_ring_into_the_blank_tiles_of_a_jpeg(put):
    """The tiles have no multiple of 8 pixels, so that the blank ones share blocks with pictures."""
    pixels = laid_out(tiles_of(7, (20, 20)), 3)
    source = put({"s.jpg": encoded(pixels, "JPEG", quality=75), "t.tsv": NAMES})
    blank = np.asarray(Image.open(source / "s.jpg"))[40:, 20:]
    assert blank.max() > 0
    assert sprites.catalogue(source).notes == ("7 tiles of 20 x 20 pixels, 3 a row.",)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"t.tsv": NAMES}, r"folder with one sheet \(.png, .jpg, .jpeg\). Received: '.*', with none. Add the sheet."),
        ({"s.png": SHEET}, r"folder with one table of labels \(.tsv, .csv\). Received: '.*', with none. Add the table"),
        ({"below/s.png": SHEET, "t.tsv": NAMES}, r"with one sheet .* with none"),
        ({"a.png": SHEET, "b.jpg": SHEET, "t.tsv": NAMES}, r"with one sheet .* with 2: a.png, b.jpg. Put sheet and"),
        ({"s.png": SHEET, "a.tsv": "", "b.csv": "", "c.tsv": "", "d.tsv": ""}, r"with 4: a.tsv, b.csv, c.tsv, .... P"),
    ],
)  # fmt: skip
def test_other_than_one_sheet_and_one_table(put, files, message):
    with pytest.raises(UserError, match=message):
        sprites.catalogue(put(files))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", r"t.csv` must be a table with a row per tile. Received: no rows. Add the labels."),
        ("a,b\n", r"must be a table with a row per tile. Received: no rows."),
        ("a,b\n1,2\n\n3\n", r"must be a table with 2 columns in each row, as in the first. Received: 1 in line 4. Fix"),
        ("a,b\n1,2,3\n", r"Received: 3 in line 2."),
        ("a,a\n1,2\n", r"columns have different names, none of them id, row, shard, image. Received: one with 'a' in"),
        ("a,\n1,2\n", r"Received: one with '' in its first row. Rename the column, or add the header."),
        ("id,b\n1,2\n", r"Received: one with 'id' in its first row."),
        ("a,split\n1,training\n", r"whose column split holds train, val, test. Received: one with 'training'."),
        ('a\n"b\n', r"must be a table in UTF-8. Received: unexpected end of data. Save it again."),
        (b"caf\xe9\n", r"must be a table in UTF-8. Received: 'utf-8' codec can't decode byte 0xe9"),
    ],
)  # fmt: skip
def test_a_bad_table_is_named_with_what_is_wrong(put, table, message):
    with pytest.raises(UserError, match=message):
        sprites.catalogue(put({"s.png": SHEET, "t.csv": table}))


def test_a_sheet_that_the_labels_do_not_fit(put):
    with pytest.raises(UserError) as caught:
        sprites.catalogue(put({"s.png": SHEET, "t.tsv": "a\n" * 10}))
    assert str(caught.value).endswith(
        "s.png` must be a sheet of 4 x 4 tiles, the grid for 10 labels, its sides multiples of 4. Received: 18 x 12 "
        "pixels. Check the number of labels: one column has no header, several have one."
    )
    lower = encoded(laid_out(tiles_of(7, (5, 6)), 3)[:10])
    with pytest.raises(UserError, match=r"3 x 3 tiles, the grid for 7 labels, .* Received: 18 x 10 pixels"):
        sprites.catalogue(put({"s.png": lower, "t.tsv": NAMES}, "lower"))


def test_a_picture_behind_the_last_label(put):
    for number, kind in enumerate(("PNG", "JPEG")):
        sheet = encoded(laid_out(TILES, 3), kind)
        with pytest.raises(
            UserError, match=r"3 x 3 tiles, the grid for 5 labels, blank behind .* in tile 7. Check that"
        ):
            sprites.catalogue(put({"s.png": sheet, "t.tsv": "a\n" * 5}, str(number)))


def test_a_bad_sheet(put):
    for number, (data, reason) in enumerate(
        ((b"", "empty file"), (SHEET[:90], "truncated PNG"), (b"text", "not an im"))
    ):
        with pytest.raises(
            UserError, match=rf"s.png` must be a whole PNG or JPEG picture. Received: a bad one \({reason}"
        ):
            sprites.catalogue(put({"s.png": data, "t.tsv": NAMES}, str(number)))


def test_a_decompression_bomb_is_refused_before_it_is_decoded(put):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")
    with pytest.raises(UserError, match=r"a bad one \(60000 x 60000 pixels; at most 178,956,970 are taken\). Save it"):
        sprites.catalogue(put({"s.png": bomb, "t.tsv": NAMES}))


def test_no_path_and_no_folder(tmp_path):
    with pytest.raises(UserError, match=r"`path` is missing: pass a folder with a sprite sheet .* Such as --path"):
        sprites.catalogue(None)
    with pytest.raises(UserError, match=r"which does not exist"):
        sprites.catalogue(tmp_path / "nowhere")
    (tmp_path / "x.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"which is neither"):
        sprites.catalogue(tmp_path / "x.zip")
    assert not zipfile.is_zipfile(tmp_path / "x.zip")


def test_labels_are_in_nfc(put):
    names = "".join(f"{unicodedata.normalize('NFD' if row % 2 else 'NFC', 'Schürze')}\n" for row in range(7))
    assert set(sprites.catalogue(put({"sprite.png": SHEET, "metadata.tsv": names})).items["class"]) == {"Schürze"}
