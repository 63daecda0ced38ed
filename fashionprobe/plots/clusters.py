"""How far the clusters of each block agree with the classes of a label."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INDICES = {"ari": "ARI", "ami": "AMI"}
_COLORS = (style.BLUE, style.ORANGE)
_HATCHES = ("", "//")


@style.house_style()
def agreement_by_block(table: "pd.DataFrame", *, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """Draw a pair of bars a block: adjusted Rand index and adjusted mutual information.

    Both are 0 for clusters that have nothing to do with the classes, so that is where the bars start. Below each block
    stand the number of clusters and the share of images in none.

    Args:
        table: Columns block, ari, ami, clusters, noise; one row a block.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: If the table has no rows, or two of one block.
    """
    if table.empty or table["block"].duplicated().any():
        raise UserError("table", expected="a table with one row a block", received=f"blocks {list(table['block'])}")
    rows = table.sort_values("block")
    figure, ax = style.axes_of(ax, width=max(6.2, 1.6 + 1.05 * len(rows)), height=4.2)
    places = np.arange(len(rows))
    handles = []
    for index, (column, color) in enumerate(zip(INDICES, _COLORS, strict=True)):
        values = rows[column].to_numpy(float)
        bars = ax.bar(
            places + (index - 0.5) * 0.4, values, width=0.38, color=color, hatch=_HATCHES[index], edgecolor="white"
        )
        ax.bar_label(bars, [f"{value:.2f}" for value in values], fontsize=10, padding=2)
        handles.append(bars)
    ax.set_xticks(places, [_under(row) for row in rows.to_dict("records")], fontsize=10)
    ax.axhline(0, color="#3C4043", linewidth=1)
    ax.set_ylim(min(0.0, float(rows[list(INDICES)].to_numpy().min()) - 0.05), 1)
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.grid(axis="y")
    ax.tick_params(axis="x", length=0)
    ax.set_xlabel("Block of the backbone (1 is nearest the image)")
    ax.set_ylabel("Agreement of clusters with classes\n(0: none, 1: the same)", multialignment="center")
    ax.set_title(style.short(title, 60), parse_math=False)
    style.legend(ax, handles, list(INDICES.values()))
    return figure


def _under(row: Mapping[Any, Any]) -> str:
    """Return what stands below a block: its number, how many clusters, and how much is in none."""
    clusters = int(row["clusters"])
    return f"{row['block']}\n{clusters} {'cluster' if clusters == 1 else 'clusters'}\n{100 * row['noise']:.0f} % noise"
