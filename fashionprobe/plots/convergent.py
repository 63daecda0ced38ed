"""Whether two layers learn the same: their correlations, before and after matching, and how good the matches are."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@style.house_style()
def correlation_matrices(
    correlation: np.ndarray, rows: np.ndarray, columns: np.ndarray, *, names: tuple[str, str], title: str = ""
) -> "Figure":
    """Draw the correlations of two layers twice: in the order of their channels, and in the order of the matching.

    Matched channels are on the diagonal of the second; those without a partner come last.

    Args:
        correlation: float (channels, others) in [-1, 1].
        rows: Matched channels of the first layer, the best pair first, int (pairs,).
        columns: Their partners, int (pairs,).
        names: What the rows and the columns are.
        title: Heading.

    Returns:
        The figure.

    Raises:
        UserError: If the correlation is not a matrix, or a pair is not in it.
    """
    correlation = np.asarray(correlation)
    if correlation.ndim != 2 or not correlation.size:
        raise UserError("correlation", expected="a matrix", received=f"shape {correlation.shape}")
    if len(rows) != len(columns) or (len(rows) and not _inside(correlation.shape, rows, columns)):
        raise UserError("rows", expected="matched channels of the matrix", received=f"{len(rows)}, {len(columns)}")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 5.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    ordered = correlation[np.ix_(_complete(rows, len(correlation)), _complete(columns, correlation.shape[1]))]
    # Correlations are often small: the scale ends at the largest, and its ends say which that is.
    limit = max(float(np.abs(correlation).max()), 0.01)
    for ax, matrix, name in ((left, correlation, "in the order of the channels"), (right, ordered, "matched")):
        # Red and blue stay apart for the colour-blind; white means no correlation.
        picture = ax.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest", aspect="auto")
        ax.set_box_aspect(1)
        ax.set_title(name, fontsize=12, fontweight="normal", loc="center")
        ax.set_xlabel(style.short(names[1], 44), parse_math=False)
        ax.spines[:].set_visible(True)
    left.set_ylabel(style.short(names[0], 44), parse_math=False)
    bar = figure.colorbar(picture, ax=[left, right], shrink=0.8, aspect=30, pad=0.02)
    bar.set_label("Correlation")
    heading = figure.suptitle(style.short(title, 90), fontsize=14, fontweight="bold", x=0.02, ha="left")
    heading.set_parse_math(False)
    return figure


@style.house_style()
def within_matrices(matrices: tuple[np.ndarray, np.ndarray], *, names: tuple[str, str], title: str = "") -> "Figure":
    """Draw the correlations of the channels of two layers, each among themselves.

    Args:
        matrices: float (channels, channels) in [-1, 1], of either layer.
        names: What the layers are.
        title: Heading.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 5.6), layout="constrained")
    axes = figure.subplots(1, 2)
    # The diagonal, which is 1, would leave all else white.
    apart = [np.abs(matrix - np.diag(np.diag(matrix))).max(initial=0) for matrix in matrices]
    limit = max(float(max(apart)), 0.01)
    for ax, matrix, name in zip(axes, matrices, names, strict=True):
        picture = ax.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest", aspect="equal")
        ax.set_title(style.short(name, 44), fontsize=12, fontweight="normal", loc="center", parse_math=False)
        ax.set_xlabel("Channel")
        ax.spines[:].set_visible(True)
    axes[0].set_ylabel("Channel")
    bar = figure.colorbar(picture, ax=list(axes), shrink=0.8, aspect=30, pad=0.02, extend="max")
    bar.set_label("Correlation")
    heading = figure.suptitle(style.short(title, 90), fontsize=14, fontweight="bold", x=0.02, ha="left")
    heading.set_parse_math(False)
    return figure


@style.house_style()
def channel_statistics(
    means: tuple[np.ndarray, np.ndarray],
    deviations: tuple[np.ndarray, np.ndarray],
    rows: np.ndarray,
    columns: np.ndarray,
    *,
    names: tuple[str, str],
    title: str = "",
) -> "Figure":
    """Draw mean against mean, and deviation against deviation, of the matched channels of two layers.

    Args:
        means: Of the channels of either layer, float (channels,).
        deviations: Likewise.
        rows: Matched channels of the first layer, int (pairs,).
        columns: Their partners, int (pairs,).
        names: What the layers are.
        title: Heading.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 5.4), layout="constrained")
    for ax, (one, other), what in zip(
        figure.subplots(1, 2), (means, deviations), ("mean", "standard deviation"), strict=True
    ):
        x, y = one[rows], other[columns]
        low, high = min(x.min(initial=0), y.min(initial=0)), max(x.max(initial=0), y.max(initial=0))
        ax.plot([low, high], [low, high], color=style.GREY, linestyle=":", linewidth=1.8)
        ax.scatter(x, y, s=14, color=style.BLUE, alpha=0.6, linewidths=0)
        ax.set_title(f"{what} (dotted: equal)", fontsize=12, fontweight="normal", loc="center")
        ax.set_xlabel(style.short(names[0], 44), parse_math=False)
        ax.set_ylabel(style.short(names[1], 44), parse_math=False)
    heading = figure.suptitle(style.short(title, 90), fontsize=14, fontweight="bold", x=0.02, ha="left")
    heading.set_parse_math(False)
    return figure


@style.house_style()
def matched_correlations(
    bipartite: np.ndarray, semi: np.ndarray, *, names: tuple[str, str], title: str = "", ax: "Axes | None" = None
) -> "Figure":
    """Draw the correlations of matched channels, sorted: one to one, and each with whichever it likes best.

    Args:
        bipartite: Correlations of the one-to-one pairs, float (pairs,).
        semi: Correlations of the channels with their best partners, float (channels,).
        names: What is matched with what.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: If there are no pairs.
    """
    if not len(bipartite) or not len(semi):
        raise UserError("bipartite", expected="one pair or more", received="none")
    figure, ax = style.axes_of(ax, width=7.4, height=4.6)
    curves = (
        ("semi-matching: best partner, shared", semi, style.BLUE, "-"),
        ("bipartite: one to one", bipartite, style.VERMILLION, "--"),
    )
    for name, values, colour, line in curves:
        ordered = np.sort(np.asarray(values, float))[::-1]
        ax.plot(np.arange(1, len(ordered) + 1), ordered, line, color=colour, linewidth=2.2, label=name)
        ax.annotate(
            f"mean {ordered.mean():.2f}", (len(ordered), ordered[-1]), xytext=(6, 0), textcoords="offset points",
            va="bottom" if colour == style.BLUE else "top", fontsize=10, color=colour, annotation_clip=False,
        )  # fmt: skip
    ax.axhline(0, color=style.GREY, linewidth=0.8)
    ax.set_xlim(1, max(len(bipartite), len(semi), 2))
    ax.set_ylim(min(0.0, float(np.min(bipartite)), float(np.min(semi))) - 0.02, 1.02)
    ax.grid(axis="y")
    # Two lines: names of files are long.
    ax.set_xlabel("\n".join(["Pairs, the most alike first", *_wrapped(names)]), parse_math=False)
    ax.set_ylabel("Correlation")
    ax.legend(loc="upper right", fontsize=11)
    ax.set_title(style.short(title, 60), parse_math=False)
    return figure


def _wrapped(names: tuple[str, str]) -> list[str]:
    """Return what is matched with what, in two lines that fit under a figure."""
    return [style.short(names[0], 70), f"with {style.short(names[1], 65)}"]


def _inside(shape: Sequence[int], rows: np.ndarray, columns: np.ndarray) -> bool:
    return min(np.min(rows), np.min(columns)) >= 0 and np.max(rows) < shape[0] and np.max(columns) < shape[1]


def _complete(chosen: np.ndarray, count: int) -> np.ndarray:
    """Return the chosen numbers, and behind them those that were not chosen."""
    return np.concatenate([chosen, np.setdiff1d(np.arange(count), chosen)]).astype(int)
