"""How faithful heatmaps are: deletion and insertion curves, and what is left when weights are randomised."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# Past seven methods the colours come round again, with another line.
_DASHES = ("-", "--", ":")
_GROUP = 28
"""Letters of a method's name that the legend has room for."""


class Curve(Protocol):
    """What `fashionprobe.explain.faithfulness` measures."""

    @property
    def fractions(self) -> np.ndarray:
        """Float (steps + 1,), share of the pixels."""
        ...

    @property
    def probabilities(self) -> np.ndarray:
        """Float (images, steps + 1)."""
        ...

    @property
    def auc(self) -> np.ndarray:
        """Float (images,)."""
        ...


@style.house_style()
def deletion_insertion(
    deletion: Mapping[str, Curve], insertion: Mapping[str, Curve], *, quantity: str = "Probability", title: str = ""
) -> "Figure":
    """Draw the mean curves of several methods, deletion beside insertion, with a band of one standard error.

    Args:
        deletion: Method to its curves of deletion.
        insertion: The same methods to their curves of insertion.
        quantity: What the curves show, as it stands at the axis.
        title: Heading.

    Returns:
        The figure, with deletion on its first axes and insertion on its second; the legend has the mean areas.

    Raises:
        UserError: There is no method, or the two do not hold the same ones.
    """
    if not deletion:
        raise UserError("deletion", expected="curves of one method or more", received="none")
    if set(deletion) != set(insertion):
        raise UserError("insertion", expected=f"curves of: {', '.join(deletion)}", received=", ".join(insertion))
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.2, 4.2), layout="constrained")
    figure.set_layout_engine("constrained", w_pad=0.09, h_pad=0.09, wspace=0.04)
    left, right = figure.subplots(1, 2, sharey=True)
    handles, names = [], []
    for place, method in enumerate(deletion):
        handles.append(_mean(left, deletion[method], place))
        _mean(right, insertion[method], place)
        areas = f"{deletion[method].auc.mean():.2f} / {insertion[method].auc.mean():.2f}"
        names.append(f"{style.short(method, _GROUP)}\n{areas}")
    for ax, verb in ((left, "erased"), (right, "put in")):
        ax.set_xlim(0, 1)
        ax.set_xlabel(f"Share of pixels {verb}, most relevant first")
        ax.grid(axis="y")
    images = len(next(iter(deletion.values())).auc)
    left.set_ylabel(f"{quantity}, mean of {images} images" if images > 1 else quantity)
    if float(min(line.get_ydata().min() for ax in (left, right) for line in ax.lines)) >= 0:
        left.set_ylim(bottom=0)
    left.set_title("Deletion: lower is better")
    right.set_title("Insertion: higher is better")
    if title:
        figure.suptitle(style.short(title, 60), x=0.01, ha="left", weight="bold", fontsize=14).set_parse_math(False)
    style.legend(right, handles, names, title="area: deletion ↓ / insertion ↑")
    return figure


@style.house_style()
def randomization(table: "pd.DataFrame", *, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """Draw how much of each method's maps is left as the weights are randomised from the output down.

    Error bars are the standard deviation over the images.

    Args:
        table: Columns randomized, images, correlation_mean, correlation_std, and method unless there is but one.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: The table has no rows.
    """
    if table.empty:
        raise UserError("table", expected="a table with one row or more", received="no rows")
    from matplotlib.ticker import MaxNLocator

    figure, ax = style.axes_of(ax, width=7.2)
    groups = dict(list(table.groupby("method", sort=False))) if "method" in table else {"": table}
    handles = [_cascade(ax, rows, place) for place, rows in enumerate(groups.values())]
    ax.axhline(0, color=style.GREY, linestyle=":", linewidth=1.8, zorder=2)
    ax.set_ylim(min(-0.1, 1.05 * float((table["correlation_mean"] - table["correlation_std"]).min())), 1.08)
    ax.set_xlim(left=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(axis="y")
    ax.set_xlabel("Layers with random weights, from the output down")
    ax.set_ylabel("Rank correlation with the first map")
    ax.set_title(style.short(title, 60), parse_math=False)
    if "method" in table:
        style.legend(ax, handles, [style.short(method, _GROUP) for method in groups])
    return figure


def _look(place: int) -> dict[str, str]:
    """Return colour and line of a method."""
    around, color = divmod(place, len(style.CYCLE))
    return {"color": style.CYCLE[color], "linestyle": _DASHES[around % len(_DASHES)]}


def _mean(ax: "Axes", curve: Curve, place: int) -> "Line2D":
    """Draw the mean over the images, and a band of one standard error where there are several."""
    values = np.asarray(curve.probabilities, float)
    mean = values.mean(axis=0)
    (line,) = ax.plot(curve.fractions, mean, linewidth=2.4, zorder=3, **_look(place))  # pyright: ignore[reportArgumentType]
    if len(values) > 1:
        error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
        ax.fill_between(curve.fractions, mean - error, mean + error, color=line.get_color(), alpha=0.18, linewidth=0)
    return line


def _cascade(ax: "Axes", rows: "pd.DataFrame", place: int) -> "Line2D":
    """Draw one method, from the trained network, whose maps are the first ones, to that with random weights."""
    rows = rows.sort_values("randomized")
    drawn = ax.errorbar(
        np.r_[0, rows["randomized"].to_numpy(float)],
        np.r_[1.0, rows["correlation_mean"].to_numpy(float)],
        yerr=np.r_[0.0, rows["correlation_std"].to_numpy(float)],
        marker=style.MARKERS[place % len(style.MARKERS)],
        markersize=5.5,
        linewidth=2.4,
        elinewidth=1.2,
        capsize=3,
        zorder=3,
        **_look(place),  # pyright: ignore[reportArgumentType]
    )
    return drawn.lines[0]
