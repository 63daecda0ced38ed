"""Walls of pictures on a grid, with a frame by class, and how well their layouts keep neighbours."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
"""Pixels per inch at which a wall has to be saved, so that its pictures keep their own."""

GAP = 2
"""Pixels between two cells."""

FRAMED = 2 * len(style.CYCLE)
"""Classes that have a frame of their own: one of each colour that is whole, and one that is dashed."""

PALE = "#DADCE0"
"""Frame of the classes that are left."""

SCORES = {
    "neighbours": "Share of the pictures beside a picture\nthat are among its 8 nearest",
    "dpq": "Distance preservation quality\n(1: as in the true order)",
    "same_class": "Share of the pictures beside a picture\nthat have its class",
}
"""Columns of the table of scores, and what they say."""

_COLOURS = {"las": style.BLUE, "gridcut": style.ORANGE, "random": "#9AA0A6"}


@style.house_style()
def wall(
    pictures: Sequence[np.ndarray],
    cells: np.ndarray,
    rows: int,
    columns: int,
    *,
    cell: int = 72,
    classes: np.ndarray | None = None,
    title: str = "",
) -> "Figure":
    """Draw pictures in the cells of a grid; saved at `DPI`, each keeps its pixels.

    Args:
        pictures: uint8 (height, width, 3) each, RGB; of any sizes. Those larger than a cell shrink.
        cells: The cell of each, row * columns + column, int (pictures,). Cells that are left over stay white.
        rows: Rows of the grid.
        columns: Columns of the grid.
        cell: Height of a cell in pixels, and its largest width.
        classes: Class of each picture, shown by the colour of its frame, and in a legend. Classes that are all named
            after colours have these; else the most frequent fourteen have a frame of their own, seven whole and seven
            dashed.
        title: Heading.

    Returns:
        The figure.

    Raises:
        UserError: If there is no picture, one has another shape or type, or cells or classes do not fit.
    """
    from matplotlib.figure import Figure

    _check(pictures, cells, rows * columns, classes)
    small = [_fitted(picture, cell) for picture in pictures]
    frame = max(2, cell // 18) if classes is not None else 0
    legend = _legend(classes) if classes is not None else []
    looks = [(None, False)] * len(small) if classes is None else _looks(classes, legend)
    canvas = _canvas(small, cells, rows, columns, frame, looks)
    height, width = (side / DPI for side in canvas.shape[:2])
    # Letters grow with the wall: on a phone, all of it is as wide as the screen.
    scale = max(1.0, width / 6.6)
    total = max(width, 3.4)
    lines = -(-len(legend) // 3)
    margins = (0.42 * scale if title else 0.06, (0.27 * lines + 0.2) * scale if legend else 0.06)
    # Whole pixels, so that none of the pictures' has to be mixed from two.
    head, foot = (round(margin * DPI) / DPI for margin in margins)
    figure = Figure(figsize=(total, head + height + foot), dpi=DPI)
    whole = head + height + foot
    ax = figure.add_axes((0, foot / whole, width / total, height / whole))
    ax.imshow(canvas, interpolation="none", aspect="auto")
    ax.set_axis_off()
    if title:
        cut = style.short(title, max(20, int(8 * total / scale)))
        figure.text(0.01, 1 - 0.1 * scale / whole, cut, fontsize=13 * scale, fontweight="bold", va="top")
    if legend:
        _draw_legend(figure, legend, scale, top=foot / whole)
    return figure


@style.house_style()
def layouts(
    pictures: Sequence[np.ndarray], panels: Sequence[tuple[str, np.ndarray]], *, cell: int, across: int, title: str = ""
) -> "Figure":
    """Draw the same pictures in several layouts side by side.

    Args:
        pictures: uint8 (height, width, 3) each.
        panels: A heading and the place of each picture, down and right in [0, 1], float (pictures, 2); where pictures
            overlap the later ones are on top.
        cell: Height of a picture in pixels, and its largest width.
        across: Pictures that fit side by side.
        title: Heading.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    small, side = [_fitted(picture, cell) for picture in pictures], across * cell
    figure = Figure(figsize=(4.2 * len(panels), 4.9), layout="constrained")
    for ax, (heading, places) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        canvas = np.full((side, side, 3), 255, np.uint8)
        for picture, (down, right) in zip(small, places, strict=True):
            height, width = picture.shape[:2]
            top, left = (round(share * (side - part)) for share, part in ((down, height), (right, width)))
            canvas[top : top + height, left : left + width] = picture
        ax.imshow(canvas, interpolation="nearest")
        ax.set_title(heading, fontsize=12, fontweight="normal", loc="center", parse_math=False)
        ax.set_axis_off()
    heading = figure.suptitle(style.short(title, 90), fontsize=14, fontweight="bold", x=0.02, ha="left")
    heading.set_parse_math(False)
    return figure


@style.house_style()
def layout_scores(table: "pd.DataFrame", *, title: str = "") -> "Figure":
    """Draw how well layouts keep neighbours, one panel a score and one group of bars a block.

    Args:
        table: Columns block, layout, neighbours, dpq, same_class. A score that is NaN everywhere has no panel.
        title: Heading.

    Returns:
        The figure.

    Raises:
        UserError: If there is no score.
    """
    from matplotlib.figure import Figure

    shown = [name for name in SCORES if table[name].notna().any()]
    if not shown:
        raise UserError("table", expected="a table with a score", received=f"{len(table)} rows without")
    blocks, layouts = sorted(table["block"].unique()), list(dict.fromkeys(table["layout"]))
    tall = 0.95 + 0.28 * len(blocks) * (len(layouts) + 0.5)
    figure = Figure(figsize=(6.6, 0.9 + tall * len(shown)), layout="constrained")
    figure.set_layout_engine("constrained", w_pad=0.09, h_pad=0.09)
    axes = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    for ax, name in zip(axes, shown, strict=True):
        _bars(ax, table, name, blocks, layouts)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(layouts))
    figure.suptitle(style.short(title, 60), x=0.02, ha="left", fontsize=14, fontweight="bold")
    return figure


def _bars(ax: "Axes", table: "pd.DataFrame", name: str, blocks: list[int], layouts: list[str]) -> None:
    """Draw one score: blocks down, layouts within a block."""
    step = len(layouts) + 0.5
    for number, layout in enumerate(layouts):
        found = table[table["layout"] == layout].set_index("block")[name].reindex(blocks).to_numpy(float)
        places = np.arange(len(blocks)) * step + number
        ax.barh(places, np.nan_to_num(found), height=0.86, color=_COLOURS.get(layout, style.GREEN), label=layout)
        for place, value in zip(places, found, strict=True):
            text = "not defined" if np.isnan(value) else f"{value:.3f}"
            ax.text(max(0, np.nan_to_num(value)) + 0.01, place, text, va="center", fontsize=10, color=style.GREY)
    centres = np.arange(len(blocks)) * step + (len(layouts) - 1) / 2
    ax.set_yticks(centres, [f"block {block}" for block in blocks])
    ax.set_ylim(len(blocks) * step - 0.75, -0.75)
    ax.set_xlim(0, 1.12)
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.set_xlabel(SCORES[name])


def _fitted(picture: np.ndarray, cell: int) -> np.ndarray:
    """Shrink a picture that is larger than a cell."""
    from PIL import Image

    factor = min(1, cell / picture.shape[0], cell / picture.shape[1])
    if factor == 1:
        return picture
    height, width = (max(1, round(side * factor)) for side in picture.shape[:2])
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def _canvas(
    small: list[np.ndarray], cells: np.ndarray, rows: int, columns: int, frame: int, looks: list[tuple[Any, bool]]
) -> np.ndarray:
    """Put the pictures and their frames on white, uint8 (height, width, 3)."""
    tall, wide = (max(picture.shape[axis] for picture in small) + 2 * frame + GAP for axis in (0, 1))
    canvas = np.full((rows * tall, columns * wide, 3), 255, np.uint8)
    inside = np.zeros((tall - GAP, wide - GAP), bool)
    inside[frame : tall - GAP - frame, frame : wide - GAP - frame] = True
    down, right = np.indices(inside.shape)
    dash = max(2, tall // 8)
    for picture, place, (colour, dashed) in zip(small, cells.tolist(), looks, strict=True):
        top, left = place // columns * tall, place % columns * wide
        if frame:
            drawn = ~inside & (((down + right) // dash % 2 == 0) | (not dashed))
            canvas[top : top + tall - GAP, left : left + wide - GAP][drawn] = colour
        top += (tall - GAP - picture.shape[0]) // 2
        left += (wide - GAP - picture.shape[1]) // 2
        canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas


def _legend(classes: np.ndarray) -> list[tuple[str, str, bool]]:
    """Return (class, colour, whether dashed) of the classes with a frame of their own, and "" for the others."""
    names, counts = np.unique(classes, return_counts=True)
    named = [_named(str(name)) for name in names]
    if all(named) and len(set(named)) == len(named):
        # A black frame that says red would mislead.
        return [(name, colour, False) for name, colour in zip(names.tolist(), named, strict=True) if colour]
    # The most frequent first, by name among equals.
    ranked = names[np.argsort(-counts, kind="stable")].tolist()
    colours = len(style.CYCLE)
    found = [(name, style.CYCLE[place % colours], place >= colours) for place, name in enumerate(ranked[:FRAMED])]
    return found + ([("", PALE, False)] if len(ranked) > FRAMED else [])


def _named(name: str) -> str | None:
    """Return the colour that a class is named after, as matplotlib or xkcd's survey know it; None for none."""
    from matplotlib.colors import is_color_like, to_hex

    words = name.strip().lower()
    # One letter, a number or a code is a colour to matplotlib, but no name of one.
    if not words.replace(" ", "").isalpha() or len(words) < 3 or words == "none":
        return None
    if words == "white":
        return PALE
    return next((to_hex(known) for known in (words, f"xkcd:{words}") if is_color_like(known)), None)


def _looks(classes: np.ndarray, legend: list[tuple[str, str, bool]]) -> list[tuple[Any, bool]]:
    """Return the colour of each picture's frame, and whether it is dashed."""
    from matplotlib.colors import to_rgb

    known = {name: (np.round(np.array(to_rgb(colour)) * 255), dashed) for name, colour, dashed in legend}
    return [known[name] if name in known else known[""] for name in classes.tolist()]


def _draw_legend(figure: "Figure", legend: list[tuple[str, str, bool]], scale: float, *, top: float) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(fill=False, edgecolor=colour, linewidth=3 * scale, linestyle=(0, (1.2, 0.8)) if dashed else "-")
        for _, colour, dashed in legend
    ]
    names = [style.short(name, 20) if name else "other classes" for name, _, _ in legend]
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, top), "ncols": 3}
    box = figure.legend(handles, ["name"] * len(handles), fontsize=11 * scale, handlelength=1.4, **place)
    for text, name in zip(box.get_texts(), names, strict=True):
        text.set_text(name)


def _check(pictures: Sequence[np.ndarray], cells: np.ndarray, most: int, classes: np.ndarray | None) -> None:
    if not len(pictures):
        raise UserError("pictures", expected="one or more", received="none")
    for picture in pictures:
        if picture.ndim != 3 or picture.shape[-1] != 3 or picture.dtype != np.uint8 or not picture.size:
            received = f"{picture.dtype} {list(picture.shape)}"
            raise UserError("pictures", expected="uint8 (height, width, 3)", received=received)
    if len(cells) != len(pictures) or min(cells) < 0 or max(cells) >= most:
        expected = f"a cell for each of {len(pictures)} pictures, 0 to {most - 1}"
        raise UserError("cells", expected=expected, received=f"{len(cells)}, {min(cells)} to {max(cells)}")
    if classes is not None and len(classes) != len(pictures):
        raise UserError("classes", expected=f"one per picture, {len(pictures)}", received=len(classes))
