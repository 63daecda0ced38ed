"""The look that all figures share: palette, sizes, axes, legend, and text that comes from outside."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

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
    # Class and run names may hold dollar signs, which are no mathematics here.
    "text.parse_math": False,
}

# Matplotlib's settings belong to the whole process: without a lock, two threads could restore each other's.
_LOCK = threading.RLock()


@contextmanager
def house_style() -> Iterator[None]:
    """Draw or save with our settings, whatever the user's own are, and put the user's back after.

    Works as a context and, called, as a decorator.
    """
    from matplotlib import style

    with _LOCK, style.context(["default", _RC]):
        yield


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
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.09, h_pad=0.09)  # pyright: ignore
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


def decades(axis: "Axis") -> None:
    """Number a logarithmic axis plainly, at 1, 2 and 5 of each decade.

    Matplotlib's own numbers are formulas, which this style leaves as text, and lie over each other within one decade.

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
