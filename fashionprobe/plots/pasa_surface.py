"""The penalty of PASA over certainty and activation: what its base B and threshold th do."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SETTINGS = {"animals": (0.4, 0.7), "symbols": (0.8, 2.0), "x-rays": (5.0, 0.8)}
"""Name to B and th, as the source of the method sets them."""

# The same in all panels, a factor of 2 from one to the next.
_LEVELS = 2.0 ** np.arange(-3, 5)
# Below this the contours lie too near each other for their numbers.
_LABELLED = 0.5
_DASHES = ("-", "--", "-.", ":")
_MOST = 4


@style.house_style()
def pasa_surface(
    settings: Mapping[str, tuple[float, float]] = SETTINGS, *, activation: float = 2.0, title: str = ""
) -> "Figure":
    """Draw the factor B^(p / th) over p as one line a setting, and the penalty Act B^(p / th) over both as contours.

    With B below 1 the penalty fades as the network gets sure of the true class, with B above 1 it grows.

    Args:
        settings: Name to B and th, both above 0; four at most.
        activation: Where the axis of Act ends, above 0.
        title: Heading.

    Returns:
        The figure: on the first axes the lines, on the others the contours, and the colour bar last.

    Raises:
        UserError: There is no setting or more than four, or a number is not above 0.
    """
    if not 1 <= len(settings) <= _MOST:
        raise UserError("settings", expected=f"1 to {_MOST} settings", received=len(settings))
    for name, numbers in [("activation", (activation,)), *settings.items()]:
        if not all(0 < number < float("inf") for number in numbers):
            raise UserError(name, expected="above 0", received=", ".join(map(str, numbers)))
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.6, 6.6 + 0.3 * bool(title)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.07, hspace=0.03)  # pyright: ignore
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.15, 1.0))  # pyright: ignore
    _lines(upper.subplots(), settings)
    axes = list(lower.subplots(1, len(settings), sharey=True, squeeze=False)[0])
    for ax, (name, (b, th)) in zip(axes, settings.items(), strict=True):
        filled = _contours(ax, b, th, activation)
        ax.set_title(f"{style.short(name, 14)}\nB {b:g}, th {th:g}", fontsize=12, parse_math=False)
    axes[0].set_ylabel("Act: activation\ninside the mask", multialignment="center")
    bar = lower.colorbar(filled, ax=axes, location="bottom", shrink=0.8, aspect=40, pad=0.02, ticks=_LEVELS)
    bar.ax.xaxis.set_major_formatter(lambda value, _: _fraction(value))
    bar.ax.minorticks_off()
    bar.set_label("Penalty", fontsize=11)
    if title:
        heading = figure.suptitle(style.short(title, 50), x=0.01, ha="left", fontsize=14, fontweight="bold")
        heading.set_parse_math(False)
    return figure


def penalty_factor(p: np.ndarray, b: float, th: float) -> np.ndarray:
    """Return B^(p / th), the factor of the penalty of an image whose class has the probability p."""
    return b ** (p / th)


def _lines(ax: "Axes", settings: Mapping[str, tuple[float, float]]) -> None:
    """Draw the factor over p, in steps of equal ratio: halving then looks like doubling."""
    p = np.linspace(0, 1, 101)
    for place, (name, (b, th)) in enumerate(settings.items()):
        factor = penalty_factor(p, b, th)
        ax.plot(p, factor, color=style.CYCLE[place], linestyle=_DASHES[place], linewidth=2.6, clip_on=False, zorder=3)
        ax.annotate(
            f"{style.short(name, 14)}: {factor[-1]:.2g}", (1, factor[-1]), xytext=(7, 0), textcoords="offset points",
            va="center", color=style.CYCLE[place], fontsize=12, fontweight="bold", parse_math=False,
        )  # fmt: skip
    ax.axhline(1, color=style.GREY, linestyle=":", linewidth=1.6, zorder=2)
    ax.set_yscale("log", base=2)
    ax.yaxis.set_major_formatter(lambda value, _: _fraction(value))
    ax.set_xlim(0, 1)
    ax.grid(axis="y")
    ax.set_xlabel("p: probability of the true class")
    ax.set_ylabel("Factor of the penalty\nB^(p / th)", multialignment="center", parse_math=False)


def _contours(ax: "Axes", b: float, th: float, activation: float) -> object:
    """Draw the penalty of one setting and return its filled contours."""
    from matplotlib.colors import LogNorm
    from matplotlib.patheffects import withStroke

    p, act = np.meshgrid(np.linspace(0, 1, 81), np.linspace(activation / 400, activation, 81))
    penalty = act * penalty_factor(p, b, th)
    norm = LogNorm(_LEVELS[0], _LEVELS[-1])
    filled = ax.contourf(p, act, penalty, levels=_LEVELS, norm=norm, cmap="viridis", extend="both")
    lines = ax.contour(p, act, penalty, levels=_LEVELS, colors="white", linewidths=1.0)
    for label in ax.clabel(lines, _LEVELS[_LEVELS >= _LABELLED], fmt=_fraction, fontsize=10, colors="black"):
        label.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    ax.set_xlabel("p")
    return filled


def _fraction(value: float) -> str:
    """Write a power of two, one below 1 as a fraction."""
    return f"{value:g}" if value >= 1 else f"1/{1 / value:g}"
