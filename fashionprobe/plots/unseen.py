"""Classes told apart by an embedding that never saw them, beside one that did."""

from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@style.house_style()
def unseen_classes(table: "pd.DataFrame", *, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """Draw the area under the ROC curve of each class, by networks that were trained with it and without it.

    Args:
        table: Columns class, seen (bool) and auc, one row a network.
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
