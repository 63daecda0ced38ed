"""Small pictures for the report."""

import io

import numpy as np


def thumbnail(image: np.ndarray, *, height: int = 72) -> bytes:
    """Shrink an image to a thumbnail.

    Args:
        image: uint8 (height, width, 3), RGB.
        height: Height of the thumbnail in pixels. A lower image keeps its own size.

    Returns:
        A JPEG file.
    """
    from PIL import Image

    picture = Image.fromarray(image)
    if picture.height > height:
        # A very narrow image must still be a pixel wide.
        width = max(1, round(picture.width * height / picture.height))
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=85)
    return buffer.getvalue()
