"""Heatmaps and masks over images, alone and side by side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
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
        image: uint8 or float (height, width, 3), RGB in [0, 255].
        heatmap: float (height, width) in [0, 1].
        opacity: Share of the heatmap in the mixture, in [0, 1].

    Returns:
        uint8 (height, width, 3), RGB.

    Raises:
        UserError: If the two are not one image and one heatmap of its size.
    """
    import matplotlib as mpl

    if image.ndim != 3 or image.shape[2] != 3 or heatmap.shape != image.shape[:2]:
        raise UserError(
            "heatmap", expected="one heatmap (height, width) of one image (height, width, 3)",
            received=f"{list(heatmap.shape)} and {list(image.shape)}",
            remedy="Of batches take one of each: overlay(images[0], heatmaps[0])." if image.ndim == 4 else "",
        )  # fmt: skip
    # Luma of ITU-R BT.601.
    grey = image.astype(np.float64) @ (0.299, 0.587, 0.114)
    colours = mpl.colormaps[COLOURS](np.clip(heatmap, 0, 1))[..., :3] * 255
    return np.rint((1 - opacity) * grey[..., None] + opacity * colours).astype(np.uint8)


def picture(image: np.ndarray, raw: np.ndarray, relevance: np.ndarray, *, signed: bool) -> np.ndarray:
    """Show what a method says of an image, as the method needs it.

    Args:
        image: uint8 (height, width, 3), RGB.
        raw: What the method says, float (rows, columns), or (height, width, channels).
        relevance: The same in [0, 1], float (height, width).
        signed: Whether the sign of the second kind is shown.

    Returns:
        uint8 (height, width, 3), RGB.
    """
    if signed:
        return signed_picture(raw)
    return overlay(image, relevance) if raw.ndim == 2 else colour_map(relevance)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Return an image as it can be shown, whatever values a model takes.

    Args:
        image: float (height, width, channels). Values in [0, 1] and in [0, 255] are taken for what they are; any other
            range is stretched to [0, 255].

    Returns:
        uint8 (height, width, 3), RGB; grey where there are not three channels.
    """
    image = np.asarray(image, np.float64)
    low, high = image.min(), image.max()
    if low < 0 or high > 255:
        image = (image - low) * (255 / (high - low))
    elif high <= 1:
        image = image * 255
    if image.shape[-1] != 3:
        image = np.repeat(image.mean(axis=-1, keepdims=True), 3, axis=-1)
    return np.rint(image).astype(np.uint8)


def colour_map(values: np.ndarray) -> np.ndarray:
    """Paint values in [0, 1] with the colour map of relevance: uint8 (height, width, 3), RGB."""
    import matplotlib as mpl

    return np.rint(mpl.colormaps[COLOURS](np.clip(values, 0, 1))[..., :3] * 255).astype(np.uint8)


def signed_picture(gradient: np.ndarray) -> np.ndarray:
    """Show a signed gradient as a picture in which 0 is mid-grey.

    Args:
        gradient: float (height, width, channels), any range; of other than three channels the mean is shown.

    Returns:
        uint8 (height, width, 3), RGB; the 99th percentile of the size of its values, and all above, is at full colour.
    """
    if gradient.shape[-1] != 3:
        gradient = np.repeat(gradient.mean(axis=-1, keepdims=True), 3, axis=-1)
    size = np.percentile(np.abs(gradient), _CLIPPED)
    scaled = gradient / size if size > 0 else np.zeros_like(gradient)
    return np.rint(127.5 + 127.5 * np.clip(scaled, -1, 1)).astype(np.uint8)


@style.house_style()
def explained(
    image: np.ndarray,
    panels: Sequence[tuple[str, np.ndarray]],
    *,
    title: str,
    scale: str = "",
    columns: int | None = None,
    name: str = "image",
) -> "Figure":
    """Draw an image beside what the methods see in it.

    Args:
        image: uint8 (height, width, 3), RGB.
        panels: Name of the method and its picture, uint8 (height, width, 3).
        title: Heading, such as the class and its probability.
        scale: What the colours stand for; the colour bar is left out when this is empty.
        columns: Pictures per row; by default three at most.
        name: What stands over the image.

    Returns:
        The figure.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    shown = [(name, image), *panels]
    columns = columns or (2 if len(shown) == 4 else min(len(shown), _COLUMNS))
    rows = -(-len(shown) // columns)
    side = _SIDE * image.shape[0] / image.shape[1]
    height = rows * (side + 0.3) + 0.4 + 0.6 * bool(scale)
    figure = Figure(figsize=(columns * _SIDE + 0.3, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    for ax, (heading, seen) in zip(axes, shown, strict=False):
        ax.imshow(seen, interpolation="nearest")
        ax.set_title(style.short(heading, 24), fontsize=12, fontweight="normal")
    figure.suptitle(style.short(title, 18 * columns), x=0.01, ha="left", fontsize=14, fontweight="bold")
    if scale:
        colours = ScalarMappable(cmap=COLOURS)
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
