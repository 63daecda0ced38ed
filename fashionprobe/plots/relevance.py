"""Which filters matter: the curve over the number of filters, the rankings, and the expert against the ranking."""

from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CRITERIA = {
    "mutual_information_rank": "mutual information",
    "extra_trees_rank": "extra trees",
    "one_filter_rank": "one-filter classifier",
}
"""Columns of the table of ranks, in words."""


@style.house_style()
def relevance_curve(
    curve: "pd.DataFrame",
    l1: "pd.DataFrame | None" = None,
    *,
    chance: float | None = None,
    enough: int | None = None,
    measured: str = "",
    title: str = "",
    ax: "Axes | None" = None,
) -> "Figure":
    """Draw the accuracy of a linear classifier over the number of filters: the best first, at random, and L1 models.

    Args:
        curve: Columns order ("ranked", "random"), filters, accuracy, low, high.
        l1: Columns filters, accuracy, low, high; models without a filter are left out.
        chance: Accuracy of a blind guess, drawn as a dotted line.
        enough: Number of filters that is enough for 95 % of the accuracy of all, marked.
        measured: What the accuracy is measured on, for the axis.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: If the curve has no ranked row.
    """
    ranked = curve[curve["order"] == "ranked"].sort_values("filters")
    if ranked.empty:
        raise UserError("curve", expected="a table with ranked rows", received="none")
    figure, ax = style.axes_of(ax, width=8.4, height=4.6)
    handles, names = [], []
    lines = [("ranked", style.BLUE, "-", "best first\n(band: 95 % Wilson)")]
    lines.append(("random", style.GREY, "--", "random order\n(band: least to greatest)"))
    for name, color, dash, words in lines:
        rows = curve[curve["order"] == name].sort_values("filters")
        ax.fill_between(rows["filters"], rows["low"], rows["high"], color=color, alpha=0.18, linewidth=0)
        handles += ax.plot(rows["filters"], rows["accuracy"], color=color, linewidth=2.4, linestyle=dash)
        names.append(words)
    if l1 is not None and (l1["filters"] >= 1).any():
        rows = l1[l1["filters"] >= 1]
        reach = [rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]]
        handles.append(ax.errorbar(
            rows["filters"], rows["accuracy"], np.clip(reach, 0, None), color=style.VERMILLION, marker="s",
            markersize=6, linestyle="none", elinewidth=1.2, capsize=2,
        ).lines[0])  # fmt: skip
        names.append("left by L1 logistic\nregression (95 %)")
    if chance is not None:
        handles.append(ax.axhline(chance, color=style.BLACK, linestyle=":", linewidth=1.6))
        names.append(f"largest class ({chance:.2g})")
    if enough is not None:
        there = float(ranked.loc[ranked["filters"] == enough, "accuracy"].iloc[0])
        look = {"color": style.BLUE, "marker": "o", "markersize": 9, "markerfacecolor": "white", "markeredgewidth": 2}
        handles += ax.plot([enough], [there], linestyle="none", **look)
        names.append(f"{enough} filter{'s' if enough > 1 else ''}: 95 % of\nthe accuracy of all")
    _over_filters(ax, int(ranked["filters"].iloc[-1]))
    # A little above 1, or marks there would be cut.
    ax.set_ylim(0, 1.03)
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.set_ylabel("Accuracy" + (f"\n({measured})" if measured else ""), multialignment="center")
    ax.set_title(style.short(title, 70), parse_math=False)
    style.legend(ax, handles, names)
    return figure


def _over_filters(ax: "Axes", most: int) -> None:
    ax.set_xscale("log", base=2)
    ticks = [2**power for power in range(int(np.log2(most)) + 1)]
    if most > 1.4 * ticks[-1]:
        ticks.append(most)
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    ax.grid()
    ax.set_xlabel(f"Number of filters (of {most})")


@style.house_style()
def top_filters(table: "pd.DataFrame", *, count: int = 20, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """Draw the most relevant filters with their rank by each criterion.

    Args:
        table: Columns filter, rank, mean_rank and those of `CRITERIA`.
        count: Filters drawn.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: If there is no filter.
    """
    if table.empty or count < 1:
        raise UserError("table", expected="a table with one filter or more, to draw one or more", received=len(table))
    rows = table.sort_values(["rank", "filter"]).head(count)
    places = np.arange(len(rows))
    figure, ax = style.axes_of(ax, width=8.4, height=1.5 + 0.27 * len(rows))
    handles, names = [], []
    spread = rows[list(CRITERIA)]
    ax.hlines(places, spread.min(axis=1), spread.max(axis=1), color="#C5C8CC", linewidth=2, zorder=1)
    for place, (column, name) in enumerate(CRITERIA.items()):
        look = {"color": style.CYCLE[place], "marker": style.MARKERS[place], "alpha": 0.9}
        handles += ax.plot(rows[column], places, linestyle="none", markersize=7, **look)
        names.append(name)
    handles += ax.plot(rows["mean_rank"], places, linestyle="none", marker="|", markersize=13, color="black", mew=2.4)
    names.append("mean of the three")
    ax.set_yticks(places, [str(number) for number in rows["filter"]], fontsize=10)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xscale("log")
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000) if tick <= len(table)]
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    ax.grid(axis="x")
    ax.set_xlabel(f"Rank among {len(table)} filters (1 tells most about the classes)")
    ax.set_ylabel("Filter")
    ax.set_title(style.short(title, 70), parse_math=False)
    style.legend(ax, handles, names, title="Rank by")
    return figure


@style.house_style()
def expert_against_ranking(
    table: "pd.DataFrame", *, agreement: str = "", title: str = "", ax: "Axes | None" = None
) -> "Figure":
    """Draw every filter by how active it is in the masks and by its relevance; the suspicious ones stand out.

    Args:
        table: Columns filter, ratio, relevance_rank, suspicious; filters without a ratio are left out.
        agreement: A line about the correlation, below the heading.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: If no filter has a ratio.
    """
    rows = table[np.isfinite(table["ratio"])]
    if rows.empty:
        raise UserError("table", expected="a filter that is active in a masked image", received="none")
    figure, ax = style.axes_of(ax, width=8.4, height=4.8)
    handles, names = [], []
    looks = (
        (False, style.GREY, "o", 22, "other filters"),
        (True, style.VERMILLION, "D", 44, "irrelevant to the expert,\nrelevant by the ranking"),
    )
    for wanted, color, marker, area, words in looks:
        part = rows[rows["suspicious"] == wanted]
        handles.append(ax.scatter(
            part["ratio"], part["relevance_rank"], s=area, c=color, marker=marker, alpha=0.8, linewidths=0,
            zorder=3 if wanted else 2,
        ))  # fmt: skip
        names.append(f"{words} ({len(part)})")
    for row in rows[rows["suspicious"]].head(8).itertuples():
        ax.annotate(str(row.filter), (row.ratio, row.relevance_rank), (6, 3), textcoords="offset points", fontsize=10)  # pyright: ignore
    handles.append(ax.axvline(1, color="black", linestyle=":", linewidth=1.6))
    names.append("as active in the masks\nas on the average")
    ax.set_ylim(len(table) + 0.02 * len(table) + 0.5, 0.5 - 0.02 * len(table))
    ax.grid()
    ax.set_xlabel("Mean activation in the masks / over the whole map")
    ax.set_ylabel(f"Relevance rank (1 of {len(table)}: most)")
    heading = style.short(title, 70)
    ax.set_title(heading, parse_math=False, pad=24 if agreement else 6)
    if agreement:
        ax.text(0, 1.02, agreement, transform=ax.transAxes, fontsize=11, color=style.GREY)
    style.legend(ax, handles, names)
    return figure
