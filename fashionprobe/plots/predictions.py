"""What a classifier sees in images: each beside its likeliest classes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 6.4, 1.75


@style.house_style()
def predictions(images: Sequence[np.ndarray], table: "pd.DataFrame", *, title: str) -> "Figure":
    """Draw images beside bars of their likeliest classes.

    Args:
        images: uint8 (height, width, 3) each, RGB.
        table: A row for each image and class with `image`, `rank`, `class` and `probability` in [0, 1], the images in
            the order above, the likeliest class first; rows of further images are left out.
        title: Heading.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, _HEIGHT * len(images) + 0.7), layout="constrained")
    grid = figure.subplots(len(images), 2, squeeze=False, width_ratios=[1, 2.6])
    groups = [group for _, group in table.groupby(table["rank"].eq(1).cumsum())]
    for row, (image, group) in enumerate(zip(images, groups, strict=False)):
        shown, bars = grid[row]
        shown.imshow(image, interpolation="nearest")
        shown.set_axis_off()
        shown.set_title(style.short(group["image"].iloc[0], 20), fontsize=11, fontweight="normal")
        places = np.arange(len(group))[::-1]
        shares = group["probability"].to_numpy(float)
        bars.barh(places, shares, color=style.BLUE, height=0.72)
        # Names stand in the bars' own field, where long ones have room.
        for place, name, share in zip(places, group["class"], shares, strict=True):
            bars.text(share + 0.012, place, f"{style.short(name, 30)}  {share:.0%}", va="center", fontsize=10)
        bars.set(xlim=(0, 1), yticks=[], ylim=(-0.6, len(group) - 0.4))
        bars.grid(visible=False, axis="y")
        bars.xaxis.set_major_formatter("{x:.0%}")
        if row < len(images) - 1:
            bars.tick_params(labelbottom=False)
    grid[-1][1].set_xlabel("probability")
    figure.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold")
    return figure
