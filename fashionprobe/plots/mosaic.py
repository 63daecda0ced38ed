"""Many small pictures in one figure, each under its title."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELL = 1.7
"""Width of one picture in inches."""

SMALL_CELL = 1.05
"""The same where more columns than usual are asked for."""

BAND, GAP = 0.3, 0.08
"""Height of the line of text above a picture, and the space between two, in inches."""

MOST_COLUMNS = 4
"""Columns unless told otherwise: more would be too small to see on a phone."""


@style.house_style()
def mosaic(images: np.ndarray, titles: Sequence[str], *, columns: int | None = None, title: str = "") -> "Figure":
    """Draw pictures in a grid, row by row.

    Args:
        images: uint8 (n, height, width, 3), RGB.
        titles: One a picture; long ones lose their middle.
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
        raise UserError("titles", expected=f"one a picture, {len(images)}", received=len(titles))
    if columns is not None and columns < 1:
        raise UserError("columns", expected="an int in the range [1, inf)", received=columns)
    across = min(columns or min(MOST_COLUMNS, math.ceil(math.sqrt(len(images)))), len(images))
    return _grid(images, titles, across, title)


def _grid(images: np.ndarray, titles: Sequence[str], across: int, title: str) -> "Figure":
    """Lay the pictures out on one pair of axes, in inches: axes for each would take seconds to draw."""
    from matplotlib.figure import Figure

    down = math.ceil(len(images) / across)
    cell = CELL if across <= MOST_COLUMNS else SMALL_CELL
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
