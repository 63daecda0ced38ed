"""Accuracy of every class, with its interval."""

from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@style.house_style()
def per_class(
    table: "pd.DataFrame",
    *,
    ends: int = 15,
    chance: float | None = None,
    title: str = "",
    ax: "Axes | None" = None,
) -> "Figure":
    """Draw the accuracy of the classes as bars, best on top, each with its 95 % interval.

    Args:
        table: Columns class, images, correct, accuracy, low, high; `low` and `high` end the Wilson interval.
        ends: With more than twice as many classes, only this many of the best and of the worst are drawn.
        chance: Accuracy of a blind guess, drawn as a dotted line.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: The table has no class, or `ends` is not positive.
    """
    if table.empty:
        raise UserError("table", expected="a table with one class or more", received="no rows")
    if ends < 1:
        raise UserError("ends", expected="a positive number of classes", received=ends)
    rows, places, hidden = _shown(table, ends)
    figure, ax = style.axes_of(ax, width=6.6, height=1.5 + 0.31 * (places[-1] + 1))
    accuracy = rows["accuracy"].to_numpy(float)
    reach = np.stack([accuracy - rows["low"].to_numpy(float), rows["high"].to_numpy(float) - accuracy])
    ax.barh(
        places,
        accuracy,
        # Rounding may leave an end of the interval a hair on the wrong side of the bar.
        xerr=np.clip(reach, 0, None),
        height=0.72,
        color=style.SKY,
        error_kw={"elinewidth": 1.6, "capsize": 3, "ecolor": "#202124"},
    )
    if chance is not None:
        ax.axvline(chance, color=style.GREY, linestyle=":", linewidth=1.8)
        ax.text(chance, -0.75, f"chance {chance:.2g}", ha="center", va="bottom", fontsize=10, color=style.GREY)
    _write(ax, rows, places)
    if hidden:
        text = f"… {hidden} more {'class' if hidden == 1 else 'classes'} between …"
        ax.text(0.02, ends, text, va="center", fontsize=11, style="italic", color=style.GREY)
    ax.set_title(style.short(title, 60), parse_math=False, pad=18 if chance is not None else 6)
    return figure


def _shown(table: "pd.DataFrame", ends: int) -> "tuple[pd.DataFrame, np.ndarray, int]":
    """Sort the classes, keep the best and worst when there are many, and give each its place on the axis."""
    ranked = table.assign(name=table["class"].astype(str)).sort_values(["accuracy", "name"], ascending=[False, True])
    hidden = len(ranked) - 2 * ends
    if hidden <= 0:
        return ranked, np.arange(len(ranked)), 0
    kept = np.r_[np.arange(ends), np.arange(len(ranked) - ends, len(ranked))]
    # One row stays free between best and worst, for the remark that classes are left out.
    return ranked.iloc[kept], np.r_[np.arange(ends), np.arange(ends + 1, 2 * ends + 1)], hidden


def _write(ax: "Axes", rows: "pd.DataFrame", places: np.ndarray) -> None:
    """Label the axes, name the bars, and write the counts in a column at the right."""
    ax.set_yticks(places, [style.short(name) for name in rows["class"]], parse_math=False)
    ax.set_ylim(places[-1] + 0.7, -0.7)
    ax.set_xlim(0, 1)
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.set_xlabel("Accuracy (line: 95 % Wilson interval)")
    right = ax.get_yaxis_transform()
    for place, correct, images in zip(places, rows["correct"], rows["images"], strict=True):
        ax.text(
            1.02,
            place,
            f"{correct:d} of {images:d}",
            transform=right,
            va="center",
            fontsize=10,
            color=style.GREY,
        )
