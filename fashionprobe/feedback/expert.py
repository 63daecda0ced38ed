"""What an expert calls irrelevant against what the ranking calls relevant, filter by filter."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fashionprobe.errors import UserError
from fashionprobe.feedback.masks.regions import at_tap

RESAMPLES = 500
"""Draws of the bootstrap over masked images."""


@dataclass(frozen=True)
class Agreement:
    """Spearman's correlation between the rank by activity in the masks and the rank by relevance.

    Attributes:
        correlation: In [-1, 1]; NaN with fewer than three active filters, or where the masks cover the whole map. Above
            0, filters that are most active where the expert sees nothing of use are the relevant ones.
        low: Lower end of the 95 % bootstrap interval over masked images.
        high: Upper end.
    """

    correlation: float
    low: float
    high: float


def inside_masks(maps: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean activation of each filter inside the mask and over the whole map.

    Args:
        maps: float (batch, rows, columns, filters).
        masks: bool (batch, height, width) in image size, True where irrelevant.

    Returns:
        Inside, and over the whole map: float64 (batch, filters) each.

    Raises:
        UserError: If a mask is empty or of another number of images.
    """
    if len(maps) != len(masks):
        raise UserError("masks", expected=f"one an image, {len(maps)}", received=len(masks))
    cells = at_tap(masks, maps.shape[1:3]).astype(np.float64)
    sizes = cells.sum(axis=(1, 2))
    if not sizes.all():
        raise UserError("masks", expected="masks with a pixel or more", received=f"an empty one, {int(sizes.argmin())}")
    inside = np.einsum("byx,byxd->bd", cells, maps) / sizes[:, None]
    return inside, maps.mean(axis=(1, 2), dtype=np.float64)


def expert(
    inside: np.ndarray, whole: np.ndarray, relevance: np.ndarray, *, share: float = 0.25, seed: int
) -> tuple[pd.DataFrame, Agreement]:
    """Compare how active filters are in the masks with how relevant they are.

    Args:
        inside: float (masked images, filters): mean activation in the mask.
        whole: float (masked images, filters): mean activation over the whole map.
        relevance: float (filters,): rank of each filter, 1 for the most relevant.
        share: A filter is suspicious when it is among this share of the filters in both rankings, and is more active in
            the masks than elsewhere.
        seed: Seed of the bootstrap.

    Returns:
        The table, the most suspicious filters first, and how far the two rankings agree. Its columns: filter; inside
        and whole, means over the masked images; ratio, inside / whole (NaN for a filter that no masked image
        activates); mask_rank, 1 for the highest ratio; relevance_rank; suspicious.

    Raises:
        UserError: If the shapes differ, there is no masked image, or the share is not in (0, 1].
    """
    from scipy.stats import rankdata

    if inside.shape != whole.shape or inside.ndim != 2 or inside.shape[1:] != relevance.shape or not len(inside):
        received = f"{list(inside.shape)}, {list(whole.shape)} and {list(relevance.shape)}"
        raise UserError("inside", expected="(images, filters), as `whole`, for relevance (filters,)", received=received)
    if not 0 < share <= 1:
        raise UserError("share", expected="in the range (0, 1]", received=share)
    ratio = _ratio(inside.mean(axis=0), whole.mean(axis=0))
    table = pd.DataFrame({
        "filter": np.arange(len(ratio)), "inside": inside.mean(axis=0), "whole": whole.mean(axis=0), "ratio": ratio,
        "mask_rank": rankdata(-np.nan_to_num(ratio, nan=-np.inf)), "relevance_rank": relevance,
    })  # fmt: skip
    most = max(1.0, share * len(ratio))
    table["suspicious"] = (table["ratio"] > 1) & (table["mask_rank"] <= most) & (table["relevance_rank"] <= most)
    both = table["mask_rank"] + table["relevance_rank"]
    table = table.iloc[np.lexsort((table["filter"], both, ~table["suspicious"]))].reset_index(drop=True)
    return table, _agreement(inside, whole, relevance, ratio, seed)


def _ratio(inside: np.ndarray, whole: np.ndarray) -> np.ndarray:
    # Rounded: both are sums, and equal where a mask covers the whole map.
    return np.divide(inside, whole, out=np.full(inside.shape, np.nan), where=whole > 0).round(9)


def _agreement(inside: np.ndarray, whole: np.ndarray, relevance: np.ndarray, ratio: np.ndarray, seed: int) -> Agreement:
    """Correlate, and draw the masked images again for the interval."""
    active = np.isfinite(ratio)
    if active.sum() < 3:
        return Agreement(np.nan, np.nan, np.nan)
    images = len(inside)
    drawn = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=RESAMPLES) / images
    # A filter that is silent in all images of a draw says nothing there: its activity is as elsewhere.
    again = np.nan_to_num(_ratio(drawn @ inside[:, active], drawn @ whole[:, active]), nan=1.0)
    found = _spearman(again, relevance[active])
    # Where the masks cover the whole map, all ratios are 1 and say nothing.
    found = found[np.isfinite(found)]
    low, high = np.percentile(found, [2.5, 97.5]) if len(found) else (np.nan, np.nan)
    return Agreement(float(_spearman(ratio[None, active], relevance[active])[0]), float(low), float(high))


def _spearman(ratios: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    """Correlate each row's ranks, 1 for the highest ratio, with the relevance: float (rows,)."""
    from scipy.stats import rankdata

    first, second = rankdata(-ratios, axis=1), rankdata(relevance)
    first, second = first - first.mean(axis=1, keepdims=True), second - second.mean()
    sizes = np.sqrt((first**2).sum(axis=1) * (second**2).sum())
    return np.divide(first @ second, sizes, out=np.full(len(first), np.nan), where=sizes > 0)
