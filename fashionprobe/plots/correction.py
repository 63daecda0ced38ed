"""Masked images before and after a correction: what the expert has marked, and where the network looks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style
from fashionprobe.plots.overlays import COLOURS, overlay

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIDE = 2.05


@dataclass(frozen=True)
class Corrected:
    """One masked image; all its arrays have the same height and width.

    Attributes:
        name: Its class.
        image: uint8 (height, width, 3), RGB.
        mask: bool (height, width), True where the image is irrelevant.
        heatmaps: Before and after, float (height, width) in [0, 1].
        probabilities: Of its class, before and after, in [0, 1].
        inside: Share of the heatmap inside the mask, before and after, in [0, 1]; NaN for an empty heatmap.
        note: More about it, such as its id.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray
    heatmaps: tuple[np.ndarray, np.ndarray]
    probabilities: tuple[float, float]
    inside: tuple[float, float]
    note: str = ""


@style.house_style()
def before_after(rows: Sequence[Corrected], *, title: str = "", scale: str = "relevance") -> "Figure":
    """Draw a row for each image: the image with its mask's outline, the heatmap before, the heatmap after.

    Above the heatmaps stand the probability p of the image's class and the share of the heat inside the mask.

    Args:
        rows: The images; they may differ in size.
        title: Heading.
        scale: What the colours stand for.

    Returns:
        The figure.

    Raises:
        UserError: There is no image, or its mask or a heatmap differs from it in size.
    """
    _check(rows)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    sides = [_SIDE * row.image.shape[0] / row.image.shape[1] for row in rows]
    height = sum(side + 0.52 for side in sides) + 0.75 + 0.35 * bool(title)
    figure = Figure(figsize=(3 * _SIDE + 0.3, height), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.05, w_pad=0.04)  # pyright: ignore
    axes = figure.subplots(len(rows), 3, squeeze=False, height_ratios=sides)
    for line, row in zip(axes, rows, strict=True):
        _picture(line[0], row.image, row.mask, f"{style.short(row.name, 22)}\n{style.short(row.note, 22)}")
        for place, (ax, when) in enumerate(zip(line[1:], ("before", "after"), strict=True)):
            text = f"{when}: p = {row.probabilities[place]:.2f}\n{_heat(row.inside[place])}"
            _picture(ax, overlay(row.image, row.heatmaps[place]), row.mask, text)
    if title:
        heading = figure.suptitle(style.short(title, 50), x=0.01, ha="left", fontsize=14, fontweight="bold")
        heading.set_parse_math(False)
    colours = mpl.cm.ScalarMappable(cmap=COLOURS)
    bar = figure.colorbar(colours, ax=list(axes.flat), location="bottom", shrink=0.7, aspect=40, pad=0.01)
    bar.set_label(f"{scale}; white and black: outline of the mask", fontsize=11)
    return figure


def _check(rows: Sequence[Corrected]) -> None:
    """Refuse an empty list, and arrays of several sizes."""
    if not rows:
        raise UserError("rows", expected="one masked image or more", received="none")
    for row in rows:
        size = row.image.shape[:2]
        for argument, array in (("mask", row.mask), *(("heatmaps", each) for each in row.heatmaps)):
            if array.shape != size:
                raise UserError(argument, expected=f"of the image's size {size}", received=array.shape)


def _heat(share: float) -> str:
    """Say how much of the heatmap lies inside the mask."""
    return f"{100 * share:.0f} % of heat in mask" if np.isfinite(share) else "no heat"


def _picture(ax: "Axes", picture: np.ndarray, mask: np.ndarray, text: str) -> None:
    """Draw one picture, its caption, and the outline of the mask in two colours, to be seen on any ground."""
    height, width = mask.shape
    ax.imshow(picture, interpolation="nearest")
    # With a margin, the outline is also drawn where the mask reaches the edge of the image.
    across, down = np.arange(-1, width + 1), np.arange(-1, height + 1)
    for color, line in (("white", 2.6), ("black", 1.0)):
        if mask.any():
            ax.contour(across, down, np.pad(mask, 1).astype(float), levels=[0.5], colors=color, linewidths=line)
    ax.set_xlim(-0.5, width - 0.5)
    ax.set_ylim(height - 0.5, -0.5)
    ax.set_axis_off()
    ax.set_title(text, fontsize=11, fontweight="normal", parse_math=False, linespacing=1.15)
