"""Heatmaps and masks over images, alone and side by side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = "viridis"
"""Colour map of relevance: even steps for the eye, and readable with any colour blindness."""

# A few pixels far out would leave all others grey.
_CLIPPED = 99.0
# Letters of 12 points can be read on a phone in a figure that is six inches wide.
_COLUMNS, _SIDE = 3, 2.05


def overlay(image: np.ndarray, heatmap: np.ndarray, *, opacity: float = 0.6) -> np.ndarray:
    """Lay a heatmap over an image without its colours, so that every colour stands for relevance.

    Args:
        image: uint8 (height, width, 3), RGB.
        heatmap: float (height, width) in [0, 1].
        opacity: Share of the heatmap in the mixture, in [0, 1].

    Returns:
        uint8 (height, width, 3), RGB.
    """
    import matplotlib as mpl

    # Luma of ITU-R BT.601.
    grey = image.astype(np.float64) @ (0.299, 0.587, 0.114)
    colours = mpl.colormaps[COLOURS](np.clip(heatmap, 0, 1))[..., :3] * 255
    return np.rint((1 - opacity) * grey[..., None] + opacity * colours).astype(np.uint8)


def colour_map(values: np.ndarray) -> np.ndarray:
    """Paint values in [0, 1] with the colour map of relevance: uint8 (height, width, 3), RGB."""
    import matplotlib as mpl

    return np.rint(mpl.colormaps[COLOURS](np.clip(values, 0, 1))[..., :3] * 255).astype(np.uint8)


def signed_picture(gradient: np.ndarray) -> np.ndarray:
    """Show a signed gradient as a picture in which 0 is mid-grey.

    Args:
        gradient: float (height, width, 3), any range.

    Returns:
        uint8 (height, width, 3), RGB; the 99th percentile of the size of its values, and all above, is at full colour.
    """
    size = np.percentile(np.abs(gradient), _CLIPPED)
    scaled = gradient / size if size > 0 else np.zeros_like(gradient)
    return np.rint(127.5 + 127.5 * np.clip(scaled, -1, 1)).astype(np.uint8)


def strength(gradient: np.ndarray) -> np.ndarray:
    """Return how strong a gradient is at each pixel, in [0, 1]: the greatest size of its colours.

    Args:
        gradient: float (height, width, channels), any range.

    Returns:
        float32 (height, width); the 99th percentile, and all above, is 1; a gradient of zeros stays 0.
    """
    size = np.abs(gradient).max(axis=-1).astype(np.float32)
    most = np.percentile(size, _CLIPPED)
    return np.clip(size / most, 0, 1) if most > 0 else np.zeros_like(size)


@style.house_style()
def explained(image: np.ndarray, panels: Sequence[tuple[str, np.ndarray]], *, title: str, scale: str = "") -> "Figure":
    """Draw an image beside what the methods see in it.

    Args:
        image: uint8 (height, width, 3), RGB.
        panels: Name of the method and its picture, uint8 (height, width, 3).
        title: Heading, such as the class and its probability.
        scale: What the colours stand for; the colour bar is left out when this is empty.

    Returns:
        The figure: three pictures a row at most.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    shown = [("image", image), *panels]
    columns = 2 if len(shown) == 4 else min(len(shown), _COLUMNS)
    rows = -(-len(shown) // columns)
    side = _SIDE * image.shape[0] / image.shape[1]
    height = rows * (side + 0.3) + 0.4 + 0.6 * bool(scale)
    figure = Figure(figsize=(columns * _SIDE + 0.3, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    for ax, (name, picture) in zip(axes, shown, strict=False):
        ax.imshow(picture, interpolation="nearest")
        ax.set_title(style.short(name, 24), fontsize=12, fontweight="normal")
    figure.suptitle(style.short(title, 18 * columns), x=0.01, ha="left", fontsize=14, fontweight="bold")
    if scale:
        colours = mpl.cm.ScalarMappable(cmap=COLOURS)
        bar = figure.colorbar(colours, ax=list(axes), location="bottom", shrink=0.7, aspect=40, pad=0.02)
        bar.set_label(scale, fontsize=11)
    return figure


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
