"""The classes that a classifier knows best and worst: precision, recall and F1."""

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Column, name, colour, marker, size, filled. Hollow ones let each other through where scores are equal.
_SCORES = (
    ("precision", "precision", style.GREEN, "^", 11, False),
    ("recall", "recall", style.BLUE, "o", 9, False),
    ("f1", "F1", style.VERMILLION, "D", 5, True),
)


@style.house_style()
def best_and_worst(table: "pd.DataFrame", *, ends: int = 10, title: str = "") -> "Figure":
    """Draw precision, recall and F1 of the classes with the highest and the lowest F1, the highest on top.

    Classes without images have no recall: they are left out, and a remark says how many.

    Args:
        table: Columns class, images, precision, recall, f1, low, high; `low` and `high` end the 95 % Wilson
            interval of the recall.
        ends: With more than twice as many classes, only this many of the best and of the worst are drawn.
        title: Heading.

    Returns:
        The figure.

    Raises:
        UserError: No class has images, or `ends` is not positive.
    """
    if ends < 1:
        raise UserError("ends", expected="a positive number of classes", received=ends)
    known = table[table["images"] > 0]
    if known.empty:
        received = f"{len(table)} without" if len(table) else "no rows"
        raise UserError("table", expected="a table with one class or more that has images", received=received)
    rows, places, hidden = _shown(known, ends)
    longest = max(_letters(style.short(name)) for name in rows["class"])
    # Between names and counts there is room for about 40 letters; a title that is longer gets a second line.
    heading = textwrap.wrap(style.short(title, 60), 40)
    # Room for the names: a letter is about an eleventh of an inch wide.
    height = 1.8 + 0.24 * len(heading) + 0.31 * (places[-1] + 1)
    figure, ax = style.axes_of(None, width=5.4 + longest / 11, height=height)
    _draw(ax, rows, places)
    _write(ax, rows, places)
    if hidden:
        text = f"… {hidden} more {'class' if hidden == 1 else 'classes'} between …"
        ax.text(0.02, ends, text, va="center", fontsize=11, style="italic", color=style.GREY)
    _remark(ax, len(table) - len(known))
    ax.set_title("\n".join(heading), parse_math=False, pad=32, va="bottom")
    return figure


def _letters(name: str) -> float:
    """Return the length of a name in small letters: capitals and East Asian letters are wider."""
    return sum(1.7 if letter.isupper() or letter >= "\N{CJK RADICAL REPEAT}" else 1.0 for letter in name)


def _shown(known: "pd.DataFrame", ends: int) -> "tuple[pd.DataFrame, np.ndarray, int]":
    """Sort the classes, keep the best and worst when there are many, and give each its place on the axis."""
    ranked = known.assign(name=known["class"].astype(str)).sort_values(["f1", "name"], ascending=[False, True])
    hidden = len(ranked) - 2 * ends
    if hidden <= 0:
        return ranked, np.arange(len(ranked)), 0
    kept = np.r_[np.arange(ends), np.arange(len(ranked) - ends, len(ranked))]
    # One row stays free between best and worst, for the remark that classes are left out.
    return ranked.iloc[kept], np.r_[np.arange(ends), np.arange(ends + 1, 2 * ends + 1)], hidden


def _draw(ax: "Axes", rows: "pd.DataFrame", places: np.ndarray) -> None:
    """Draw the intervals and the three markers of every class, and the legend above them."""
    # A pale line guides the eye from the name to the markers and on to the count.
    ax.hlines(places, 0, 1, color="#E3E5E8", linewidth=1.0, zorder=1)
    ax.hlines(places, rows["low"], rows["high"], color=style.BLUE, linewidth=1.6, zorder=2)
    handles = []
    for column, _, color, marker, size, filled in _SCORES:
        handles += ax.plot(
            rows[column],
            places,
            linestyle="none",
            marker=marker,
            markersize=size,
            markeredgecolor=color,
            markeredgewidth=1.8,
            markerfacecolor=color if filled else "none",
            # Scores of 0 and 1 stand on the edge.
            clip_on=False,
            zorder=4 if filled else 3,
        )
    names = [name for _, name, *_ in _SCORES]
    ax.legend(
        handles,
        names,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        borderaxespad=0.2,
        borderpad=0.2,
        ncols=len(names),
        columnspacing=1.4,
        handletextpad=0.2,
    )


def _write(ax: "Axes", rows: "pd.DataFrame", places: np.ndarray) -> None:
    """Label the axes, name the rows, and write the numbers of images in a column at the right."""
    ax.set_yticks(places, [style.short(name) for name in rows["class"]], parse_math=False)
    ax.set_ylim(places[-1] + 0.7, -0.7)
    ax.set_xlim(0, 1)
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.tick_params(axis="y", length=0, pad=10)
    ax.grid(axis="x")
    ax.set_xlabel("Score (line: 95 % Wilson interval of the recall)")
    # The heading stands on the upper edge of the axes, which is 0.7 rows above the first row.
    heading = (-0.7, "images", 7, "bottom")
    numbers = [(y, f"{int(images)}", 0, "center") for y, images in zip(places, rows["images"], strict=True)]
    for place, text, lift, align in [heading, *numbers]:
        ax.annotate(
            text,
            (1, place),
            xycoords=ax.get_yaxis_transform(),
            xytext=(56, lift),
            textcoords="offset points",
            ha="right",
            va=align,
            fontsize=10,
            color=style.GREY,
        )


def _remark(ax: "Axes", absent: int) -> None:
    """Say below the axes how many classes are left out because they have no images."""
    if absent:
        ax.annotate(
            f"Left out: {absent} {'class' if absent == 1 else 'classes'} without images.",
            (0, 0),
            xycoords="axes fraction",
            xytext=(0, -44),
            textcoords="offset points",
            va="top",
            fontsize=10,
            color=style.GREY,
        )
