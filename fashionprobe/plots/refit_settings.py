"""The numbers of a refit: which values do best on validation, and what B and th of PASA do."""

from collections.abc import Mapping
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


SETTINGS = {"animals": (0.4, 0.7), "symbols": (0.8, 2.0), "x-rays": (5.0, 0.8)}
"""Name to B and th, as the source of the method sets them."""

# The same in all panels, a factor of 2 from one to the next.
_LEVELS = 2.0 ** np.arange(-3, 5)
# Below this the contours are too close together for their numbers.
_LABELLED = 0.5
_DASHES = ("-", "--", "-.", ":")
_MOST = 4


@style.house_style()
def pasa_surface(
    settings: Mapping[str, tuple[float, float]] = SETTINGS, *, activation: float = 2.0, title: str = ""
) -> "Figure":
    """Draw the factor B^(p / th) over p as one line per setting, and the penalty Act B^(p / th) over both as contours.

    With B below 1 the penalty fades as the network gets sure of the true class, with B above 1 it grows.

    Args:
        settings: Name to B and th, both above 0; four at most.
        activation: Where the axis of Act ends, above 0.
        title: Heading.

    Returns:
        The figure: on the first axes the lines, on the others the contours, and the colour bar last.

    Raises:
        UserError: There is no setting or more than four, or a number is not above 0.
    """
    if not 1 <= len(settings) <= _MOST:
        raise UserError("settings", expected=f"1 to {_MOST} settings", received=len(settings))
    for name, numbers in [("activation", (activation,)), *settings.items()]:
        if not all(0 < number < float("inf") for number in numbers):
            raise UserError(name, expected="above 0", received=", ".join(map(str, numbers)))
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.6, 6.6 + 0.3 * bool(title)), layout="constrained")
    figure.set_layout_engine("constrained", w_pad=0.06, h_pad=0.07, hspace=0.03)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.15, 1.0))  # pyright: ignore[reportGeneralTypeIssues]
    _lines(upper.subplots(), settings)
    axes = list(lower.subplots(1, len(settings), sharey=True, squeeze=False)[0])
    for ax, (name, (b, th)) in zip(axes, settings.items(), strict=True):
        filled = _contours(ax, b, th, activation)
        ax.set_title(f"{style.short(name, 14)}\nB {b:g}, th {th:g}", fontsize=12, parse_math=False)
    axes[0].set_ylabel("Act: activation\ninside the mask", multialignment="center")
    bar = lower.colorbar(filled, ax=axes, location="bottom", shrink=0.8, aspect=40, pad=0.02, ticks=_LEVELS)
    bar.ax.xaxis.set_major_formatter(lambda value, _: _fraction(value))
    bar.ax.minorticks_off()
    bar.set_label("Penalty", fontsize=11)
    if title:
        heading = figure.suptitle(style.short(title, 50), x=0.01, ha="left", fontsize=14, fontweight="bold")
        heading.set_parse_math(False)
    return figure


def penalty_factor(p: np.ndarray, b: float, th: float) -> np.ndarray:
    """Return B^(p / th), the factor of the penalty of an image whose class has the probability p."""
    return b ** (p / th)


def _lines(ax: "Axes", settings: Mapping[str, tuple[float, float]]) -> None:
    """Draw the factor over p, in steps of equal ratio: halving then looks like doubling."""
    p = np.linspace(0, 1, 101)
    for place, (name, (b, th)) in enumerate(settings.items()):
        factor = penalty_factor(p, b, th)
        ax.plot(p, factor, color=style.CYCLE[place], linestyle=_DASHES[place], linewidth=2.6, clip_on=False, zorder=3)
        ax.annotate(
            f"{style.short(name, 14)}: {factor[-1]:.2g}", (1, factor[-1]), xytext=(7, 0), textcoords="offset points",
            va="center", color=style.CYCLE[place], fontsize=12, fontweight="bold", parse_math=False,
        )  # fmt: skip
    ax.axhline(1, color=style.GREY, linestyle=":", linewidth=1.6, zorder=2)
    ax.set_yscale("log", base=2)
    ax.yaxis.set_major_formatter(lambda value, _: _fraction(value))
    ax.set_xlim(0, 1)
    ax.grid(axis="y")
    ax.set_xlabel("p: probability of the true class")
    ax.set_ylabel("Factor of the penalty\nB^(p / th)", multialignment="center", parse_math=False)


def _contours(ax: "Axes", b: float, th: float, activation: float) -> object:
    """Draw the penalty of one setting and return its filled contours."""
    from matplotlib.colors import LogNorm
    from matplotlib.patheffects import withStroke

    p, act = np.meshgrid(np.linspace(0, 1, 81), np.linspace(activation / 400, activation, 81))
    penalty = act * penalty_factor(p, b, th)
    norm = LogNorm(_LEVELS[0], _LEVELS[-1])
    filled = ax.contourf(p, act, penalty, levels=_LEVELS, norm=norm, cmap="viridis", extend="both")
    lines = ax.contour(p, act, penalty, levels=_LEVELS, colors="white", linewidths=1.0)
    for label in ax.clabel(lines, _LEVELS[_LEVELS >= _LABELLED], fmt=_fraction, fontsize=10, colors="black"):
        label.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    ax.set_xlabel("p")
    return filled


def _fraction(value: float) -> str:
    """Write a power of two, one below 1 as a fraction."""
    return f"{value:g}" if value >= 1 else f"1/{1 / value:g}"


@style.house_style()
def accuracy_by_masks(table: "pd.DataFrame", *, title: str = "") -> "Figure":
    """Draw the accuracy by the number of masks, a line for each order in which they were asked for.

    Args:
        table: Columns network, order, masks, accuracy; one row per network, order and number.
        title: Heading.

    Returns:
        The figure: means over the networks, and bars of one standard error.
    """
    figure, ax = style.axes_of(None, width=7.6, height=4.6)
    counts = np.sort(table["masks"].unique())
    places = {count: place for place, count in enumerate(counts)}
    orders = table["order"].unique()
    for number, order in enumerate(orders):
        found = table[table["order"] == order].groupby("masks")["accuracy"].agg(["mean", "sem"])
        shift = 0.06 * (number - (len(orders) - 1) / 2)
        ax.errorbar(
            [places[count] + shift for count in found.index], found["mean"], yerr=found["sem"].fillna(0),
            color=style.CYCLE[number], marker=style.MARKERS[number], capsize=3, linewidth=2, markersize=7, label=order,
        )  # fmt: skip
    ax.set_xticks(range(len(counts)), counts)
    ax.set_xlabel("Masks")
    networks = table["network"].nunique()
    ax.set_ylabel(f"Accuracy on test\n(mean ± standard error, {networks} networks)")
    ax.grid(axis="y")
    ax.legend(loc="lower right", title="Asked in the order of")
    ax.set_title(style.short(title, 70), parse_math=False)
    return figure


@style.house_style()
def act_and_penalties(table: "pd.DataFrame", penalties: Mapping[str, np.ndarray], entropy: float) -> "Figure":
    """Draw how large Act is, as a histogram, and the penalty of PASA inside the masks for several settings.

    Args:
        table: Columns masked (bool) and act; one row per image.
        penalties: Penalty of each masked image by the name of a setting, float (n,); the last one stands out.
        entropy: The cross-entropy that penalties are compared with.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    bins = np.histogram_bin_edges(table["act"], bins=30)
    looks = ((False, "whole map, training images", style.SKY), (True, "inside the masks", style.ORANGE))
    for masked, name, color in looks:
        values = table.loc[table["masked"] == masked, "act"]
        shares = np.full(len(values), 1 / max(len(values), 1))
        left.hist(values, bins=bins, weights=shares, color=color, alpha=0.65, label=f"{name} ({len(values)})")
    left.set_xlabel("Act (mean activation)")
    left.set_ylabel("Share of the images")
    left.legend()
    for place, values in enumerate(penalties.values()):
        spread = np.random.default_rng(0).uniform(-0.16, 0.16, len(values))
        color = style.VERMILLION if place == len(penalties) - 1 else style.BLUE
        right.scatter(values, place + spread, s=12, color=color, alpha=0.5, linewidths=0)
        right.plot([values.mean()] * 2, [place - 0.3, place + 0.3], color="black", linewidth=2.2)
    right.axvline(entropy, color=style.GREY, linestyle=":", linewidth=1.8)
    right.set_yticks(range(len(penalties)), list(penalties), parse_math=False)
    right.set_ylim(len(penalties) - 0.5, -0.5)
    right.set_xlabel("Penalty (bar: mean; dotted: cross-entropy)")
    figure.suptitle("Size of PASA's penalty, by (B, th)", fontsize=14, fontweight="bold", x=0.02, ha="left")
    return figure
