"""Photographs listed in a table: columns, ids, splits, and what is not there."""

import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.records.sources import table

ROWS = [
    ("SKU-1", "photos/1.jpg", "red", "19.90"),
    ("SKU-2", "photos/2.jpg", "", "49"),
    ("SKU-3", "photos/3", "blue", "25"),
]
COLUMNS = ("sku", "file", "colour", "price")


@pytest.fixture
def shop(put, photo, tmp_path):
    def make(rows=ROWS, columns=COLUMNS, name="products.csv"):
        root = put({f"photos/{number}.jpg": photo(number) for number in (1, 2, 3)})
        frame = pd.DataFrame(rows, columns=list(columns))
        path = root / name
        if name.endswith(".parquet"):
            pytest.importorskip("pyarrow")
            frame.to_parquet(path)
        elif name.endswith(".feather"):
            pytest.importorskip("pyarrow")
            frame.to_feather(path)
        else:
            frame.to_csv(path, index=False, sep="\t" if name.endswith(".tsv") else ",")
        return path

    return make


@pytest.mark.parametrize("name", ["products.csv", "products.tsv", "products.parquet", "products.feather"])
def test_a_row_is_an_image_with_all_its_columns(shop, photo, name):
    found = table.catalogue(shop(name=name), id_column="sku", label_columns=["colour"])
    assert found.items.columns.tolist() == ["id", "colour", "price"]
    assert found.items["id"].tolist() == ["SKU-1", "SKU-2", "SKU-3"]
    # Missing labels are empty; a file may be named without its ending.
    assert found.items["colour"].tolist() == ["red", "", "blue"]
    assert [found.read(name) for name in found.items["id"]] == [photo(number) for number in (1, 2, 3)]
    assert (found.stratify, found.left_out) == ("colour", ())


def test_numbers_and_missing_values_of_a_parquet_file_become_text(shop):
    path = shop([("a", "photos/1.jpg", None, 19.9), ("b", "photos/2.jpg", "x", 20.0)], name="products.parquet")
    items = table.catalogue(path, id_column="sku").items
    assert items["colour"].tolist() == ["", "x"] and items["price"].tolist() == ["19.9", "20.0"]


def test_what_cannot_be_used_is_listed(shop):
    rows = [*ROWS, ("SKU-1", "photos/3.jpg", "red", "1"), ("SKU-5", "photos/none.jpg", "red", "1"),
            ("SKU-6", "../outside.jpg", "red", "1"), ("", "photos/1.jpg", "red", "1")]  # fmt: skip
    found = table.catalogue(shop(rows), id_column="sku")
    assert len(found.items) == 3
    assert [name for name, _ in found.left_out] == ["SKU-1", "SKU-5", "SKU-6", "row 8"]
    assert found.notes == ("4 rows have no image that can be used.",)


def test_a_split_of_the_table_is_taken(shop):
    rows = [(name, file, "train" if number else "test") for number, (name, file, *_) in enumerate(ROWS)]
    items = table.catalogue(shop(rows, ("id", "image", "split"))).items
    assert items["split"].tolist() == ["test", "train", "train"]


@pytest.mark.parametrize(
    ("rows", "columns", "options", "message"),
    [
        (ROWS, COLUMNS, {"id_column": "skv"}, "`id_column` must be a column of products.csv: .* Did you mean 'sku'"),
        (ROWS, COLUMNS, {"image_column": "files"}, "Did you mean 'file'"),
        (ROWS, COLUMNS, {"label_columns": ["color"]}, "Did you mean 'colour'"),
        (ROWS, ("sku", "photo_of", "a", "b"), {}, "no column called like files. .* There are: sku, photo_of, a, b"),
        (ROWS, ("file", "image", "a", "b"), {}, "several columns called like files"),
        ([("a", "none.jpg")], ("id", "file"), {}, "with none in 1 rows"),
        ([], ("id", "file"), {}, "no rows"),
        ([("a", "photos/1.jpg", "7")], ("id", "file", "row"), {}, "Rename the column"),
        ([("a", "photos/1.jpg", "dev")], ("id", "file", "split"), {}, "whose column split holds train, val, test"),
    ],
)
def test_tables_that_do_not_work(shop, rows, columns, options, message):
    with pytest.raises(UserError, match=message):
        table.catalogue(shop(rows, columns), **options)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00bad", b""])
def test_a_broken_table_is_one_line(put, content):
    for name in ("t.csv", "t.parquet"):
        if name.endswith("parquet"):
            pytest.importorskip("pyarrow")
        with pytest.raises(UserError, match="a table that can be read"):
            table.catalogue(put({name: content}) / name)


def test_a_path_that_is_no_table(tmp_path):
    with pytest.raises(UserError, match="--source folder"):
        table.catalogue(tmp_path)
    with pytest.raises(UserError, match="which does not exist"):
        table.catalogue(tmp_path / "none.csv")
    (tmp_path / "notes.txt").write_text("a")
    with pytest.raises(UserError, match=r"Received: notes\.txt"):
        table.catalogue(tmp_path / "notes.txt")
