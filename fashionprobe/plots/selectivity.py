"""How selective the channels of each block are."""

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Steps of the colour map cividis, which looks the same to people with and without colour blindness.
_SHADES = ("#00224E", "#434E6C", "#7D7C78", "#BCAF6F", "#FEE838")
_EDGES = np.linspace(0, 1, len(_SHADES) + 1)
_LETTERS = ("white", "white", "white", "#202124", "#202124")
INDICES = {"class_index": "Class selectivity index", "colour_index": "Colour selectivity index"}


@style.house_style()
def selectivity_by_block(
    table: "pd.DataFrame", index: str, *, title: str = "", remark: str = "", ax: "Axes | None" = None
) -> "Figure":
    """Draw how many of each block's channels have a low, a middle, a high index: a bar a block, cut in five shares.

    Channels without an index (silent, or unlabelled) are left out of the shares and named beside the bar. An index
    below 0 counts as 0.

    Args:
        table: Columns block and the index; one row a channel.
        index: Name of the column, "class_index" or "colour_index".
        title: Heading.
        remark: What the reader has to know, below the axes.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: If the table has no rows.

    Reference:
        The shares of neurons by layer of Rafegas et al., Understanding trained CNNs by indexing neuron selectivity,
        Pattern Recognition Letters 2020, https://arxiv.org/abs/1702.00382.
    """
    if table.empty:
        raise UserError("table", expected="a table with one channel or more", received="no rows")
    blocks = sorted(table["block"].unique())
    notes = textwrap.wrap(remark, 82)
    figure, ax = style.axes_of(ax, width=7.4, height=2.0 + 0.66 * len(blocks) + 0.2 * len(notes))
    for place, block in enumerate(blocks):
        values = table.loc[table["block"] == block, index].to_numpy(float)
        known = np.clip(values[np.isfinite(values)], 0, 1)
        shares = np.histogram(known, _EDGES)[0] / max(len(known), 1)
        _bar(ax, place, shares)
        silent = len(values) - len(known)
        count = f"{len(known)} channels" + (f"\n+ {silent} without" if silent else "")
        count += f"\nmedian {np.median(known):.2f}" if len(known) else ""
        ax.text(1.02, place, count, transform=ax.get_yaxis_transform(), va="center", fontsize=10, color=style.GREY)
    _write(ax, [f"block {block}" for block in blocks], index)
    if notes:
        ax.annotate(
            "\n".join(notes), (0, 0), xycoords="axes fraction", xytext=(0, -46), textcoords="offset points", va="top",
            fontsize=10, color=style.GREY,
        )  # fmt: skip
    ax.set_title(style.short(title, 60), parse_math=False, pad=48)
    return figure


def _bar(ax: "Axes", place: int, shares: np.ndarray) -> None:
    """Draw one bar of shares, each with its percentage where there is room."""
    start = 0.0
    for share, shade, letters in zip(shares, _SHADES, _LETTERS, strict=True):
        ax.barh(place, share, left=start, height=0.72, color=shade, edgecolor="white", linewidth=0.8)
        if share >= 0.06:
            ax.text(start + share / 2, place, f"{share:.0%}", ha="center", va="center", fontsize=10, color=letters)
        start += share


def _write(ax: "Axes", names: list[str], index: str) -> None:
    """Label the axes and put the legend above them, in the order of the shares."""
    from matplotlib.patches import Patch

    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(0, 1)
    ax.set_xticks(np.linspace(0, 1, 6), [f"{share:.0%}" for share in np.linspace(0, 1, 6)])
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("Share of the block's channels")
    handles = [
        Patch(color=shade, label=f"{low:.1f} to {high:.1f}")
        for shade, low, high in zip(_SHADES, _EDGES, _EDGES[1:], strict=False)
    ]
    ax.legend(
        handles=handles, title=INDICES.get(index, index), loc="lower left", bbox_to_anchor=(0, 1), ncols=len(handles),
        borderaxespad=0.2, borderpad=0.1, columnspacing=1.1, handletextpad=0.4, handlelength=1.2, alignment="left",
        fontsize=10, title_fontsize=10,
    )  # fmt: skip
