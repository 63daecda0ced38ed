"""A training by epoch: loss and accuracy of a classifier; loss, triplets and distances of an embedding; by batch."""

from collections.abc import Sequence
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
    from matplotlib.lines import Line2D

# With more epochs a marker at every point would hide the line, and with many more a thick line hides itself.
_MARKED, _THICK = 30, 100


@dataclass(frozen=True, eq=False)
class _Line:
    """One line of a panel.

    Args:
        name: Its name in the legend.
        epochs: int (epochs,), ascending.
        values: float (epochs,), NaN where nothing was measured.
        strong: Whether it is the line to look at.
    """

    name: str
    epochs: np.ndarray
    values: np.ndarray
    strong: bool

    def at(self, epoch: int) -> float:
        """Return the value at one epoch."""
        return float(self.values[self.epochs == epoch][0])


@style.house_style()
def learning_curves(
    history: "pd.DataFrame",
    *,
    best_epoch: int | None = None,
    chance: float | None = None,
    title: str = "",
) -> "Figure":
    """Draw loss and accuracy over the epochs, side by side, for the training and the validation images.

    A measurement that is missing or not finite leaves a hole in its line, and a line without any is left out.

    Args:
        history: Columns epoch (from 1), loss, val_loss, accuracy, val_accuracy; others are ignored.
        best_epoch: The epoch whose weights were kept, marked with its values on the validation lines, or on
            the training lines where nothing was validated.
        chance: Accuracy of a blind guess, drawn as a dotted line.
        title: Heading.

    Returns:
        The figure, with the loss on its first axes and the accuracy on its second.

    Raises:
        UserError: The table has no epoch or one of them twice, or `best_epoch` is not among them.
    """
    _check(history, best_epoch)
    history = history.sort_values("epoch")
    figure, (left, right) = _panels()
    entries: dict[str, Artist] = {}
    for ax, quantity in ((left, "loss"), (right, "accuracy")):
        lines = _lines(history, quantity)
        for line in lines:
            entries.setdefault(line.name, _draw(ax, line))
        _scale(ax, history["epoch"].to_numpy(int), lines if ax is left else None)
        if best_epoch is not None:
            levels = [chance] if ax is right and chance is not None else []
            entries |= _mark(ax, lines, best_epoch, levels, shares=ax is right)
    if chance is not None:
        entries[f"chance ({chance:.2g})"] = right.axhline(
            chance, color=style.GREY, linestyle=":", linewidth=1.8, zorder=2
        )
    left.set_ylabel("Cross-entropy loss (nats)")
    right.set_ylabel("Accuracy")
    # A long title reaches over the second panel: it stands clear of its uppermost number.
    left.set_title(style.short(title, 60), parse_math=False, pad=12)
    style.legend(right, list(entries.values()), list(entries))
    return figure


def _check(history: "pd.DataFrame", best_epoch: int | None) -> None:
    """Refuse a table that does not hold one row per epoch, and a best epoch that it lacks."""
    epochs = history["epoch"] if len(history) else []
    if len(epochs) == 0:
        raise UserError("history", expected="a table with one epoch or more", received="no rows")
    if len(set(epochs)) < len(epochs):
        twice = next(epoch for epoch in epochs if list(epochs).count(epoch) > 1)
        raise UserError("history", expected="a table with one row per epoch", received=f"two for epoch {twice}")
    if best_epoch is not None and best_epoch not in set(epochs):
        expected = f"an epoch of the table, {min(epochs)} to {max(epochs)}"
        raise UserError("best_epoch", expected=expected, received=best_epoch)


def _panels() -> "tuple[Figure, tuple[Axes, Axes]]":
    """Make the figure with its two axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.2, 4.2), layout="constrained")
    # The panels stand further apart than the edges of the figure: an axis label stands between them.
    figure.set_layout_engine("constrained", w_pad=0.09, h_pad=0.09, wspace=0.04)
    left, right = figure.subplots(1, 2)
    return figure, (left, right)


def _lines(history: "pd.DataFrame", quantity: str) -> list[_Line]:
    """Return the lines of one panel that have a value to show."""
    epochs = history["epoch"].to_numpy(int)
    lines = []
    for name, column in (("training", quantity), ("validation", f"val_{quantity}")):
        values = history[column].to_numpy(float)
        values = np.where(np.isfinite(values), values, np.nan)
        if np.isfinite(values).any():
            lines.append(_Line(name, epochs, values, strong=name == "validation"))
    return lines


def _draw(ax: "Axes", line: _Line) -> "Artist":
    """Draw one line; its points get markers when they are few, and always where no line reaches them."""
    many = len(line.values) > _THICK
    known = np.pad(np.isfinite(line.values), 1)
    marked = known[1:-1] & ((len(line.values) <= _MARKED) | ~(known[:-2] | known[2:]))
    (drawn,) = ax.plot(
        line.epochs,
        line.values,
        color=style.BLUE if line.strong else style.ORANGE,
        linestyle="-" if line.strong else "--",
        linewidth=(1.8 if many else 3.0) if line.strong else (1.2 if many else 1.6),
        marker=("o" if line.strong else "s") if marked.any() else "none",
        markersize=5.5 if line.strong else 4,
        markevery=np.flatnonzero(marked).tolist(),
        # A line along the edge, such as an accuracy of 1, keeps its full width.
        clip_on=False,
        zorder=4 if line.strong else 3,
    )
    return drawn


def _scale(ax: "Axes", epochs: np.ndarray, losses: "Sequence[_Line] | None") -> None:
    """Set limits and ticks: whole epochs, losses from 0 to a little more than the greatest, accuracies from 0 to 1."""
    from matplotlib.ticker import MaxNLocator

    first, last = int(epochs.min()), int(epochs.max())
    # A lone epoch would otherwise get an axis of no width.
    pad = max(0.3, 0.03 * (last - first))
    ax.set_xlim(first - pad, last + pad)
    ticks = MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True).tick_values(first, last)
    # By rounding, the locator may miss an epoch that is alone.
    ax.set_xticks(sorted({int(tick) for tick in ticks if first <= tick <= last}) or [first])
    ax.set_xlabel("Epoch")
    ax.grid(axis="y")
    if losses is None:
        ax.set_ylim(0, 1)
        ax.set_yticks(np.linspace(0, 1, 6))
    else:
        most = max((float(np.nanmax(line.values)) for line in losses), default=1.0)
        ax.set_ylim(0, 1.08 * most if most > 0 else 1.0)


def _mark(
    ax: "Axes", lines: Sequence[_Line], epoch: int, levels: Sequence[float], *, shares: bool
) -> "dict[str, Artist]":
    """Mark the kept epoch on the line to look at, write its value beside, and return the legend's entry."""
    from matplotlib.patheffects import withStroke

    measured = [line for line in lines if np.isfinite(line.at(epoch))]
    if not measured:
        return {}
    line = measured[-1]
    value = line.at(epoch)
    (marker,) = ax.plot(
        [epoch],
        [value],
        color=style.BLACK,
        linestyle="none",
        marker="*",
        markersize=17,
        markeredgecolor="white",
        markeredgewidth=1.2,
        clip_on=False,
        zorder=6,
    )
    # A share as all accuracies are written, a loss with three digits that count.
    text = f"{value:.3f}" if shares else f"{value:.3g}"
    place, far = _free(ax, lines, (epoch, value), levels, len(text))
    number = ax.annotate(
        text,
        (epoch, value),
        xytext=place,
        ha="center",
        va="center",
        weight="bold",
        # In the colour of its line, so that it is not read as the value of another one close by.
        color=style.BLUE if line.strong else style.BLACK,
        zorder=7,
        # Beside its marker a number needs no line to it.
        arrowprops={"arrowstyle": "-", "color": style.GREY, "shrinkB": 8, "zorder": 5} if far else None,
    )
    number.set_path_effects([withStroke(linewidth=3, foreground="white")])
    return {f"kept: epoch {epoch}": marker}


def _free(
    ax: "Axes", lines: Sequence[_Line], marker: tuple[float, float], levels: Sequence[float], letters: int
) -> tuple[tuple[float, float], bool]:
    """Find the place for a number nearest to its marker where it hides no line, and tell whether that is far."""
    corner = np.asarray([ax.get_xlim()[0], ax.get_ylim()[0]])
    size = np.asarray([ax.get_xlim()[1], ax.get_ylim()[1]]) - corner
    # From here on, all places are shares of the panel's width and height.
    star = (np.asarray(marker) - corner) / size
    half = np.asarray([0.02 + 0.015 * letters, 0.045])
    # All that is drawn, as points so dense that no line slips between two of them.
    across = np.linspace(0, 1, 2000)
    drawn = [star + 0.03 * np.asarray([(-1, -1), (-1, 1), (1, -1), (1, 1), (0, 0)])]
    for level in levels:
        drawn.append(np.stack([across, np.full(len(across), (level - corner[1]) / size[1])], axis=1))
    for line in lines:
        known = np.isfinite(line.values)
        heights = np.interp(across * size[0] + corner[0], line.epochs[known], line.values[known])
        drawn.append(np.stack([across, (heights - corner[1]) / size[1]], axis=1))
    points = np.vstack(drawn)
    steps = np.stack(np.meshgrid(np.linspace(-0.3, 0.3, 31), np.linspace(-0.6, 0.6, 121)), axis=-1).reshape(-1, 2)
    # A number above or below its marker is found more easily than one at its side.
    steps = steps[np.argsort(np.hypot(1.2 * steps[:, 0], steps[:, 1]), kind="stable")]
    # To the right and left a number may stand out a little: there is air beside the panels.
    steps = steps[(np.abs(star + steps - 0.5) <= 0.5 - half * (0.7, 1)).all(axis=1)]
    free = (step for step in steps if not (np.abs(points - star - step) < half).all(axis=1).any())
    # Where all is full of lines, above the marker is as good as anywhere.
    step = next(free, np.asarray([0, 0.08]))
    x, y = corner + (star + step) * size
    return (float(x), float(y)), bool(np.hypot(*step) > 0.15)


# With more points than this a marker at each would hide the line.
_MOST_MARKED = 30


@style.house_style()
def embedding_training(history: "pd.DataFrame", *, title: str = "") -> "Figure":
    """Draw how an embedding was trained, in three panels side by side.

    Args:
        history: Columns epoch (from 1), loss, active (share of triplets that fail), spread (mean distance in a batch)
            and margin (0 for a soft one).
        title: Heading.

    Returns:
        The figure.

    Raises:
        UserError: If there is no epoch.
    """
    from matplotlib.figure import Figure

    if not len(history):
        raise UserError("history", expected="a table with one epoch or more", received="no rows")
    figure = Figure(figsize=(12.6, 3.9), layout="constrained")
    figure.set_layout_engine("constrained", w_pad=0.09, h_pad=0.09, wspace=0.05)
    loss, active, distances = figure.subplots(1, 3)
    _line(loss, history, "loss", style.BLUE, "-", "o")
    loss.set_ylabel("Triplet loss (unit of the distance)")
    _line(active, history, "active", style.VERMILLION, "-", "s")
    active.set_ylabel("Triplets that fail (share)")
    active.set_ylim(0, max(1.02 * float(history["active"].max()), 0.05))
    handles = [_line(distances, history, "spread", style.GREEN, "-", "^")]
    names = ["mean distance"]
    if (history["margin"] > 0).any():
        handles.append(_line(distances, history, "margin", style.BLACK, "--", "D"))
        names.append("margin")
    distances.set_ylabel("Distance between embeddings")
    if (history[["spread", "margin"]].to_numpy() > 0).all():
        distances.set_yscale("log")
        style.decades(distances.yaxis)
    distances.legend(handles, names, loc="best")
    for ax in (loss, active, distances):
        ax.set_xlabel("Epoch")
        ax.grid(axis="y")
        ax.xaxis.get_major_locator().set_params(integer=True)
    loss.set_title(style.short(title, 60), parse_math=False, pad=12)
    return figure


def _line(ax: "Axes", history: "pd.DataFrame", column: str, color: str, line: str, marker: str) -> "Line2D":
    epochs, values = history["epoch"].to_numpy(int), history[column].to_numpy(float)
    shown = marker if len(epochs) <= _MOST_MARKED else None
    return ax.plot(epochs, np.where(np.isfinite(values), values, np.nan), line, color=color, marker=shown, zorder=3)[0]


@style.house_style()
def loss_curves(losses: "pd.DataFrame", *, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """Draw the triplet loss of training, and of images that were not trained on, over the batches.

    Args:
        losses: Columns batch (ascending), loss, and val_loss or test_loss where there are such images.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure; the axis of the loss is logarithmic where all losses are above 0.

    Raises:
        UserError: If there is no row.
    """
    if not len(losses):
        raise UserError("losses", expected="a table with a row or more", received="no rows")
    figure, ax = style.axes_of(ax, width=8.4)
    names = {"loss": "training", "val_loss": "validation", "test_loss": "test (val is empty)"}
    looks = {"loss": (style.ORANGE, "--", 1.4, "s"), "val_loss": (style.BLUE, "-", 2.0, "o")}
    drawn = []
    for column in [name for name in names if name in losses and losses[name].notna().any()]:
        color, line, width, marker = looks.get(column, looks["val_loss"])
        shown = marker if len(losses) <= _MOST_MARKED else None
        look = {"color": color, "linestyle": line, "linewidth": width, "marker": shown, "markersize": 5}
        drawn.append((ax.plot(losses["batch"], losses[column], zorder=3, **look)[0], names[column], losses[column]))
    ax.set_xlabel("Batch")
    ax.set_ylabel("Triplet loss (unit of the distance)")
    ax.grid(axis="y")
    if all((values.dropna() > 0).all() for *_, values in drawn):
        ax.set_yscale("log")
        style.decades(ax.yaxis)
    else:
        ax.set_ylim(bottom=0)
    ax.set_title(style.short(title, 60), parse_math=False, pad=12)
    style.legend(ax, [handle for handle, *_ in drawn], [name for _, name, _ in drawn])
    return figure
