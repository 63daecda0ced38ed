"""Accuracy of each label on the images that a network was not trained on, beside what the most frequent class gives."""

from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SPLITS = {"val": ("validation", style.BLUE, "o"), "test": ("test", style.VERMILLION, "s")}


@style.house_style()
def accuracy_by_label(scores: "pd.DataFrame", *, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """Draw the accuracy of each label with its 95 % Wilson interval, by split.

    Args:
        scores: Columns label, split (val or test), accuracy, low, high, majority (share of the most frequent class).
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: If there is no row.
    """
    if not len(scores):
        raise UserError("scores", expected="a table with a row or more", received="no rows")
    labels = list(dict.fromkeys(scores["label"]))
    splits = [split for split in SPLITS if (scores["split"] == split).any()]
    figure, ax = style.axes_of(ax, width=4.6 + 1.1 * len(labels))
    handles, names = [], []
    for split, shift in zip(splits, style.shifts(len(splits), 0.24), strict=True):
        rows = scores[scores["split"] == split]
        places = np.array([labels.index(label) for label in rows["label"]]) + shift
        name, color, marker = SPLITS[split]
        accuracy = rows["accuracy"].to_numpy(float)
        reach = np.abs(rows[["low", "high"]].to_numpy(float).T - accuracy)
        drawn = ax.errorbar(places, accuracy, yerr=reach, color=color, marker=marker, markersize=8, linestyle="none",
                            elinewidth=1.8, capsize=4, zorder=4)  # fmt: skip
        handles.append(drawn.lines[0])
        names.append(name)
        guess = ax.hlines(rows["majority"], places - 0.1, places + 0.1, color=style.GREY, linewidth=2.4, zorder=3)
        # Beside its point, away from the other split.
        side, ha = (-9, "right") if shift < 0 else (9, "left")
        for place, value in zip(places, accuracy, strict=True):
            ax.annotate(f"{value:.2f}", (place, value), xytext=(side, 0), textcoords="offset points", va="center",
                        ha=ha, color=color)  # fmt: skip
    ax.set_xticks(range(len(labels)), [style.short(label, 18) for label in labels])
    ax.set_xlim(-0.6, len(labels) - 0.4)
    style.shares(ax, "Accuracy (95 % Wilson interval)", title)
    style.legend(ax, [*handles, guess], [*names, "always the most\nfrequent class"])
    return figure
