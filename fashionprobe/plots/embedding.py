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
def grid(table: "pd.DataFrame", *, best: int, neighbours: int, title: str = "") -> "Figure":
    """Draw loss and accuracy of each point of a grid over its learning rate.

    Args:
        table: One row per point: point, learning_rate, dimension, margin where there is one, loss, loss_std, accuracy
            and accuracy_std (over the folds).
        best: The point with a star.
        neighbours: k of the accuracy.
        title: Heading.

    Returns:
        The figure: a column of panels per dimension, losses above, accuracies below, a line per margin.

    Raises:
        UserError: If the best point is not in the table.
    """
    from matplotlib.figure import Figure

    if best not in set(table["point"]):
        raise UserError("best", expected="a point of the table", received=best)
    dimensions, rates = sorted(table["dimension"].unique()), sorted(table["learning_rate"].unique())
    margins = sorted(table["margin"].unique()) if "margin" in table else [None]
    figure = Figure(figsize=(2.6 + 3.2 * len(dimensions), 6.4), layout="constrained")
    figure.set_layout_engine("constrained", w_pad=0.09, h_pad=0.09)
    panels = figure.subplots(2, len(dimensions), sharex=True, sharey="row", squeeze=False)
    shifts = style.shifts(len(margins), min(0.09, 0.5 / len(margins)))
    handles = []
    for column, dimension in enumerate(dimensions):
        for row, name in enumerate(("loss", "accuracy")):
            ax, lines = panels[row, column], []
            for place, margin in enumerate(margins):
                points = table[table["dimension"] == dimension]
                points = points if margin is None else points[points["margin"] == margin]
                points = points.sort_values("learning_rate")
                x = np.array([rates.index(rate) for rate in points["learning_rate"]]) + shifts[place]
                mean, reach = points[name].to_numpy(float), points[f"{name}_std"].to_numpy(float)
                color, marker = style.look(place)
                lines.append(style.Line("" if margin is None else f"{margin:g}", x, mean, reach, color, marker))
                starred = (points["point"] == best).to_numpy()
                ax.plot(x[starred], mean[starred], "*", color=style.BLACK, markersize=15, zorder=6)
            handles = style.curves(ax, lines)
            ax.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
            ax.set_xlim(-0.5, len(rates) - 0.5)
            ax.grid(axis="y")
        panels[0, column].set_title(f"{dimension} dimensions", fontsize=12, weight="normal")
        panels[1, column].set_xlabel("Learning rate")
    if (table["loss"] > 0).all():
        panels[0, 0].set_yscale("log")
        low, high = table["loss"].min(), (table["loss"] + table["loss_std"]).max()
        # A deviation as large as its mean reaches down to 0, which is far below.
        panels[0, 0].set_ylim(low / 2, 1.5 * high)
        style.decades(panels[0, 0].yaxis)
    panels[0, 0].set_ylabel("Triplet loss (unit of the distance)")
    panels[1, 0].set_ylabel(f"Accuracy of {neighbours}-NN")
    panels[1, 0].set_ylim(0, 1)
    if margins != [None]:
        style.legend(panels[0, -1], handles, [f"{margin:g}" for margin in margins], title="margin")
    figure.suptitle(style.short(title, 60), parse_math=False, fontsize=14, weight="bold", x=0.02, ha="left")
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
