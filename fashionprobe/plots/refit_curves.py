"""A refit, iteration by iteration: loss terms, accuracy, and the probability of each masked image's class."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fashionprobe.errors import UserError, unknown_name
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TERMS = (
    ("loss", "loss", style.BLACK, "-", "o"),
    ("cross_entropy", "cross-entropy", style.BLUE, "--", "s"),
    ("penalty", "penalty", style.VERMILLION, "-.", "^"),
)
_ACCURACIES = (
    ("val", "validation images", style.BLUE, "-", "o"),
    ("swapped", "masked images, region swapped", style.ORANGE, "--", "s"),
)
# With more points than this a marker at each would hide the line.
_MARKED = 30


@style.house_style()
def refit_curves(
    iterations: "pd.DataFrame",
    masked: "pd.DataFrame | None" = None,
    *,
    method: str,
    seed: int | None = None,
    chosen: int | None = None,
    title: str = "",
) -> "Figure":
    """Draw how one method refits a network, one panel below the other; its other seeds stand pale behind.

    Args:
        iterations: Columns method, seed, iteration (from 0), loss, cross_entropy, penalty, val, swapped; NaN where
            nothing was measured. A line without any measurement is left out, as is a penalty that is always 0.
        masked: Columns method, seed, iteration, id, probability (of the image's class); None for no such panel.
        method: The method to show.
        seed: The seed to show; the first of the table by default.
        chosen: The iteration whose weights were kept, marked in every panel.
        title: Heading.

    Returns:
        The figure: loss terms, accuracy if it was measured, and probabilities if there are any.

    Raises:
        UserError: The table lacks the method or the seed, or `chosen` is none of its iterations.
    """
    runs = _of_method(iterations, method)
    seed = int(runs["seed"].iloc[0]) if seed is None else seed
    if seed not in set(runs["seed"]):
        expected = f"one of: {', '.join(map(str, runs['seed'].unique()))}"
        raise UserError("seed", expected=expected, received=seed)
    steps = runs.loc[runs["seed"] == seed, "iteration"]
    if chosen is not None and chosen not in set(steps):
        raise UserError("chosen", expected=f"in {steps.min()} to {steps.max()}, an iteration", received=chosen)
    if masked is not None:
        masked = masked[masked["method"] == method]
    terms, accuracies = _known(runs, _TERMS), _known(runs, _ACCURACIES)
    panels = [
        "loss",
        *(["accuracy"] if accuracies else []),
        *(["masked"] if masked is not None and len(masked) else []),
    ]
    figure, axes = _panels(panels, title)
    _draw_lines(axes["loss"], runs, seed, terms, heading="Loss")
    axes["loss"].set_ylim(bottom=0)
    if accuracies:
        _draw_lines(axes["accuracy"], runs, seed, accuracies, heading="Accuracy")
        _shares(axes["accuracy"])
    if masked is not None and "masked" in axes:
        _draw_images(axes["masked"], masked, seed)
    _finish(list(axes.values()), steps.to_numpy(int), chosen)
    return figure


def _of_method(iterations: "pd.DataFrame", method: str) -> "pd.DataFrame":
    """Return the rows of one method, in the order of its iterations."""
    if iterations.empty:
        raise UserError("iterations", expected="a table with one row or more", received="no rows")
    runs = iterations[iterations["method"] == method]
    if runs.empty:
        raise unknown_name("method", method, map(str, iterations["method"].unique()))
    return runs.sort_values("iteration", kind="stable")


def _known(runs: "pd.DataFrame", columns: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the lines that have something to show; a loss without a penalty is its cross-entropy alone."""
    known = [each for each in columns if each[0] in runs and np.isfinite(runs[each[0]].to_numpy(float)).any()]
    without = "penalty" in runs and not np.nan_to_num(runs["penalty"].to_numpy(float)).any()
    return [each for each in known if not (without and each[0] in ("penalty", "loss"))]


def _panels(names: list[str], title: str) -> "tuple[Figure, dict[str, Axes]]":
    """Make the figure, one panel below the other: so a phone shows all of them in their full width."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.6, 0.6 + 2.85 * len(names)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.09, h_pad=0.07, hspace=0.03)  # pyright: ignore
    axes = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    if title:
        heading = figure.suptitle(style.short(title, 50), x=0.01, ha="left", fontsize=14, fontweight="bold")
        heading.set_parse_math(False)
    return figure, dict(zip(names, axes, strict=True))


def _draw_lines(ax: "Axes", runs: "pd.DataFrame", seed: int, lines: Sequence[tuple[str, ...]], *, heading: str) -> None:
    """Draw the lines of one panel, the chosen seed strong and named, the others pale."""
    from matplotlib.lines import Line2D

    handles, names = [], []
    for column, name, color, dash, marker in lines:
        for each, rows in runs.groupby("seed"):
            measured = rows[np.isfinite(rows[column].to_numpy(float))]
            strong = each == seed
            (line,) = ax.plot(
                measured["iteration"],
                measured[column],
                color=color,
                linestyle=dash,
                linewidth=2.2 if strong else 1.0,
                alpha=1.0 if strong else 0.35,
                marker=marker if strong and len(measured) <= _MARKED else "none",
                markersize=5,
                zorder=4 if strong else 2,
            )
            if strong:
                handles.append(line)
                names.append(name)
    if runs["seed"].nunique() > 1 and heading == "Loss":
        handles.append(Line2D([], [], color=style.GREY, linewidth=1.0, alpha=0.5))
        names.append("other seeds")
    _heading(ax, heading, handles, names)


def _draw_images(ax: "Axes", masked: "pd.DataFrame", seed: int) -> None:
    """Draw a thin line for each masked image of the chosen seed, and the mean of each seed."""
    from matplotlib.collections import LineCollection

    wide = masked[masked["seed"] == seed].pivot_table(index="iteration", columns="id", values="probability")
    lines = [np.stack([wide.index, wide[column]], axis=1)[wide[column].notna()] for column in wide]
    images = LineCollection(lines, colors=style.GREY, linewidths=0.9, alpha=max(0.15, min(0.6, 8 / max(len(lines), 1))))
    ax.add_collection(images)
    mean: Any = None
    for each, rows in masked.groupby("seed"):
        means = rows.groupby("iteration")["probability"].mean()
        strong = each == seed
        look = {"linewidth": 3.0, "zorder": 4} if strong else {"linewidth": 1.0, "alpha": 0.35, "zorder": 3}
        (line,) = ax.plot(means.index, means, color=style.GREEN, **look)
        mean = line if strong else mean
    entries = [(mean, "mean"), (LineCollection([], colors=style.GREY), f"one of {len(lines)} images")]
    entries = [(handle, name) for handle, name in entries if handle is not None]
    _heading(ax, "Masked images: probability of their class", *map(list, zip(*entries, strict=True)))
    _shares(ax)


def _heading(ax: "Axes", heading: str, handles: list[Any], names: list[str]) -> None:
    """Write the heading of a panel, and its legend below that."""
    ax.set_title(heading, fontsize=12, pad=26 if handles else 6)
    ax.legend(
        handles, names, loc="lower left", bbox_to_anchor=(-0.01, 1.0), borderaxespad=0.1, borderpad=0.2,
        ncols=max(len(names), 1), columnspacing=1.4,
    )  # fmt: skip


def _shares(ax: "Axes") -> None:
    """Scale an axis from 0 to 1, with room for lines along its ends."""
    ax.set_ylim(-0.02, 1.02)
    ax.set_yticks(np.linspace(0, 1, 6))


def _finish(axes: "list[Axes]", steps: np.ndarray, chosen: int | None) -> None:
    """Mark the kept iteration and label the axes."""
    from matplotlib.ticker import MaxNLocator

    pad = max(0.5, 0.015 * (steps.max() - steps.min()))
    for ax in axes:
        ax.grid(axis="y")
        if chosen is not None:
            ax.axvline(chosen, color=style.PURPLE, linewidth=2.0, zorder=1.5)
    if chosen is not None:
        right = chosen > (steps.min() + steps.max()) / 2
        axes[0].annotate(
            f"kept: iteration {chosen}", (chosen, 1), xycoords=("data", "axes fraction"),
            xytext=(-5 if right else 5, -3), textcoords="offset points", ha="right" if right else "left", va="top",
            fontsize=11, zorder=6, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )  # fmt: skip
    axes[-1].set_xlim(steps.min() - pad, steps.max() + pad)
    axes[-1].xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True))
    axes[-1].set_xlabel("Iteration")
