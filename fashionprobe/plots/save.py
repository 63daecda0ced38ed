"""Figures as bytes and as files, the same bytes every time."""

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashionprobe.plots.style import FONT, house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What matplotlib says about letters that its font lacks: the figure is whole, with a box for the letter.
_NO_GLYPH = (r"Glyph \d+ .*missing from", r"Matplotlib currently does not support .* natively")


class Figures:
    """The figures of a stage: each is written beside its data and described for the report in one call.

    Args:
        folder: The folder that they go into.

    Attributes:
        notes: What the manifest says of them, in the list `figures`, in the order in which the pages show them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: list[dict[str, Any]] = []

    def add(
        self, name: str, figure: "Figure", title: str, caption: str, *, zoom: bool = False, points: str = ""
    ) -> None:
        """Write a figure and its note.

        Args:
            name: Name of the files, without a suffix.
            figure: The figure.
            title: Heading.
            caption: What it shows and how to read it.
            zoom: As for `note`, and so is the next.
            points: Name of a file of points.
        """
        self.write(name, figure)
        self.describe(name, title, caption, zoom=zoom, points=points)

    def write(self, name: str, figure: "Figure") -> None:
        """Write a figure that the pages do not show, or not yet."""
        save(figure, self.folder / name)

    def describe(self, name: str, title: str, caption: str, *, zoom: bool = False, points: str = "") -> None:
        """Note a figure for the pages."""
        self.notes.append(note(f"{name}.png", title, caption, zoom=zoom, points=points))


def note(file: str, title: str, caption: str, *, zoom: bool = False, points: str = "") -> dict[str, Any]:
    """Return what a stage notes in its manifest, in the list `figures`, about a figure that the pages should show.

    Args:
        file: Name of the PNG file.
        title: Heading.
        caption: What it shows and how to read it.
        zoom: Whether it holds more than a screen shows, so that the reader should be able to enlarge it.
        points: Name of a file of `points_table`, when the figure is a scatter plot whose points show their image.
    """
    extra = ({"zoom": True} if zoom else {}) | ({"points": points} if points else {})
    return {"file": file, "title": title, "caption": caption} | extra


def save(figure: "Figure", path_without_suffix: str | os.PathLike[str]) -> list[Path]:
    """Write a figure as SVG and PNG, laid out alike; it keeps that layout.

    Args:
        figure: The figure.
        path_without_suffix: Path of both files; ".svg" and ".png" are added to it.

    Returns:
        The paths of the SVG and the PNG.
    """
    path = Path(path_without_suffix)
    # Not `with_suffix`: a name such as "colour.block1" has no suffix to replace.
    paths = [path.with_name(f"{path.name}.svg"), path.with_name(f"{path.name}.png")]
    drawn = png(figure)
    # Each drawing would lay the figure out again, which takes as long as the drawing itself.
    figure.set_layout_engine("none")
    for target, data in zip(paths, (svg(figure), drawn), strict=True):
        target.write_bytes(data)
    return paths


def svg(figure: "Figure") -> bytes:
    """Return a figure as an SVG file.

    Letters become outlines, so that the figure looks the same everywhere. A figure with letters that our font
    lacks keeps its text as text instead: the viewer's fonts may well have them.

    Args:
        figure: The figure.

    Returns:
        The file; the same figure gives the same bytes.
    """
    fonttype = "none" if _missing_letters(figure) else "path"
    with _saving({"svg.fonttype": fonttype}) as buffer:
        # The creator field would hold matplotlib's version.
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def png(figure: "Figure", *, dpi: int = 150) -> bytes:
    """Return a figure as a PNG file.

    Args:
        figure: The figure.
        dpi: Pixels per inch.

    Returns:
        The file; the same figure gives the same bytes.
    """
    with _saving({}) as buffer:
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


@contextmanager
def _saving(settings: dict[str, str]) -> Iterator[io.BytesIO]:
    """Give a buffer to save into, with our settings on and warnings of missing letters off."""
    import matplotlib as mpl

    # Matplotlib hashes with a random salt unless given one, and ids would differ from run to run.
    fixed = {"svg.hashsalt": "fashionprobe", **settings}
    with house_style(), mpl.rc_context(fixed), warnings.catch_warnings():  # pyright: ignore[reportArgumentType]
        for message in _NO_GLYPH:
            warnings.filterwarnings("ignore", message=message, category=UserWarning)
        yield io.BytesIO()


def _missing_letters(figure: "Figure") -> bool:
    """Tell whether the figure holds a letter that our font cannot draw."""
    from matplotlib.font_manager import FontProperties, findfont, get_font
    from matplotlib.text import Text

    letters = {letter for text in figure.findobj(Text) for letter in text.get_text()}
    drawable = get_font(findfont(FontProperties(family=FONT))).get_charmap()
    return any(ord(letter) not in drawable for letter in letters if not letter.isspace())
