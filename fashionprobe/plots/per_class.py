"""Classes one by one: accuracy with its interval, the best and the worst, confused pairs, the confusion matrix."""

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@style.house_style()
def per_class(
    table: "pd.DataFrame",
    *,
    ends: int = 15,
    chance: float | None = None,
    title: str = "",
    ax: "Axes | None" = None,
) -> "Figure":
    """Draw the accuracy of the classes as bars, best on top, each with its 95 % interval.

    Args:
        table: Columns class, images, correct, accuracy, low, high; `low` and `high` end the Wilson interval.
        ends: With more than twice as many classes, only this many of the best and of the worst are drawn.
        chance: Accuracy of a blind guess, drawn as a dotted line.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: The table has no class, or `ends` is not positive.
    """
    if table.empty:
        raise UserError("table", expected="a table with one class or more", received="no rows")
    if ends < 1:
        raise UserError("ends", expected="a positive number of classes", received=ends)
    rows, places, hidden = _ends(table, "accuracy", ends)
    figure, ax = style.axes_of(ax, width=6.6, height=1.5 + 0.31 * (places[-1] + 1))
    accuracy = rows["accuracy"].to_numpy(float)
    reach = np.stack([accuracy - rows["low"].to_numpy(float), rows["high"].to_numpy(float) - accuracy])
    ax.barh(
        places,
        accuracy,
        # Rounding may leave an end of the interval slightly on the wrong side of the bar.
        xerr=np.clip(reach, 0, None),
        height=0.72,
        color=style.SKY,
        error_kw={"elinewidth": 1.6, "capsize": 3, "ecolor": "#202124"},
    )
    if chance is not None:
        ax.axvline(chance, color=style.GREY, linestyle=":", linewidth=1.8)
        ax.text(chance, -0.75, f"chance {chance:.2g}", ha="center", va="bottom", fontsize=10, color=style.GREY)
    _write(ax, rows, places)
    _say_hidden(ax, hidden, ends)
    ax.set_title(style.short(title, 60), parse_math=False, pad=18 if chance is not None else 6)
    return figure


def _ends(table: "pd.DataFrame", by: str, ends: int) -> "tuple[pd.DataFrame, np.ndarray, int]":
    """Sort the classes, keep the best and worst when there are many, and give each its place on the axis."""
    ranked = table.assign(name=table["class"].astype(str)).sort_values([by, "name"], ascending=[False, True])
    hidden = len(ranked) - 2 * ends
    if hidden <= 0:
        return ranked, np.arange(len(ranked)), 0
    kept = np.r_[np.arange(ends), np.arange(len(ranked) - ends, len(ranked))]
    # One row stays free between best and worst, for the remark that classes are left out.
    return ranked.iloc[kept], np.r_[np.arange(ends), np.arange(ends + 1, 2 * ends + 1)], hidden


def _say_hidden(ax: "Axes", hidden: int, ends: int) -> None:
    """Say between the best and the worst how many classes are not drawn."""
    if hidden:
        text = f"… {hidden} more {'class' if hidden == 1 else 'classes'} between …"
        ax.text(0.02, ends, text, va="center", fontsize=11, style="italic", color=style.GREY)


def _name_rows(ax: "Axes", rows: "pd.DataFrame", places: np.ndarray, xlabel: str, *, pad: float = 4) -> None:
    """Name the rows, the best on top, and scale the axis of scores."""
    ax.set_yticks(places, [style.short(name) for name in rows["class"]], parse_math=False)
    ax.set_ylim(places[-1] + 0.7, -0.7)
    ax.set_xlim(0, 1)
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.tick_params(axis="y", length=0, pad=pad)
    ax.grid(axis="x")
    ax.set_xlabel(xlabel)


def _write(ax: "Axes", rows: "pd.DataFrame", places: np.ndarray) -> None:
    """Label the axes, name the bars, and write the counts in a column at the right."""
    _name_rows(ax, rows, places, "Accuracy (line: 95 % Wilson interval)")
    right = ax.get_yaxis_transform()
    for place, correct, images in zip(places, rows["correct"], rows["images"], strict=True):
        ax.text(
            1.02,
            place,
            f"{correct:d} of {images:d}",
            transform=right,
            va="center",
            fontsize=10,
            color=style.GREY,
        )


@style.house_style()
def accuracy_by_neighbours(table: "pd.DataFrame", *, ends: int = 15, title: str = "") -> "Figure":
    """Draw the accuracy of each class for each k as coloured cells with numbers, the best class on top.

    Args:
        table: Columns class, k, images, accuracy; one row per class and k.
        ends: With more than twice as many classes, only this many of the best and of the worst are drawn.
        title: Heading.

    Returns:
        The figure.
    """
    by_k = table.pivot(index="class", columns="k", values="accuracy")
    images = table.groupby("class")["images"].first()
    mean = by_k.mean(axis=1).rename("mean").reset_index()
    rows, places, hidden = _ends(mean, "mean", ends)
    cells = np.full((places[-1] + 1, len(by_k.columns)), np.nan)
    cells[places] = by_k.loc[rows["class"]].to_numpy()
    longest = max(_letters(style.short(name)) for name in rows["class"])
    width = 2.6 + 0.75 * len(by_k.columns) + longest / 11
    figure, ax = style.axes_of(None, width=width, height=1.6 + 0.34 * len(cells))
    image = ax.imshow(cells, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="none")
    for (row, column), share in np.ndenumerate(cells):
        if np.isfinite(share):
            color = "white" if share > 0.6 else "black"
            ax.text(column, row, f"{share:.2f}", ha="center", va="center", color=color, fontsize=11)
    names = [f"{style.short(name)} ({images[name]})" for name in rows["class"]]
    ax.set_yticks(places, names, parse_math=False)
    ax.set_xticks(range(len(by_k.columns)), by_k.columns)
    ax.tick_params(length=0)
    ax.set_xlabel("Neighbours that vote (k)")
    ax.set_ylabel("Class (images)")
    bar = figure.colorbar(image, ax=ax, fraction=0.05, pad=0.03)
    bar.set_label("Accuracy")
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    _say_hidden(ax, hidden, ends)
    ax.set_title(style.short(title, 60), parse_math=False)
    return figure


# Column, name, colour, marker, size, filled. Hollow ones let each other through where scores are equal.
_SCORES = (
    ("precision", "precision", style.GREEN, "^", 11, False),
    ("recall", "recall", style.BLUE, "o", 9, False),
    ("f1", "F1", style.VERMILLION, "D", 5, True),
)


@style.house_style()
def best_and_worst(table: "pd.DataFrame", *, ends: int = 10, title: str = "") -> "Figure":
    """Draw precision, recall and F1 of the classes with the highest and the lowest F1, the highest on top.

    Classes without images have no recall: they are left out, and a remark says how many.

    Args:
        table: Columns class, images, precision, recall, f1, low, high; `low` and `high` end the 95 % Wilson
            interval of the recall.
        ends: With more than twice as many classes, only this many of the best and of the worst are drawn.
        title: Heading.

    Returns:
        The figure.

    Raises:
        UserError: No class has images, or `ends` is not positive.
    """
    if ends < 1:
        raise UserError("ends", expected="a positive number of classes", received=ends)
    known = table[table["images"] > 0]
    if known.empty:
        received = f"{len(table)} without" if len(table) else "no rows"
        raise UserError("table", expected="a table with one class or more that has images", received=received)
    rows, places, hidden = _ends(known, "f1", ends)
    longest = max(_letters(style.short(name)) for name in rows["class"])
    # Between names and counts there is room for about 40 letters; a title that is longer gets a second line.
    heading = textwrap.wrap(style.short(title, 60), 40)
    # Room for the names: a letter is about an eleventh of an inch wide.
    height = 1.8 + 0.24 * len(heading) + 0.31 * (places[-1] + 1)
    figure, ax = style.axes_of(None, width=5.4 + longest / 11, height=height)
    _draw(ax, rows, places)
    _write_counts(ax, rows, places)
    _say_hidden(ax, hidden, ends)
    _remark(ax, len(table) - len(known))
    ax.set_title("\n".join(heading), parse_math=False, pad=32, va="bottom")
    return figure


def _letters(name: str) -> float:
    """Return the length of a name in small letters: capitals and East Asian letters are wider."""
    return sum(1.7 if letter.isupper() or letter >= "\N{CJK RADICAL REPEAT}" else 1.0 for letter in name)


def _draw(ax: "Axes", rows: "pd.DataFrame", places: np.ndarray) -> None:
    """Draw the intervals and the three markers of every class, and the legend above them."""
    # A pale line guides the eye from the name to the markers and on to the count.
    ax.hlines(places, 0, 1, color="#E3E5E8", linewidth=1.0, zorder=1)
    ax.hlines(places, rows["low"], rows["high"], color=style.BLUE, linewidth=1.6, zorder=2)
    handles = []
    for column, _, color, marker, size, filled in _SCORES:
        handles += ax.plot(
            rows[column],
            places,
            linestyle="none",
            marker=marker,
            markersize=size,
            markeredgecolor=color,
            markeredgewidth=1.8,
            markerfacecolor=color if filled else "none",
            # Scores of 0 and 1 stand on the edge.
            clip_on=False,
            zorder=4 if filled else 3,
        )
    names = [name for _, name, *_ in _SCORES]
    ax.legend(
        handles,
        names,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        borderaxespad=0.2,
        borderpad=0.2,
        ncols=len(names),
        columnspacing=1.4,
        handletextpad=0.2,
    )


def _write_counts(ax: "Axes", rows: "pd.DataFrame", places: np.ndarray) -> None:
    """Label the axes, name the rows, and write the numbers of images in a column at the right."""
    _name_rows(ax, rows, places, "Score (line: 95 % Wilson interval of the recall)", pad=10)
    # The heading stands on the upper edge of the axes, which is 0.7 rows above the first row.
    heading = (-0.7, "images", 7, "bottom")
    numbers = [(y, f"{int(images)}", 0, "center") for y, images in zip(places, rows["images"], strict=True)]
    for place, text, lift, align in [heading, *numbers]:
        ax.annotate(
            text,
            (1, place),
            xycoords=ax.get_yaxis_transform(),
            xytext=(56, lift),
            textcoords="offset points",
            ha="right",
            va=align,
            fontsize=10,
            color=style.GREY,
        )


def _remark(ax: "Axes", absent: int) -> None:
    """Say below the axes how many classes are left out because they have no images."""
    if absent:
        ax.annotate(
            f"Left out: {absent} {'class' if absent == 1 else 'classes'} without images.",
            (0, 0),
            xycoords="axes fraction",
            xytext=(0, -44),
            textcoords="offset points",
            va="top",
            fontsize=10,
            color=style.GREY,
        )


@style.house_style()
def confused_pairs(pairs: "pd.DataFrame", *, most: int = 15, title: str = "") -> "Figure":
    """Draw the pairs of true and predicted class with the most images, each share with its 95 % interval.

    Args:
        pairs: Columns true, predicted, images, of, share, low, high: how many images of the class `true` were
            taken for `predicted`, of how many; `low` and `high` end the Wilson interval of the share.
        most: Number of pairs drawn. Those without images are never drawn.
        title: Heading.

    Returns:
        The figure; when no image was taken for another class, one that says so.

    Raises:
        UserError: `most` is not positive.
    """
    if most < 1:
        raise UserError("most", expected="a positive number of pairs", received=most)
    ranked = _ranked(pairs)
    if ranked.empty:
        return _nothing(title)
    rows, rest = ranked.iloc[:most], ranked.iloc[most:]
    names = [f"{style.short(row.true, 22)} → {style.short(row.predicted, 22)}" for row in rows.itertuples()]
    places = len(rows) + bool(len(rest))
    # Room for the names: a letter is about an eleventh of an inch wide.
    width = 5.2 + max(_letters(name) for name in names) / 11
    heading = _heading(title)
    figure, ax = style.axes_of(None, width=width, height=1.4 + 0.24 * len(heading) + 0.31 * places)
    share = rows["share"].to_numpy(float)
    reach = np.stack([share - rows["low"].to_numpy(float), rows["high"].to_numpy(float) - share])
    ax.barh(
        np.arange(len(rows)),
        share,
        # Rounding may leave an end of the interval slightly on the wrong side of the bar.
        xerr=np.clip(reach, 0, None),
        height=0.72,
        color=style.SKY,
        error_kw={"elinewidth": 1.6, "capsize": 3, "ecolor": "#202124"},
    )
    ax.set_yticks(np.arange(len(rows)), names, parse_math=False)
    ax.set_ylim(places - 0.3, -0.7)
    # Shares are small as a rule: the axis ends soon after the longest line.
    ax.set_xlim(0, min(1.0, 1.05 * float(rows["high"].max())))
    _write_pairs(ax, rows, rest)
    ax.set_title("\n".join(heading), parse_math=False, pad=24, va="bottom")
    return figure


def _ranked(pairs: "pd.DataFrame") -> "pd.DataFrame":
    """Sort the pairs that have images: most images first, then the greatest share, then by name."""
    named = pairs.assign(true=pairs["true"].astype(str), predicted=pairs["predicted"].astype(str))
    order = ["images", "share", "true", "predicted"]
    return named[named["images"] > 0].sort_values(order, ascending=[False, False, True, True])


def _heading(title: str) -> list[str]:
    """Break a title into lines that fit between the names and the edge of the figure."""
    return textwrap.wrap(style.short(title, 60), 40)


def _write_pairs(ax: "Axes", rows: "pd.DataFrame", rest: "pd.DataFrame") -> None:
    """Label the axes, write the counts in a column at the right, and say what is not drawn."""
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.set_xlabel("Share of the true class (line: 95 % Wilson interval)")
    small = {"fontsize": 10, "color": style.GREY}
    right = ax.get_yaxis_transform()
    for place, (images, of) in enumerate(zip(rows["images"], rows["of"], strict=True)):
        ax.text(1.02, place, f"{int(images)} of {int(of)}", transform=right, va="center", **small)
    ax.text(1.02, -0.75, "images", transform=right, va="bottom", **small)
    ax.text(-0.02, -0.75, "true → predicted", transform=right, ha="right", va="bottom", **small)
    if len(rest):
        fewer = int(rest["images"].iloc[0])
        noun, images = "pair" if len(rest) == 1 else "pairs", "image" if fewer == 1 else "images"
        text = f"… {len(rest)} more {noun} of {fewer} {images}{' or fewer' if fewer > 1 else ''}"
        ax.text(0.02, len(rows), text, transform=right, va="center", fontsize=11, style="italic", color=style.GREY)


def _nothing(title: str) -> "Figure":
    """Make the figure of a classifier that confused no classes."""
    heading = _heading(title)
    figure, ax = style.axes_of(None, width=6.6, height=1.0 + 0.24 * len(heading))
    ax.set_axis_off()
    ax.text(0.0, 0.5, "No image was taken for another class.", transform=ax.transAxes, va="center")
    ax.set_title("\n".join(heading), parse_math=False, va="bottom")
    return figure


_NUMBERED = 20
_LABELLED = 48


@style.house_style()
def confusion(matrix: "pd.DataFrame", *, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """Draw a confusion matrix: the colour is the share of the true class, the number the count of images.

    Numbers are written up to 20 classes. Past 48 classes only every second (third, …) name is written.

    Args:
        matrix: Counts, int (classes, classes): rows are the true classes, columns the predicted ones.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: The matrix is empty.
    """
    if matrix.empty:
        raise UserError("matrix", expected="a table of one class or more", received=f"shape {matrix.shape}")
    classes = max(matrix.shape)
    side = max(0.42 * classes, 2.0) if classes <= _NUMBERED else 8.0
    longest = max(len(style.short(name)) for name in [*matrix.index, *matrix.columns])
    # Room for the names: a letter is about a twelfth of an inch wide, and leaning names need less height.
    figure, ax = style.axes_of(ax, width=side + 2.0 + longest / 12, height=side + 1.0 + longest / 17)
    counts = matrix.to_numpy(float)
    total = counts.sum(axis=1, keepdims=True)
    # A class without images has no share: its row stays empty.
    share = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    # Untouched cells, enlarged by the viewer without smoothing, stay sharp at any size of the figure.
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="none")
    bar = figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03)
    bar.set_label("Share of the true class")
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    _names(ax, matrix)
    if classes <= _NUMBERED:
        _numbers(ax, counts, share)
    ax.set_title(style.short(title, 60), parse_math=False)
    return figure


def _names(ax: "Axes", matrix: "pd.DataFrame") -> None:
    """Write the class names, as many as can be read."""
    rows, columns = matrix.shape
    step = -(-max(rows, columns) // _LABELLED)
    size = 11 if max(rows, columns) <= _NUMBERED else 9
    longest = max(len(style.short(name)) for name in matrix.columns)
    # Few short names stand upright; the others lean, or run along their column when there are many.
    tilt = 0 if longest <= 5 and columns <= _NUMBERED else 45 if columns <= _NUMBERED else 90
    ax.set_xticks(
        range(0, columns, step),
        [style.short(name) for name in matrix.columns[::step]],
        rotation=tilt,
        fontsize=size,
        parse_math=False,
        ha="right" if tilt == 45 else "center",
        rotation_mode="anchor" if tilt == 45 else "default",
    )
    ax.set_yticks(
        range(0, rows, step),
        [style.short(name) for name in matrix.index[::step]],
        fontsize=size,
        parse_math=False,
    )
    note = f" (every {_nth(step)} name is written)" if step > 1 else ""
    ax.set_xlabel(f"Predicted class{note}")
    ax.set_ylabel("True class")
    ax.tick_params(length=0 if step == 1 else 3)
    for spine in ax.spines.values():
        spine.set_visible(True)
        spine.set_color("#BDC1C6")


def _numbers(ax: "Axes", counts: np.ndarray, share: np.ndarray) -> None:
    """Write the count of images into every cell."""
    digits = len(f"{counts.max():.0f}")
    size = 11 if digits <= 3 else 9 if digits <= 4 else 7
    for (row, column), count in np.ndenumerate(counts):
        # White on dark cells, black on pale ones; zeros step back.
        color = "white" if share[row, column] > 0.55 else "#9AA0A6" if count == 0 else "black"
        ax.text(column, row, f"{count:.0f}", ha="center", va="center", color=color, fontsize=size)


def _nth(step: int) -> str:
    """Write a small ordinal as a word."""
    return {2: "second", 3: "third", 4: "fourth"}.get(step, f"{step}th")
