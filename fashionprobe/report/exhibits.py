"""Exhibits: figures of other stages, each with a title and a caption, as the report and the gallery show them."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from fashionprobe.artifacts import Artifact
from fashionprobe.report.points import Points, read_points

# Wide enough for a large screen; a page with many pictures stays below some megabytes.
_WIDEST = 1400
# A picture to zoom into keeps its pixels, up to what phones still decode.
_WIDEST_ZOOMED = 4096
# Figures are saved at 150 pixels an inch, and a CSS inch has 96: so letters have the same size in all of them.
_CSS = 96 / 150


@dataclass(frozen=True)
class Exhibit:
    """One figure.

    Attributes:
        title: Its heading.
        caption: What it shows and how to read it, for a reader who was not there.
        source: The picture as a data URI.
        width: Width of the picture in CSS pixels.
        height: Height of the picture in CSS pixels.
        zoom: Whether the reader can enlarge it and move it about.
        points: The points of a scatter plot that shows the image of each, in place of the picture; None for a picture.
    """

    title: str
    caption: str
    source: str
    width: int
    height: int
    zoom: bool = False
    points: Points | None = None


@dataclass(frozen=True)
class Room:
    """The figures of one stage.

    Attributes:
        heading: What they are about.
        exhibits: The figures.
        more: Where the rest is; "" when there is none.
    """

    heading: str
    exhibits: list[Exhibit]
    more: str


def exhibits(artifact: Artifact, *, most: int | None = None) -> list[Exhibit]:
    """Return the figures that a stage noted.

    Args:
        artifact: What the stage wrote.
        most: How many at most, from the first; None for all.
    """
    noted = artifact.facts.get("figures", [])[:most]
    # The name alone: a manifest from elsewhere must not point out of its folder.
    return [exhibit(artifact.path / Path(each["file"]).name, each) for each in noted]


def exhibit(path: Path, noted: dict[str, Any]) -> Exhibit:
    """Read one figure.

    Args:
        path: The PNG file.
        noted: What `note` returned for it.
    """
    if "points" in noted:
        points = read_points(path.parent / Path(noted["points"]).name)
        return Exhibit(noted["title"], noted["caption"], "", points.width, points.height, points=points)
    from PIL import Image

    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    width, height = (round(side * _CSS) for side in picture.size)
    zoom = noted.get("zoom") is True
    widest = _WIDEST_ZOOMED if zoom else _WIDEST
    if picture.width > widest:
        rows = max(1, round(picture.height * widest / picture.width))
        picture = picture.resize((widest, rows), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    # Lines and letters of a chart need full colour resolution.
    picture.save(buffer, "JPEG", quality=88, subsampling=0)
    source = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
    return Exhibit(noted["title"], noted["caption"], source, width, height, zoom)


def gallery(shown: Iterable[Exhibit], *, title: str, lead: str, facts: dict[str, str], command: str) -> str:
    """Write a page of figures.

    Args:
        shown: The figures, in their order.
        title: Title of the page.
        lead: The sentence on top.
        facts: How they were made.
        command: The command that makes the page again.

    Returns:
        A complete HTML page that needs no other file and no network. The same figures give the same page.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fashionprobe.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("gallery.html.j2").render(
        title=title, lead=lead, exhibits=list(shown), facts=facts, command=command
    )
    return page.lstrip()
