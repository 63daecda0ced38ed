"""Network dissection: how many concepts the units of each block detect, and how well each concept is found."""

from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NETWORKS = {"as given": style.BLUE, "random weights": style.VERMILLION}


@style.house_style()
def detectors_by_block(
    table: "pd.DataFrame", *, least: float, concepts: int, title: str = "", ax: "Axes | None" = None
) -> "Figure":
    """Draw how many concepts have a detector in each block: a bar per network.

    Args:
        table: Columns network ("as given" or "random weights"), block, detectors and units.
        least: IoU that a detector exceeds.
        concepts: How many concepts there are.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: If the table has no rows.
    """
    if table.empty:
        raise UserError("table", expected="a table with one block or more", received="no rows")
    blocks = sorted(table["block"].unique())
    networks = [name for name in _NETWORKS if name in set(table["network"])]
    figure, ax = style.axes_of(ax, width=max(5.4, 1.6 + 1.2 * len(blocks)), height=4.2)
    width = 0.8 / len(networks)
    for place, name in enumerate(networks):
        counts = table[table["network"] == name].set_index("block")["detectors"].reindex(blocks)
        x = np.arange(len(blocks)) + (place - (len(networks) - 1) / 2) * width
        bars = ax.bar(x, counts, width * 0.92, color=_NETWORKS[name], label=name, hatch="//" * place, edgecolor="white")
        ax.bar_label(bars, fontsize=11, padding=1)
    units = table.drop_duplicates("block").set_index("block")["units"]
    ax.set_xticks(range(len(blocks)), [f"block {block}\n{units[block]} units" for block in blocks])
    ax.tick_params(axis="x", length=0)
    ax.set_ylim(0, concepts * 1.05)
    ax.set_ylabel(f"Concepts with a detector, of {concepts}\n(best IoU of a unit above {least:g})")
    ax.grid(axis="y")
    if len(networks) > 1:
        ax.legend(loc="upper left", title="weights")
    ax.set_title(style.short(title, 60))
    return figure


@style.house_style()
def best_iou(table: "pd.DataFrame", *, title: str = "") -> "Figure":
    """Draw the IoU of the best unit for each concept, by block: a panel per network, one scale for all.

    Args:
        table: Columns network, block, kind, concept and iou; one row per network, block and concept.
        title: Heading.

    Returns:
        The figure.

    Raises:
        UserError: If the table has no rows.
    """
    if table.empty:
        raise UserError("table", expected="a table with one concept or more", received="no rows")
    from matplotlib.figure import Figure

    networks = [name for name in _NETWORKS if name in set(table["network"])]
    blocks = sorted(table["block"].unique())
    concepts = table.drop_duplicates("concept")[["concept", "kind"]].to_numpy().tolist()
    most = float(table["iou"].max()) or 1.0
    figure = Figure(
        figsize=(3.0 + 0.72 * len(blocks) * len(networks), 1.7 + 0.26 * len(concepts)), layout="constrained"
    )
    axes = figure.subplots(1, len(networks), squeeze=False, sharey=True)[0]
    image = None
    for ax, name in zip(axes, networks, strict=True):
        of_network = table[table["network"] == name].pivot(index="concept", columns="block", values="iou")
        values = of_network.loc[[concept for concept, _ in concepts], blocks].to_numpy()
        image = ax.imshow(values, cmap="cividis", vmin=0, vmax=most, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            colour = "white" if value < 0.55 * most else "black"
            ax.text(column, row, f"{value:.2f}"[1:], ha="center", va="center", fontsize=9, color=colour)
        ax.set_xticks(range(len(blocks)), [str(block) for block in blocks])
        ax.set_xlabel("Block")
        ax.set_title(name, fontsize=12, fontweight="normal")
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    kinds = [kind for _, kind in concepts]
    for ax in axes:
        for row in (place for place in range(1, len(kinds)) if kinds[place] != kinds[place - 1]):
            ax.axhline(row - 0.5, color="white", linewidth=3)
    axes[0].set_yticks(range(len(concepts)), [style.short(concept, 18) for concept, _ in concepts], fontsize=11)
    figure.colorbar(image, ax=list(axes), label="IoU of the best unit", aspect=40, pad=0.02)  # pyright: ignore[reportArgumentType]
    figure.suptitle(style.short(title, 60), x=0.01, ha="left", fontsize=14, fontweight="bold")
    return figure
