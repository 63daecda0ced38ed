"""The filters most active inside an expert's mask, coloured by how relevant they are."""

from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = "viridis"
"""Colour map of the relevance rank: dark for the most relevant."""


@style.house_style()
def masked_filters(
    image: np.ndarray,
    mask: np.ndarray,
    inside: np.ndarray,
    whole: np.ndarray,
    relevance: np.ndarray,
    *,
    count: int = 10,
    title: str = "",
) -> "Figure":
    """Draw an image with the outline of its mask, and the filters most active inside it.

    Args:
        image: uint8 (height, width, 3), RGB.
        mask: bool (height, width), True where irrelevant.
        inside: float (filters,): mean activation of each filter inside the mask.
        whole: float (filters,): the same over the whole map, drawn as a tick.
        relevance: float (filters,): rank of each filter, 1 for the most relevant.
        count: Filters drawn.
        title: Heading.

    Returns:
        The figure.

    Raises:
        UserError: If the mask has another size than the image, or the filters differ in number.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    if mask.shape != image.shape[:2]:
        raise UserError("mask", expected=f"of the image's size, {list(image.shape[:2])}", received=list(mask.shape))
    if not inside.shape == whole.shape == relevance.shape or inside.ndim != 1 or count < 1:
        received = f"{list(inside.shape)}, {list(whole.shape)}, {list(relevance.shape)}"
        raise UserError("inside", expected="(filters,), as `whole` and `relevance`", received=received)
    best = np.argsort(-inside, kind="stable")[:count]
    figure = Figure(figsize=(9.0, 1.5 + 0.3 * max(len(best), 8)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
    left.imshow(image, interpolation="nearest")
    # Around the edge of the picture too: a mask that ends there gets its whole outline.
    padded = np.pad(mask.astype(float), 1)
    rows, columns = np.arange(-1, mask.shape[0] + 1), np.arange(-1, mask.shape[1] + 1)
    for color, width in (("white", 3.6), (style.VERMILLION, 2.0)):
        left.contour(columns, rows, padded, levels=[0.5], colors=[color], linewidths=[width])
    left.set(xlim=(-1, mask.shape[1]), ylim=(mask.shape[0], -1))
    left.set_axis_off()
    left.set_title("image, mask outlined", fontsize=12, fontweight="normal")
    scale = mpl.colors.Normalize(1, max(len(relevance), 2))
    colours = mpl.colormaps[COLOURS](scale(relevance[best]))
    places = np.arange(len(best))
    right.barh(places, inside[best], color=colours, height=0.74)
    right.plot(whole[best], places, "|", color="black", markersize=14, markeredgewidth=2.4)
    for place, number in zip(places, best, strict=True):
        text = f" rank {relevance[number]:g}"
        right.text(max(inside[number], whole[number]), place, text, va="center", fontsize=10, color=style.GREY)
    right.margins(x=0.16)
    right.set_xlim(left=min(0.0, float(inside[best].min())))
    right.set_yticks(places, [str(number) for number in best])
    right.set_ylim(len(best) - 0.4, -0.6)
    right.grid(axis="x")
    right.set_ylabel("Filter")
    right.set_xlabel("Mean activation in the mask (tick: over the whole map)")
    bar = figure.colorbar(mpl.cm.ScalarMappable(scale, COLOURS), ax=right, pad=0.02)
    bar.ax.invert_yaxis()
    bar.set_label("Relevance rank (top: most relevant)")
    figure.suptitle(style.short(title, 80), x=0.01, ha="left", fontsize=14, fontweight="bold")
    return figure
