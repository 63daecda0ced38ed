"""Photographs listed in a table, such as a shop's products.csv: one row per image, any number of labels."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from fashionprobe.errors import UserError, missing, require, unknown_name
from fashionprobe.records.record_set import SPLITS
from fashionprobe.records.sources import TAKEN, Catalogue
from fashionprobe.records.sources.folder import SUFFIXES
from fashionprobe.records.sources.tree import FileTree

SEPARATORS = {".csv": ",", ".tsv": "\t"}
BINARY = (".parquet", ".feather")
CHUNK = 65_536
"""Rows that are digested at a time: the text of a million takes as much memory as the table."""

IMAGE_COLUMNS = ("image", "file", "filename", "file_name", "image_path", "path", "photo", "picture")
"""Names of the column with the file that are found without being named."""


def catalogue(
    path: str | os.PathLike[str] | None,
    image_column: str | None = None,
    id_column: str | None = None,
    label_columns: Sequence[str] | None = None,
) -> Catalogue:
    """List the images of a table.

    Args:
        path: The table, .csv, .tsv, .parquet or .feather, in UTF-8. The files are beside it, or below its folder.
        image_column: Column with each image's file, relative to the folder of the table. Default: the only column with
            one of the names in `IMAGE_COLUMNS`.
        id_column: Column with each image's id, such as a SKU. Default: `id`, or else the file.
        label_columns: Columns of labels that come first, of which the first one stratifies the split. All others are
            carried along. Default: the column `class` or `label` stratifies, where there is one.

    Returns:
        One item a row whose file is there: id, all other columns as text (missing values are ""), and split where the
        table has a column of that name with train, val and test.

    Raises:
        UserError: If the table cannot be read, lacks a column, names an id twice, or none of its files is there.
    """
    if path is None:
        raise missing("path", "pass the table", "Such as --path products.csv.")
    file = Path(path)
    rows = _read(file)
    image_column = _image_column(image_column, rows, file)
    if id_column is None:
        id_column = "id" if "id" in rows else image_column
    for argument, name in (("id_column", id_column), *(("label_columns", name) for name in label_columns or ())):
        if name not in rows:
            raise unknown_name(argument, name, _columns(rows), what=f"a column of {file.name}")
    tree = FileTree(file.parent)
    items, files, left_out = _items(rows, image_column, id_column, tree, file)
    first = [name for name in label_columns or () if name in items]
    items = items[["id", *first, *(name for name in items if name not in ("id", *first, "split")),
                   *(["split"] if "split" in items else [])]]  # fmt: skip
    stratify = first[0] if first else next((name for name in ("class", "label") if name in items), None)
    return Catalogue(
        items=items,
        read=lambda name: tree.read(files[name]),
        contents=lambda names: tree.contents([files[name] for name in names]),
        stratify=stratify,
        left_out=left_out,
        notes=(f"{len(left_out)} rows have no image that can be used.",) if left_out else (),
        newer=lambda seconds: [name for name in files.values() if os.stat(tree.place(name)).st_mtime > seconds],
        fingerprint=_fingerprint(rows, files, tree),
    )


def _read(file: Path) -> pd.DataFrame:
    """Read the table as text, with missing values as empty text."""
    if not file.is_file():
        received = f"{str(file)!r}, {'a folder' if file.is_dir() else 'which does not exist'}"
        raise UserError(
            "path", expected=f"a table ({', '.join([*SEPARATORS, *BINARY])})", received=received,
            remedy="For images without a table use --source folder." if file.is_dir() else "Check its spelling.",
        )  # fmt: skip
    suffix = file.suffix.lower()
    try:
        if suffix in BINARY:
            require("pyarrow", extra="parquet", purpose=f"a {suffix} table")
            table = pd.read_parquet(file) if suffix == ".parquet" else pd.read_feather(file)
            rows = table.astype("string").fillna("").astype(str)
        elif suffix in SEPARATORS:
            rows = pd.read_csv(file, dtype=str, keep_default_na=False, sep=SEPARATORS[suffix], encoding="utf-8-sig")
        else:
            raise UserError(
                "path", expected=f"a table ({', '.join([*SEPARATORS, *BINARY])})", received=file.name
            )  # fmt: skip
    except UserError:
        raise
    except Exception as error:  # of many kinds: the parser's, Arrow's, the decoder's
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            str(file),
            expected="a table that can be read",
            received=line[:160].rstrip("."),
            remedy="Save it again, in UTF-8.",
        ) from error  # fmt: skip
    rows.columns = pd.Index([" ".join(str(name).split()) for name in rows.columns])
    return rows


def _columns(rows: pd.DataFrame) -> list[str]:
    return [str(name) for name in rows.columns]


def _image_column(named: str | None, rows: pd.DataFrame, file: Path) -> str:
    """Return the column with the files."""
    if named is not None:
        if named not in rows:
            raise unknown_name("image_column", named, _columns(rows), what=f"a column of {file.name}")
        return named
    found = [name for name in _columns(rows) if name.lower() in IMAGE_COLUMNS]
    if len(found) != 1:
        raise missing(
            "image_column", f"{file.name} has {'several columns' if found else 'no column'} called like files",
            f"Pass the column with each image's file: --image-column {found[0] if found else 'NAME'}. "
            f"There are: {', '.join(_columns(rows)[:12])}.",
        )  # fmt: skip
    return found[0]


def _items(
    rows: pd.DataFrame, image_column: str, id_column: str, tree: FileTree, file: Path
) -> tuple[pd.DataFrame, dict[str, str], tuple[tuple[str, str], ...]]:
    """Return the items, their files by id, and what cannot be used."""
    taken = [name for name in rows if name in TAKEN and name not in (image_column, id_column)]
    taken += [name for name in rows if name == "id" != id_column]
    if taken:
        raise UserError(
            str(file), expected=f"a table without columns called {', '.join(('id', *TAKEN))}, other than those named",
            received=f"one with {taken[0]}", remedy="Rename the column.",
        )  # fmt: skip
    if "split" in rows and (wrong := sorted(set(rows["split"]) - {*SPLITS})):
        raise UserError(
            str(file), expected=f"a table whose column split holds {', '.join(SPLITS)}", received=f"{wrong[0]!r}",
            remedy="Rename the column if it does not hold splits.",
        )  # fmt: skip
    # One text for all: a table may name a million files that are not there.
    gone = f"its {image_column} is no file below {tree.path}"
    left_out, kept, files = [], [], {}
    for number, (name, place) in enumerate(zip(rows[id_column], rows[image_column], strict=True)):
        found = _place(place, tree)
        if not name:
            left_out.append((f"row {number + 2}", "no id"))
        elif found is None:
            left_out.append((name, gone))
        elif name in files:
            left_out.append((name, "an earlier row has this id"))
        else:
            files[name] = found
            kept.append(number)
    if not kept:
        reason = left_out[0][1] if left_out else "no rows"
        raise UserError(
            "path", expected=f"a table whose column {image_column} names files beside it",
            received=f"{file.name}, with none in {len(rows)} rows ({reason})",
            remedy="Paths are relative to the folder of the table.",
        )  # fmt: skip
    items = rows.iloc[kept].drop(columns={image_column, id_column} & set(rows)).reset_index(drop=True)
    items.insert(0, "id", list(files))
    return items, files, tuple(left_out)


def _place(place: str, tree: FileTree) -> str | None:
    """Return the name of a file in the folder of the table; None where it is not there, or outside."""
    parts = PurePosixPath(place.replace("\\", "/")).parts
    name = "/".join(part for part in parts if part != ".")
    if name in tree.sizes:
        return name
    named = [f"{name}{suffix}" for suffix in SUFFIXES if f"{name}{suffix}" in tree.sizes]
    return named[0] if len(named) == 1 else None


def _fingerprint(rows: pd.DataFrame, files: dict[str, str], tree: FileTree) -> str:
    """Return the SHA-256 of the table, and of the names and sizes of its files."""
    found = hashlib.sha256()
    for start in range(0, len(rows), CHUNK):
        found.update(rows.iloc[start : start + CHUNK].to_csv(index=False, header=not start).encode())
    found.update(b"\0")
    found.update("\n".join(f"{name}\t{place}\t{tree.sizes[place]}" for name, place in files.items()).encode())
    return found.hexdigest()
