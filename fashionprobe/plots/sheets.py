"""Sheets of pictures: contact sheets with named rows, and mosaics."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELL = 1.25
"""Width of one picture in inches."""

LINE = 0.17
"""Height of one line of a caption in inches."""

LETTERS = 15
"""Letters of a caption that fit above a picture."""


@dataclass(frozen=True)
class Row:
    """One row of a sheet.

    Attributes:
        name: What is common to its pictures; it may have several lines.
        images: uint8 (height, width, 3) each, RGB; of any sizes.
        captions: One per picture; each may have several lines.
    """

    name: str
    images: Sequence[np.ndarray]
    captions: Sequence[str]


@style.house_style()
def contact_sheet(rows: Sequence[Row], *, title: str = "", remark: str = "") -> "Figure":
    """Draw rows of pictures, with the name of the row on the left and a caption above each picture.

    Args:
        rows: The rows; they may differ in length.
        title: Heading.
        remark: What the reader has to know, below the pictures.

    Returns:
        The figure.

    Raises:
        UserError: If there is no picture, one has another shape or type, or a row has another number of captions.
    """
    _check(rows)
    from matplotlib.figure import Figure

    across = max(len(row.images) for row in rows)
    lines = [max((caption.count("\n") + 1 for caption in row.captions if caption), default=0) for row in rows]
    tall = [CELL * max(image.shape[0] / image.shape[1] for image in row.images) for row in rows]
    left = 0.12 + 0.085 * max(len(line) for row in rows for line in row.name.split("\n"))
    width = max(left + across * (CELL + 0.1) + 0.08, 3.6)
    heading = textwrap.wrap(style.short(title, 120), max(20, int(width * 8))) if title else []
    notes = textwrap.wrap(remark, max(30, int(width * 12.5))) if remark else []
    head, foot = 0.1 + 0.25 * len(heading), 0.1 + 0.18 * len(notes)
    heights = [high + LINE * count + 0.12 for high, count in zip(tall, lines, strict=True)]
    height = head + sum(heights) + foot
    figure = Figure(figsize=(width, height))
    # One pair of axes in inches from the top left: rows differ in height, and axes for each picture would be slow.
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    ax.set_axis_off()
    ax.set_autoscale_on(False)
    _text(ax, 0.12, 0.08, "\n".join(heading), fontsize=13, fontweight="bold")
    top = head
    for row, high, count, full in zip(rows, tall, lines, heights, strict=True):
        start = top + LINE * count + 0.04
        _text(ax, 0.12, start + high / 2, row.name, fontsize=10, va="center")
        for place, (image, caption) in enumerate(zip(row.images, row.captions, strict=True)):
            x, y = left + place * (CELL + 0.1), start + CELL * image.shape[0] / image.shape[1]
            ax.imshow(image, interpolation="nearest", aspect="auto", extent=(x, x + CELL, y, start))
            cut = "\n".join(style.short(line, LETTERS) for line in caption.split("\n"))
            _text(ax, x + CELL / 2, start - 0.03, cut, fontsize=8.5, ha="center", va="bottom")
        top += full
    _text(ax, 0.12, height - 0.06, "\n".join(notes), fontsize=9, va="bottom", color=style.GREY)
    return figure


def _text(ax: "Axes", x: float, y: float, text: str, *, va: str = "top", **options: Any) -> None:
    if text:
        ax.text(x, y, text, va=va, parse_math=False, **options)


def _check(rows: Sequence[Row]) -> None:
    if not any(len(row.images) for row in rows) or any(not len(row.images) for row in rows):
        raise UserError("rows", expected="rows with one picture or more", received=f"{len(rows)} rows, one empty")
    for row in rows:
        for image in row.images:
            if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8 or not image.size:
                received = f"{image.dtype} {list(image.shape)}"
                raise UserError("images", expected="uint8 (height, width, 3)", received=received)
        if len(row.captions) != len(row.images):
            expected = f"one per picture, {len(row.images)}"
            raise UserError("captions", expected=expected, received=len(row.captions))


LARGE_CELL = 1.7
"""Width of one picture in inches."""

SMALL_CELL = 1.05
"""The same where more columns than usual are asked for."""

BAND, GAP = 0.3, 0.08
"""Height of the line of text above a picture, and the space between two, in inches."""

MAX_COLUMNS = 4
"""Columns unless told otherwise: more would be too small to see on a phone."""


@style.house_style()
def mosaic(images: np.ndarray, titles: Sequence[str], *, columns: int | None = None, title: str = "") -> "Figure":
    """Draw pictures in a grid, row by row.

    Args:
        images: uint8 (n, height, width, 3), RGB.
        titles: One per picture; long ones lose their middle.
        columns: Pictures a row. Default: as many as make a square, at most 4.
        title: Heading.

    Returns:
        The figure.

    Raises:
        UserError: If the pictures have another shape or type, or the titles another number.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8 or not images.size:
        received = f"{images.dtype} {list(images.shape)}"
        raise UserError("images", expected="uint8 (n, height, width, 3), one picture or more", received=received)
    if len(titles) != len(images):
        raise UserError("titles", expected=f"one per picture, {len(images)}", received=len(titles))
    if columns is not None and columns < 1:
        raise UserError("columns", expected="an int in the range [1, inf)", received=columns)
    across = min(columns or min(MAX_COLUMNS, math.ceil(math.sqrt(len(images)))), len(images))
    return _grid(images, titles, across, title)


def _grid(images: np.ndarray, titles: Sequence[str], across: int, title: str) -> "Figure":
    """Lay the pictures out on one pair of axes, in inches: axes for each would take seconds to draw."""
    from matplotlib.figure import Figure

    down = math.ceil(len(images) / across)
    cell = LARGE_CELL if across <= MAX_COLUMNS else SMALL_CELL
    tall = cell * images.shape[1] / images.shape[2]
    # A heading needs some width even above a single picture.
    width = max(across * (cell + GAP), 3.4) + GAP
    above = 0.42 if title else 0.0
    height = above + down * (BAND + tall) + GAP
    figure = Figure(figsize=(width, height))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    for place, (image, name) in enumerate(zip(images, titles, strict=True)):
        left = GAP + place % across * (cell + GAP)
        top = above + place // across * (BAND + tall) + BAND
        ax.imshow(image, interpolation="nearest", extent=(left, left + cell, top + tall, top))
        ax.text(
            left + cell / 2, top - 0.05, style.short(name, round(cell * 12)), ha="center", fontsize=11, parse_math=False
        )  # fmt: skip
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    if title:
        heading = style.short(title, max(20, int(width * 8)))
        ax.text(GAP, 0.3, heading, fontsize=13, fontweight="bold", parse_math=False)
    return figure
