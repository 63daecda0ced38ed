"""A sweep over the numbers of a refit: which values do best on validation."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = {"lam": "λ: weight of the penalty", "b": "B", "th": "th", "masks": "Number of masks"}
"""Swept column to the name of its axis."""

_LINES = (
    ("score", "score that decides", style.BLUE, "-", "o", 2.6),
    ("val", "accuracy on validation", style.ORANGE, "--", "s", 1.6),
    ("swapped", "accuracy with the region swapped", style.GREEN, "-.", "^", 1.6),
)
_SHORT = {"lam": "λ", "b": "B"}
_MOST_ROWS = 20


@style.house_style()
def sweep(table: "pd.DataFrame", *, title: str = "") -> "Figure":
    """Draw the score by what was swept: lines over one number, a heat table for two, a ranked list for more.

    Rows with the same numbers, such as those of several seeds, are averaged.

    Args:
        table: Columns lam, b, th, masks (any of them; those that hold several values were swept), score, val,
            swapped (shares, NaN where not measured), chosen (bool).
        title: Heading.

    Returns:
        The figure. What was chosen has a star, or a frame in a heat table.

    Raises:
        UserError: The table has no row, or no column that could be swept.
    """
    if table.empty:
        raise UserError("table", expected="a table with one row or more", received="no rows")
    if not set(NAMES) & set(table.columns):
        raise UserError("table", expected=f"a table with one of: {', '.join(NAMES)}", received="none of them")
    swept = [column for column in NAMES if column in table and table[column].nunique() > 1]
    measured = [column for column, *_ in _LINES if column in table]
    keys = swept or [next(column for column in NAMES if column in table)]
    rows = table.groupby(keys, as_index=False).agg(
        **{name: (name, "mean") for name in measured}, chosen=("chosen", "any")
    )
    draw = {0: _ranked, 1: _curves, 2: _cells}.get(len(swept), _ranked)
    return draw(rows, keys, title)


def _curves(rows: "pd.DataFrame", keys: list[str], title: str) -> "Figure":
    """Draw the score, and what it is made of, over one swept number."""
    figure, ax = style.axes_of(None, width=6.6, height=4.6)
    (key,) = keys
    handles, names = [], []
    for column, name, color, dash, marker, width in _LINES:
        if column in rows and rows[column].notna().any():
            known = rows[rows[column].notna()]
            look: Any = {"color": color, "linestyle": dash, "marker": marker, "linewidth": width, "clip_on": False}
            handles += ax.plot(known[key], known[column], zorder=3, **look)
            names.append(name)
    chosen = rows[rows["chosen"]]
    if len(chosen):
        star: Any = {"color": style.BLACK, "markersize": 17, "markeredgecolor": "white", "linestyle": "none"}
        handles += ax.plot(chosen[key], chosen["score"], marker="*", zorder=5, clip_on=False, **star)
        names.append("chosen: " + " and ".join(f"{value:g}" for value in chosen[key]))
    _scale(ax, rows[key].to_numpy(float))
    ax.set_xlabel(NAMES[key])
    ax.set_ylabel("%")
    ax.yaxis.set_major_formatter(_percent)
    ax.grid(axis="y")
    ax.legend(
        handles, names, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, columnspacing=1.2, borderaxespad=0.2
    )
    ax.set_title(style.short(title, 52), parse_math=False, pad=50)
    return figure


def _scale(ax: "Axes", values: np.ndarray) -> None:
    """Place the values that were tried on the axis, by their ratio where they span more than a factor of 8."""
    if values.min() > 0 and values.max() / values.min() > 8:
        ax.set_xscale("log")
    elif values.max() / max(values[values > 0].min(), 1e-12) > 8:
        # Zero has no place on a logarithmic axis: it stands half a decade below the least value.
        ax.set_xscale("symlog", linthresh=values[values > 0].min(), linscale=0.5)
    ax.minorticks_off()
    ax.set_xticks(values, [f"{value:g}" for value in values])


def _cells(rows: "pd.DataFrame", keys: list[str], title: str) -> "Figure":
    """Draw the score of every pair of two swept numbers as a heat table."""
    down, across = keys
    grid = rows.pivot(index=down, columns=across, values="score").sort_index(ascending=False)
    height = 2.0 + 0.5 * len(grid)
    figure, ax = style.axes_of(None, width=6.6, height=height)
    # Cells that were not tried stay white.
    image = ax.imshow(grid.to_numpy(float), cmap="viridis", aspect="auto", interpolation="none")
    low, high = image.get_clim()
    for (row, column), score in np.ndenumerate(grid.to_numpy(float)):
        if np.isfinite(score):
            # The upper half of the colour map is light.
            color = "black" if score > (low + high) / 2 else "white"
            ax.text(column, row, f"{100 * score:.1f}", ha="center", va="center", color=color, fontsize=11)
    for _, each in rows[rows["chosen"]].iterrows():
        place = (grid.columns.get_loc(each[across]), grid.index.get_loc(each[down]))
        _frame(ax, place)  # pyright: ignore[reportArgumentType]
    ax.set_xticks(range(grid.shape[1]), [f"{value:g}" for value in grid.columns])
    ax.set_yticks(range(grid.shape[0]), [f"{value:g}" for value in grid.index])
    ax.tick_params(length=0)
    ax.set_xlabel(NAMES[across])
    ax.set_ylabel(NAMES[down])
    ax.set_title(style.short(f"{title} (score in %)" if title else "Score in %", 56), parse_math=False)
    return figure


def _percent(value: float, _: object) -> str:
    return f"{100 * value:.3g}"


def _frame(ax: "Axes", place: tuple[int, int]) -> None:
    """Put a frame around the chosen cell, in a colour that the map lacks."""
    from matplotlib.patches import Rectangle

    corner = (place[0] - 0.5, place[1] - 0.5)
    ax.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=style.VERMILLION, linewidth=3.5, clip_on=False))


def _ranked(rows: "pd.DataFrame", keys: list[str], title: str) -> "Figure":
    """Draw the combinations as a list, the best on top."""
    from matplotlib.ticker import MaxNLocator

    ranked = rows.sort_values("score", ascending=False, kind="stable", na_position="last")
    chosen = ranked["chosen"].to_numpy(bool)
    # The chosen one is shown however long the list is.
    shown = ranked[(np.arange(len(ranked)) < _MOST_ROWS) | chosen]
    places = np.arange(len(shown))
    figure, ax = style.axes_of(None, width=6.6, height=1.5 + 0.32 * len(shown))
    for place, (_, row) in zip(places, shown.iterrows(), strict=True):
        star = bool(row["chosen"])
        ax.plot(
            row["score"], place, marker="*" if star else "o", markersize=17 if star else 8,
            color=style.BLACK if star else style.BLUE, clip_on=False,
        )  # fmt: skip
    labels = [", ".join(f"{_SHORT.get(key, key)} {row[key]:g}" for key in keys) for _, row in shown.iterrows()]
    ax.set_yticks(places, labels, parse_math=False)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.grid()
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.xaxis.set_major_formatter(_percent)
    ax.tick_params(axis="y", length=0)
    more = len(ranked) - len(shown)
    ax.set_xlabel("Score in % (star: chosen" + (f"; {more} lower ones left out)" if more else ")"))
    ax.set_title(style.short(title, 44), parse_math=False)
    return figure
