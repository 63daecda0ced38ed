"""Images as points of the plane, with a look for each class, and how well clusters agree with classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
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


def looks(
    classes: Sequence[str] | np.ndarray, *, most: int = SHOWN_CLASSES, missing: str = MISSING
) -> tuple[list[Look], np.ndarray]:
    """Give each class a colour and a marker.

    Classes that are names of colours, such as "Navy Blue", get that colour when most of the classes are; else the
    palette goes round. The marker changes from class to class in either case, for those who cannot tell the colours.

    Args:
        classes: The class of each point; "" for none.
        most: Classes with a look of their own, the largest; the rest share the last look.
        missing: What points of no class are called.

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
        name = missing if not hidden else f"{REST} ({hidden} {'class' if hidden == 1 else 'classes'})"
        found.append(Look(name, _REST_COLOR, ".", rest))
    return found, look_of[numbers]


@style.house_style()
def scatter(
    points: np.ndarray,
    classes: Sequence[str] | np.ndarray,
    *,
    kind: str = "UMAP",
    title: str = "",
    missing: str = MISSING,
    ax: "Axes | None" = None,
) -> "Figure":
    """Draw points of the plane by class.

    Args:
        points: float (points, 2).
        classes: The class of each, str (points,); "" for none.
        kind: What the plane is of.
        title: Heading.
        missing: What points of no class are called.
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
    found, look_of = looks(classes, missing=missing)
    figure, ax = style.axes_of(ax, width=7.6, height=5.2)
    # A large set needs small points, or the last class would hide the others.
    size = float(np.clip(14_000 / len(points), 6, 34))
    # All classes are at the same depth: the points are drawn in small slices, in turns.
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

    How far islands are apart in a map of UMAP has no meaning. Within an island nothing changes.

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
        # One letter, a digit or a cycle colour is not a name that a person gives.
        if known in colors.CSS4_COLORS or (known.startswith("xkcd:") and known in colors.XKCD_COLORS):
            return colors.to_hex(known).upper()
    return None


INDICES = {"ari": "ARI", "ami": "AMI"}
_COLORS = (style.BLUE, style.ORANGE)
_HATCHES = ("", "//")


@style.house_style()
def agreement_by_block(table: "pd.DataFrame", *, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """Draw a pair of bars a block: adjusted Rand index and adjusted mutual information.

    Both are 0 for clusters that have nothing to do with the classes, so that is where the bars start. Below each block
    stand the number of clusters and the share of images in none.

    Args:
        table: Columns block, ari, ami, clusters, noise; one row per block.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: If the table has no rows, or two of one block.
    """
    if table.empty or table["block"].duplicated().any():
        raise UserError("table", expected="a table with one row per block", received=f"blocks {list(table['block'])}")
    rows = table.sort_values("block")
    figure, ax = style.axes_of(ax, width=max(6.2, 1.6 + 1.05 * len(rows)), height=4.2)
    places = np.arange(len(rows))
    handles = []
    for index, (column, color) in enumerate(zip(INDICES, _COLORS, strict=True)):
        values = rows[column].to_numpy(float)
        bars = ax.bar(
            places + (index - 0.5) * 0.4, values, width=0.38, color=color, hatch=_HATCHES[index], edgecolor="white"
        )
        ax.bar_label(bars, [f"{value:.2f}" for value in values], fontsize=10, padding=2)
        handles.append(bars)
    ax.set_xticks(places, [_under(row) for row in rows.to_dict("records")], fontsize=10)
    ax.axhline(0, color="#3C4043", linewidth=1)
    ax.set_ylim(min(0.0, float(rows[list(INDICES)].to_numpy().min()) - 0.05), 1)
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.grid(axis="y")
    ax.tick_params(axis="x", length=0)
    ax.set_xlabel("Block of the backbone (1 is nearest the image)")
    ax.set_ylabel("Agreement of clusters with classes\n(0: none, 1: the same)", multialignment="center")
    ax.set_title(style.short(title, 60), parse_math=False)
    style.legend(ax, handles, list(INDICES.values()))
    return figure


def _under(row: Mapping[Any, Any]) -> str:
    """Return what stands below a block: its number, how many clusters, and how much is in none."""
    clusters = int(row["clusters"])
    return f"{row['block']}\n{clusters} {'cluster' if clusters == 1 else 'clusters'}\n{100 * row['noise']:.0f} % noise"
