"""Mean activations of channels by class, and the channels that separate each class best."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_CLASSES = 12
_MOST_BARS = 30
_NAMED = 3


@style.house_style()
def class_profiles(
    means: np.ndarray, peaks: np.ndarray, classes: Sequence[str], *, most: int = 40, title: str = ""
) -> "Figure":
    """Draw the mean activation of the strongest channels, a line a class, and below how classes differ in them.

    Peaks that all classes share are marked by triangles above, other peaks by rings. Of many classes only those are
    drawn that differ most from the mean of all.

    Args:
        means: float (classes, channels).
        peaks: bool (classes, channels), the peaks of each class.
        classes: Names of the classes.
        most: Channels drawn at most: those with the highest mean over the classes.
        title: Heading.

    Returns:
        The figure.

    Raises:
        UserError: If there is no class or channel, or the shapes differ.
    """
    means, peaks = np.asarray(means, float), np.asarray(peaks, bool)
    if means.ndim != 2 or not means.size or peaks.shape != means.shape or len(classes) != len(means):
        raise UserError("means", expected="(classes, channels), as peaks", received=f"{means.shape}, {peaks.shape}")
    from matplotlib.figure import Figure

    order = np.argsort(-means.mean(axis=0), kind="stable")[:most]
    apart = means[:, order] - means[:, order].mean(axis=0)
    rows = np.sort(np.argsort(-np.linalg.norm(apart, axis=1), kind="stable")[:_MOST_CLASSES])
    height = 5.0 + 0.27 * len(rows)
    figure = Figure(figsize=(10.4, height), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3.4, 1.0 + 0.27 * len(rows)])
    names = [style.short(classes[row], 18) for row in rows]
    _lines(upper, means[np.ix_(rows, order)], peaks[np.ix_(rows, order)], names)
    _mark_common(upper, np.flatnonzero(peaks[:, order].all(axis=0)))
    _differences(figure, lower, apart[rows], names)
    lower.set_xticks(range(len(order)), [str(channel) for channel in order], rotation=90, fontsize=10)
    count = means.shape[1]
    which = f"the {len(order)} strongest of {count}" if len(order) < count else "all"
    lower.set_xlabel(f"Channel ({which}, sorted by mean activation)")
    few = f" ({len(rows)} of {len(classes)} classes: those that differ most)" if len(rows) < len(classes) else ""
    upper.set_title(style.short(title, 60) + few, parse_math=False, pad=36)
    return figure


def _lines(ax: "Axes", means: np.ndarray, peaks: np.ndarray, names: Sequence[str]) -> None:
    """Draw a line a class, with rings at the peaks that not all classes have."""
    places = np.arange(means.shape[1])
    own = peaks & ~peaks.all(axis=0)
    handles = []
    for row, line in enumerate(means):
        color = style.CYCLE[row % len(style.CYCLE)]
        # Past seven classes the colours come round again, dashed.
        dashes = "-" if row < len(style.CYCLE) else "--"
        handles += ax.plot(places, line, dashes, color=color, linewidth=1.7, marker=".", markersize=4)
        ax.plot(places[own[row]], line[own[row]], "o", color=color, markersize=10, fillstyle="none")
    style.legend(ax, handles, names)
    ax.tick_params(axis="x", length=0)
    ax.set_ylabel("Mean activation")
    ax.grid(axis="y")
    ax.set_xlim(-0.6, means.shape[1] - 0.4)


def _mark_common(ax: "Axes", common: np.ndarray) -> None:
    """Mark the channels that are a peak of every class, and say how the marks read."""
    line = ax.get_xaxis_transform()
    marks = ax.plot(
        common, np.full(len(common), 1.02), "v", color="#202124", markersize=7, transform=line, clip_on=False
    )
    words = "▼ peak of every class" if len(common) else "no channel is a peak of every class"
    text = ax.text(0, 1.06, f"{words}     ○ peak of some", transform=ax.transAxes, fontsize=11, color=style.GREY)
    # The title keeps this room free; counted in as well, it would grow with each drawing.
    for artist in (*marks, text):
        artist.set_in_layout(False)


def _differences(figure: "Figure", ax: "Axes", apart: np.ndarray, names: Sequence[str]) -> None:
    """Draw how far each class lies above or below the mean of all classes."""
    limit = max(float(np.abs(apart).max()), 1e-12)
    picture = ax.imshow(apart, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    ax.set_yticks(range(len(names)), names, parse_math=False, fontsize=11)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    bar = figure.colorbar(picture, ax=ax, pad=0.01, aspect=12)
    bar.set_label("Above or below\nthe mean of classes", fontsize=10)
    bar.ax.tick_params(labelsize=10)


@style.house_style()
def separating_channels(table: "pd.DataFrame", *, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """Draw how well each channel alone separates a class from the rest, a row a class, and name the best channels.

    Each dot is a channel; the tick is what the best of all channels and classes reaches by luck.

    Args:
        table: Columns class, channel, rank, separation, direction, luck; one row a class and channel.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure. Of many classes only those are drawn whose best channel separates most.

    Raises:
        UserError: If the table has no rows.
    """
    if table.empty:
        raise UserError("table", expected="a table with one class or more", received="no rows")
    best = table[table["rank"] == 1].sort_values("separation", ascending=False, kind="stable")
    shown = best["class"].tolist()[:_MOST_BARS]
    figure, ax = style.axes_of(ax, width=8.0, height=1.9 + 0.36 * len(shown))
    right = ax.get_yaxis_transform()
    for place, name in enumerate(shown):
        rows = table[table["class"] == name].sort_values("rank")
        # Thousands of dots: as pixels also in the SVG.
        dots = rows["separation"], np.full(len(rows), place), "o"
        ax.plot(*dots, color=style.SKY, markersize=4, alpha=0.35, mew=0, rasterized=True)
        first = rows.head(_NAMED)
        ax.plot(first["separation"], np.full(len(first), place), "o", color=style.BLUE, markersize=7)
        ax.plot(rows["luck"].iloc[0], place, "|", color=style.VERMILLION, markersize=17, markeredgewidth=2.6)
        named = [f"{channel}{'' if direction == 'active' else '↓'}" for channel, direction in zip(
            first["channel"], first["direction"], strict=True)]  # fmt: skip
        ax.text(1.03, place, ", ".join(named), transform=right, va="center", fontsize=11)
    ax.text(1.03, -0.8, "best channels", transform=right, va="center", fontsize=11, color=style.GREY)
    _finish_rows(ax, shown, len(best))
    ax.set_title(style.short(title, 60), parse_math=False, pad=30)
    return figure


def _finish_rows(ax: "Axes", shown: Sequence[str], total: int) -> None:
    """Label the axes and say what the marks mean."""
    from matplotlib.lines import Line2D

    ax.set_yticks(range(len(shown)), [style.short(name, 20) for name in shown], parse_math=False)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.set_xlim(0.49, 1.005)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    few = f"; {len(shown)} of {total} classes" if len(shown) < total else ""
    ax.set_xlabel(f"Separation by one channel{few}: AUC, or 1 - AUC if silent\n(0.5: tells nothing, 1: separates)")
    handles = [
        Line2D([], [], marker="o", color=style.BLUE, linestyle="", markersize=7, label="best channels (↓: silent)"),
        Line2D([], [], marker="o", color=style.SKY, linestyle="", markersize=5, label="others"),
        Line2D([], [], marker="|", color=style.VERMILLION, linestyle="", markersize=14, mew=2.6, label="luck (95 %)"),
    ]
    ax.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, columnspacing=1.2, handletextpad=0.3,
        borderaxespad=0.2,
    )  # fmt: skip
