"""What normalization and distance make of each block: the best of each as curves, and all of them as a table."""

from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = {"none": "as they are", "l2": "unit length", "standard": "standardized", "whiten": "whitened"}
"""Normalizations in words."""


@style.house_style()
def ablation_curves(
    table: "pd.DataFrame",
    *,
    honest: tuple[float, float, float] | None = None,
    chance: float | None = None,
    title: str = "",
    ax: "Axes | None" = None,
) -> "Figure":
    """Draw the best accuracy of each normalization at each block.

    Args:
        table: Columns block, normalization, accuracy_mean, accuracy_std, folds; one row a candidate.
        honest: Accuracy of the choice on images that had no part in it, and its 95 % interval, drawn as a band.
        chance: Accuracy of a blind guess, drawn as a dotted line.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: The table has no row.
    """
    if table.empty:
        raise UserError("table", expected="one with a row or more", received="no rows")
    best = table.loc[table.groupby(["normalization", "block"], sort=False)["accuracy_mean"].idxmax()]
    names = list(dict.fromkeys(table["normalization"]))
    blocks = sorted(set(best["block"]))
    figure, ax = style.axes_of(ax, width=6.6)
    handles, labels = [], []
    for place, name in enumerate(names):
        rows = best[best["normalization"] == name].sort_values("block")
        shift = 0.05 * (place - (len(names) - 1) / 2)
        bars = ax.errorbar(
            rows["block"] + shift, rows["accuracy_mean"], rows["accuracy_std"], capsize=3, linewidth=2, markersize=7,
            color=style.CYCLE[place % len(style.CYCLE)], marker=style.MARKERS[place % len(style.MARKERS)],
        )  # fmt: skip
        handles.append(bars.lines[0])
        labels.append(NAMES.get(name, name))
    if honest:
        accuracy, low, high = honest
        ax.axhspan(low, high, color=style.GREY, alpha=0.15, linewidth=0)
        handles.append(ax.axhline(accuracy, color=style.GREY, linewidth=1.6))
        labels.append("the choice, on images\nit never saw (95 %)")
    if chance is not None:
        handles.append(ax.axhline(chance, color=style.GREY, linestyle=":", linewidth=1.8))
        labels.append(f"chance ({chance:.2g})")
    ax.set_xticks(blocks)
    ax.set_xlim(blocks[0] - 0.4, blocks[-1] + 0.4)
    ax.set_ylim(0, 1)
    ax.grid(axis="y")
    ax.set_xlabel("Block of the backbone (1 is nearest the image)")
    ax.set_ylabel(f"Best accuracy\n(mean ± std over {int(table['folds'].iloc[0])} folds)", multialignment="center")
    ax.set_title(style.short(title, 60), parse_math=False)
    style.legend(ax, handles, labels, title="Descriptors")
    return figure


@style.house_style()
def ablation_table(table: "pd.DataFrame", *, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """Draw the accuracy of all candidates as a shaded table: one row a normalization, distance and classifier.

    Args:
        table: Columns block, normalization, metric, classifier, parameter, accuracy_mean; one row a candidate.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: The table has no row.
    """
    if table.empty:
        raise UserError("table", expected="one with a row or more", received="no rows")
    keys = ["normalization", "metric", "classifier", "parameter"]
    wide = table.set_index([*keys, "block"])["accuracy_mean"].unstack("block")
    wide = wide.reindex(list(dict.fromkeys(table[keys].itertuples(index=False, name=None))))
    values = wide.to_numpy(float)
    figure, ax = style.axes_of(ax, width=5.2 + 0.62 * values.shape[1], height=1.5 + 0.3 * len(values))
    ax.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="none")
    top = np.unravel_index(np.nanargmax(values), values.shape)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            weight = "bold" if (row, column) == top else "normal"
            color = "white" if value > 0.55 else "black"
            ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=10, color=color, fontweight=weight)
    ax.set_xticks(range(values.shape[1]), [str(block) for block in wide.columns])
    ax.set_yticks(range(len(values)), [_words(*row) for row in wide.index], fontsize=10)
    ax.tick_params(length=0)
    ax.set_xlabel("Block of the backbone (1 is nearest the image)")
    ax.set_title(style.short(title, 60), parse_math=False)
    return figure


def _words(normalization: str, metric: str, classifier: str, parameter: str) -> str:
    reader = f"{parameter}-NN" if classifier == "knn" else "nearest mean"
    return f"{NAMES.get(normalization, normalization)}, {reader}, {metric}"
