"""Distances of pairs within the classes and across them: histograms by block, and how far they overlap."""

from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3
_MOST_ROWS = 30


@style.house_style()
def distance_histograms(
    histogram: "pd.DataFrame", table: "pd.DataFrame", *, distance: str = "Distance", title: str = ""
) -> "Figure":
    """Draw the distances of positive and of negative pairs, one panel per block.

    Args:
        histogram: Columns block, low, high, positives, negatives: all classes together, in pairs.
        table: One row per block: block, overlap, auc.
        distance: What the distance is.
        title: Heading.

    Returns:
        The figure.

    Raises:
        UserError: If there is no block.
    """
    if table.empty:
        raise UserError("table", expected="a table with one block or more", received="no rows")
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    columns = min(_COLUMNS, len(table))
    rows = -(-len(table) // columns)
    figure = Figure(figsize=(max(3.4 * columns, 5.2), 2.8 * rows + 1.3), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax, (_, row) in zip(axes.flat, table.iterrows(), strict=False):
        _panel(ax, histogram[histogram["block"] == row["block"]])
        ax.set_title(f"block {row['block']:.0f}: overlap {row['overlap']:.2f}", fontsize=12)
    for ax in axes.flat[len(table) :]:
        ax.set_visible(False)
    handles = [Patch(color=style.BLUE, alpha=0.5), Patch(color=style.ORANGE, alpha=0.5)]
    axes.flat[0].legend(handles, ["one class", "two classes"], title="Pairs of", loc="upper right", fontsize=10)
    figure.supxlabel(distance, fontsize=12)
    figure.supylabel("Share of the pairs", fontsize=12)
    figure.suptitle(style.short(title, 70), x=0.02, ha="left", fontsize=14, fontweight="bold").set_parse_math(False)
    return figure


def _panel(ax: "Axes", rows: "pd.DataFrame") -> None:
    """Draw the two histograms of one block, each as shares."""
    edges = np.append(rows["low"].to_numpy(float), rows["high"].to_numpy(float)[-1])
    for column, color in (("positives", style.BLUE), ("negatives", style.ORANGE)):
        counts = rows[column].to_numpy(float)
        shares = counts / counts.sum()
        ax.stairs(shares, edges, fill=True, color=color, alpha=0.35)
        ax.stairs(shares, edges, color=color, linewidth=1.8)
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylim(0)
    ax.locator_params(nbins=4)
    ax.tick_params(labelsize=10)


@style.house_style()
def overlap_by_block(table: "pd.DataFrame", *, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """Draw the overlap of the distances as a table: a row per class, a column per block, dark where classes are apart.

    Args:
        table: Columns class, block, overlap; the row of all classes last.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure. Of many classes only those with the least overlap are drawn, and the row of all.

    Raises:
        UserError: If the table has no rows.
    """
    if table.empty:
        raise UserError("table", expected="a table with one class or more", received="no rows")
    blocks = sorted(table["block"].unique())
    wide = table.pivot_table(index="class", columns="block", values="overlap", sort=False)[blocks]
    together, classes = wide.iloc[-1:], wide.iloc[:-1]
    chosen = classes.loc[classes.min(axis=1).sort_values(kind="stable").index[:_MOST_ROWS]]
    values = np.concatenate([chosen.to_numpy(float), together.to_numpy(float)])
    figure, ax = style.axes_of(ax, width=3.2 + 0.85 * len(blocks), height=1.7 + 0.38 * len(values))
    picture = ax.imshow(values, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(*values.shape):
        color = "#202124" if values[row, column] > 0.55 else "white"
        ax.text(column, row, f"{values[row, column]:.2f}", ha="center", va="center", fontsize=11, color=color)
    # The classes together stand apart from the classes.
    ax.axhline(len(values) - 1.5, color="white", linewidth=5)
    ax.set_xticks(range(len(blocks)), [f"block {block}" for block in blocks])
    ax.set_yticks(range(len(values)), [*(style.short(name, 20) for name in chosen.index), "all"], parse_math=False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    few = f" ({len(chosen)} of {len(classes)} classes)" if len(chosen) < len(classes) else ""
    ax.set_xlabel(f"0: apart, 1: the same{few}")
    bar = figure.colorbar(picture, ax=ax, pad=0.02, aspect=25)
    bar.set_label("Overlap of distances")
    ax.set_title(style.short(title, 60), parse_math=False)
    return figure
