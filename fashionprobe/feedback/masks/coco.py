"""Masks in a COCO JSON file: run lengths, and polygons by pycocotools (the extra `coco`)."""

import json
import unicodedata
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from fashionprobe.errors import UserError, require, unknown_name
from fashionprobe.feedback.masks.files import Found

EXPECTED = "a COCO file: a JSON object with images, annotations and categories"

MOST = 2**28
"""Pixels of a mask that is read: a file of a few bytes may claim any size."""


def read_coco(path: Path, categories: Collection[str] | None = None) -> list[Found]:
    """Read the masks of a COCO file.

    Each annotation is a mask; those of one image are for the caller to join.

    Args:
        path: The JSON file. A segmentation may be polygons, plain run lengths or compressed ones.
        categories: Names of the categories whose annotations count; None for all.

    Returns:
        One mask an annotation, under the `file_name` of its image.

    Raises:
        UserError: If the file is not a COCO file, there is no such category, or pycocotools is needed but missing.
    """
    content = _load(path)
    images = _table(path, content, "images", ("id", "file_name"))
    kept = _of_categories(path, content, categories)
    found = []
    for number, each in enumerate(_rows(path, content, "annotations")):
        named = f"annotation {each.get('id', number)}"
        if kept is not None and str(each.get("category_id")) not in kept:
            continue
        image = images.get(str(each.get("image_id")))
        if image is None:
            raise _bad(
                path, "annotations of its images", f"{named} of image {each.get('image_id')}, which is not there"
            )
        try:
            mask = _decode(each.get("segmentation"), image)
        except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
            expected = "segmentations that are polygons or run lengths of the image's size"
            raise _bad(path, expected, f"{named} of {image['file_name']} ({error})") from error
        found.append((str(image["file_name"]), mask))
    return found


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError("path", expected=EXPECTED, received=f"'{path}', which is not a file")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _bad(path, EXPECTED, f"no JSON ({error})") from error
    if not isinstance(content, dict):
        raise _bad(path, EXPECTED, f"a JSON {type(content).__name__}")
    return content


def _rows(path: Path, content: dict[str, Any], key: str) -> list[dict[str, Any]]:
    rows = content.get(key)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _bad(path, EXPECTED, f"one without a list of {key}")
    return rows


def _table(path: Path, content: dict[str, Any], key: str, columns: tuple[str, ...]) -> dict[Any, dict[str, Any]]:
    """Return the rows of a list by their id, as text."""
    rows = _rows(path, content, key)
    for row in rows:
        missing = [column for column in columns if column not in row]
        if missing:
            raise _bad(path, EXPECTED, f"one of {key} without {missing[0]}")
    return {str(row["id"]): row for row in rows}


def _of_categories(path: Path, content: dict[str, Any], names: Collection[str] | None) -> set[str] | None:
    """Return the ids of the named categories; None for all."""
    if names is None:
        return None
    table = _table(path, content, "categories", ("id", "name"))
    wanted = {unicodedata.normalize("NFC", name) for name in names}
    called = {number: unicodedata.normalize("NFC", str(row["name"])) for number, row in table.items()}
    for name in wanted:
        if name not in called.values():
            listing = f'"categories" in {path} lists them all.'
            there = Counter(called.values())
            raise unknown_name("categories", name, there, what=f"a category of {path.name}", listing=listing)
    return {number for number, name in called.items() if name in wanted}


def _decode(segmentation: Any, image: dict[str, Any]) -> np.ndarray:
    """Return the mask of one annotation: bool (height, width)."""
    if isinstance(segmentation, dict):
        height, width = _size(*segmentation["size"])
        given = (image.get("height", height), image.get("width", width))
        if (height, width) != given:
            raise ValueError(f"size {height} x {width}, image {given[0]} x {given[1]}")
        counts = segmentation["counts"]
        counts = [int(count) for count in counts] if isinstance(counts, list) else _counts(str(counts))
        # pycocotools would leave pixels that the run lengths do not reach as they happen to be in memory.
        if min(counts, default=0) < 0 or sum(counts) != height * width:
            raise ValueError(f"run lengths of {sum(counts)} pixels, not {height * width}")
        masked = np.arange(len(counts)) % 2 == 1
        return np.repeat(masked, counts).reshape((height, width), order="F")
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("no segmentation")
    height, width = _size(image["height"], image["width"])
    polygons = [[float(number) for number in polygon] for polygon in segmentation]
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError("a polygon of less than three points, or one without y")
        # pycocotools walks along every edge; a point far away would take all memory.
        if not np.all(np.abs(polygon) <= 2 * max(height, width)):
            raise ValueError("a point far outside the image")
    coder = _coder()
    return coder.decode(coder.merge(coder.frPyObjects(polygons, height, width))).astype(bool)


def _size(height: Any, width: Any) -> tuple[int, int]:
    """Return the size of a mask as two ints."""
    if not (int(height) > 0 and int(width) > 0 and int(height) * int(width) <= MOST):
        raise ValueError(f"size {height} x {width}")
    return int(height), int(width)


def _coder() -> Any:
    return require("pycocotools.mask", extra="coco", purpose="COCO files with polygons")


def _counts(text: str) -> list[int]:
    """Return compressed run lengths as numbers.

    A number is cut in groups of five bits, the lowest first, each a character from 48 on; 32 says that more groups
    follow, 16 in the last one that the number is negative. From the fourth on they are differences to the last but one.

    Reference:
        rleFrString in the COCO API. https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c
    """
    counts, number, shift = [], 0, 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64 or shift > 60:
            raise ValueError("run lengths that are not compressed as COCO does")
        number |= (group & 31) << shift
        shift += 5
        if not group & 32:
            number -= (group & 16) << (shift - 4)
            counts.append(number + (counts[-2] if len(counts) > 2 else 0))
            number = shift = 0
    return counts


def _bad(path: Path, expected: str, received: object) -> UserError:
    return UserError(str(path), expected=expected, received=received)
