"""The look that all figures share: palette, sizes, axes, legend, and text that comes from outside."""

import contextlib
import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

P = ParamSpec("P")
R = TypeVar("R")

# Okabe and Ito's palette keeps its colours apart for the common kinds of colour blindness. Yellow is left
# out: it is too pale for a line on white. Reference: Okabe and Ito, "Color Universal Design", 2008.
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
PURPLE, ORANGE, SKY, BLACK = "#CC79A7", "#E69F00", "#56B4E9", "#000000"
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#5F6368"
FONT = "DejaVu Sans"

_RC = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#3C4043",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 14,
    "axes.titleweight": "bold",
    "font.family": FONT,
    "font.size": 12,
    "grid.color": "#E3E5E8",
    "legend.fontsize": 11,
    "legend.frameon": False,
    # Class and run names may hold dollar signs, which are not mathematics here.
    "text.parse_math": False,
}

# Matplotlib's settings belong to the whole process: without a lock, two threads could restore each other's.
_LOCK = threading.RLock()


class house_style(contextlib.ContextDecorator):
    """Draw or save with our settings, whatever the user's own are, and put the user's back after.

    Works as a context and, called, as a decorator; a figure that a decorated function returns shows itself in Jupyter,
    which otherwise shows the figures of pyplot alone.
    """

    def __enter__(self) -> None:
        from matplotlib import style

        self._settings = contextlib.ExitStack()
        self._settings.enter_context(_LOCK)
        self._settings.enter_context(style.context(["default", _RC]))

    def __exit__(self, *error: Any) -> None:
        self._settings.close()

    def __call__(self, draw: Callable[P, R]) -> Callable[P, R]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return a function that draws with our settings."""

        @functools.wraps(draw)
        def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
            with house_style():
                figure = draw(*args, **kwargs)
            if hasattr(figure, "savefig"):
                figure._repr_png_ = functools.partial(_png, figure)  # pyright: ignore[reportAttributeAccessIssue]
            return figure

        return drawn


def _png(figure: Any) -> bytes:
    from fashionprobe.plots.save import png

    return png(figure, dpi=90)


def axes_of(ax: "Axes | None", *, width: float, height: float = 4.2) -> "tuple[Figure, Axes]":
    """Return the axes to draw on and their figure, and make both when `ax` is None.

    Args:
        ax: Axes of the user's figure, or None.
        width: Width of a new figure in inches.
        height: Height of a new figure in inches.

    Returns:
        The top figure and the axes.
    """
    from matplotlib.figure import Figure

    if ax is None:
        figure = Figure(figsize=(width, height))
        figure.set_layout_engine("constrained", w_pad=0.09, h_pad=0.09)
        return figure, figure.add_subplot()
    figure = ax.get_figure(root=True) if _has_root(ax) else ax.figure
    return figure, ax  # pyright: ignore[reportReturnType]


def _has_root(ax: "Axes") -> bool:
    """Tell whether the axes are on a figure that can sit inside another (matplotlib 3.10 and later)."""
    return hasattr(ax.figure, "get_figure")


def legend(ax: "Axes", handles: "Sequence[Artist]", labels: Sequence[str], *, title: str = "") -> None:
    """Put a legend beside the axes, where it hides no data.

    Args:
        ax: The axes.
        handles: What the entries show.
        labels: Names of the entries, shown as they are.
        title: Heading of the legend.
    """
    # The names go in afterwards: matplotlib would drop an entry whose name starts with an underscore.
    box = ax.legend(handles, ["name"] * len(handles), loc="upper left", bbox_to_anchor=(1.03, 1.0), borderaxespad=0.0)
    box.set_title(title)
    box.set_alignment("left")
    for text, label in zip(box.get_texts(), labels, strict=True):
        text.set_text(label)
        text.set_parse_math(False)


@dataclass(frozen=True, eq=False)
class Line:
    """A line of a figure: means with their intervals.

    Attributes:
        name: Its name in the legend.
        x: float (points,).
        mean: float (points,).
        reach: How far the interval goes: float (points,), or (2, points) for below and above.
        color: Colour.
        marker: Marker.
        strong: Whether it is the one to look at first.
        dashed: Whether it is dashed.
    """

    name: str
    x: np.ndarray
    mean: np.ndarray
    reach: np.ndarray
    color: str
    marker: str
    strong: bool = False
    dashed: bool = False


def look(place: int) -> tuple[str, str]:
    """Return colour and marker of the line at some place; past seven the colours come again with another marker."""
    return CYCLE[place % len(CYCLE)], MARKERS[(place + place // len(CYCLE)) % len(MARKERS)]


def shifts(count: int, step: float) -> np.ndarray:
    """Return the step to the side of each of some things that stand at one place."""
    return (np.arange(count) - (count - 1) / 2) * step


def curves(ax: "Axes", lines: Sequence[Line]) -> "list[Artist]":
    """Draw lines with their intervals and return them, for the legend."""
    handles: list[Artist] = []
    for line in lines:
        bars = ax.errorbar(
            line.x, line.mean, yerr=line.reach, color=line.color, marker=line.marker,
            linewidth=3.0 if line.strong else 1.6, markersize=8 if line.strong else 6,
            elinewidth=1.8 if line.strong else 1.2, capsize=4 if line.strong else 3,
            linestyle="--" if line.dashed else "-", zorder=4 if line.strong else 3,
        )  # fmt: skip
        handles.append(bars.lines[0])
    return handles


def curves_by_block(
    ax: "Axes", lines: Sequence[Line], *, chance: float | None, ylabel: str, title: str, legend_title: str = "",
    more: "Sequence[tuple[Artist, str]]" = (),
) -> None:  # fmt: skip
    """Draw shares by block: a line each, moved sideways so that intervals stand beside each other, and chance.

    Args:
        ax: The axes.
        lines: The lines; `x` is the blocks.
        chance: What a blind guess reaches, drawn as a dotted line; None for nothing.
        ylabel: What the share is.
        title: Heading.
        legend_title: Heading of the legend.
        more: What else is drawn, with its name in the legend.
    """
    step = min(0.06, 0.3 / max(len(lines) - 1, 1))
    moved = [replace(line, x=line.x + shift) for line, shift in zip(lines, shifts(len(lines), step), strict=True)]
    handles, names = curves(ax, moved), [line.name for line in lines]
    handles, names = handles + [handle for handle, _ in more], names + [name for _, name in more]
    if chance is not None:
        handles.append(ax.axhline(chance, color=GREY, linestyle=":", linewidth=1.8, zorder=2))
        names.append(f"chance ({chance:.2g})")
    blocks = sorted({int(block) for line in lines for block in line.x})
    ax.set_xticks(blocks)
    # A lone block would otherwise get an axis of no width.
    ax.set_xlim(blocks[0] - 0.4, blocks[-1] + 0.4)
    ax.set_xlabel("Block of the backbone (1 is nearest the image)" if len(blocks) > 1 else "Block of the backbone")
    shares(ax, ylabel, title)
    legend(ax, handles, names, title=legend_title)


def width_of(blocks: int) -> float:
    """Return the width of a figure by block in inches: small enough for large letters, wider for many blocks."""
    return 6.6 + 0.4 * max(0, blocks - 6)


def shares(ax: "Axes", ylabel: str, title: str) -> None:
    """Scale and label an axis of shares, 0 to 1, and set the heading."""
    ax.set_ylim(0, 1)
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.grid(axis="y")
    ax.set_ylabel(ylabel, multialignment="center")
    ax.set_title(short(title, 60), parse_math=False)


def decades(axis: "Axis") -> None:
    """Number a logarithmic axis plainly, at 1, 2 and 5 of each decade.

    Matplotlib's own numbers are formulas, which this style leaves as text, and overlap within one decade.

    Args:
        axis: The axis, logarithmic already.
    """
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def short(name: object, width: int = 26) -> str:
    r"""Make a name from outside fit for a figure: one line, printable, at most `width` characters.

    Args:
        name: A class, run or label name.
        width: Most characters to keep.

    Returns:
        The name. One that is too long loses its middle, so that endings still tell names apart.

    Example:
        >>> short("a very long\nname of a class", 16)
        'a very l…a class'
    """
    text = " ".join(str(name).split())
    text = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    if len(text) <= width:
        return text
    head = width // 2
    return f"{text[:head]}…{text[len(text) - (width - head - 1) :]}"
