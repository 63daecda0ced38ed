"""Sketches of Quick, Draw! from files of its public bucket: `<class>.npy` bitmaps, `<class>.ndjson` drawings.

Reference:
    The Quick, Draw! dataset, https://github.com/googlecreativelab/quickdraw-dataset.
"""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from fashionprobe import progress
from fashionprobe.errors import UserError
from fashionprobe.records.image_files.info import BadImage
from fashionprobe.records.sources import Catalogue
from fashionprobe.records.sources.drawing import png, stroke
from fashionprobe.records.sources.tree import FileTree

SIZE = (128, 128)
"""(height, width) in pixels at which drawings are drawn when no size is asked for; bitmaps have 28 x 28."""

SIDE = 28
"""Height and width of the bitmaps."""

_PREFIX = re.compile(r"full_(numpy_bitmap|simplified|raw)_")
_MARGIN, _PEN = 0.06, 0.025  # as shares of the shorter side
_FINER = 4

Row = tuple[str, str, str, int]
"""Id, class, recognized, and where to find it: row of the array, or byte of the line's start."""


def catalogue(path: str | os.PathLike[str] | None, size: tuple[int, int] | None = None) -> Catalogue:
    """List the sketches of a folder; they stay on disk until they are read.

    Args:
        path: A folder with `.npy` files, uint8 (count, 784), or `.ndjson` files, one drawing a line, simplified or raw,
            or both. Files called as in the bucket, `full_simplified_cat.ndjson`, are of the class `cat`.
        size: Height and width of the images in pixels; None for 128 x 128, and for bitmaps their own 28 x 28.

    Returns:
        Items with columns id (`cat.ndjson/000012`, counted from 0), class (the drawing's word, else the file's name)
        and, when there are drawings, recognized ("true" or "false"; "" for bitmaps and where it is not said); `read`
        returns grey PNG, dark on white.

    Raises:
        UserError: If the path is not a folder, or holds no sketch.
    """
    if path is None or not Path(path).is_dir():
        raise UserError(
            "path", expected="a folder with .npy or .ndjson files", received="nothing" if path is None else repr(path),
            remedy="Fetch some from https://console.cloud.google.com/storage/browser/quickdraw_dataset/full.",
        )  # fmt: skip
    tree = FileTree(path)
    arrays: dict[str, np.ndarray] = {}
    rows: list[Row] = []
    left_out: list[tuple[str, str]] = []
    with progress.bar(total=sum(tree.sizes.values()), unit="byte", description="list") as bar:
        for file, length in tree.sizes.items():
            if file.endswith(".ndjson"):
                found, broken = _drawings(tree, file)
                rows += found
                left_out += broken
            else:
                try:
                    arrays[file] = _bitmaps(Path(tree.place(file)))
                    rows += [(f"{file}/{row:06d}", _class(file), "", row) for row in range(len(arrays[file]))]
                except ValueError as error:
                    left_out.append((file, str(error)))
            bar.update(length)
    if not rows:
        why = f" (the first, {left_out[0][0]}: {left_out[0][1]})" if left_out else ""
        raise UserError("path", expected="a folder with sketches", received=f"{str(path)!r}, without one{why}")
    return Catalogue(
        items=_items(rows, bitmaps_only=all(row[0].rpartition("/")[0] in arrays for row in rows)),
        read=_reader(tree, arrays, {row[0]: row[3] for row in rows}, size),
        stratify="class",
        left_out=tuple(left_out),
        newer=tree.newer,
        fingerprint=tree.fingerprint(),
    )


def picture(strokes: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Draw strokes so that they fill the picture, in the middle, their proportion kept.

    Args:
        strokes: Each (points, 2), x and y, in any unit.
        size: Height and width in pixels.

    Returns:
        uint8 (height, width), black on white.
    """
    points = np.concatenate(strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    sides = np.array(size[::-1]) * _FINER
    free = sides - 2 * _MARGIN * sides.min()
    scale = (free / np.maximum(high - low, 1e-9)).min() if np.any(high > low) else 0.0
    large = Image.new("L", tuple(sides.tolist()), 255)
    draw = ImageDraw.Draw(large)
    for line in strokes:
        stroke(draw, (line - (low + high) / 2) * scale + sides / 2, _PEN * sides.min(), 0)
    return np.asarray(large.reduce(_FINER))


def _items(rows: list[Row], *, bitmaps_only: bool) -> pd.DataFrame:
    items = pd.DataFrame([row[:3] for row in rows], columns=["id", "class", "recognized"])
    return items.drop(columns="recognized") if bitmaps_only else items


def _reader(
    tree: FileTree, arrays: dict[str, np.ndarray], places: dict[str, int], size: tuple[int, int] | None
) -> Callable[[str], bytes]:
    def read(name: str) -> bytes:
        file = name.rpartition("/")[0]
        if file in arrays:
            dark = Image.fromarray(255 - arrays[file][places[name]].reshape(SIDE, SIDE))
            if size is not None:
                dark = dark.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            return png(np.asarray(dark))
        with open(tree.place(file), "rb") as lines:
            lines.seek(places[name])
            try:
                strokes = _strokes(json.loads(lines.readline()))
            except ValueError as error:
                raise BadImage(str(error)) from error
        return png(picture(strokes, size or SIZE))

    return read


def _bitmaps(path: Path) -> np.ndarray:
    """Open an array of bitmaps that stays on disk: uint8 (count, 784) or (count, 28, 28)."""
    if path.suffix != ".npy":
        raise ValueError("neither .npy nor .ndjson")
    try:
        # Never unpickled: the file may be a stranger's.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"not an array of numbers ({error})") from error
    if array.dtype != np.uint8 or array.shape[1:] not in ((SIDE * SIDE,), (SIDE, SIDE)):
        raise ValueError(f"not uint8 (count, {SIDE * SIDE}), but {array.dtype} {array.shape}")
    return array


def _drawings(tree: FileTree, file: str) -> tuple[list[Row], list[tuple[str, str]]]:
    """List the drawings of a file, one per line, and the lines that hold none."""
    rows, broken, start = [], [], 0
    with open(tree.place(file), "rb") as lines:
        for number, line in enumerate(lines):
            name = f"{file}/{number:06d}"
            try:
                if line.strip():
                    found = json.loads(line)
                    _strokes(found)
                    rows.append((name, str(found.get("word") or _class(file)), _recognized(found), start))
            except (ValueError, RecursionError) as error:
                broken.append((name, f"no drawing ({error})"))
            start += len(line)
    return rows, broken


def _recognized(drawing: dict) -> str:
    said = drawing.get("recognized")
    return str(said).lower() if isinstance(said, bool) else ""


def _strokes(drawing: Any) -> list[np.ndarray]:
    """Return the strokes of one line, each float64 (points, 2); times are left out."""
    strokes = drawing.get("drawing") if isinstance(drawing, dict) else None
    if not isinstance(strokes, list) or not strokes:
        raise ValueError("no strokes")
    try:
        points = [np.array(stroke[:2], float).T for stroke in strokes]
    except (TypeError, ValueError):
        raise ValueError("strokes are not lists of x and y of one length") from None
    for line in points:
        if line.ndim != 2 or line.shape[1] != 2 or not len(line) or not np.isfinite(line).all():
            raise ValueError("strokes are not lists of x and y of one length")
    return points


def _class(file: str) -> str:
    return _PREFIX.sub("", Path(file).stem)
