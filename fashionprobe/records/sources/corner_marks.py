"""Marks in the lower left corner of a picture: clues that have nothing to do with what the picture shows."""

import math
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from fashionprobe.errors import UserError
from fashionprobe.records.sources.drawing import stroke

CORNER = (0.75, 0.0, 1.0, 0.25)
"""Top, left, bottom and right of the box that holds every mark and a margin, as shares of the picture's sides."""

_CENTRE = 0.09  # of a mark, from the left and from the bottom; this and all below as shares of the shorter side
_REACH = 0.065  # half a symbol's height
_LARGE_CENTRE, _LARGE_REACH = 0.115, 0.09  # of patches and dots
_PEN, _RIM = 0.024, 0.05
_FINER = 8  # drawn that many times larger and shrunk, so that edges are smooth

_ANGLES = np.linspace(0, 2 * np.pi, 25)
_RING = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1) * 0.8
_DIAGONAL = ((-0.75, 0.75), (0.75, -0.75))
_OTHER = ((-0.75, -0.75), (0.75, 0.75))
_UPRIGHT, _LEVEL = ((0, -1), (0, 1)), ((-1, 0), (1, 0))
SYMBOLS = {
    "star": (_UPRIGHT, ((-0.87, -0.5), (0.87, 0.5)), ((-0.87, 0.5), (0.87, -0.5))),
    "slash": (((-0.5, 1), (0.5, -1)),),
    "cross": (_DIAGONAL, _OTHER),
    "ring": (_RING,),
    "plus": (_UPRIGHT, _LEVEL),
    "triangle": (((-0.9, 0.8), (0, -0.9), (0.9, 0.8), (-0.9, 0.8)),),
    "square": (((-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8), (-0.8, -0.8)),),
    "level": (_LEVEL,),
    "upright": (_UPRIGHT,),
    "equals": (((-0.9, -0.45), (0.9, -0.45)), ((-0.9, 0.45), (0.9, 0.45))),
    "corner": (((-0.8, -0.9), (-0.8, 0.8), (0.9, 0.8)),),
    "arrow": (((-0.8, -0.8), (0.7, 0), (-0.8, 0.8)),),
}
"""The lines of each symbol, x to the right and y down, within [-1, 1]."""

GREYS = (20, 230)
"""The darkest and the lightest patch: both differ from white and from black paper."""

MOST = {"symbols": len(SYMBOLS), "patch": 20, "dots": 16}
"""How many classes the marks of each kind distinguish."""


def check_rate(rate: float) -> None:
    """Check the share of the images whose mark tells their class."""
    if not 0 <= rate <= 1:
        raise UserError("rate", expected="a number in [0, 1]", received=rate, remedy="It is a share of the images.")


def box(height: int, width: int) -> tuple[int, int, int, int]:
    """Return top, left, bottom and right of `CORNER` in the pixels of a picture, whole ones, rounded outwards."""
    top, left, bottom, right = CORNER
    return int(top * height), int(left * width), math.ceil(bottom * height), math.ceil(right * width)


def with_symbol(pixels: np.ndarray, name: str) -> np.ndarray:
    """Return a picture with a symbol in its corner, black with a white rim that shows on dark ground.

    Args:
        pixels: uint8 (height, width) or (height, width, 3).
        name: One of `SYMBOLS`.
    """
    for colour, pen in ((255, _RIM), (0, _PEN)):
        pixels = _painted(pixels, SYMBOLS[name], pen, colour)
    return pixels


def with_mark(pixels: np.ndarray, kind: str, number: int, count: int) -> np.ndarray:
    """Return a picture with the mark of one class in its corner.

    Args:
        pixels: uint8 (height, width) or (height, width, 3).
        kind: "symbols" draws a symbol; "patch" a grey square, from dark to light in the order of the classes; "dots" as
            many dots as the class' place, counted from 1.
        number: Place of the class, from 0.
        count: Number of classes; `MOST` says how many a kind can distinguish.
    """
    if kind == "symbols":
        return with_symbol(pixels, list(SYMBOLS)[number])
    if kind == "patch":
        low, high = GREYS
        return _filled(
            pixels, [((-1, -1), (1, 1))], "rectangle", round(low + (high - low) * number / max(count - 1, 1))
        )
    places = [((place % 4 - 1.5) / 1.7, (1.5 - place // 4) / 1.7) for place in range(number + 1)]
    for colour, radius in ((255, 0.3), (0, 0.2)):
        spots = [((x - radius, y - radius), (x + radius, y + radius)) for x, y in places]
        pixels = _filled(pixels, spots, "ellipse", colour)
    return pixels


def _filled(pixels: np.ndarray, boxes: list, shape: Literal["rectangle", "ellipse"], colour: int) -> np.ndarray:
    """Fill shapes given by opposite corners, in the coordinates of `SYMBOLS` but larger."""
    side = min(pixels.shape[:2])
    cover, draw = _canvas(side)
    for corners in boxes:
        points = _placed(np.array(corners), _LARGE_CENTRE, _LARGE_REACH, side).ravel().tolist()
        getattr(draw, shape)(points, fill=255)
    return _covered(pixels, cover, colour)


def _painted(pixels: np.ndarray, lines: tuple, pen: float, colour: int) -> np.ndarray:
    """Draw polylines, in the coordinates of `SYMBOLS`, with round ends."""
    side = min(pixels.shape[:2])
    cover, draw = _canvas(side)
    width = max(pen * side * _FINER, _FINER)
    for line in lines:
        stroke(draw, _placed(np.array(line), _CENTRE, _REACH, side), width, 255)
    return _covered(pixels, cover, colour)


def _canvas(side: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Return an empty cover of a quarter of the picture's shorter side, drawn finer."""
    tile = math.ceil(0.25 * side) * _FINER
    cover = Image.new("L", (tile, tile))
    return cover, ImageDraw.Draw(cover)


def _placed(points: np.ndarray, centre: float, reach: float, side: int) -> np.ndarray:
    """Move points within [-1, 1] to the pixels of the cover, whose lower left corner is the picture's."""
    return (points * reach + (centre, -centre)) * side * _FINER + (0, math.ceil(0.25 * side) * _FINER)


def _covered(pixels: np.ndarray, drawn: Image.Image, colour: int) -> np.ndarray:
    """Lay a colour over the lower left corner, as opaque as `drawn` is white there."""
    cover = np.asarray(drawn.reduce(_FINER)) / 255
    height, width = cover.shape
    result = pixels.copy()
    corner = result[-height:, :width]
    opacity = cover if pixels.ndim == 2 else cover[..., None]
    corner[:] = np.rint(corner + opacity * (colour - corner.astype(float)))
    return result
