"""A sprite sheet, one picture made of tiles of one size, and a table of their labels, as TensorBoard's projector takes.

The tiles are row by row in a square grid, of as many rows and columns as all labels need: 10 x 10 for 82 to 100 labels.

Reference:
    TensorBoard, Visualizing data using the embedding projector: the sprite image and the metadata file,
    https://www.tensorflow.org/tensorboard/tensorboard_projector_plugin.
"""

import csv
import hashlib
import io
import math
import os
import unicodedata

import numpy as np
import pandas as pd

from fashionprobe.errors import UserError, missing
from fashionprobe.records.image_files import inspect
from fashionprobe.records.image_files.info import BadImage
from fashionprobe.records.record_set import SPLITS
from fashionprobe.records.sources import TAKEN, Catalogue
from fashionprobe.records.sources.drawing import content, png
from fashionprobe.records.sources.tree import FileTree

SHEETS = (".png", ".jpg", ".jpeg")
TABLES = (".tsv", ".csv")

COLUMN = "class"
"""Name of the only column of a table without a header."""

NOISE = 96
"""Range of grey values that a blank tile may have when the sheet is no PNG: a picture rings into the tile beside it."""


def catalogue(path: str | os.PathLike[str] | None) -> Catalogue:
    """Cut a sprite sheet into its tiles.

    Args:
        path: A folder or zip file with one sheet, `.png` or `.jpg`, and one table, `.tsv` or `.csv`, a row per tile. As
            in the projector, a table of one column has no header, one of several columns has, and empty lines do not
            count.

    Returns:
        Items with columns id (`000012`, counted from 0) and those of the table, `class` when it has only one; a column
        split with train, val and test is the split. `read` returns PNG, the pixels of the sheet.

    Raises:
        UserError: If there is not one sheet and one table, either is damaged, or they do not fit together.
    """
    tree = _opened(path)
    sheet, table = _only(tree, SHEETS, "sheet"), _only(tree, TABLES, "table of labels")
    labels, digest = _read_table(tree, table), hashlib.sha256(tree.read(sheet) + tree.read(table)).hexdigest()
    tiles, notes = _read_tiles(tree, sheet, len(labels))

    def pixels(name: str) -> np.ndarray:
        row, column = divmod(int(name), len(tiles))
        return tiles[row, :, column]

    return Catalogue(
        items=labels.set_axis([f"{row:06d}" for row in range(len(labels))]).rename_axis("id").reset_index(),
        read=lambda name: png(pixels(name)),
        contents=lambda names: [content(pixels(name)) for name in names],
        by_pixels=True,
        stratify=_class_column([str(column) for column in labels if column != "split"]),
        notes=notes,
        newer=tree.newer,
        fingerprint=digest,
    )


def _opened(path: str | os.PathLike[str] | None) -> FileTree:
    if path is None:
        raise missing("path", "pass a folder with a sprite sheet and a table of its labels", "Such as --path FOLDER.")
    return FileTree(path)


def _only(tree: FileTree, suffixes: tuple[str, ...], what: str) -> str:
    """Return the one file of this kind in the folder itself."""
    found = [name for name in tree.sizes if "/" not in name and name.lower().endswith(suffixes)]
    if len(found) == 1:
        return found[0]
    named = f"{len(found)}: {', '.join(found[:3])}{', ...' * (len(found) > 3)}" if found else "none"
    raise UserError(
        "path", expected=f"a folder with one {what} ({', '.join(suffixes)})",
        received=f"{str(tree.path)!r}, with {named}",
        remedy="Put sheet and table into a folder of their own." if found else f"Add the {what}.",
    )  # fmt: skip


def _read_table(tree: FileTree, name: str) -> pd.DataFrame:
    """Read the labels as text, one row per tile."""
    where = str(tree.path / name)
    rows = _rows(tree, name, where)
    width = len(rows[0][1]) if rows else 1
    header = [COLUMN] if width == 1 else rows.pop(0)[1]
    _check_header(header, where)
    if not rows:
        raise UserError(where, expected="a table with a row per tile", received="no rows", remedy="Add the labels.")
    for line, row in rows:
        if len(row) != width:
            raise UserError(
                where, expected=f"a table with {width} columns in each row, as in the first",
                received=f"{len(row)} in line {line}", remedy="Fix the line.",
            )  # fmt: skip
    labels = pd.DataFrame([row for _, row in rows], columns=header)
    unknown = set(labels.get("split", ())) - {*SPLITS}
    if unknown:
        raise UserError(
            where, expected=f"a table whose column split holds {', '.join(SPLITS)}",
            received=f"one with {min(unknown)!r}", remedy="Rename the column if it does not hold splits.",
        )  # fmt: skip
    return labels


def _rows(tree: FileTree, name: str, where: str) -> list[tuple[int, list[str]]]:
    """Return the rows that are not empty, each with the number of its line."""
    try:
        text = io.StringIO(unicodedata.normalize("NFC", tree.read(name).decode("utf-8-sig")), newline="")
        # In the projector's own format a quote means nothing.
        is_tsv = name.lower().endswith(".tsv")
        reader = csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE) if is_tsv else csv.reader(text, strict=True)
        rows = [(reader.line_num, [" ".join(cell.split()) for cell in row]) for row in reader]
    except (BadImage, UnicodeDecodeError, csv.Error) as error:
        raise UserError(where, expected="a table in UTF-8", received=error, remedy="Save it again.") from error
    return [(line, row) for line, row in rows if any(row)]


def _class_column(columns: list[str]) -> str:
    """Return the column that the split goes by: one that is called class or label, else the first."""
    return next((column for column in columns if column.lower() in (COLUMN, "label")), columns[0])


def _check_header(header: list[str], where: str) -> None:
    taken = ("id", *TAKEN)
    wrong = [column for column in header if not column or column in taken or header.count(column) > 1]
    if wrong:
        raise UserError(
            where, expected=f"a table whose columns have different names, none of them {', '.join(taken)}",
            received=f"one with {wrong[0]!r} in its first row", remedy="Rename the column, or add the header.",
        )  # fmt: skip


def _read_tiles(tree: FileTree, name: str, labels: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Cut the sheet: uint8 (side, height, side, width) or with a last axis RGB, and what the user should know."""
    where = str(tree.path / name)
    pixels, noise = _decoded(tree.read(name), where)
    side = math.isqrt(labels - 1) + 1
    (height, width), grid = pixels.shape[:2], f"{side} x {side} tiles, the grid for {labels} labels,"
    if height % side or width % side:
        raise UserError(
            where, expected=f"a sheet of {grid} its sides multiples of {side}", received=f"{width} x {height} pixels",
            remedy="Check the number of labels: one column has no header, several have one.",
        )  # fmt: skip
    tiles = pixels.reshape(side, height // side, side, width // side, *pixels.shape[2:])
    used = _used(tiles, noise)
    if used > labels:
        raise UserError(
            where, expected=f"a sheet of {grid} blank behind the last label",
            received=f"one with a picture in tile {used}",
            remedy="Check that the table has a row for each tile, in the same order.",
        )  # fmt: skip
    notes = [f"{labels} tiles of {width // side} x {height // side} pixels, {side} a row."]
    if used < labels:
        notes.append(f"Blank tiles with a label at the end: {labels - used}. Has a table of one column a header?")
    return tiles, tuple(notes)


def _decoded(data: bytes, where: str) -> tuple[np.ndarray, int]:
    """Return the pixels of the sheet, grey or RGB, and the range of grey values that a blank tile of it may have."""
    try:
        with inspect.quiet():
            info = inspect.inspect(data)
            return np.asarray(inspect.picture(data, info)), 0 if info.format == "PNG" else NOISE
    except BadImage as error:
        raise UserError(
            where, expected="a whole PNG or JPEG picture", received=f"a bad one ({error})",
            remedy="Save it again; cut one that is too large into several, each a record set.",
        ) from error  # fmt: skip


def _used(tiles: np.ndarray, noise: int) -> int:
    """Count the tiles up to the last that is not blank."""
    side = len(tiles)
    # From below: the last row of tiles tells as a rule, and a large sheet takes seconds.
    for row in reversed(range(side)):
        spread = tiles[row].max(axis=(0, 2)) - tiles[row].min(axis=(0, 2))
        pictures = np.flatnonzero(spread.reshape(side, -1).max(axis=1) > noise)
        if len(pictures):
            return row * side + int(pictures[-1]) + 1
    return 0
