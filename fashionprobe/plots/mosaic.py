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
    from matplotlib.figure import Figure

    down = math.ceil(len(images) / across)
    tall = CELL * images.shape[1] / images.shape[2] + 0.34
    # A heading needs some width even above a single picture.
    width = max(across * (CELL + 0.1), 3.4) + 0.1
    figure = Figure(figsize=(width, down * tall + (0.5 if title else 0.1)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)  # pyright: ignore
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    for ax, image, name in zip(axes, images, titles, strict=False):
        ax.imshow(image, interpolation="nearest")
        ax.set_title(style.short(name, 20), loc="center", fontsize=11, fontweight="normal", pad=3, parse_math=False)
    if title:
        heading = figure.suptitle(style.short(title, max(20, int(width * 8))), fontsize=13, fontweight="bold")
        heading.set_parse_math(False)
    return figure
