"""The reliability diagram of a classifier."""

from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@style.house_style()
def reliability(table: "pd.DataFrame", *, error: float, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """Draw how often a classifier is right against how sure it is, and how many images are in each bin.

    Args:
        table: One row per bin of confidence: low, high, images, confidence, accuracy; an empty bin is not drawn.
        error: The expected calibration error, written into the figure.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: The table has no image.
    """
    there = table[table["images"] > 0]
    if there.empty:
        raise UserError("table", expected="a table with images", received="none")
    figure, ax = style.axes_of(ax, width=6.4, height=5.6)
    low, high = there["low"].to_numpy(float), there["high"].to_numpy(float)
    said, right = there["confidence"].to_numpy(float), there["accuracy"].to_numpy(float)
    images = there["images"].to_numpy(float)
    share = images / images.sum()
    ax.bar(low, share, width=high - low, align="edge", color="#DADCE0", label="Share of the images", zorder=1)
    ax.plot([0, 1], [0, 1], color=style.GREY, linestyle=":", label="As often right as it says", zorder=2)
    ax.vlines(said, np.minimum(said, right), np.maximum(said, right), color=style.VERMILLION, linewidth=2, zorder=3)
    # The area of a point grows with its images: a bin of a few says little.
    ax.scatter(said, right, s=20 + 180 * share, color=style.BLUE, label="Accuracy of a bin", zorder=4, clip_on=False)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.grid(True)
    ax.set_xlabel("Confidence: probability of the predicted class")
    ax.set_ylabel("Accuracy")
    ax.legend(loc="upper left")
    ax.set_title(style.short(title, 44), parse_math=False, pad=24)
    text = f"Expected calibration error {error:.3f} ({int(images.sum())} images, {len(table)} bins)"
    ax.annotate(text, (0, 1), (0, 6), xycoords="axes fraction", textcoords="offset points", color=style.GREY)
    return figure
