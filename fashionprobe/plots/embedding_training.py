"""The training of an embedding, epoch by epoch: loss, triplets that fail, distances against the margin."""

from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# With more points than this a marker at each would hide the line.
_MARKED = 30


@style.house_style()
def embedding_training(history: "pd.DataFrame", *, title: str = "") -> "Figure":
    """Draw how an embedding was trained, in three panels side by side.

    Args:
        history: Columns epoch (from 1), loss, active (share of triplets that fail), spread (mean distance in a batch)
            and margin (0 for a soft one).
        title: Heading.

    Returns:
        The figure.

    Raises:
        UserError: If there is no epoch.
    """
    from matplotlib.figure import Figure

    if not len(history):
        raise UserError("history", expected="a table with one epoch or more", received="no rows")
    figure = Figure(figsize=(12.6, 3.9), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.09, h_pad=0.09, wspace=0.05)  # pyright: ignore
    loss, active, distances = figure.subplots(1, 3)
    _line(loss, history, "loss", style.BLUE, "-", "o")
    loss.set_ylabel("Triplet loss (unit of the distance)")
    _line(active, history, "active", style.VERMILLION, "-", "s")
    active.set_ylabel("Triplets that fail (share)")
    active.set_ylim(0, max(1.02 * float(history["active"].max()), 0.05))
    handles = [_line(distances, history, "spread", style.GREEN, "-", "^")]
    names = ["mean distance"]
    if (history["margin"] > 0).any():
        handles.append(_line(distances, history, "margin", style.BLACK, "--", "D"))
        names.append("margin")
    distances.set_ylabel("Distance between embeddings")
    if (history[["spread", "margin"]].to_numpy() > 0).all():
        distances.set_yscale("log")
        style.decades(distances.yaxis)
    distances.legend(handles, names, loc="best")
    for ax in (loss, active, distances):
        ax.set_xlabel("Epoch")
        ax.grid(axis="y")
        ax.xaxis.get_major_locator().set_params(integer=True)
    loss.set_title(style.short(title, 60), parse_math=False, pad=12)
    return figure


def _line(ax: "Axes", history: "pd.DataFrame", column: str, color: str, line: str, marker: str) -> "Line2D":
    epochs, values = history["epoch"].to_numpy(int), history[column].to_numpy(float)
    shown = marker if len(epochs) <= _MARKED else None
    return ax.plot(epochs, np.where(np.isfinite(values), values, np.nan), line, color=color, marker=shown, zorder=3)[0]
