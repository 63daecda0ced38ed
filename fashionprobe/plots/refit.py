"""The methods of correcting a network side by side, and the course of one refit."""

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
    """Draw what each method reaches: a row per method, a panel per measure, the best mean of the first panel on top.

    A large mark is the mean over the seeds, its line one standard deviation to both sides (divisor n - 1), the small
    dots below it the seeds. The dashed line is the mean of the base.

    Args:
        runs: Columns method, family, seed and the measures, in [0, 1]; one row per method and seed.
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
    figure.set_layout_engine("constrained", w_pad=0.05, h_pad=0.08, wspace=0.03)
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


_TERMS = (
    ("loss", "loss", style.BLACK, "-", "o"),
    ("cross_entropy", "cross-entropy", style.BLUE, "--", "s"),
    ("penalty", "penalty", style.VERMILLION, "-.", "^"),
)
_ACCURACIES = (
    ("val", "validation images", style.BLUE, "-", "o"),
    ("swapped", "masked images, region swapped", style.ORANGE, "--", "s"),
)
# With more points than this a marker at each would hide the line.
_MARKED = 30


@style.house_style()
def refit_curves(
    iterations: "pd.DataFrame",
    masked: "pd.DataFrame | None" = None,
    *,
    method: str,
    seed: int | None = None,
    chosen: int | None = None,
    title: str = "",
) -> "Figure":
    """Draw how one method refits a network, one panel below the other; its other seeds stand pale behind.

    Args:
        iterations: Columns method, seed, iteration (from 0), loss, cross_entropy, penalty, val, swapped; NaN where
            nothing was measured. A line without any measurement is left out, as is a penalty that is always 0.
        masked: Columns method, seed, iteration, id, probability (of the image's class); None for no such panel.
        method: The method to show.
        seed: The seed to show; the first of the table by default.
        chosen: The iteration whose weights were kept, marked in every panel.
        title: Heading.

    Returns:
        The figure: loss terms, accuracy if it was measured, and probabilities if there are any.

    Raises:
        UserError: The table lacks the method or the seed, or `chosen` is not one of its iterations.
    """
    runs = _of_method(iterations, method)
    seed = int(runs["seed"].iloc[0]) if seed is None else seed
    if seed not in set(runs["seed"]):
        expected = f"one of: {', '.join(map(str, runs['seed'].unique()))}"
        raise UserError("seed", expected=expected, received=seed)
    steps = runs.loc[runs["seed"] == seed, "iteration"]
    if chosen is not None and chosen not in set(steps):
        raise UserError("chosen", expected=f"in {steps.min()} to {steps.max()}, an iteration", received=chosen)
    if masked is not None:
        masked = masked[masked["method"] == method]
    terms, accuracies = _known(runs, _TERMS), _known(runs, _ACCURACIES)
    panels = [
        "loss",
        *(["accuracy"] if accuracies else []),
        *(["masked"] if masked is not None and len(masked) else []),
    ]
    figure, axes = _curve_panels(panels, title)
    _draw_lines(axes["loss"], runs, seed, terms, heading="Loss")
    axes["loss"].set_ylim(bottom=0)
    if accuracies:
        _draw_lines(axes["accuracy"], runs, seed, accuracies, heading="Accuracy")
        _shares(axes["accuracy"])
    if masked is not None and "masked" in axes:
        _draw_images(axes["masked"], masked, seed)
    _label_curves(list(axes.values()), steps.to_numpy(int), chosen)
    return figure


def _of_method(iterations: "pd.DataFrame", method: str) -> "pd.DataFrame":
    """Return the rows of one method, in the order of its iterations."""
    if iterations.empty:
        raise UserError("iterations", expected="a table with one row or more", received="no rows")
    runs = iterations[iterations["method"] == method]
    if runs.empty:
        raise unknown_name("method", method, map(str, iterations["method"].unique()))
    return runs.sort_values("iteration", kind="stable")


def _known(runs: "pd.DataFrame", columns: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the lines that have something to show; a loss without a penalty is its cross-entropy alone."""
    known = [each for each in columns if each[0] in runs and np.isfinite(runs[each[0]].to_numpy(float)).any()]
    without = "penalty" in runs and not np.nan_to_num(runs["penalty"].to_numpy(float)).any()
    return [each for each in known if not (without and each[0] in ("penalty", "loss"))]


def _curve_panels(names: list[str], title: str) -> "tuple[Figure, dict[str, Axes]]":
    """Make the figure, one panel below the other: so a phone shows all of them in their full width."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.6, 0.6 + 2.85 * len(names)), layout="constrained")
    figure.set_layout_engine("constrained", w_pad=0.09, h_pad=0.07, hspace=0.03)
    axes = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    if title:
        heading = figure.suptitle(style.short(title, 50), x=0.01, ha="left", fontsize=14, fontweight="bold")
        heading.set_parse_math(False)
    return figure, dict(zip(names, axes, strict=True))


def _draw_lines(ax: "Axes", runs: "pd.DataFrame", seed: int, lines: Sequence[tuple[str, ...]], *, heading: str) -> None:
    """Draw the lines of one panel, the chosen seed strong and named, the others pale."""
    from matplotlib.lines import Line2D

    handles, names = [], []
    for column, name, color, dash, marker in lines:
        for each, rows in runs.groupby("seed"):
            measured = rows[np.isfinite(rows[column].to_numpy(float))]
            strong = each == seed
            (line,) = ax.plot(
                measured["iteration"],
                measured[column],
                color=color,
                linestyle=dash,
                linewidth=2.2 if strong else 1.0,
                alpha=1.0 if strong else 0.35,
                marker=marker if strong and len(measured) <= _MARKED else "none",
                markersize=5,
                zorder=4 if strong else 2,
            )
            if strong:
                handles.append(line)
                names.append(name)
    if runs["seed"].nunique() > 1 and heading == "Loss":
        handles.append(Line2D([], [], color=style.GREY, linewidth=1.0, alpha=0.5))
        names.append("other seeds")
    _heading(ax, heading, handles, names)


def _draw_images(ax: "Axes", masked: "pd.DataFrame", seed: int) -> None:
    """Draw a thin line for each masked image of the chosen seed, and the mean of each seed."""
    from matplotlib.collections import LineCollection

    wide = masked[masked["seed"] == seed].pivot_table(index="iteration", columns="id", values="probability")
    lines = [np.stack([wide.index, wide[column]], axis=1)[wide[column].notna()] for column in wide]
    images = LineCollection(lines, colors=style.GREY, linewidths=0.9, alpha=max(0.15, min(0.6, 8 / max(len(lines), 1))))
    ax.add_collection(images)
    mean: Any = None
    for each, rows in masked.groupby("seed"):
        means = rows.groupby("iteration")["probability"].mean()
        strong = each == seed
        look = {"linewidth": 3.0, "zorder": 4} if strong else {"linewidth": 1.0, "alpha": 0.35, "zorder": 3}
        (line,) = ax.plot(means.index, means, color=style.GREEN, **look)
        mean = line if strong else mean
    entries = [(mean, "mean"), (LineCollection([], colors=style.GREY), f"one of {len(lines)} images")]
    entries = [(handle, name) for handle, name in entries if handle is not None]
    _heading(ax, "Masked images: probability of their class", *map(list, zip(*entries, strict=True)))
    _shares(ax)


def _heading(ax: "Axes", heading: str, handles: list[Any], names: list[str]) -> None:
    """Write the heading of a panel, and its legend below that."""
    ax.set_title(heading, fontsize=12, pad=26 if handles else 6)
    ax.legend(
        handles, names, loc="lower left", bbox_to_anchor=(-0.01, 1.0), borderaxespad=0.1, borderpad=0.2,
        ncols=max(len(names), 1), columnspacing=1.4,
    )  # fmt: skip


def _shares(ax: "Axes") -> None:
    """Scale an axis from 0 to 1, with room for lines along its ends."""
    ax.set_ylim(-0.02, 1.02)
    ax.set_yticks(np.linspace(0, 1, 6))


def _label_curves(axes: "list[Axes]", steps: np.ndarray, chosen: int | None) -> None:
    """Mark the kept iteration and label the axes."""
    from matplotlib.ticker import MaxNLocator

    pad = max(0.5, 0.015 * (steps.max() - steps.min()))
    for ax in axes:
        ax.grid(axis="y")
        if chosen is not None:
            ax.axvline(chosen, color=style.PURPLE, linewidth=2.0, zorder=1.5)
    if chosen is not None:
        right = chosen > (steps.min() + steps.max()) / 2
        axes[0].annotate(
            f"kept: iteration {chosen}", (chosen, 1), xycoords=("data", "axes fraction"),
            xytext=(-5 if right else 5, -3), textcoords="offset points", ha="right" if right else "left", va="top",
            fontsize=11, zorder=6, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )  # fmt: skip
    axes[-1].set_xlim(steps.min() - pad, steps.max() + pad)
    axes[-1].xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True))
    axes[-1].set_xlabel("Iteration")
