"""Masks over pictures: what is masked is tinted, with a line around it."""

import numpy as np

from fashionprobe.plots import style

# Half as much again as a picture of a contact sheet has pixels.
SIDE = 280
_OPACITY = 0.4
_LINE = 2


def outlined(image: np.ndarray, mask: np.ndarray, *, side: int = SIDE) -> np.ndarray:
    """Tint the masked part of a picture and draw a line around it.

    Args:
        image: uint8 (height, width, 3), RGB.
        mask: bool (height, width), True where masked.
        side: Longer side of the result in pixels, so that the line is equally thick in all pictures.

    Returns:
        uint8 (rows, columns, 3), RGB.
    """
    from matplotlib.colors import to_rgb
    from PIL import Image

    height, width = mask.shape
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    kind = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    pixels = np.asarray(Image.fromarray(image).resize(size, kind), np.float64)
    masked = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    colour = 255 * np.array(to_rgb(style.VERMILLION))
    pixels = np.where(masked[..., None], (1 - _OPACITY) * pixels + _OPACITY * colour, pixels)
    pixels[_edge(masked)] = colour
    return np.rint(pixels).astype(np.uint8)


def _edge(mask: np.ndarray) -> np.ndarray:
    """Return the outermost pixels of a mask, also where it meets the border of the picture: bool (height, width)."""
    from scipy.ndimage import binary_erosion

    return mask & ~binary_erosion(mask, iterations=_LINE)
