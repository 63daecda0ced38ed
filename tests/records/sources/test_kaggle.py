"""The catalogue of Kaggle: which rows and images become items, and what is said about the rest."""

import sys
import types
import unicodedata

import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.records.sources import kaggle

HEADER = "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,productDisplayName"


@pytest.fixture
def catalogue(put, photo):
    """The catalogue of these lines of styles.csv and these image files."""

    def make(lines, images=("1.jpg",), header=HEADER, end="\n", **files):
        content = {f"images/{name}": photo(number) for number, name in enumerate(images)}
        return kaggle.catalogue(put({"styles.csv": end.join([header, *lines]) + end, **content, **files}))

    return make


def test_an_item_holds_every_column_and_the_pattern_of_its_title(catalogue, row, photo):
    found = catalogue([row(1, "Puma Men's  Striped   Shirt ", "Navy Blue")])
    assert found.items.to_dict("records") == [
        {
            "id": "1", "gender": "Women", "masterCategory": "Apparel", "subCategory": "Topwear", "articleType": "Tops",
            "baseColour": "Navy Blue", "season": "Summer", "year": "2012", "usage": "Casual",
            "productDisplayName": "Puma Men's Striped Shirt", "pattern": "stripe",
        }
    ]  # fmt: skip
    assert found.read("1") == photo(0)
    assert found.split == (36_000, 8_000, 0)
    assert (found.left_out, found.notes) == ((), ())


def test_commas_without_quotes_are_folded_and_noted(catalogue, row):
    found = catalogue([row(1, "Top, Red, Large"), row(2), row(3, "A,B")], ["1.jpg", "2.jpg", "3.jpg"])
    assert found.items["productDisplayName"].tolist() == [
        "Top, Red, Large".replace(", ", ", "),
        "Brand Women Blue Top",
        "A,B",
    ]
    assert found.notes == ("2 rows of styles.csv had commas without quotes in their last column; kept.",)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_byte_order_mark_line_ends_and_quotes(catalogue, row, end):
    found = catalogue([row(1, '"Top, ""Red"""')], header="\ufeff" + HEADER, end=end)
    assert found.items.loc[0, ["id", "productDisplayName"]].tolist() == ["1", 'Top, "Red"']
    assert found.notes == ()


def test_a_quote_without_its_end_does_not_swallow_the_rows_below(catalogue, row):
    found = catalogue([row(1, '"Top'), row(2, '"Skirt" red'), row(3)], ["1.jpg", "2.jpg", "3.jpg"])
    assert found.items["id"].tolist() == ["1", "2", "3"]


def test_what_cannot_be_used_is_listed(catalogue, row):
    lines = [row(1), row(2), "7,short", "", row(1, "another"), row("../../etc/passwd"), row("")]
    found = catalogue(lines, ["1.jpg", "1.png", "8.jpg"])
    assert found.items["id"].tolist() == ["1"]
    assert found.items["productDisplayName"].tolist() == ["Brand Women Blue Top"]
    assert found.left_out == (
        ("line 4", "styles.csv: too few columns"),
        ("1", "styles.csv: an earlier row has this id"),
        ("2", "styles.csv: no image with this id"),
        ("../../etc/passwd", "styles.csv: no image with this id"),
        ("", "styles.csv: no image with this id"),
        ("8", "images: no row in styles.csv"),
        ("1.png", "images: another file has this id"),
    )


@pytest.mark.parametrize("prefix", ["", "archive/", "a/b/"])
def test_a_zip_with_the_catalogue_in_a_folder_and_mac_copies(put_zip, photo, row, prefix):
    files = {
        f"{prefix}styles.csv": f"{HEADER}\n{row(1)}\n",
        f"{prefix}images/1.jpg": photo(1),
        f"{prefix}images/deeper/2.jpg": photo(2),
        f"__MACOSX/{prefix}images/._1.jpg": b"",
    }
    found = kaggle.catalogue(put_zip(files))
    assert found.items["id"].tolist() == ["1"]
    assert found.read("1") == photo(1)
    assert found.left_out == ()


def test_the_shallowest_of_two_catalogues_is_taken(catalogue, row, photo):
    copy = {"copy/styles.csv": f"{HEADER}\n{row(9)}\n", "copy/images/9.jpg": photo(9)}
    assert catalogue([row(1)], **copy).items["id"].tolist() == ["1"]


def test_columns_of_its_own_are_labels_and_pattern_and_split_are_taken(catalogue, row):
    found = catalogue([f"shiny,test,{row(1, 'Striped Top')}"], header=f"pattern,split,{HEADER}")
    assert found.items.loc[0, ["pattern", "split"]].tolist() == ["shiny", "test"]


def test_another_label_gives_another_fingerprint(put, photo, row):
    files = {"images/1.jpg": photo(1)}
    red, tan = (
        kaggle.catalogue(put({"styles.csv": f"{HEADER}\n{row(1, colour=colour)}\n", **files}, colour)).fingerprint
        for colour in ("Red", "Tan")
    )
    assert red != tan


@pytest.mark.parametrize(
    ("styles", "message"),
    [
        ("", "a CSV file with rows. Received: an empty file. Download it again."),
        (HEADER, "a CSV file with rows. Received: a header alone. Download it again."),
        (f"{HEADER}\n1,2\n", "a CSV file with rows. Received: a header alone. Download it again."),
        (
            "id,baseColour\n1,Red\n",
            "Received: one without masterCategory, subCategory, articleType, productDisplayName.",
        ),
        (f"shard,{HEADER}\n", "none of them row, shard, image. Received: one with shard. Rename the column."),
        (f"year,{HEADER}\n", "different names, none of them row, shard, image. Received: one with year."),
        (b"\xff\xfei\0d\0", "a CSV file in UTF-8. Received: 'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_a_wrong_csv_is_refused_by_name(put, photo, styles, message):
    with pytest.raises(UserError) as caught:
        kaggle.catalogue(put({"styles.csv": styles, "images/1.jpg": photo()}))
    assert "styles.csv` must be a CSV file" in str(caught.value)
    assert message in str(caught.value)


def test_an_unknown_split_is_refused(catalogue, row):
    with pytest.raises(UserError, match=r"whose column split holds train, val, test. Received: one with 'dev'."):
        catalogue([f"dev,{row(1)}"], header=f"split,{HEADER}")


def test_no_csv_and_no_image_are_refused(put, photo, row):
    with pytest.raises(UserError, match=r"with styles.csv. Received: '.*1' without one. For images in class folders"):
        kaggle.catalogue(put({"images/1.jpg": photo()}, "1"))
    with pytest.raises(UserError, match=r"Received: no image for any of the 1 rows. Unpack the images into .*images"):
        kaggle.catalogue(put({"styles.csv": f"{HEADER}\n{row(1)}\n"}, "2"))


def test_without_a_path_and_without_kagglehub_the_ways_to_get_it_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(
        UserError, match=r"`kagglehub` is needed .*\[kaggle\].* Or download https://www.kaggle.com/.* as --path"
    ):
        kaggle.catalogue()


@pytest.mark.parametrize(
    ("title", "pattern"),
    [
        ("Men Checked Shirt", "check"),
        ("Women plaid Skirt", "check"),
        ("STRIPER Polo", "stripe"),
        ("Printed T-shirt", "print"),
        ("Solid Tie", "solid"),
        ("Striped Print Dress", ""),
        ("Checkmate Shirt", ""),
        ("Blueprint Bag", ""),
        ("", ""),
    ],
)
def test_title_pattern(title, pattern):
    assert kaggle.title_pattern(pd.Series([title])).tolist() == [pattern]


def test_a_failed_download_is_one_line(monkeypatch):
    def fail(handle):
        raise ConnectionError(f"no way to {handle}\nmore")

    monkeypatch.setitem(sys.modules, "kagglehub", types.SimpleNamespace(dataset_download=fail))
    with pytest.raises(UserError, match=r"a failed download \(no way to paramaggarwal/[\w-]+\)\. Download https://"):
        kaggle.catalogue(None)


def test_a_table_finds_images_whose_names_a_mac_spelled(put, photo, row):
    decomposed = {form: unicodedata.normalize(form, "größe1") for form in ("NFC", "NFD")}
    styles = f"{HEADER}\n{row(decomposed['NFC'], kind=unicodedata.normalize('NFD', 'Schürze'))}\n"
    found = kaggle.catalogue(put({"styles.csv": styles, f"images/{decomposed['NFD']}.jpg": photo(1)}))
    assert found.items[["id", "articleType"]].to_numpy().tolist() == [["größe1", "Schürze"]]
    assert found.read("größe1") == photo(1)
