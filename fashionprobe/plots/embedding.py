"""Embeddings: what a search over settings reached, and classes that the embedding never saw."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError, unknown_name
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@style.house_style()
def trials(
    table: "pd.DataFrame", names: Sequence[str], *, logarithmic: Collection[str] = (), title: str = ""
) -> "Figure":
    """Draw the score of each trial over each setting, one panel per setting.

    Args:
        table: One row per trial: a column per setting, mean and std (of the accuracy over the folds), pruned (bool).
        names: The settings.
        logarithmic: Those with a logarithmic axis.
        title: Heading.

    Returns:
        The figure; trials that were given up early are open marks, and the best one has a star.

    Raises:
        UserError: If no trial is whole, or a setting is not in the table.
    """
    from matplotlib.figure import Figure

    whole = table[~table["pruned"]]
    if not len(whole):
        raise UserError("table", expected="a trial with all its folds or more", received="none")
    for name in names:
        if name not in table:
            raise unknown_name("names", name, list(table.columns), what="a column of the table")
    best = whole.iloc[int(whole["mean"].to_numpy().argmax())]
    figure = Figure(figsize=(1.2 + 3.9 * len(names), 4.2), layout="constrained")
    figure.set_layout_engine("constrained", w_pad=0.09, h_pad=0.09)
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    cut = table[table["pruned"]]
    for ax, name in zip(panels, names, strict=True):
        look = {"linestyle": "none", "color": style.BLUE, "marker": "o", "markersize": 7, "zorder": 3}
        ax.errorbar(whole[name], whole["mean"], whole["std"], capsize=3, elinewidth=1.2, **look)
        ax.plot(cut[name], cut["mean"], markerfacecolor="white", markeredgewidth=1.6, **look)
        star = {**look, "marker": "*", "markersize": 17, "color": style.VERMILLION, "zorder": 4}
        ax.plot([best[name]], [best["mean"]], **star)
        if name in logarithmic:
            ax.set_xscale("log")
            style.decades(ax.xaxis)
        else:
            ax.set_xticks(sorted(table[name].unique()))
        ax.set_xlabel(name.replace("_", " "))
        ax.grid(axis="y")
    panels[0].set_ylabel("Accuracy (line: std over the folds)")
    panels[0].set_title(style.short(title, 60), parse_math=False, pad=12)
    return figure


@style.house_style()
def unseen_classes(table: "pd.DataFrame", *, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """Draw the area under the ROC curve of each class, by networks that were trained with it and without it.

    Args:
        table: Columns class, seen (bool) and auc, one row per network.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure; classes are ordered by the mean of the networks without them.

    Raises:
        UserError: If there is no row.
    """
    if not len(table):
        raise UserError("table", expected="a row or more", received="no rows")
    without = table[~table["seen"]].groupby("class")["auc"].mean().sort_values()
    names = [str(name) for name in without.index]
    figure, ax = style.axes_of(ax, width=8.4, height=1.6 + 0.36 * len(names))
    handles = []
    for seen, color, marker in ((False, style.VERMILLION, "s"), (True, style.BLUE, "o")):
        rows = table[table["seen"] == seen]
        places = np.array([names.index(str(name)) for name in rows["class"]], float)
        shift = -0.14 if seen else 0.14
        look = {"color": color, "marker": marker, "linestyle": "none", "zorder": 3}
        ax.plot(rows["auc"], places - shift, markersize=4, alpha=0.55, **look)
        means = rows.groupby("class")["auc"].mean()
        at = np.array([names.index(str(name)) for name in means.index], float)
        handles += ax.plot(means, at - shift, markersize=9, markerfacecolor="white", markeredgewidth=2, **look)
    ax.axvline(0.5, color=style.GREY, linestyle=":", linewidth=1.8)
    ax.set_yticks(range(len(names)), [style.short(name) for name in names], parse_math=False)
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.set_xlabel("Area under the ROC curve (0.5: chance); small marks: single networks")
    ax.grid(axis="x")
    ax.set_title(style.short(title, 60), parse_math=False)
    style.legend(ax, handles, ["trained without the class", "trained with it"])
    return figure
