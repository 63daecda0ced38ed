"""Images as points of the plane, told apart by colour and marker; colour names as classes get their own colour."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN_CLASSES = 14
"""Classes with a look of their own; the images of all smaller ones are grey dots."""

EDGE = "#202124"
REST = "other"
MISSING = "no label"
_REST_COLOR = "#C4C8CC"
_UNNAMED = "#C9B8E8"  # Of a class such as "multi" among names of colours: a tint that clothes seldom have.


@dataclass(frozen=True)
class Look:
    """How the points of one class are drawn.

    Attributes:
        name: The class.
        color: Its colour, as #rrggbb.
        marker: One of `style.MARKERS`, or "." for the smaller classes together.
        count: Its number of points.
    """

    name: str
    color: str
    marker: str
    count: int


def looks(classes: Sequence[str] | np.ndarray, *, most: int = SHOWN_CLASSES) -> tuple[list[Look], np.ndarray]:
    """Give each class a colour and a marker.

    Classes that are names of colours, such as "Navy Blue", get that colour when most of the classes are; else the
    palette goes round. The marker changes from class to class in either case, for those who cannot tell the colours.

    Args:
        classes: The class of each point; "" for none.
        most: Classes with a look of their own, the largest; the rest share the last look.

    Returns:
        The looks, and the number of its look for each point, int (points,).
    """
    values = np.asarray(classes, str)
    names, numbers, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranked = [place for place in np.argsort(-counts, kind="stable") if names[place] != ""]
    shown = sorted(ranked[:most])
    own = [_named_color(str(names[place])) for place in shown]
    if 2 * sum(color is not None for color in own) <= len(shown):
        own = [style.CYCLE[place % len(style.CYCLE)] for place in range(len(shown))]
    found = [
        # Past seven classes the colours come round again, with other markers.
        Look(str(names[at]), color or _UNNAMED, style.MARKERS[(place + place // 7) % 7], int(counts[at]))
        for place, (at, color) in enumerate(zip(shown, own, strict=True))
    ]
    look_of = np.full(len(names), len(found))
    look_of[shown] = np.arange(len(shown))
    rest = int(counts.sum() - sum(look.count for look in found))
    if rest:
        hidden = len(ranked) - len(shown)
        name = MISSING if not hidden else f"{REST} ({hidden} {'class' if hidden == 1 else 'classes'})"
        found.append(Look(name, _REST_COLOR, ".", rest))
    return found, look_of[numbers]


@style.house_style()
def scatter(
    points: np.ndarray,
    classes: Sequence[str] | np.ndarray,
    *,
    kind: str = "UMAP",
    title: str = "",
    ax: "Axes | None" = None,
) -> "Figure":
    """Draw points of the plane by class.

    Args:
        points: float (points, 2).
        classes: The class of each, str (points,); "" for none.
        kind: What the plane is of.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: If there is no point, or the two differ in length.
    """
    points = np.asarray(points, float)
    if points.ndim != 2 or points.shape[1:] != (2,) or not len(points) or len(points) != len(classes):
        expected = "a table of one point or more by two coordinates, each with its class"
        raise UserError("points", expected=expected, received=f"shape {points.shape} with {len(classes)} classes")
    found, look_of = looks(classes)
    figure, ax = style.axes_of(ax, width=7.6, height=5.2)
    # A large set needs small points, or the last class would hide the others.
    size = float(np.clip(14_000 / len(points), 6, 34))
    # All classes lie at the same depth: the points are drawn in small slices, in turns.
    for part in np.array_split(np.arange(len(points)), min(12, len(points))):
        for number, look in enumerate(found):
            at = points[part[look_of[part] == number]]
            ax.scatter(*at.T, s=size, c=look.color, marker=look.marker, edgecolors=EDGE, linewidths=0.4, zorder=3)
    handles = [
        ax.scatter([], [], s=48, c=look.color, marker=look.marker, edgecolors=EDGE, linewidths=0.8) for look in found
    ]
    style.legend(ax, handles, [f"{style.short(look.name, 20)} ({look.count})" for look in found])
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_xlabel(f"First dimension of {kind} (no unit)")
    ax.set_ylabel(f"Second dimension of {kind} (no unit)")
    ax.set_title(style.short(title, 60), parse_math=False)
    return figure


def without_gaps(points: np.ndarray, *, most: float = 0.04) -> np.ndarray:
    """Cut the wide empty stretches out of a map, along each axis, so that far islands leave the rest its room.

    How far islands lie apart in a map of UMAP has no meaning. Within an island nothing changes.

    Args:
        points: float (points, 2).
        most: The widest stretch that stays, as a share of the whole axis.

    Returns:
        float (points, 2).
    """
    points = np.asarray(points, float)
    order = np.argsort(points, axis=0, kind="stable")
    steps = np.diff(np.take_along_axis(points, order, axis=0), axis=0)
    steps = np.minimum(steps, most * np.ptp(points, axis=0))
    closed = np.empty_like(points)
    np.put_along_axis(closed, order, np.vstack([np.zeros((1, 2)), np.cumsum(steps, axis=0)]), axis=0)
    return closed


def _named_color(name: str) -> str | None:
    """Return the colour that a name means, None when it means none: CSS's names first, then those people use."""
    from matplotlib import colors

    word = " ".join(name.lower().replace("_", " ").replace("-", " ").split())
    for known in (word.replace(" ", ""), f"xkcd:{word}"):
        # One letter, a digit or a cycle colour is no name that a person gives.
        if known in colors.CSS4_COLORS or (known.startswith("xkcd:") and known in colors.XKCD_COLORS):
            return colors.to_hex(known).upper()
    return None
