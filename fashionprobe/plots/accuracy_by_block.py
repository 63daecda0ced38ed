"""Accuracy by block: all classifiers of one label, one classifier in several runs, or in fewer dimensions."""

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
        >>> classifier_name("knn", "4"), classifier_name("nearest_mean", "cosine"), classifier_name("linear", "nested")
        ('4-NN', 'nearest mean, cosine', 'linear probe')
    """
    if classifier == "linear":
        return "linear probe"
    if classifier == "knn":
        return f"{parameter}-NN"
    return f"{classifier.replace('_', ' ')}, {parameter}" if parameter else classifier.replace("_", " ")


def by_reader(classifier: str, parameter: str) -> str:
    """Return the classifier as the end of a sentence "... is best read".

    Example:
        >>> by_reader("knn", "4"), by_reader("linear", "nested"), by_reader("nearest_mean", "cosine")
        ('by 4-NN', 'by a linear probe', 'by nearest mean with cosine distance')
    """
    if classifier == "nearest_mean":
        return f"by nearest mean with {parameter} distance"
    return f"by {'a ' if classifier == 'linear' else ''}{classifier_name(classifier, parameter)}"


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
        for (classifier, parameter), rows in table.groupby(["classifier", "parameter"], sort=False)
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
    """Refuse a table that does not hold one value per block, classifier and parameter."""
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
        raise UserError(
            "accuracy", expected="a table with one row per block and classifier", received=f"two for {twice}"
        )


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

    Error bars are the standard deviation over the folds. Curves are moved slightly sideways so that the
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
    # Broken in two lines, long names leave the curves more room.
    lines = [
        _line(curve, curve.name.replace(", ", ",\n"), color, marker, (curve.classifier, curve.parameter) == _EMPHASIS)
        for curve, (color, marker) in zip(found, _looks(found), strict=True)
    ]
    return _by_block(lines, ax, chance=chance, over=_folds([accuracy]), title=title)


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
    lines = [
        _line(curve, style.short(run, 22), *style.look(place), strong=True)
        for place, (run, curve) in enumerate(zip(accuracy, found, strict=True))
    ]
    over = _folds(accuracy.values())
    return _by_block(lines, ax, chance=chance, over=over, title=title, legend_title=found[0].name)


def _line(curve: Curve, name: str, color: str, marker: str, strong: bool) -> style.Line:
    dashed = curve.classifier == "nearest_mean" and not strong
    return style.Line(name, curve.blocks, curve.mean, curve.std, color, marker, strong, dashed)


def _by_block(
    lines: list[style.Line], ax: "Axes | None", *, chance: float | None, over: str, title: str, legend_title: str = ""
) -> "Figure":
    figure, ax = style.axes_of(ax, width=style.width_of(max(len(line.x) for line in lines)))
    ylabel = f"Accuracy\n(mean ± std over {over})"
    style.curves_by_block(ax, lines, chance=chance, ylabel=ylabel, title=title, legend_title=legend_title)
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


def _folds(tables: "Sequence[pd.DataFrame] | object") -> str:
    """Say over how many folds the deviation was taken, when all tables agree."""
    counts = {int(count) for table in tables if "folds" in table for count in table["folds"]}  # pyright: ignore[reportGeneralTypeIssues]
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
    """Draw the accuracy of one classifier by number of dimensions, one line per block, for one label.

    The last point of a line, an open mark, is the block with all its channels. Error bars are the standard deviation
    over the folds; lines are moved slightly sideways so that bars stand beside each other.

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
    shifts = np.exp(style.shifts(len(blocks), 0.012))
    handles = [
        _line_of_block(ax, rows[rows["block"] == block].sort_values("dimensions"), float(shift), style.look(place))
        for place, (block, shift) in enumerate(zip(blocks, shifts, strict=True))
    ]
    names = [f"block {block}" for block in blocks]
    if chance is not None:
        handles.append(ax.axhline(chance, color=style.GREY, linestyle=":", linewidth=1.8, zorder=2))
        names.append(f"chance ({chance:.2g})")
    style.shares(ax, f"Accuracy of {classifier_name(*classifier)}\n(mean ± std over {_folds([rows])})", title)
    _number_dimensions(ax, sorted({int(number) for number in rows["dimensions"]}))
    style.legend(ax, handles, names)
    return figure


def _line_of_block(ax: "Axes", curve: "pd.DataFrame", shift: float, look: tuple[str, str]) -> "Artist":
    """Draw one block, the last point open, and return its line."""
    x = curve["dimensions"].to_numpy(float) * shift
    mean, std = curve["accuracy_mean"].to_numpy(float), curve["accuracy_std"].to_numpy(float)
    [line] = style.curves(ax, [style.Line("", x[:-1], mean[:-1], std[:-1], *look)])
    ax.plot(x[-2:], mean[-2:], color=look[0], linestyle=":", linewidth=1.6)
    ax.errorbar(
        x[-1:],
        mean[-1:],
        std[-1:],
        color=look[0],
        marker=look[1],
        capsize=3,
        markerfacecolor="white",
        markeredgewidth=1.8,
    )
    return line


def _number_dimensions(ax: "Axes", dimensions: list[int]) -> None:
    """Scale and label the axis of dimensions."""
    ax.set_xscale("log", base=2)
    # Numbers of channels may be so near each other that their labels would overlap.
    labelled: list[int] = []
    for number in dimensions:
        if not labelled or number >= 1.5 * labelled[-1]:
            labelled.append(number)
    ax.set_xticks(dimensions, [str(number) if number in labelled else "" for number in dimensions])
    ax.minorticks_off()
    ax.set_xlabel("Dimensions after UMAP (open: all channels, as they are)")
