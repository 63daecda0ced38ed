"""Scatter plots whose points show their image: plain SVG and CSS, for pages that run no script."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

THUMBNAILS = "thumbnails.json"
"""The file, beside those of the points, that holds the thumbnails: row to JPEG file in base64."""

MOST = 1500
"""Points of one plot: more would make the page heavy."""

# The plot in units of the SVG: a strip for the image on top, the points below it.
SIDE, STRIP, MARGIN = 600, 104, 16

# The markers of `plots.style` as SVG paths around (0, 0); all cover about the same area.
SHAPES = {
    "o": "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0z",
    "s": "M-5.3-5.3h10.6v10.6h-10.6z",
    "^": "M0-7L6.6 5.2H-6.6z",
    "D": "M0-7.4L7.4 0L0 7.4L-7.4 0z",
    "v": "M0 7L6.6-5.2H-6.6z",
    "P": "M-2.4-6.8h4.8v4.4h4.4v4.8h-4.4v4.4h-4.8v-4.4h-4.4v-4.8h4.4z",
    "X": "M0-3.2L3.4-6.6L6.6-3.4L3.2 0L6.6 3.4L3.4 6.6L0 3.2L-3.4 6.6L-6.6 3.4L-3.2 0L-6.6-3.4L-3.4-6.6z",
    ".": "M-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0-7.2 0z",
}


@dataclass(frozen=True)
class Dot:
    """One point.

    Attributes:
        x: Its place in the SVG.
        y: Its place in the SVG, downwards.
        shape: Its outline, an SVG path around (0, 0).
        color: Its colour.
        lines: What is said of it: class, cluster, id.
        picture: Id of its thumbnail in the page; "" when there is none.
    """

    x: float
    y: float
    shape: str
    color: str
    lines: tuple[str, str, str]
    picture: str


@dataclass(frozen=True)
class Points:
    """One scatter plot.

    Attributes:
        anchor: Its id in the page, by which the keyboard can skip its points.
        dots: Its points.
        legend: Shape, colour and words of each class.
        pictures: Id to data URI of the thumbnails; plots of one stage share them, so that a page holds each once.
        scale: What the shapes are multiplied by: many points need small ones.
        width: Width of the drawing in its own units.
        height: Height of the drawing.
        strip: Height of the strip on top where the image is shown.
    """

    anchor: str
    dots: list[Dot]
    legend: list[tuple[str, str, str]]
    pictures: dict[str, str]
    scale: float
    width: int = SIDE
    height: int = SIDE + STRIP
    strip: int = STRIP


def points_table(
    points: np.ndarray, looks: list[dict[str, Any]], look_of: np.ndarray, lines: list[tuple[str, str, str]],
    rows: np.ndarray,
) -> dict[str, Any]:  # fmt: skip
    """Return what a stage writes, as JSON, about the points of one plot.

    Args:
        points: float (points, 2).
        looks: name, color, marker and count of each class.
        look_of: Which look each point has, int (points,).
        lines: What is said of each point: class, cluster, id.
        rows: The row of each point, by which its thumbnail is found.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    # One scale for both, or distances would mean nothing; the shorter side is centred.
    span = float((high - low).max()) or 1.0
    places = (points - (low + high) / 2) / span + 0.5
    pairs = zip(places.tolist(), look_of.tolist(), lines, rows.tolist(), strict=True)
    return {
        "looks": looks,
        "points": [[round(x, 4), round(y, 4), look, *words, row] for (x, y), look, words, row in pairs],
    }


def read_points(path: Path) -> Points:
    """Read the points of one plot, and the thumbnails beside them.

    Args:
        path: What `points_table` returned, as a JSON file.
    """
    text = path.read_bytes()
    table = json.loads(text)
    stored = path.parent / THUMBNAILS
    data = stored.read_bytes() if stored.is_file() else b"{}"
    # Two runs on one page may have other images in the same row.
    key = _id("t", data)
    pictures = {f"{key}-{row}": f"data:image/jpeg;base64,{jpeg}" for row, jpeg in json.loads(data).items()}
    looks = [(SHAPES.get(look["marker"], SHAPES["o"]), look["color"]) for look in table["looks"]]
    inner = SIDE - 2 * MARGIN
    dots = []
    for x, y, look, name, cluster, item, row in table["points"]:
        across, down = round(MARGIN + inner * float(x), 1), round(STRIP + MARGIN + inner * (1 - float(y)), 1)
        (shape, color), picture = looks[look], f"{key}-{row}"
        shown = picture if picture in pictures else ""
        dots.append(Dot(across, down, shape, color, (name, cluster, item), shown))
    words = [f"{look['name']} ({look['count']})" for look in table["looks"]]
    legend = [(*look, name) for look, name in zip(looks, words, strict=True)]
    scale = round(float(np.clip(np.sqrt(300 / max(len(dots), 1)), 0.45, 1)), 2)
    return Points(_id("p", text), dots, legend, pictures, scale)


def _id(letter: str, content: bytes) -> str:
    """Return an id for a page: ids start with a letter, and equal content may share one."""
    return letter + hashlib.sha256(content).hexdigest()[:8]
