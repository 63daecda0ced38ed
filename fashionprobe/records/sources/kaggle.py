"""The Fashion Product Images data set of Kaggle: `styles.csv` and `images/<id>.jpg`, as a folder or a zip file.

Reference:
    Param Aggarwal, Fashion Product Images, Kaggle, 2019.
    https://www.kaggle.com/datasets/paramaggarwal/fashion-product-images-small
"""

import csv
import io
import os
import re
from pathlib import PurePosixPath

import pandas as pd

from fashionprobe.errors import UserError
from fashionprobe.records.images import BadImage
from fashionprobe.records.sources import Catalogue
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
        One item a product that has an image, with all columns of the CSV and `pattern`.

    Raises:
        UserError: If there is no `styles.csv`, if it is empty or lacks a needed column, or if `kagglehub` is missing.
    """
    tree = FileTree(_download() if path is None else path)
    styles = _find_styles(tree)
    rows, malformed, folded = _read_styles(tree, styles)
    items = pd.DataFrame(rows).drop_duplicates("id").reset_index(drop=True)
    items["pattern"] = title_pattern(items["productDisplayName"])

    folder = str(PurePosixPath(styles).parent / "images")
    images = {PurePosixPath(name).stem: name for name in tree.sizes if str(PurePosixPath(name).parent) == folder}
    has_image = items["id"].isin(images)
    if not has_image.any():
        raise UserError(
            "path", expected="a catalogue with images/<id>.jpg beside styles.csv",
            received=f"no image for any of the {len(items)} rows",
            remedy=f"Unpack the images into {tree.path / folder}.",
        )  # fmt: skip
    orphans = sorted(set(images) - set(items["id"]))
    left_out = [(row, "styles.csv: too few columns") for row in malformed]
    left_out += [(name, "styles.csv: no image with this id") for name in items.loc[~has_image, "id"]]
    left_out += [(name, "images: no row in styles.csv") for name in orphans]
    notes = (f"{folded} rows of styles.csv had commas without quotes in their last column; kept.",) if folded else ()
    return Catalogue(
        items=items[has_image].reset_index(drop=True),
        read=lambda name: tree.read(images[name]),
        split=THESIS_SPLIT,
        left_out=tuple(left_out),
        notes=notes,
        fingerprint=tree.fingerprint(),
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
    try:
        import kagglehub  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(
            "path", expected="the data set's folder or zip file", received="nothing",
            remedy=f"Download https://www.kaggle.com/datasets/{HANDLE} and pass --path, "
            "or let fashionprobe download it: pip install 'fashionprobe[kaggle]'.",
        ) from error  # fmt: skip
    return kagglehub.dataset_download(HANDLE)


def _find_styles(tree: FileTree) -> str:
    """Return the name of the shallowest styles.csv (the large variant holds the whole data set twice)."""
    found = [name for name in tree.sizes if PurePosixPath(name).name == "styles.csv"]
    if not found:
        raise UserError(
            "path", expected="a folder or zip file with styles.csv", received=f"{str(tree.path)!r} without one",
            remedy="For images in class folders use --source folder.",
        )  # fmt: skip
    return min(found, key=lambda name: (name.count("/"), name))


def _read_styles(tree: FileTree, name: str) -> tuple[list[dict[str, str]], list[str], int]:
    """Return the rows, the names of rows with too few columns, and the number of rows that had to be folded."""
    where = f"{tree.path / name}"
    try:
        text = tree.read(name).decode("utf-8-sig")
        lines = list(csv.reader(io.StringIO(text)))
    except (BadImage, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            where, expected="a CSV file in UTF-8", received=f"{error}", remedy="Download it again."
        ) from error
    if len(lines) < 2:
        raise UserError(where, expected="a CSV file with rows", received="an empty one", remedy="Download it again.")
    header = [column.strip() for column in lines[0]]
    missing = [column for column in NEEDED if column not in header]
    if missing:
        raise UserError(
            where, expected=f"a CSV file with the columns {', '.join(NEEDED)}",
            received=f"one without {', '.join(missing)}", remedy="Take styles.csv as Kaggle publishes it.",
        )  # fmt: skip
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
        rows.append(dict(zip(header, (re.sub(r"\s+", " ", value).strip() for value in values), strict=True)))
    return rows, malformed, folded
