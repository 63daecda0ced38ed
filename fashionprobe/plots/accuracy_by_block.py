"""Accuracy over the blocks: all classifiers of one label, or one classifier in several runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FAMILIES = ("knn", "nearest_mean")


@dataclass(frozen=True, eq=False)
class Curve:
    """Accuracy of one classifier at every block.

    Args:
        classifier: Name of the classifier, such as "knn".
        parameter: Its parameter, such as "4".
        blocks: int (blocks,), ascending.
        mean: float (blocks,), mean accuracy over the folds.
        std: float (blocks,), standard deviation over the folds.
    """

    classifier: str
    parameter: str
    blocks: np.ndarray
    mean: np.ndarray
    std: np.ndarray

    @property
    def name(self) -> str:
        """The name that a reader knows, such as "4-NN"."""
        return classifier_name(self.classifier, self.parameter)

    def at(self, block: int) -> tuple[float, float]:
        """Return mean and standard deviation at one block.

        Args:
            block: The block.

        Returns:
            The mean accuracy and its standard deviation.

        Raises:
            UserError: The curve has no such block.
        """
        if block not in self.blocks:
            known = ", ".join(str(known) for known in self.blocks)
            raise UserError("block", expected=f"one of: {known}", received=block)
        place = int(np.flatnonzero(self.blocks == block)[0])
        return float(self.mean[place]), float(self.std[place])


def classifier_name(classifier: str, parameter: str) -> str:
    """Return the name of a classifier as a reader knows it.

    Args:
        classifier: "knn", "nearest_mean", or any other.
        parameter: Its parameter.

    Returns:
        The name.

    Example:
        >>> classifier_name("knn", "4"), classifier_name("nearest_mean", "cosine")
        ('4-NN', 'nearest mean, cosine')
    """
    if classifier == "knn":
        return f"{parameter}-NN"
    return f"{classifier.replace('_', ' ')}, {parameter}" if parameter else classifier.replace("_", " ")


def curves(accuracy: "pd.DataFrame") -> list[Curve]:
    """Cut the accuracy table of one label into curves: k-NN by k first, nearest mean next, any other last.

    Args:
        accuracy: Columns label, block, classifier, parameter, accuracy_mean, accuracy_std.

    Returns:
        One curve a classifier and parameter.

    Raises:
        UserError: The table is empty, holds several labels, or has two rows for one block of a curve.
    """
    _check(accuracy)
    table = accuracy.assign(parameter=accuracy["parameter"].astype(str)).sort_values("block")
    found = [
        Curve(
            classifier=str(classifier),
            parameter=str(parameter),
            blocks=rows["block"].to_numpy(int),
            mean=rows["accuracy_mean"].to_numpy(float),
            std=rows["accuracy_std"].to_numpy(float),
        )
        for (classifier, parameter), rows in table.groupby(["classifier", "parameter"], sort=False)  # pyright: ignore
    ]
    return sorted(found, key=_order)


def find(found: Sequence[Curve], classifier: str, parameter: str) -> Curve:
    """Return the curve of one classifier and parameter.

    Args:
        found: Curves of one label.
        classifier: Name of the classifier.
        parameter: Its parameter.

    Returns:
        The curve.

    Raises:
        UserError: There is none.
    """
    for curve in found:
        if (curve.classifier, curve.parameter) == (classifier, str(parameter)):
            return curve
    names = ", ".join(curve.name for curve in found)
    raise UserError("classifier", expected=f"one of: {names}", received=classifier_name(classifier, parameter))


def _check(accuracy: "pd.DataFrame") -> None:
    """Refuse a table that does not hold one value a block, classifier and parameter."""
    labels = sorted({str(label) for label in accuracy["label"]})
    if len(labels) != 1:
        raise UserError(
            "accuracy",
            expected="a table with the rows of one label",
            received=", ".join(labels) or "no rows",
            remedy="Keep the rows of one value of its column `label`.",
        )
    keys = accuracy[["block", "classifier", "parameter"]].astype(str)
    if keys.duplicated().any():
        twice = " ".join(keys[keys.duplicated()].iloc[0])
        raise UserError("accuracy", expected="a table with one row a block and classifier", received=f"two for {twice}")


def _order(curve: Curve) -> tuple[int, float, str]:
    """Give the place of a curve: known families first, numbers by value, names by alphabet."""
    family = _FAMILIES.index(curve.classifier) if curve.classifier in _FAMILIES else len(_FAMILIES)
    number = float(curve.parameter) if curve.parameter.isdecimal() else float("inf")
    # Euclidean is the plain case and comes before cosine.
    return family, number, "" if curve.parameter == "euclidean" else curve.parameter or curve.classifier


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
        handles.append(_dimensions_draw(ax, curve, float(shift), place))
    names = [f"block {block}" for block in blocks]
    if chance is not None:
        handles.append(ax.axhline(chance, color=style.GREY, linestyle=":", linewidth=1.8, zorder=2))
        names.append(f"chance ({chance:.2g})")
    folds = {int(count) for count in rows["folds"]}
    over = f"{folds.pop()} folds" if len(folds) == 1 else "the folds"
    ax.set_ylabel(f"Accuracy of {classifier_name(*classifier)}\n(mean ± std over {over})", multialignment="center")
    _dimensions_finish(ax, sorted({int(number) for number in rows["dimensions"]}))
    ax.set_title(style.short(title, 60), parse_math=False)
    style.legend(ax, handles, names)
    return figure


def _dimensions_draw(ax: "Axes", curve: "pd.DataFrame", shift: float, place: int) -> "Artist":
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


def _dimensions_finish(ax: "Axes", dimensions: list[int]) -> None:
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
