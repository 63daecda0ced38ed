"""What normalization and distance make of each block: the best of each as curves, and all of them as a table."""

from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = {
    "none": "as they are", "l2": "unit length", "standard": "standardized", "whiten": "whitened", "sqrt": "rooted",
    "sqrt_whiten": "rooted, whitened",
}  # fmt: skip
"""Display names of normalizations."""


@style.house_style()
def ablation_curves(
    table: "pd.DataFrame",
    *,
    honest: tuple[float, float, float] | None = None,
    chance: float | None = None,
    title: str = "",
    ax: "Axes | None" = None,
) -> "Figure":
    """Draw the best accuracy of each normalization at each block, by whichever pooling; joined blocks are left out.

    Args:
        table: Columns block (a number, a pooling of it as 4/max, or joined ones as 3+4), normalization, accuracy_mean,
            accuracy_std, folds; one row a candidate.
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
    numbers = table["block"].astype(str).str.extract(r"^(\d+)(?:/.*)?$")[0]
    table = table[numbers.notna()].assign(block=numbers.dropna().astype(int))
    best = table.loc[table.groupby(["normalization", "block"], sort=False)["accuracy_mean"].idxmax()]
    names = list(dict.fromkeys(table["normalization"]))
    figure, ax = style.axes_of(ax, width=6.6)
    lines = []
    for place, name in enumerate(names):
        rows = best[best["normalization"] == name].sort_values("block")
        block, mean, std = (rows[each].to_numpy(float) for each in ("block", "accuracy_mean", "accuracy_std"))
        lines.append(style.Line(NAMES.get(name, str(name)), block, mean, std, *style.look(place)))
    more = []
    if honest:
        accuracy, low, high = honest
        ax.axhspan(low, high, color=style.GREY, alpha=0.15, linewidth=0)
        band = ax.axhline(accuracy, color=style.GREY, linewidth=1.6)
        more = [(band, "the choice, on images\nit never saw (95 %)")]
    ylabel = f"Best accuracy\n(mean ± std over {int(table['folds'].iloc[0])} folds)"
    style.curves_by_block(ax, lines, chance=chance, ylabel=ylabel, title=title, legend_title="Descriptors", more=more)
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
    table = table.assign(block=table["block"].astype(str))
    wide = table.set_index([*keys, "block"])["accuracy_mean"].unstack("block")
    wide = wide.reindex(list(dict.fromkeys(table[keys].itertuples(index=False, name=None))))
    wide = wide[list(dict.fromkeys(table["block"]))]
    values = wide.to_numpy(float)
    figure, ax = style.axes_of(ax, width=5.2 + 0.62 * values.shape[1], height=1.5 + 0.3 * len(values))
    ax.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="none")
    top = np.unravel_index(np.nanargmax(values), values.shape)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            weight = "bold" if (row, column) == top else "normal"
            color = "white" if value > 0.55 else "black"
            ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=10, color=color, fontweight=weight)
    steep = any(len(block) > 4 for block in wide.columns)
    turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if steep else {}
    ax.set_xticks(range(values.shape[1]), list(wide.columns), **turned)
    ax.set_yticks(range(len(values)), [_words(*row) for row in wide.index], fontsize=10)
    ax.tick_params(length=0)
    ax.set_xlabel("Block of the backbone (1 is nearest the image)")
    ax.set_title(style.short(title, 60), parse_math=False)
    return figure


def _words(normalization: str, metric: str, classifier: str, parameter: str) -> str:
    reader = f"{parameter}-NN" if classifier == "knn" else "nearest mean"
    return f"{NAMES.get(normalization, normalization)}, {reader}, {metric}"
