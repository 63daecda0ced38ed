"""The Fashion Product Images data set of Kaggle: `styles.csv` and `images/<id>.jpg`, as a folder or a zip file.

Reference:
    Param Aggarwal, Fashion Product Images, Kaggle, 2019.
    https://www.kaggle.com/datasets/paramaggarwal/fashion-product-images-small
"""

import csv
import io
import os
import re
import unicodedata

import pandas as pd

from fashionprobe.errors import UserError, require
from fashionprobe.records.image_files.info import BadImage
from fashionprobe.records.record_set import SPLITS
from fashionprobe.records.sources import TAKEN, Catalogue
from fashionprobe.records.sources.tree import FileTree

HANDLE = "paramaggarwal/fashion-product-images-small"
NEEDED = ("id", "masterCategory", "subCategory", "articleType", "baseColour", "productDisplayName")
THESIS_SPLIT = (36_000.0, 8_000.0, 0.0)

# A title names a pattern by one of these words. "Print" is also a technique, so a title with two kinds names none.
PATTERN_WORDS = {
    "check": r"\b(?:check|checks|checked|checkered|plaid)\b",
    "stripe": r"\b(?:stripe|stripes|striped|striper)\b",
    "print": r"\b(?:print|prints|printed)\b",
    "solid": r"\b(?:solid|solids)\b",
}


def catalogue(path: str | os.PathLike[str] | None = None) -> Catalogue:
    """Read the catalogue of products.

    The published CSV has lines whose last column holds commas without quotes: they are kept, folded into
    `productDisplayName`. The column `pattern` is derived from the title (see `title_pattern`).

    Args:
        path: Folder or zip file with `styles.csv`. None downloads the data set with `kagglehub`.

    Returns:
        One item a product that has an image, with all columns of the CSV and `pattern`. A column `pattern` or `split`
        of the CSV's own is taken as it is.

    Raises:
        UserError: If there is no `styles.csv`, if it is empty, lacks a needed column or has one that it must not have,
            or if `kagglehub` is missing.
    """
    tree = FileTree(_download() if path is None else path)
    styles = _find_styles(tree)
    rows, malformed, folded = _read_styles(tree, styles)
    items = pd.DataFrame(rows)
    repeated = items["id"].duplicated()
    left_out = [(row, "styles.csv: too few columns") for row in malformed]
    left_out += [(name, "styles.csv: an earlier row has this id") for name in items.loc[repeated, "id"]]
    items = items[~repeated].reset_index(drop=True)
    if "pattern" not in items:
        items["pattern"] = title_pattern(items["productDisplayName"])

    folder = styles.removesuffix("styles.csv") + "images"
    images, others = _images(tree, folder)
    has_image = items["id"].isin(images)
    if not has_image.any():
        raise UserError(
            "path", expected="a catalogue with images/<id>.jpg beside styles.csv",
            received=f"no image for any of the {len(items)} rows",
            remedy=f"Unpack the images into {tree.path / folder}.",
        )  # fmt: skip
    orphans = sorted(set(images) - set(items["id"]))
    left_out += [(name, "styles.csv: no image with this id") for name in items.loc[~has_image, "id"]]
    left_out += [(name, "images: no row in styles.csv") for name in orphans]
    left_out += [(name, "images: another file has this id") for name in others]
    notes = (f"{folded} rows of styles.csv had commas without quotes in their last column; kept.",) if folded else ()
    return Catalogue(
        items=items[has_image].reset_index(drop=True),
        read=lambda name: tree.read(images[name]),
        contents=lambda names: tree.contents([images[name] for name in names]),
        stratify="articleType",
        split=THESIS_SPLIT,
        left_out=tuple(left_out),
        notes=notes,
        newer=tree.newer,
        fingerprint=tree.fingerprint(styles),
    )


def title_pattern(titles: pd.Series) -> pd.Series:
    """Derive the fabric pattern from product titles: check, stripe, print or solid, else the empty string.

    Example:
        >>> title_pattern(pd.Series(["Men Striped Shirt", "Check Print Kurta", "Blue Top"])).tolist()
        ['stripe', '', '']
    """
    named = pd.DataFrame({kind: titles.str.contains(words, case=False) for kind, words in PATTERN_WORDS.items()})
    return named.idxmax(axis=1).where(named.sum(axis=1) == 1, "").astype(str)


def _download() -> str:
    remedy = f"Or download https://www.kaggle.com/datasets/{HANDLE} and pass its folder or zip file as --path."
    kagglehub = require("kagglehub", extra="kaggle", purpose="a download without --path", remedy=remedy)
    try:
        return kagglehub.dataset_download(HANDLE)
    except Exception as error:  # of many kinds: no connection, no account, no space
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            "path", expected="the data set's folder or zip file, or a download that works",
            received=f"a failed download ({lines[0]})",
            remedy=f"Download https://www.kaggle.com/datasets/{HANDLE} and pass --path.",
        ) from error  # fmt: skip


def _find_styles(tree: FileTree) -> str:
    """Return the name of the shallowest styles.csv (the large variant holds the whole data set twice)."""
    found = [name for name in tree.sizes if name.rpartition("/")[2] == "styles.csv"]
    if not found:
        raise UserError(
            "path", expected="a folder or zip file with styles.csv", received=f"{str(tree.path)!r} without one",
            remedy="For images in class folders use --source folder.",
        )  # fmt: skip
    return min(found, key=lambda name: (name.count("/"), name))


def _images(tree: FileTree, folder: str) -> tuple[dict[str, str], list[str]]:
    """Return the images by id, and the names of those whose id another one has (`1.jpg` and `1.png`)."""
    images: dict[str, str] = {}
    others = []
    for name in tree.sizes:
        parent, _, file = name.rpartition("/")
        if parent == folder and images.setdefault(file.rpartition(".")[0] or file, name) != name:
            others.append(file)
    return images, others


def _read_styles(tree: FileTree, name: str) -> tuple[list[dict[str, str]], list[str], int]:
    """Return the rows, the names of rows with too few columns, and the number of rows that had to be folded."""
    where = f"{tree.path / name}"
    try:
        lines = _parse(unicodedata.normalize("NFC", tree.read(name).decode("utf-8-sig")))
    except (BadImage, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            where, expected="a CSV file in UTF-8", received=f"{error}", remedy="Download it again."
        ) from error
    if not lines:
        raise UserError(where, expected="a CSV file with rows", received="an empty file", remedy="Download it again.")
    header = _header(lines[0], where)
    width = len(header)
    rows, malformed, folded = [], [], 0
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        if len(line) < width:
            malformed.append(f"line {number}")
            continue
        folded += len(line) > width
        values = [*line[: width - 1], ",".join(line[width - 1 :])]
        rows.append(dict(zip(header, (" ".join(value.split()) for value in values), strict=True)))
    if not rows:
        raise UserError(where, expected="a CSV file with rows", received="a header alone", remedy="Download it again.")
    splits = {row.get("split", SPLITS[0]) for row in rows} - {*SPLITS}
    if splits:
        raise UserError(
            where, expected=f"a CSV file whose column split holds {', '.join(SPLITS)}",
            received=f"one with {min(splits)!r}", remedy="Rename the column if it does not hold splits.",
        )  # fmt: skip
    return rows, malformed, folded


def _parse(text: str) -> list[list[str]]:
    """Cut a CSV into rows; when its quotes do not match, line by line, so that no quote swallows the rows below."""
    try:
        return list(csv.reader(io.StringIO(text), strict=True))
    except csv.Error:
        return [row for line in re.split("\r?\n", text) for row in csv.reader([line])]


def _header(line: list[str], where: str) -> list[str]:
    """Check the first line and return the names of the columns."""
    header = [column.strip() for column in line]
    missing = [column for column in NEEDED if column not in header]
    if missing:
        raise UserError(
            where, expected=f"a CSV file with the columns {', '.join(NEEDED)}",
            received=f"one without {', '.join(missing)}", remedy="Take styles.csv as Kaggle publishes it.",
        )  # fmt: skip
    taken = [column for column in header if column in TAKEN or header.count(column) > 1]
    if taken:
        raise UserError(
            where, expected=f"a CSV file whose columns have different names, none of them {', '.join(TAKEN)}",
            received=f"one with {taken[0]}", remedy="Rename the column.",
        )  # fmt: skip
    return header
