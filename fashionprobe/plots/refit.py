"""The methods of correcting a network side by side: every seed, mean and deviation, and the network before."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fashionprobe.errors import UserError, unknown_name
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FAMILIES = {
    "reference": ("reference", style.BLACK, "o"),
    "penalty": ("penalty in the loss", style.BLUE, "s"),
    "replacement": ("region replaced", style.ORANGE, "^"),
    "dropout": ("channels dropped", style.PURPLE, "D"),
    "head": ("last layer refitted", style.GREEN, "P"),
}
"""Family of methods to its name, colour and marker."""

_TITLES = {
    "train": "Training accuracy", "val": "Validation accuracy", "test": "Test accuracy",
    "balanced": "Balanced accuracy", "macro_f1": "Macro F1", "swapped": "Swapped images",
    "inside": "Heat inside masks",
}  # fmt: skip
_GROUP, _MOST_GROUPS = "test: ", 3
# Letters of 12 points keep 10 pixels on a phone in a figure of this width.
_WIDTH, _ROW = 6.6, 0.36
_LETTERS = 27


@style.house_style()
def refit_methods(
    runs: "pd.DataFrame",
    *,
    columns: Sequence[str] | None = None,
    base: str = "Base",
    upper: Mapping[str, float] | None = None,
    upper_name: str = "upper bound",
    title: str = "",
) -> "Figure":
    """Draw what each method reaches: a row a method, a panel a measure, the best mean of the first panel on top.

    A large mark is the mean over the seeds, its line one standard deviation to both sides (divisor n - 1), the small
    dots below it the seeds. The dashed line is the mean of the base.

    Args:
        runs: Columns method, family, seed and the measures, in [0, 1]; one row a method and seed.
        columns: The measures. Default: test, balanced, and the first three whose name begins with "test: ", those
            that the table has.
        base: Name of the method that does nothing.
        upper: Column to a value to compare with, drawn as a dotted line.
        upper_name: What that value is.
        title: Heading.

    Returns:
        The figure, with one pair of axes a measure.

    Raises:
        UserError: The table has no row, or a column is not in it.
    """
    columns = _columns(runs, columns)
    upper = {column: value for column, value in (upper or {}).items() if column in columns}
    order = runs.groupby("method", sort=False)[columns[0]].mean()
    # A method without a measurement comes last.
    names = list(order.sort_values(ascending=False, kind="stable", na_position="last").index)
    family = runs.groupby("method")["family"].first()
    figure, axes = _panels(len(names), len(columns), title)
    for ax, column in zip(axes, columns, strict=True):
        for place, name in enumerate(names):
            values = runs.loc[runs["method"] == name, column].to_numpy(float)
            _draw(ax, values[np.isfinite(values)], place, str(family[name]))
        if base in names:
            ax.axvline(float(order[base] if column == columns[0] else _mean(runs, base, column)), **_dashed())
        if column in upper:
            ax.axvline(upper[column], **_dotted())
        _finish(ax, column, len(names), narrow=len(columns) > 2)
    axes[0].set_yticks(range(len(names)), [style.short(name, _LETTERS) for name in names], parse_math=False)
    for label, name in zip(axes[0].get_yticklabels(), names, strict=True):
        label.set_fontweight("bold" if name == base else "normal")
    shown = [each for each in [*FAMILIES, *family.unique()] if each in set(family)]
    _legend(figure, list(dict.fromkeys(shown)), base if base in names else "", upper_name if upper else "")
    return figure


def _columns(runs: "pd.DataFrame", columns: Sequence[str] | None) -> list[str]:
    """Return the measures to show."""
    if runs.empty:
        raise UserError("runs", expected="a table with one run or more", received="no rows")
    if columns is None:
        grouped = [column for column in runs.columns if str(column).startswith(_GROUP)]
        columns = [column for column in ("test", "balanced") if column in runs] + grouped[:_MOST_GROUPS]
    for column in columns:
        if column not in runs:
            raise unknown_name("columns", column, map(str, runs.columns))
    if not columns:
        raise UserError("columns", expected="one column or more", received="none")
    return list(columns)


def _panels(rows: int, count: int, title: str) -> "tuple[Figure, list[Axes]]":
    """Make the figure and its axes; many panels need two lines for their headings."""
    from matplotlib.figure import Figure

    heading = textwrap.wrap(style.short(title, 96), 48)
    height = 1.9 + _ROW * rows + 0.27 * len(heading)
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.05, h_pad=0.08, wspace=0.03)  # pyright: ignore
    axes = figure.subplots(1, count, sharey=True, squeeze=False)[0]
    if heading:
        text = figure.suptitle("\n".join(heading), x=0.01, ha="left", fontsize=14, fontweight="bold")
        text.set_parse_math(False)
    return figure, list(axes)


def _mean(runs: "pd.DataFrame", method: str, column: str) -> float:
    return float(runs.loc[runs["method"] == method, column].mean())


def _dashed() -> dict[str, Any]:
    return {"color": style.BLACK, "linestyle": "--", "linewidth": 1.4, "zorder": 2}


def _dotted() -> dict[str, Any]:
    return {"color": style.VERMILLION, "linestyle": ":", "linewidth": 2.0, "zorder": 2}


def _look(family: str) -> tuple[str, str, str]:
    """Return name, colour and marker of a family; one that is new is grey."""
    return FAMILIES.get(family, (family, style.GREY, "v"))


def _draw(ax: "Axes", values: np.ndarray, place: int, family: str) -> None:
    """Draw one method in one panel: mean, deviation, and the seeds a little below."""
    if not len(values):
        return
    _, color, marker = _look(family)
    if len(values) > 1:
        spread = values.std(ddof=1)
        ax.hlines(place, values.mean() - spread, values.mean() + spread, color=color, linewidth=2.2, zorder=3)
        ax.plot(values, np.full(len(values), place + 0.32), ".", color=color, alpha=0.65, markersize=5, zorder=3)
    ax.plot(values.mean(), place, marker, color=color, markersize=6.8, zorder=4)


def _finish(ax: "Axes", column: str, rows: int, *, narrow: bool) -> None:
    """Scale and label one panel."""
    from matplotlib.ticker import MaxNLocator

    ax.set_ylim(rows - 0.4, -0.6)
    low, high = ax.get_xlim()
    # Methods that all reach the same would be set apart by rounding; a twentieth is the least that is shown.
    middle, half = (low + high) / 2, max((high - low) / 2, 0.025)
    ax.set_xlim(middle - half, middle + half)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=3 if narrow else 6, steps=[1, 2, 2.5, 5, 10]))
    ax.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}")
    ax.grid(axis="x")
    ax.hlines(range(rows), *ax.get_xlim(), color="#EEF0F2", linewidth=1.0, zorder=0)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("%", labelpad=1)
    name = _TITLES.get(column, str(column).removeprefix(_GROUP))
    name = name[:1].upper() + name[1:]
    ax.set_title(
        "\n".join(textwrap.wrap(style.short(name, 26), 11 if narrow else 24)),
        fontsize=12,
        parse_math=False,
        va="bottom",
    )


def _legend(figure: "Figure", families: list[str], base: str, upper: str) -> None:
    """Put the legend below the panels."""
    from matplotlib.lines import Line2D

    handles: list[Artist] = []
    names = []
    for family in families:
        name, color, marker = _look(family)
        handles.append(Line2D([], [], color=color, marker=marker, markersize=7.5, linewidth=2.2))
        names.append(name)
    for name, look in ((base, _dashed()), (upper, _dotted())):
        if name:
            handles.append(Line2D([], [], **look))
            names.append(name)
    box = figure.legend(handles, ["name"] * len(names), loc="outside lower left", ncols=2, columnspacing=1.6)
    for text, name in zip(box.get_texts(), names, strict=True):
        text.set_text(style.short(name, 28))
        text.set_parse_math(False)
