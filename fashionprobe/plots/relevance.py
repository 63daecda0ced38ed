"""Which filters matter: the curve over their number, rankings, the expert's view, and what a refit changed."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CRITERIA = {
    "mutual_information_rank": "mutual information",
    "extra_trees_rank": "extra trees",
    "one_filter_rank": "one-filter classifier",
}
"""Display names of the columns of ranks."""


@style.house_style()
def relevance_curve(
    curve: "pd.DataFrame",
    l1: "pd.DataFrame | None" = None,
    *,
    chance: float | None = None,
    enough: int | None = None,
    network: float | None = None,
    reaching: int | None = None,
    measured: str = "",
    title: str = "",
    ax: "Axes | None" = None,
) -> "Figure":
    """Draw the accuracy of linear classifiers over the number of filters: the best first, at random, and L1 models.

    Args:
        curve: Columns order ("ranked", "random", "softmax"), filters, accuracy, low, high.
        l1: Columns filters, accuracy, low, high; models without a filter are left out.
        chance: Accuracy of a blind guess, drawn as a dotted line.
        enough: Number of filters that is enough for 95 % of the accuracy of all, marked.
        network: Accuracy of the whole network on the same images, drawn as a line.
        reaching: Number of filters with which the softmax layer reaches it, marked.
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
    lines = [("softmax", style.GREEN, "-", "best first, softmax\n(band: 95 % Wilson)")]
    lines.append(("ranked", style.BLUE, "-", "best first, LDA\n(band: 95 % Wilson)"))
    lines.append(("random", style.GREY, "--", "random order, LDA\n(band: least to greatest)"))
    for name, color, dash, words in lines:
        rows = curve[curve["order"] == name].sort_values("filters")
        if rows.empty:
            continue
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
    if network is not None:
        handles.append(ax.axhline(network, color=style.BLACK, linestyle="-.", linewidth=1.6))
        names.append(f"the whole network ({network:.2g})")
    if reaching is not None:
        handles.append(_mark(ax, curve[curve["order"] == "softmax"], reaching, style.GREEN, "D"))
        names.append(f"{_filters(reaching)}: as the network")
    if enough is not None:
        handles.append(_mark(ax, ranked, enough, style.BLUE, "o"))
        names.append(f"{_filters(enough)}: 95 % of\nthe accuracy of all")
    _over_filters(ax, int(ranked["filters"].iloc[-1]))
    # A little above 1, or marks there would be cut.
    ax.set_ylim(0, 1.03)
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.set_ylabel("Accuracy" + (f"\n({measured})" if measured else ""), multialignment="center")
    ax.set_title(style.short(title, 70), parse_math=False)
    style.legend(ax, handles, names)
    return figure


@style.house_style()
def relevance_change(
    curves: "Mapping[str, pd.DataFrame]",
    networks: Mapping[str, float | None],
    marks: Mapping[str, int | None],
    *,
    measured: str = "",
    title: str = "",
    ax: "Axes | None" = None,
) -> "Figure":
    """Draw the accuracy over the number of filters of two networks, each ranked by itself.

    Args:
        curves: For each network, named as in the legend, its curve: the rows "softmax" are drawn.
        networks: Accuracy of each whole network, drawn as a line; None for none.
        marks: Number of filters with which each reaches that, marked; None for none.
        measured: What the accuracy is measured on, for the axis.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.
    """
    figure, ax = style.axes_of(ax, width=8.4, height=4.6)
    handles, names, most = [], [], 1
    for (name, curve), color, marker in zip(curves.items(), (style.BLUE, style.VERMILLION), ("o", "D"), strict=False):
        rows = curve[curve["order"] == "softmax"].sort_values("filters")
        most = int(rows["filters"].iloc[-1])
        ax.fill_between(rows["filters"], rows["low"], rows["high"], color=color, alpha=0.18, linewidth=0)
        handles += ax.plot(rows["filters"], rows["accuracy"], color=color, linewidth=2.4)
        names.append(f"{name}\n(band: 95 % Wilson)")
        network, mark = networks[name], marks[name]
        if network is not None:
            handles.append(ax.axhline(network, color=color, linestyle="-.", linewidth=1.6))
            names.append(f"the whole network ({network:.2g})")
        if mark is not None:
            handles.append(_mark(ax, rows, mark, color, marker))
            names.append(f"{_filters(mark)}: as the network")
    _over_filters(ax, most)
    ax.set_ylim(0, 1.03)
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.set_ylabel("Accuracy of a softmax layer" + (f"\n({measured})" if measured else ""), multialignment="center")
    ax.set_title(style.short(title, 70), parse_math=False)
    style.legend(ax, handles, names)
    return figure


def _mark(ax: "Axes", rows: "pd.DataFrame", filters: int, color: str, marker: str) -> "Artist":
    """Mark a curve at a number of filters."""
    there = float(rows.loc[rows["filters"] == filters, "accuracy"].iloc[0])
    look = {"markersize": 9, "markerfacecolor": "white", "markeredgewidth": 2, "linestyle": "none", "zorder": 5}
    return ax.plot([filters], [there], color=color, marker=marker, **look)[0]


def _filters(count: int) -> str:
    return f"{count} filter{'' if count == 1 else 's'}"


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
        ax.annotate(str(row.filter), (row.ratio, row.relevance_rank), (6, 3), textcoords="offset points", fontsize=10)
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


COLOURS = "viridis"
"""Colour map of the relevance rank: dark for the most relevant."""


@style.house_style()
def masked_filters(
    image: np.ndarray,
    mask: np.ndarray,
    inside: np.ndarray,
    whole: np.ndarray,
    relevance: np.ndarray,
    *,
    count: int = 10,
    title: str = "",
) -> "Figure":
    """Draw an image with the outline of its mask, and the filters most active inside it.

    Args:
        image: uint8 (height, width, 3), RGB.
        mask: bool (height, width), True where irrelevant.
        inside: float (filters,): mean activation of each filter inside the mask.
        whole: float (filters,): the same over the whole map, drawn as a tick.
        relevance: float (filters,): rank of each filter, 1 for the most relevant.
        count: Filters drawn.
        title: Heading.

    Returns:
        The figure.

    Raises:
        UserError: If the mask has another size than the image, or the filters differ in number.
    """
    import matplotlib as mpl
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    if mask.shape != image.shape[:2]:
        raise UserError("mask", expected=f"of the image's size, {list(image.shape[:2])}", received=list(mask.shape))
    if not inside.shape == whole.shape == relevance.shape or inside.ndim != 1 or count < 1:
        received = f"{list(inside.shape)}, {list(whole.shape)}, {list(relevance.shape)}"
        raise UserError("inside", expected="(filters,), as `whole` and `relevance`", received=received)
    best = np.argsort(-inside, kind="stable")[:count]
    figure = Figure(figsize=(9.0, 1.5 + 0.3 * max(len(best), 8)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
    left.imshow(image, interpolation="nearest")
    # Around the edge of the picture too: a mask that ends there gets its whole outline.
    padded = np.pad(mask.astype(float), 1)
    rows, columns = np.arange(-1, mask.shape[0] + 1), np.arange(-1, mask.shape[1] + 1)
    for color, width in (("white", 3.6), (style.VERMILLION, 2.0)):
        left.contour(columns, rows, padded, levels=[0.5], colors=[color], linewidths=[width])
    left.set(xlim=(-1, mask.shape[1]), ylim=(mask.shape[0], -1))
    left.set_axis_off()
    left.set_title("image, mask outlined", fontsize=12, fontweight="normal")
    scale = Normalize(1, max(len(relevance), 2))
    colours = mpl.colormaps[COLOURS](scale(relevance[best]))
    places = np.arange(len(best))
    right.barh(places, inside[best], color=colours, height=0.74)
    right.plot(whole[best], places, "|", color="black", markersize=14, markeredgewidth=2.4)
    for place, number in zip(places, best, strict=True):
        text = f" rank {relevance[number]:g}"
        right.text(max(inside[number], whole[number]), place, text, va="center", fontsize=10, color=style.GREY)
    right.margins(x=0.16)
    right.set_xlim(left=min(0.0, float(inside[best].min())))
    right.set_yticks(places, [str(number) for number in best])
    right.set_ylim(len(best) - 0.4, -0.6)
    right.grid(axis="x")
    right.set_ylabel("Filter")
    right.set_xlabel("Mean activation in the mask (tick: over the whole map)")
    bar = figure.colorbar(ScalarMappable(scale, COLOURS), ax=right, pad=0.02)
    bar.ax.invert_yaxis()
    bar.set_label("Relevance rank (top: most relevant)")
    figure.suptitle(style.short(title, 80), x=0.01, ha="left", fontsize=14, fontweight="bold")
    return figure


_COLUMNS = 4


@style.house_style()
def mean_changes(table: "pd.DataFrame", *, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """Draw the change of each filter's mean, over all images and inside the masks, each sorted by itself.

    Args:
        table: Columns change and change_error; with masks inside_change and inside_change_error.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: If there is no filter.
    """
    if table.empty:
        raise UserError("table", expected="a table with one filter or more", received="no rows")
    figure, ax = style.axes_of(ax, width=8.4, height=4.4)
    handles, names = [], []
    looks = [("change", style.GREY, "over all images"), ("inside_change", style.VERMILLION, "inside the masks")]
    for column, color, name in looks:
        if column in table:
            rows = table.sort_values(column)
            change, error = rows[column].to_numpy(float), rows[f"{column}_error"].fillna(0).to_numpy(float)
            places = np.arange(1, len(rows) + 1)
            ax.fill_between(places, change - error, change + error, color=color, alpha=0.25, linewidth=0)
            handles += ax.plot(places, change, color=color, linewidth=2.4, marker="o" if len(rows) < 40 else "")
            fell = float(np.mean(change + error < 0))
            names.append(f"{name}\n({fell:.0%} of filters fall)")
    handles.append(ax.axhline(0, color="black", linestyle=":", linewidth=1.6))
    names.append("no change")
    ax.grid(axis="y")
    ax.set_xlabel("Filters, the greatest fall first (each line in its own order)")
    ax.set_ylabel("Change of the mean activation\n(band: 95 %)", multialignment="center")
    ax.set_title(style.short(title, 70), parse_math=False)
    style.legend(ax, handles, names)
    return figure


@style.house_style()
def filter_histograms(
    table: "pd.DataFrame", filters: Sequence[int], *, names: tuple[str, str] = ("before", "after"), title: str = ""
) -> "Figure":
    """Draw how the activations of some filters are spread over the images, before and after.

    Args:
        table: Columns filter, low, high, before, after (numbers of images).
        filters: The filters to draw, in this order.
        names: What the two networks are called.
        title: Heading.

    Returns:
        The figure: four filters a row at most.

    Raises:
        UserError: If there is no filter to draw, or the table lacks one.
    """
    from matplotlib.figure import Figure

    missing = sorted(set(filters) - set(table["filter"]))
    if not len(filters) or missing:
        raise UserError("filters", expected="filters of the table, one or more", received=missing or "none")
    columns = min(len(filters), _COLUMNS)
    rows = -(-len(filters) // columns)
    figure = Figure(figsize=(max(2.3 * columns + 0.6, 5.0), 1.9 * rows + 1.2), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.ravel()[len(filters) :]:
        ax.set_axis_off()
    handles = []
    for ax, number in zip(axes.ravel(), filters, strict=False):
        part = table[table["filter"] == number]
        edges = [*part["low"], part["high"].iloc[-1]]
        handles = [
            ax.stairs(part["before"], edges, color=style.BLUE, fill=True, alpha=0.35),
            ax.stairs(part["after"], edges, color=style.VERMILLION, linewidth=2.2),
        ]
        ax.set_title(f"filter {number}", fontsize=12, fontweight="normal")
        ax.tick_params(labelsize=10)
        ax.grid(axis="y")
    for ax in axes[:, 0]:
        ax.set_ylabel("Images")
    figure.supxlabel("Mean activation of the filter in an image", fontsize=12)
    legend = figure.legend(handles, list(names), loc="outside upper right", ncols=2)
    for text in legend.get_texts():
        text.set_parse_math(False)
    figure.suptitle(style.short(title, 26 * columns), x=0.01, ha="left", fontsize=14, fontweight="bold")
    return figure
