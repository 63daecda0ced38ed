"""What a refit did to the filters: the change of each mean, and histograms of a few."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
