"""One filter before and after a refit: its activations by class, and the images that activate it most."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure, SubFigure

CLASSES = 8
"""Classes drawn; of more, those with the greatest change."""


@style.house_style()
def filter_by_class(
    table: "pd.DataFrame",
    before: Sequence[np.ndarray],
    after: Sequence[np.ndarray],
    *,
    names: tuple[str, str] = ("before", "after"),
    title: str = "",
) -> "Figure":
    """Draw a histogram of a filter's activation for each class, and beside it the images that activate it most.

    Args:
        table: Columns class, low, high, before, after (numbers of images); rows of one filter.
        before: The top images of the first network, uint8 (height, width, 3) each, RGB, the strongest first.
        after: The same of the second.
        names: What the two networks are called.
        title: Heading.

    Returns:
        The figure.

    Raises:
        UserError: If there is no class, or no image.
    """
    from matplotlib.figure import Figure

    if table.empty or not len(before) or not len(after):
        received = f"{len(table)} rows, {len(before)} and {len(after)} images"
        raise UserError(
            "table", expected="a table of one class or more, and images before and after", received=received
        )
    chosen = _most_changed(table)
    figure = Figure(figsize=(11.0, max(3.2, 1.5 + 0.62 * len(chosen))), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.15), wspace=0.02)  # pyright: ignore[reportGeneralTypeIssues]
    _histograms(left, table, chosen, names)
    _pictures(right, [before, after], names)
    figure.suptitle(style.short(title, 80), x=0.01, ha="left", fontsize=14, fontweight="bold").set_parse_math(False)
    return figure


def _most_changed(table: "pd.DataFrame") -> list[str]:
    """Return the classes drawn: those whose histograms differ most, in the order of the table."""
    moved = (table["before"] - table["after"]).abs() / table.groupby("class")["before"].transform("sum").clip(lower=1)
    most = moved.groupby(table["class"]).sum().sort_values(ascending=False, kind="stable").index[:CLASSES]
    return [name for name in dict.fromkeys(table["class"]) if name in set(most)]


def _histograms(part: "SubFigure", table: "pd.DataFrame", chosen: list[str], names: tuple[str, str]) -> None:
    axes = part.subplots(len(chosen), 1, sharex=True, squeeze=False)[:, 0]
    handles = []
    for ax, name in zip(axes, chosen, strict=True):
        rows = table[table["class"] == name]
        edges = [*rows["low"], rows["high"].iloc[-1]]
        total = max(int(rows["before"].sum()), 1)
        handles = [
            ax.stairs(rows["before"] / total, edges, color=style.BLUE, fill=True, alpha=0.35),
            ax.stairs(rows["after"] / total, edges, color=style.VERMILLION, linewidth=2.0),
        ]
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        words = f"{style.short(name, 18)}\n({total} images)"
        ax.set_ylabel(words, rotation=0, ha="right", va="center", fontsize=10, parse_math=False)
        ax.tick_params(labelsize=10)
        ax.grid(axis="x")
    total = table["class"].nunique()
    few = f" ({len(chosen)} of {total} classes, most changed)" if total > len(chosen) else ""
    axes[-1].set_xlabel(f"Mean activation of the filter in an image{few}")
    legend = part.legend(handles, list(names), loc="outside upper right", ncols=2)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _pictures(part: "SubFigure", rows: "list[Sequence[np.ndarray]]", names: tuple[str, str]) -> None:
    axes = part.subplots(2, max(len(row) for row in rows), squeeze=False)
    for ax in axes.ravel():
        ax.set_axis_off()
    for line, row, name, color in zip(axes, rows, names, (style.BLUE, style.VERMILLION), strict=True):
        for ax, image in zip(line, row, strict=False):
            ax.imshow(image, interpolation="nearest")
        line[0].set_title(f"most active {name}", fontsize=12, fontweight="normal", color=color, parse_math=False)
