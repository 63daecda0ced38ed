"""A network before and after its correction: heatmaps of masked images, confusions, and classes one by one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style
from fashionprobe.plots.overlays import COLOURS, overlay
from fashionprobe.plots.per_class import confusion

if TYPE_CHECKING:
    import pandas as pd
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
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    sides = [_SIDE * row.image.shape[0] / row.image.shape[1] for row in rows]
    height = sum(side + 0.52 for side in sides) + 0.75 + 0.35 * bool(title)
    figure = Figure(figsize=(3 * _SIDE + 0.3, height), layout="constrained")
    figure.set_layout_engine("constrained", h_pad=0.05, w_pad=0.04)
    axes = figure.subplots(len(rows), 3, squeeze=False, height_ratios=sides)
    for line, row in zip(axes, rows, strict=True):
        _picture(line[0], row.image, row.mask, f"{style.short(row.name, 22)}\n{style.short(row.note, 22)}")
        for place, (ax, when) in enumerate(zip(line[1:], ("before", "after"), strict=True)):
            text = f"{when}: p = {row.probabilities[place]:.2f}\n{_heat(row.inside[place])}"
            _picture(ax, overlay(row.image, row.heatmaps[place]), row.mask, text)
    if title:
        heading = figure.suptitle(style.short(title, 50), x=0.01, ha="left", fontsize=14, fontweight="bold")
        heading.set_parse_math(False)
    colours = ScalarMappable(cmap=COLOURS)
    bar = figure.colorbar(colours, ax=list(axes.flat), location="bottom", shrink=0.7, aspect=40, pad=0.01)
    bar.set_label(f"{scale}; white and black: outline of the mask", fontsize=11)
    return figure


@dataclass(frozen=True)
class Line:
    """A row of `masked_table`.

    Attributes:
        name: What made it, such as a method.
        pictures: One for each masked image, uint8 (height, width, 3), RGB.
        captions: One for each.
        outlined: Whether the masks are outlined.
    """

    name: str
    pictures: Sequence[np.ndarray]
    captions: Sequence[str]
    outlined: bool = True


@style.house_style()
def masked_table(lines: Sequence[Line], masks: Sequence[np.ndarray], *, title: str = "", scale: str = "") -> "Figure":
    """Draw a column for each masked image and a row for each thing that was made of them.

    Args:
        lines: The rows, from top to bottom.
        masks: Of the images, bool (height, width).
        title: Heading.
        scale: What the colours of heatmaps stand for; "" when there are none.

    Returns:
        The figure.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    across = len(masks)
    side = 1.25 * max(mask.shape[0] / mask.shape[1] for mask in masks)
    names = 0.5 + max(len(line.name) for line in lines) / 14
    figure = Figure(
        figsize=(max(1.4 * across + names, 4.6), len(lines) * (side + 0.3) + 0.4 * bool(title) + 0.7 * bool(scale)),
        layout="constrained",
    )
    figure.set_layout_engine("constrained", h_pad=0.02, w_pad=0.03)
    axes = figure.subplots(len(lines), across, squeeze=False)
    nothing = np.zeros((1, 1), bool)
    for row, line in zip(axes, lines, strict=True):
        for ax, shown, mask, caption in zip(row, line.pictures, masks, line.captions, strict=True):
            _picture(ax, shown, mask if line.outlined else np.broadcast_to(nothing, mask.shape), caption)
            ax.title.set_fontsize(9.5)
        row[0].text(
            -0.08, 0.5, line.name, transform=row[0].transAxes, ha="right", va="center", fontsize=11, parse_math=False
        )
    if title:
        heading = figure.suptitle(style.short(title, 60), x=0.01, ha="left", fontsize=14, fontweight="bold")
        heading.set_parse_math(False)
    if scale:
        bar = figure.colorbar(
            ScalarMappable(cmap=COLOURS), ax=list(axes.flat), location="bottom", shrink=0.7, aspect=40, pad=0.01
        )
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
    """Say how much of the heatmap is inside the mask."""
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


# Up to so many classes with names of so many letters two matrices beside each other can be read on a phone.
_BESIDE, _SHORT = 3, 6


@style.house_style()
def confusion_change(before: "pd.DataFrame", after: "pd.DataFrame", *, title: str = "") -> "Figure":
    """Draw two confusion matrices of the same classes, as `confusion` does: side by side, or stacked if large.

    Args:
        before: Counts, int (classes, classes): rows are the true classes, columns the predicted ones.
        after: The same, later.
        title: Heading.

    Returns:
        The figure: both matrices, then their colour bars.

    Raises:
        UserError: A matrix is empty, or the two do not have the same classes.
    """
    if not (before.index.equals(after.index) and before.columns.equals(after.columns)):
        expected = f"of the same classes as `before`: {', '.join(map(str, before.index))}"
        raise UserError("after", expected=expected, received=", ".join(map(str, after.index)))
    from matplotlib.figure import Figure

    classes = max(before.shape)
    longest = max((len(style.short(name)) for name in before.index), default=0)
    beside = classes <= _BESIDE and longest <= _SHORT
    side = max(0.5 * classes, 1.6 if beside else 3.0) if classes <= 20 else 7.5
    width = (2 if beside else 1) * (side + (1.5 if beside else 2.2) + longest / 12)
    height = (1 if beside else 2) * (side + 1.1 + longest / 17) + 0.4 * bool(title)
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.set_layout_engine("constrained", w_pad=0.09, h_pad=0.09)
    axes = figure.subplots(1, 2) if beside else figure.subplots(2, 1)
    for ax, matrix, name in zip(axes, (before, after), ("Before", "After"), strict=True):
        confusion(matrix, title=name, ax=ax)
    if title:
        heading = figure.suptitle(style.short(title, int(width * 8)), x=0.01, ha="left", fontsize=14, fontweight="bold")
        heading.set_parse_math(False)
    return figure


_NAMES = {"precision": "Precision", "recall": "Recall", "f1": "F1"}
_RANKS = "f1"
_LETTERS = 18


@style.house_style()
def per_class_change(table: "pd.DataFrame", *, ends: int = 12, title: str = "") -> "Figure":
    """Draw each class's measures before (ring) and after (dot), a row per class, the greatest rise in F1 on top.

    Blue lines are rises, red ones with a square at their end are falls.

    Args:
        table: Columns class, metric (precision, recall, f1 or others), before, after, in [0, 1]; NaN where the class
            has no such value. One row per class and metric.
        ends: With more than twice as many classes, only this many of the greatest rises and of the greatest falls
            are drawn.
        title: Heading.

    Returns:
        The figure, with one pair of axes a metric.

    Raises:
        UserError: The table has no row, or a class and metric twice, or `ends` is not positive.
    """
    _check_change(table, ends)
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


def _check_change(table: "pd.DataFrame", ends: int) -> None:
    """Refuse an empty table, rows that come twice, and a number of rows below 1."""
    if ends < 1:
        raise UserError("ends", expected="a positive number of classes", received=ends)
    if table.empty:
        raise UserError("table", expected="a table with one row or more", received="no rows")
    twice = table[table.duplicated(["class", "metric"])]
    if len(twice):
        received = f"two for {twice['metric'].iloc[0]} of {twice['class'].iloc[0]}"
        raise UserError("table", expected="a table with one row per class and metric", received=received)


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
    figure.set_layout_engine("constrained", w_pad=0.06, h_pad=0.07, wspace=0.03)
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
