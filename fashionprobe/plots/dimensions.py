"""Accuracy over the number of dimensions that descriptors are reduced to: one line a block."""

from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style
from fashionprobe.plots.curves import classifier_name

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WISHED = 4


def shown_classifier(table: "pd.DataFrame") -> tuple[str, str]:
    """Return the classifier to show: 4-NN, else the k-NN with k nearest to 4, else the first of the table."""
    ks = sorted({int(k) for k in table.loc[table["classifier"] == "knn", "parameter"]})
    if ks:
        return "knn", str(min(ks, key=lambda k: abs(k - _WISHED)))
    return str(table["classifier"].iloc[0]), str(table["parameter"].iloc[0])


@style.house_style()
def accuracy_by_dimension(
    table: "pd.DataFrame", *, chance: float | None = None, title: str = "", ax: "Axes | None" = None
) -> "Figure":
    """Draw the accuracy of one classifier by number of dimensions, one line a block, for one label.

    The last point of a line, an open mark, is the block with all its channels. Error bars are the standard deviation
    over the folds; lines are moved sideways by a hair so that bars stand beside each other.

    Args:
        table: Columns label, block, dimensions, classifier, parameter, accuracy_mean, accuracy_std, folds; one label.
        chance: Accuracy of a blind guess, drawn as a dotted line.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: If the table holds no label or several.
    """
    labels = sorted({str(label) for label in table["label"]})
    if len(labels) != 1:
        expected = "a table with the rows of one label"
        raise UserError("table", expected=expected, received=", ".join(labels) or "no rows")
    classifier = shown_classifier(table)
    parameter = table["parameter"].astype(str)
    rows = table[(table["classifier"] == classifier[0]) & (parameter == classifier[1])]
    figure, ax = style.axes_of(ax, width=7.2)
    blocks = sorted({int(block) for block in rows["block"]})
    # In a logarithmic scale a step to the side is a factor.
    shifts = 1.012 ** (np.arange(len(blocks)) - (len(blocks) - 1) / 2)
    handles: list[Artist] = []
    for place, (block, shift) in enumerate(zip(blocks, shifts, strict=True)):
        curve = rows[rows["block"] == block].sort_values("dimensions")
        handles.append(_draw(ax, curve, float(shift), place))
    names = [f"block {block}" for block in blocks]
    if chance is not None:
        handles.append(ax.axhline(chance, color=style.GREY, linestyle=":", linewidth=1.8, zorder=2))
        names.append(f"chance ({chance:.2g})")
    folds = {int(count) for count in rows["folds"]}
    over = f"{folds.pop()} folds" if len(folds) == 1 else "the folds"
    ax.set_ylabel(f"Accuracy of {classifier_name(*classifier)}\n(mean ± std over {over})", multialignment="center")
    _finish(ax, sorted({int(number) for number in rows["dimensions"]}))
    ax.set_title(style.short(title, 60), parse_math=False)
    style.legend(ax, handles, names)
    return figure


def _draw(ax: "Axes", curve: "pd.DataFrame", shift: float, place: int) -> "Artist":
    """Draw one block and return its line."""
    color = style.CYCLE[place % len(style.CYCLE)]
    marker = style.MARKERS[(place + place // len(style.CYCLE)) % len(style.MARKERS)]
    dimensions = curve["dimensions"].to_numpy(float) * shift
    mean, std = curve["accuracy_mean"].to_numpy(float), curve["accuracy_std"].to_numpy(float)
    look = {"color": color, "marker": marker, "markersize": 7, "elinewidth": 1.4, "capsize": 3}
    line = ax.errorbar(dimensions[:-1], mean[:-1], yerr=std[:-1], linewidth=2.2, **look).lines[0]
    ax.plot(dimensions[-2:], mean[-2:], color=color, linestyle=":", linewidth=1.6)
    ax.errorbar(dimensions[-1:], mean[-1:], yerr=std[-1:], **look, markerfacecolor="white", markeredgewidth=1.8)
    return line


def _finish(ax: "Axes", dimensions: list[int]) -> None:
    """Scale and label the axes."""
    ax.set_xscale("log", base=2)
    # Numbers of channels may lie so near each other that their labels would overlap.
    labelled: list[int] = []
    for number in dimensions:
        if not labelled or number >= 1.5 * labelled[-1]:
            labelled.append(number)
    ax.set_xticks(dimensions, [str(number) if number in labelled else "" for number in dimensions])
    ax.minorticks_off()
    ax.set_ylim(0, 1)
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.grid(axis="y")
    ax.set_xlabel("Dimensions after UMAP (open: all channels, as they are)")
