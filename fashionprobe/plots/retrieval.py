"""Retrieval: its precision by block, or by several descriptors at once, and sheets of queries with what they found."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style
from fashionprobe.plots.sheets import Row, contact_sheet

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = {"none": "as they are", "l2": "L2: unit length", "standard": "standardized", "whiten": "whitened"}
"""How the legend calls the normalizations of descriptors; others keep their name."""


@dataclass(frozen=True)
class Result:
    """A query and what it found.

    Attributes:
        query: uint8 (height, width, 3), RGB.
        query_class: The class of the query.
        images: The pictures it found, nearest first.
        classes: The class of each.
        name: What stands on the left of its row.
    """

    query: np.ndarray
    query_class: str
    images: Sequence[np.ndarray]
    classes: Sequence[str]
    name: str


def result_sheet(results: Sequence[Result], *, title: str = "") -> "Figure":
    """Draw queries with the pictures that they found; those of another class have a cross and a frame.

    Args:
        results: One or more.
        title: Heading.

    Returns:
        The figure.
    """
    rows = []
    for each in results:
        right = [found == each.query_class for found in each.classes]
        marks = [f"{'✓' if good else '✗'} {found}" for good, found in zip(right, each.classes, strict=True)]
        images = [image if good else _framed(image) for good, image in zip(right, each.images, strict=True)]
        rows.append(Row(each.name, [each.query, *images], [f"query: {each.query_class}", *marks]))
    remark = "Left: the query. Then what it found, nearest first: ✓ its class, ✗ another, in a frame."
    return contact_sheet(rows, title=title, remark=remark)


@style.house_style()
def precision_by_block(table: "pd.DataFrame", *, top: int, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """Draw the precision of retrieval at every block, a curve for each normalization, with its interval.

    Args:
        table: Columns block, normalization, precision_mean, low, high, chance; one label.
        top: Number of results that the precision is over.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: If the table has no row.
    """
    if table.empty:
        raise UserError("table", expected="a table with one block or more", received="no rows")
    figure, ax = style.axes_of(ax, width=style.width_of(table["block"].nunique()))
    lines = []
    for place, name in enumerate(dict.fromkeys(table["normalization"])):
        rows = table[table["normalization"] == name].sort_values("block")
        block, mean = rows["block"].to_numpy(float), rows["precision_mean"].to_numpy(float)
        lines.append(style.Line(style.short(NAMES.get(name, name)), block, mean, _reach(rows), *style.look(place)))
    style.curves_by_block(
        ax, lines, chance=float(table["chance"].mean()), ylabel=_ylabel(top), title=title, legend_title="Descriptors"
    )
    return figure


@style.house_style()
def precision_by_descriptor(table: "pd.DataFrame", *, top: int, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """Draw what is found by one descriptor or another, or by several at once: bars for each thing that must be equal.

    Args:
        table: Columns by (the descriptor), scored (what must be equal), precision_mean, low, high, chance.
        top: Number of results that the precision is over.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: If the table has no row.
    """
    if table.empty:
        raise UserError("table", expected="a table with one descriptor or more", received="no rows")
    ways, scored = list(dict.fromkeys(table["by"])), list(dict.fromkeys(table["scored"]))
    figure, ax = style.axes_of(ax, width=7.2)
    width = 0.8 / len(ways)
    handles: list[Artist] = []
    for place, (way, shift) in enumerate(zip(ways, style.shifts(len(ways), width), strict=True)):
        rows = table[table["by"] == way]
        places = np.array([scored.index(each) for each in rows["scored"]])
        bars = ax.bar(
            places + shift, rows["precision_mean"], width * 0.92, yerr=_reach(rows),
            color=style.CYCLE[place % len(style.CYCLE)], alpha=0.85,
            error_kw={"elinewidth": 1.6, "capsize": 3, "ecolor": "#202124"},
        )  # fmt: skip
        handles.append(bars)  # pyright: ignore[reportArgumentType]
    levels = table.groupby("scored")["chance"].mean()
    for place, each in enumerate(scored):
        (line,) = ax.plot([place - 0.45, place + 0.45], [levels[each]] * 2, color=style.BLACK, linestyle=":", lw=1.8)
    ax.set_xticks(range(len(scored)), [style.short(each, 20) for each in scored], parse_math=False)
    ax.tick_params(axis="x", length=0)
    style.shares(ax, _ylabel(top), title)
    ax.set_xlabel("What must be equal to the query's")
    style.legend(ax, [*handles, line], [*(_broken(way) for way in ways), "chance"], title="Found by")
    return figure


def _framed(picture: np.ndarray) -> np.ndarray:
    """Return the picture with a frame on its outer pixels."""
    framed = picture.copy()
    color = [int(style.VERMILLION[place : place + 2], 16) for place in (1, 3, 5)]
    width = max(2, min(picture.shape[:2]) // 25)
    framed[:width] = framed[-width:] = framed[:, :width] = framed[:, -width:] = color
    return framed


def _reach(rows: "pd.DataFrame") -> np.ndarray:
    """Return how far the interval reaches below and above the mean, (2, rows)."""
    mean = rows["precision_mean"].to_numpy(float)
    reach = np.stack([mean - rows["low"].to_numpy(float), rows["high"].to_numpy(float) - mean])
    # Rounding may leave an end slightly on the wrong side of the mean.
    return np.clip(reach, 0, None)


def _broken(name: str) -> str:
    """Break a name such as "pattern, block 4" in two lines: long names leave the bars no room."""
    return "\n".join(style.short(part, 22) for part in name.split(", "))


def _ylabel(top: int) -> str:
    return f"Precision of the first {top}\n(mean and 95 % interval)"
