"""Feature maps as grids of channels, first-layer kernels, and the share of silent channels by depth."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.plots import style
from fashionprobe.plots.mosaic import mosaic
from fashionprobe.plots.overlays import colour_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def channel_grid(maps: np.ndarray, *, title: str, most: int = 64) -> "Figure":
    """Draw the channels of one feature map as a grid of pictures.

    Each channel is scaled by its own range. A silent one (nowhere above 0) is left grey.

    Args:
        maps: float (rows, columns, channels).
        title: Heading.
        most: Channels to show; of more, those with the highest mean are taken, in their own order.

    Returns:
        The figure.
    """
    channels = maps.shape[-1]
    chosen = np.sort(np.argsort(-maps.mean(axis=(0, 1)), kind="stable")[:most])
    low, high = maps.min(axis=(0, 1)), maps.max(axis=(0, 1))
    scaled = (maps - low) / np.where(high > low, high - low, 1)
    pictures = [colour_map(scaled[..., channel]) if high[channel] > 0 else _silent(maps) for channel in chosen]
    some = f"the {len(chosen)} strongest of {channels} channels" if channels > len(chosen) else f"{channels} channels"
    return mosaic(np.stack(pictures), [str(channel) for channel in chosen], columns=8, title=f"{title}: {some}")


def kernel_grid(kernels: np.ndarray, *, title: str = "Kernels of the first layer") -> "Figure":
    """Draw first-layer kernels as pictures; mid-grey is 0.

    Args:
        kernels: float (kernels, height, width, 3) in [0, 1], RGB, or (..., 1), grey.
        title: Heading.

    Returns:
        The figure.
    """
    pictures = np.broadcast_to(np.rint(kernels * 255), (*kernels.shape[:3], 3)).astype(np.uint8)
    return mosaic(pictures, [str(number) for number in range(len(kernels))], columns=8, title=title)


def _silent(maps: np.ndarray) -> np.ndarray:
    return np.full((*maps.shape[:2], 3), 200, np.uint8)


@style.house_style()
def dead_by_depth(
    names: Sequence[str], shares: np.ndarray, everywhere: np.ndarray, *, ax: "Axes | None" = None
) -> "Figure":
    """Draw the share of silent channels by depth.

    Args:
        names: Names of the layers, from the image to the output.
        shares: float (layers, images) in [0, 1], the share of channels silent for each image.
        everywhere: float (layers,) in [0, 1], the share of channels silent for all images.
        ax: Axes to draw on; None makes a figure.

    Returns:
        The figure: the mean over the images with its standard deviation, and the share silent for all of them.
    """
    figure, ax = style.axes_of(ax, width=8.4, height=3.9)
    place = np.arange(len(names))
    one = ax.errorbar(
        place, shares.mean(axis=1), yerr=shares.std(axis=1), color=style.BLUE, marker=style.MARKERS[0], capsize=4
    )
    all_ = ax.plot(place, everywhere, color=style.VERMILLION, marker=style.MARKERS[1], linestyle="--")[0]
    images = shares.shape[1]
    style.legend(
        ax, [one.lines[0], all_], ["for one image (mean, deviation)", f"for all {images} images"], title="silent"
    )
    ax.set_xticks(place, [style.short(name, 18) for name in names], rotation=20, ha="right", parse_math=False)
    ax.set_ylim(-0.03, 1.03)
    ax.set_ylabel("Share of channels")
    ax.set_xlabel("Layer, from the image to the output")
    ax.set_title("Channels that stay silent")
    ax.grid(axis="y")
    return figure
