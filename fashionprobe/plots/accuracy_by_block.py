"""Accuracy over the blocks: all classifiers of one label, or one classifier in several runs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style
from fashionprobe.plots.curves import Curve, curves, find

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The blue of the palette, from pale to dark: the hue says k-NN, the shade says k.
_BLUES = ("#A6CEE8", "#67AFD9", "#0072B2", "#0A4F7D", "#062F4D")
_MEANS = (style.VERMILLION, style.ORANGE)
_OTHERS = (style.GREEN, style.PURPLE, style.BLACK)
_EMPHASIS = ("knn", "4")


@style.house_style()
def accuracy_by_block(
    accuracy: "pd.DataFrame",
    *,
    chance: float | None = None,
    title: str = "",
    ax: "Axes | None" = None,
) -> "Figure":
    """Draw the accuracy of every classifier at every block, for one label.

    Error bars are the standard deviation over the folds. Curves are moved sideways by a hair so that the
    bars of one block stand beside each other.

    Args:
        accuracy: Columns label, block, classifier, parameter, accuracy_mean, accuracy_std, folds; one label.
        chance: Accuracy of a blind guess, drawn as a dotted line.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: The table holds no label or several.
    """
    found = curves(accuracy)
    figure, ax = style.axes_of(ax, width=_width(found))
    looks = _looks(found)
    handles: list[Artist] = []
    for curve, look, shift in zip(found, looks, _shifts(len(found)), strict=True):
        strong = (curve.classifier, curve.parameter) == _EMPHASIS
        handles.append(_draw(ax, curve, color=look[0], marker=look[1], shift=shift, strong=strong))
    # Broken in two lines, long names leave the curves more room.
    names = [curve.name.replace(", ", ",\n") for curve in found]
    _finish(ax, found, handles, names, folds=_folds([accuracy]), chance=chance, title=title)
    return figure


@style.house_style()
def accuracy_by_run(
    accuracy: "Mapping[str, pd.DataFrame]",
    *,
    classifier: str = "knn",
    parameter: str = "4",
    chance: float | None = None,
    title: str = "",
    ax: "Axes | None" = None,
) -> "Figure":
    """Draw the accuracy of one classifier at every block, for several runs of the same label.

    Args:
        accuracy: Run name to its table, as `accuracy_by_block` takes it.
        classifier: The classifier to show.
        parameter: Its parameter.
        chance: Accuracy of a blind guess, drawn as a dotted line.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: There is no run, or a run lacks the classifier.
    """
    if not accuracy:
        raise UserError("accuracy", expected="a table for each of one or more runs", received="no run")
    found = [find(curves(table), classifier, parameter) for table in accuracy.values()]
    figure, ax = style.axes_of(ax, width=_width(found))
    handles: list[Artist] = []
    for place, (curve, shift) in enumerate(zip(found, _shifts(len(found)), strict=True)):
        color = style.CYCLE[place % len(style.CYCLE)]
        # Past seven runs the colours come round again, with another marker.
        marker = style.MARKERS[(place + place // len(style.CYCLE)) % len(style.MARKERS)]
        handles.append(_draw(ax, curve, color=color, marker=marker, shift=shift, strong=True))
    names = [style.short(run, 22) for run in accuracy]
    _finish(
        ax,
        found,
        handles,
        names,
        folds=_folds(accuracy.values()),
        chance=chance,
        title=title,
        heading=found[0].name,
    )
    return figure


def _looks(found: Sequence[Curve]) -> list[tuple[str, str]]:
    """Give every curve its colour and marker: blues for k-NN, reds for nearest mean, the rest for others."""
    neighbours = [curve for curve in found if curve.classifier == "knn"]
    blues = _ramp(neighbours)
    means, others, looks = 0, 0, []
    for curve in found:
        if curve.classifier == "knn":
            looks.append((blues[neighbours.index(curve)], "o"))
        elif curve.classifier == "nearest_mean":
            looks.append((_MEANS[means % len(_MEANS)], style.MARKERS[1 + 2 * (means % 2)]))
            means += 1
        else:
            looks.append((_OTHERS[others % len(_OTHERS)], style.MARKERS[2 + others % 5]))
            others += 1
    return looks


def _ramp(neighbours: Sequence[Curve]) -> list[str]:
    """Spread the blues over the k-NN curves, pale for the smallest k."""
    if len(neighbours) == 1:
        return [style.BLUE]
    places = np.linspace(0, len(_BLUES) - 1, len(neighbours)).round().astype(int)
    return [_BLUES[place] for place in places]


def _width(found: Sequence[Curve]) -> float:
    """Return the width of the figure in inches: small enough for large letters, wider for many blocks."""
    blocks = max(len(curve.blocks) for curve in found)
    return 6.6 + 0.4 * max(0, blocks - 6)


def _shifts(count: int) -> np.ndarray:
    """Give every curve its step to the side, the whole fan at most 0.3 blocks wide."""
    half = min(0.15, 0.025 * (count - 1))
    return np.linspace(-half, half, count) if count > 1 else np.zeros(count)


def _draw(ax: "Axes", curve: Curve, *, color: str, marker: str, shift: float, strong: bool) -> "Artist":
    """Draw one curve with its error bars and return its line."""
    bars = ax.errorbar(
        curve.blocks + shift,
        curve.mean,
        yerr=curve.std,
        color=color,
        marker=marker,
        linewidth=3.0 if strong else 1.3,
        markersize=8 if strong else 5,
        elinewidth=1.8 if strong else 1.0,
        capsize=4 if strong else 2,
        linestyle="--" if curve.classifier == "nearest_mean" and not strong else "-",
        zorder=4 if strong else 3,
    )
    return bars.lines[0]


def _finish(
    ax: "Axes",
    found: Sequence[Curve],
    handles: "list[Artist]",
    names: list[str],
    *,
    folds: str,
    chance: float | None,
    title: str,
    heading: str = "",
) -> None:
    """Draw the chance line, label the axes and add the legend."""
    if chance is not None:
        handles = [*handles, ax.axhline(chance, color=style.GREY, linestyle=":", linewidth=1.8, zorder=2)]
        names = [*names, f"chance ({chance:.2g})"]
    blocks = sorted({int(block) for curve in found for block in curve.blocks})
    ax.set_xticks(blocks)
    # A lone block would otherwise get an axis of no width.
    ax.set_xlim(blocks[0] - 0.4, blocks[-1] + 0.4)
    ax.set_ylim(0, 1)
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.grid(axis="y")
    ax.set_xlabel("Block of the backbone (1 is nearest the image)" if len(blocks) > 1 else "Block of the backbone")
    ax.set_ylabel(f"Accuracy\n(mean ± std over {folds})", multialignment="center")
    ax.set_title(style.short(title, 60), parse_math=False)
    style.legend(ax, handles, names, title=heading)


def _folds(tables: "Sequence[pd.DataFrame] | object") -> str:
    """Say over how many folds the deviation was taken, when all tables agree."""
    counts = {int(count) for table in tables if "folds" in table for count in table["folds"]}  # pyright: ignore
    return f"{counts.pop()} folds" if len(counts) == 1 else "the folds"
