"""Precision, recall and F1 of every class, before and after a correction."""

from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMES = {"precision": "Precision", "recall": "Recall", "f1": "F1"}
_RANKS = "f1"
_LETTERS = 18


@style.house_style()
def per_class_change(table: "pd.DataFrame", *, ends: int = 12, title: str = "") -> "Figure":
    """Draw each class's measures before (ring) and after (dot), a row a class, the greatest rise in F1 on top.

    Blue lines are rises, red ones with a square at their end are falls.

    Args:
        table: Columns class, metric (precision, recall, f1 or others), before, after, in [0, 1]; NaN where the class
            has no such value. One row a class and metric.
        ends: With more than twice as many classes, only this many of the greatest rises and of the greatest falls
            are drawn.
        title: Heading.

    Returns:
        The figure, with one pair of axes a metric.

    Raises:
        UserError: The table has no row, or a class and metric twice, or `ends` is not positive.
    """
    _check(table, ends)
    metrics = [name for name in _NAMES if name in set(table["metric"])]
    metrics += [name for name in table["metric"].unique() if name not in metrics]
    change = table.assign(change=table["after"] - table["before"], name=table["class"].astype(str))
    ranks = change[change["metric"] == (_RANKS if _RANKS in metrics else metrics[0])]
    ranks = ranks.sort_values(["change", "name"], ascending=[False, True], na_position="last")
    names, places, hidden = _shown(list(ranks["class"]), ends)
    figure, axes = _panels(len(metrics), places[-1] + 1, title)
    for ax, metric in zip(axes, metrics, strict=True):
        rows = table[table["metric"] == metric].set_index("class").reindex(names)
        _draw(ax, rows["before"].to_numpy(float), rows["after"].to_numpy(float), places)
        ax.set_title(style.short(_NAMES.get(metric, metric), 14), fontsize=12, parse_math=False)
        ax.set_ylim(places[-1] + 0.6, -0.6)
    _name(axes[0], names, places, hidden)
    _legend(figure)
    return figure


def _check(table: "pd.DataFrame", ends: int) -> None:
    """Refuse an empty table, rows that come twice, and a number of rows below 1."""
    if ends < 1:
        raise UserError("ends", expected="a positive number of classes", received=ends)
    if table.empty:
        raise UserError("table", expected="a table with one row or more", received="no rows")
    twice = table[table.duplicated(["class", "metric"])]
    if len(twice):
        received = f"two for {twice['metric'].iloc[0]} of {twice['class'].iloc[0]}"
        raise UserError("table", expected="a table with one row a class and metric", received=received)


def _shown(names: list[str], ends: int) -> tuple[list[str], np.ndarray, int]:
    """Keep the first and the last of the ranked classes when there are many, and give each its place."""
    hidden = len(names) - 2 * ends
    if hidden <= 0:
        return names, np.arange(len(names)), 0
    # One row stays free between the ends, for the remark that classes are left out.
    return names[:ends] + names[-ends:], np.r_[np.arange(ends), np.arange(ends + 1, 2 * ends + 1)], hidden


def _panels(count: int, rows: int, title: str) -> "tuple[Figure, list[Axes]]":
    """Make the figure and its axes, which share their rows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.6, 1.7 + 0.34 * rows + 0.3 * bool(title)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.07, wspace=0.03)  # pyright: ignore
    axes = figure.subplots(1, count, sharey=True, squeeze=False)[0]
    if title:
        heading = figure.suptitle(style.short(title, 50), x=0.01, ha="left", fontsize=14, fontweight="bold")
        heading.set_parse_math(False)
    return figure, list(axes)


def _draw(ax: "Axes", before: np.ndarray, after: np.ndarray, places: np.ndarray) -> None:
    """Draw one metric: a ring before, a dot or square after, a line between them."""
    known, falls = np.isfinite(before) & np.isfinite(after), after < before
    for chosen, color, marker in ((known & ~falls, style.BLUE, "o"), (known & falls, style.VERMILLION, "s")):
        # An empty collection would reach over the whole figure, and the layout would make room for it.
        if not chosen.any():
            continue
        ax.hlines(places[chosen], before[chosen], after[chosen], color=color, linewidth=2.6, zorder=2)
        look = {"linestyle": "none", "color": color, "clip_on": False}
        ax.plot(before[chosen], places[chosen], marker="o", markerfacecolor="white", markersize=7, zorder=3, **look)
        ax.plot(after[chosen], places[chosen], marker=marker, markersize=7, zorder=4, **look)
    ax.set_xlim(-0.03, 1.03)
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    ax.grid()
    ax.tick_params(axis="y", length=0)


def _name(ax: "Axes", names: list[str], places: np.ndarray, hidden: int) -> None:
    """Write the names of the classes, and between the ends how many are left out."""
    shown = [style.short(name, _LETTERS) for name in names]
    if not hidden:
        ax.set_yticks(places, shown, parse_math=False)
        return
    middle = len(names) // 2
    shown.insert(middle, f"… {hidden} more …")
    ax.set_yticks(np.insert(places, middle, middle), shown, parse_math=False)
    remark = ax.get_yticklabels()[middle]
    remark.set_fontstyle("italic")
    remark.set_color(style.GREY)


def _legend(figure: "Figure") -> None:
    """Put the legend below the panels."""
    from matplotlib.lines import Line2D

    looks = (
        (style.GREY, "white", "o", "before"),
        (style.BLUE, style.BLUE, "o", "after: not lower"),
        (style.VERMILLION, style.VERMILLION, "s", "after: lower"),
    )
    handles = [
        Line2D([], [], color=edge, markerfacecolor=face, marker=mark, ls="none") for edge, face, mark, _ in looks
    ]
    figure.legend(handles, [name for *_, name in looks], loc="outside lower left", ncols=3, handletextpad=0.2)
