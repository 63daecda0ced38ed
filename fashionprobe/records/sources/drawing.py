"""Strokes with round ends, smooth, and the PNG files of pictures that come as pixels."""

import hashlib
import io

import numpy as np
from PIL import Image, ImageDraw


def stroke(draw: ImageDraw.ImageDraw, points: np.ndarray, pen: float, ink: int) -> None:
    """Draw a polyline with round corners and ends.

    Args:
        draw: Where to; a picture some times larger than wanted, to be shrunk (`Image.reduce`) for smooth edges.
        points: (points, 2), x and y in its pixels; a single point is a dot.
        pen: Width in its pixels.
        ink: Grey value.
    """
    if len(points) > 1:
        draw.line(points.ravel().tolist(), fill=ink, width=max(1, round(pen)), joint="curve")
    for x, y in points[[0, -1]]:
        draw.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), fill=ink)


def png(pixels: np.ndarray) -> bytes:
    """Encode uint8 (height, width) or (height, width, 3) as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def content(pixels: np.ndarray) -> str:
    """Return a key for pixels: pictures of one shape have the same key when all their pixels are the same."""
    return hashlib.blake2b(pixels.tobytes(), digest_size=16).hexdigest()
