"""Kinds of filter: the expert's verdicts against the ranking, what a refit did to each kind, and errors by image."""

from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.intervals import wilson
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES = {"precision": "precision", "recall": "recall", "f1": "F1"}
"""Display names of the columns of scores."""


@style.house_style()
def verdict_scores(table: "pd.DataFrame", *, title: str = "") -> "Figure":
    """Draw the counts of the expert's verdicts against the ranking, and precision, recall and F1 of both verdicts.

    Args:
        table: The rows irrelevant, relevant and mean with the columns precision, recall, f1, filters, said and both.
        title: Heading.

    Returns:
        The figure. Lines on bars of precision and recall end 95 % Wilson intervals over the filters.

    Raises:
        UserError: If the table has other rows.
    """
    from matplotlib.figure import Figure

    if table["verdict"].tolist() != ["irrelevant", "relevant", "mean"]:
        expected = "a table with the rows irrelevant, relevant and mean"
        raise UserError("table", expected=expected, received=table["verdict"].tolist())
    figure = Figure(figsize=(9.2, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 2))
    _counts(left, table)
    places, handles = np.arange(3), []
    for number, (column, name) in enumerate(MEASURES.items()):
        values = table[column].to_numpy(float)
        at = places + (number - 1) * 0.27
        handles.append(right.bar(at, values, width=0.25, color=style.CYCLE[number], label=name))
        tops = values.copy()
        if column != "f1":
            of = table["said" if column == "precision" else "filters"].to_numpy(int)[:2]
            known = np.flatnonzero(of > 0)
            low, high = wilson(table["both"].to_numpy(int)[:2][known], of[known])
            reach = np.clip([values[known] - low, high - values[known]], 0, None)
            right.errorbar(at[known], values[known], reach, color="#202124", linestyle="none", capsize=3, linewidth=1.2)
            tops[known] = high
        for x, top, value in zip(at, tops, values, strict=True):
            right.text(x, top + 0.015, f"{value:.2f}", ha="center", va="bottom", fontsize=10)
    rows = zip(table["verdict"], table["filters"], strict=True)
    names = [f"{name}\n({count} filter{'' if count == 1 else 's'})" for name, count in rows]
    right.set_xticks(places, [*names[:2], f"weighted mean\n({table['filters'].iloc[-1]} filters)"])
    right.tick_params(axis="x", length=0)
    right.set_ylim(0, 1.12)
    right.set_yticks(np.linspace(0, 1, 6))
    right.grid(axis="y")
    right.set_ylabel("Share of filters")
    legend = figure.legend(handles, list(MEASURES.values()), loc="outside lower right", ncols=3)
    legend.set_in_layout(True)
    figure.suptitle(style.short(title, 80), x=0.01, ha="left", fontsize=14, fontweight="bold")
    return figure


def _counts(ax: "Axes", table: "pd.DataFrame") -> None:
    """Draw how many filters the ranking (rows) and the expert (columns) call so."""
    both, said, true = (table[name].to_numpy(int)[:2] for name in ("both", "said", "filters"))
    # Of two verdicts, what the expert does not call one he calls the other.
    counts = np.array([[both[0], true[0] - both[0]], [said[0] - both[0], both[1]]])
    ax.imshow(counts, cmap="Blues", vmin=0, vmax=max(int(counts.max()), 1) * 1.4)
    for (row, column), count in np.ndenumerate(counts):
        ax.text(column, row, str(count), ha="center", va="center", fontsize=16)
    names = ["irrelevant", "relevant"]
    ax.set_xticks([0, 1], names)
    ax.set_yticks([0, 1], names, rotation=90, va="center")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("to the expert")
    ax.set_ylabel("by the ranking")
    ax.set_title("Filters", fontsize=12, fontweight="normal")


@style.house_style()
def changes_by_kind(
    kinds: "pd.DataFrame", changes: "dict[str, np.ndarray]", *, title: str = "", ax: "Axes | None" = None
) -> "Figure":
    """Draw what a refit did to each kind of filter: a dot per filter, and the mean with its interval.

    Args:
        kinds: Columns kind, filters, change, low, high, rose, fell.
        changes: The changes of each kind's filters, float (filters,).
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: If there is no kind.
    """
    if kinds.empty:
        raise UserError("kinds", expected="a table with one kind or more", received="no rows")
    figure, ax = style.axes_of(ax, width=9.0, height=1.6 + 0.72 * len(kinds))
    random = np.random.default_rng(0)
    handles: list[Artist] = []
    table = zip(*(kinds[name] for name in ("kind", "change", "low", "high", "rose", "fell")), strict=True)
    for place, (kind, change, low, high, rose, fell) in enumerate(table):
        values = changes[kind]
        at = place + random.uniform(-0.24, 0.24, len(values))
        handles = [ax.scatter(values, at, s=18, color=style.SKY, alpha=0.7, linewidths=0)]
        reach = np.clip([[change - low], [high - change]], 0, None)
        look = {"color": style.BLUE, "marker": "D", "markersize": 8, "capsize": 5, "elinewidth": 2.4, "zorder": 4}
        handles.append(ax.errorbar([change], [place], xerr=reach, linestyle="none", **look).lines[0])
        words = f"{rose} rose\n{fell} fell"
        ax.text(1.02, place, words, transform=ax.get_yaxis_transform(), va="center", fontsize=10, color=style.GREY)
    handles.append(ax.axvline(0, color=style.BLACK, linestyle=":", linewidth=1.6))
    names = [f"{row.kind}\n({row.filters} filter{'' if row.filters == 1 else 's'})" for row in kinds.itertuples()]
    ax.set_yticks(range(len(kinds)), names)
    ax.set_ylim(len(kinds) - 0.45, -0.55)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.set_xlabel("Change of the mean activation by the refit")
    ax.set_title(style.short(title, 70), parse_math=False, pad=28)
    ax.legend(
        handles, ["a filter", "mean of the kind (95 %)", "no change"], loc="lower left", bbox_to_anchor=(0, 1),
        ncols=3, borderaxespad=0.2, columnspacing=1.2, handletextpad=0.4,
    )  # fmt: skip
    return figure


@style.house_style()
def doubts_and_errors(
    doubts: np.ndarray, is_right: np.ndarray, *, remark: str = "", title: str = "", ax: "Axes | None" = None
) -> "Figure":
    """Draw how active doubted filters are in images that the network has right and in those that it has wrong.

    Args:
        doubts: float (images,): mean activation of the doubted filters, in deviations from the training images.
        is_right: bool (images,).
        remark: A line below the heading.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure: a dot per image, the median, and the middle half.

    Raises:
        UserError: If the images are all right or all wrong.
    """
    is_right = np.asarray(is_right, bool)
    if is_right.all() or not is_right.any():
        raise UserError("is_right", expected="of images right and wrong", received=f"{is_right.sum()} right of all")
    figure, ax = style.axes_of(ax, width=8.4, height=3.4)
    random = np.random.default_rng(0)
    parts = ((True, style.BLUE, "right"), (False, style.VERMILLION, "wrong"))
    for place, (wanted, color, _) in enumerate(parts):
        values = doubts[is_right == wanted]
        at = place + random.uniform(-0.3, 0.3, len(values))
        # Thousands of dots: as pixels also in the SVG.
        ax.scatter(values, at, s=9, color=color, alpha=0.3, linewidths=0, rasterized=True)
        low, middle, high = np.percentile(values, [25, 50, 75])
        ax.plot([low, high], [place, place], color=style.BLACK, linewidth=4, solid_capstyle="butt", zorder=4)
        ax.plot(
            [middle], [place], "o", color="white", markeredgecolor="black", markersize=11, markeredgewidth=2, zorder=5
        )
        ax.text(1.02, place, f"median {middle:.2f}", transform=ax.get_yaxis_transform(), va="center", fontsize=11)
    names = [f"{name}\n({int((is_right == wanted).sum())} images)" for wanted, _, name in parts]
    ax.set_yticks([0, 1], names)
    ax.set_ylim(1.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.set_xlabel("Activation of the doubted filters (deviations from training)\nblack: the middle half of the images")
    ax.set_title(style.short(title, 70), parse_math=False, pad=24 if remark else 6)
    if remark:
        ax.text(0, 1.03, remark, transform=ax.transAxes, fontsize=11, color=style.GREY)
    return figure
