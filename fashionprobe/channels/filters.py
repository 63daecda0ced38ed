"""The filters of a network's last feature map: their maps, a view over a data set, the expert's masks, and changes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from fashionprobe.backbones.graph import origin
from fashionprobe.errors import UserError
from fashionprobe.explain.cam import pooled_map
from fashionprobe.explain.explained_model import check_images, flat
from fashionprobe.explain.heatmaps import resize
from fashionprobe.feedback.masks.regions import at_tap, threshold


@dataclass(frozen=True)
class Filters:
    """The filters of a network's last feature map.

    Attributes:
        count: Number of filters.
        layer: Name of the layer whose output they are.
        weights: Length of each filter's row in the kernel of the dense layer, float (count,); None where the network
            does not end in global average pooling and one dense layer.
        maps: Function of images (batch, height, width, channels) that returns float32 (batch, rows, columns, count).
        answers: Function of images that returns their maps and what the network says of them, float32.
    """

    count: int
    layer: str
    weights: np.ndarray | None
    maps: Callable[[np.ndarray], np.ndarray]
    answers: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def open_filters(model: keras.Model) -> Filters:
    """Find the last feature map: the one before global average pooling and a dense layer, else the last that has space.

    Args:
        model: A functional or sequential model; one image input.

    Raises:
        UserError: If the network has no feature map.
    """
    model = flat(model)
    weights = None
    try:
        dense, tensor = pooled_map(model)
        weights = np.linalg.norm(np.asarray(dense.kernel), axis=1)
    except UserError:
        tensor = _last_map(model)
    forward, whole = (_compiled(model, outputs) for outputs in ([tensor], [tensor, model.output]))

    def maps(images: np.ndarray) -> np.ndarray:
        return forward(check_images(model, images))[0].numpy()

    def answers(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found, said = whole(check_images(model, images))
        return found.numpy(), said.numpy()

    return Filters(int(tensor.shape[-1]), origin(tensor).name, weights, maps, answers)


def _compiled(model: keras.Model, outputs: list[Any]) -> Any:
    """Return the function from images to some of the network's tensors: one graph for batches of any length."""
    part: Any = keras.Model(model.input, outputs)
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)]
    return tf.function(
        lambda pixels: [tf.cast(each, tf.float32) for each in keras.tree.flatten(part(pixels, training=False))],
        input_signature=signature, autograph=False,
    )  # fmt: skip


def _last_map(model: keras.Model) -> Any:
    """Return the output of the last layer with a feature map of more than one cell."""
    for layer in reversed(model.layers):
        shape = getattr(layer.output, "shape", ())
        if len(shape) == 4 and tuple(shape[1:3]) != (1, 1) and not isinstance(layer, keras.layers.InputLayer):
            return layer.output
    raise UserError("model", expected="one with a feature map (batch, height, width, channels)", received=model.name)


INTERVALS = 9
Outside = Literal["black", "dark"]
OUTSIDE = {"black": 0.0, "dark": 0.25}
"""Share of its light that is left to a pixel where a filter is not active: none in the feedback thesis."""


def intervals(
    values: np.ndarray, *, random: np.random.Generator, count: int = INTERVALS
) -> list[tuple[float, float, int, int | None]]:
    """Cut the range of a filter's activations in equal intervals, and draw an image from each.

    Args:
        values: float (images,): one filter's activation of each image.
        random: Draws the images.
        count: Number of intervals.

    Returns:
        For each interval its ends, the number of images in it, and the row of the one drawn, None where it is empty.
        The greatest value is in the last interval, and any other end belongs to the interval above it.

    Raises:
        UserError: If a value is not finite or there is none, or `count` is below 1.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise UserError("values", expected="finite numbers (images,), one or more", received=list(values.shape))
    if count < 1:
        raise UserError("count", expected="an int in the range [1, inf)", received=count)
    edges = np.linspace(values.min(), values.max(), count + 1)
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, count - 1)
    found = []
    for number in range(count):
        rows = np.flatnonzero(place == number)
        drawn = int(random.choice(rows)) if len(rows) else None
        found.append((float(edges[number]), float(edges[number + 1]), len(rows), drawn))
    return found


def view(features: np.ndarray, *, seed: int, count: int = INTERVALS) -> pd.DataFrame:
    """Draw the images of the global view of every filter, each with a generator of its own.

    Args:
        features: float (images, filters): mean activations.
        seed: Seed of the draws.
        count: Number of intervals; see `intervals`.

    Returns:
        One row per filter and interval: filter, low, high, images, row (of the image that was drawn; -1 for none).
    """
    found = [
        (number, low, high, images, -1 if row is None else row)
        for number, values in enumerate(features.T)
        for low, high, images, row in intervals(values, random=np.random.default_rng([seed, number]), count=count)
    ]
    return pd.DataFrame(found, columns=["filter", "low", "high", "images", "row"])


def lit(image: np.ndarray, feature_map: np.ndarray, outside: Outside = "black") -> np.ndarray:
    """Show an image where a filter is active: its map, enlarged bilinearly, is above its Otsu threshold.

    Args:
        image: float (height, width, 3), RGB in [0, 255].
        feature_map: float (rows, columns): the filter's map of this image.
        outside: What becomes of the rest: black as in the feedback thesis, or dark, which leaves its surroundings
            to be seen.

    Returns:
        uint8 (height, width, 3); all of it is outside when the map is constant.
    """
    enlarged = resize(feature_map[None], (image.shape[0], image.shape[1]))[0]
    light = np.where(enlarged > threshold(enlarged), 1.0, OUTSIDE[outside])
    return np.rint(np.clip(image, 0, 255) * light[..., None]).astype(np.uint8)


BINS = 20


def changes(
    before: np.ndarray,
    after: np.ndarray,
    inside: tuple[np.ndarray, np.ndarray] | None = None,
) -> pd.DataFrame:
    """Compare the filters of two networks over the same images.

    Args:
        before: float (images, filters): mean activation in the first network.
        after: The same in the second.
        inside: The mean activations inside the masks in both networks, float (masked images, filters) each.

    Returns:
        One row per filter, sorted by its change (inside the masks, where they are given), the greatest fall first:
        filter, before, after, change, change_error; and inside_before, inside_after, inside_change,
        inside_change_error. An error is 1.96 standard errors of the mean of the images' differences; NaN for one image.

    Raises:
        UserError: If the numbers of filters or images differ.
    """
    table = pd.DataFrame({"filter": np.arange(before.shape[1]), **_compare(before, after, "")})
    if inside is not None:
        table = table.assign(**_compare(*inside, "inside_"))
    by = "change" if inside is None else "inside_change"
    return table.sort_values([by, "filter"], ignore_index=True)


def histograms(before: np.ndarray, after: np.ndarray, *, bins: int = BINS) -> pd.DataFrame:
    """Count the images by activation, for each filter over the range of both networks.

    Args:
        before: float (images, filters): mean activation in the first network.
        after: The same in the second.
        bins: Intervals of equal width.

    Returns:
        One row per filter and interval: filter, low, high, before, after (numbers of images).

    Raises:
        UserError: If the numbers of filters or images differ.
    """
    _check(before, after)
    rows = []
    for number, pair in enumerate(zip(before.T, after.T, strict=True)):
        edges = np.histogram_bin_edges(np.concatenate(pair), bins)
        first, second = (np.histogram(values, edges)[0] for values in pair)
        rows.append(pd.DataFrame({
            "filter": number, "low": edges[:-1], "high": edges[1:], "before": first, "after": second,
        }))  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def histograms_by_class(
    before: np.ndarray, after: np.ndarray, labels: np.ndarray, *, numbers: Sequence[int], bins: int = BINS
) -> pd.DataFrame:
    """Count the images of each class by activation, over one range for all classes and both networks.

    Args:
        before: float (images, filters): mean activation in the first network.
        after: The same in the second.
        labels: Class of each image, (images,).
        numbers: Numbers of these filters.
        bins: Intervals of equal width.

    Returns:
        One row per filter, class and interval: filter, class, low, high, before, after (numbers of images).

    Raises:
        UserError: If the numbers of filters or images differ.
    """
    _check(before, after)
    rows = []
    for number, *pair in zip(numbers, before.T, after.T, strict=True):
        edges = np.histogram_bin_edges(np.concatenate(pair), bins)
        for name in np.unique(labels):
            first, second = (np.histogram(values[labels == name], edges)[0] for values in pair)
            rows.append(pd.DataFrame({
                "filter": number, "class": name, "low": edges[:-1], "high": edges[1:], "before": first,
                "after": second,
            }))  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def kinds(table: pd.DataFrame, groups: Mapping[str, np.ndarray], by: str = "change") -> pd.DataFrame:
    """Summarize the changes of some kinds of filter.

    Args:
        table: What `changes` returned.
        groups: For each kind, bool (filters,) by the number of the filter; kinds may overlap.
        by: The column that is summarized.

    Returns:
        One row per kind that has a filter: kind, filters, change (their mean), low and high (1.96 standard errors over
        the filters below and above it; the mean itself for one filter), rose and fell (filters whose own interval is
        above and below 0).
    """
    rows = table.sort_values("filter")
    change, error = rows[by].to_numpy(float), rows[f"{by}_error"].fillna(0).to_numpy(float)
    found = []
    for name, members in groups.items():
        part = change[members]
        if not len(part):
            continue
        reach = 1.96 * part.std(ddof=1) / np.sqrt(len(part)) if len(part) > 1 else 0.0
        rose, fell = (int((sign * change - error > 0)[members].sum()) for sign in (1, -1))
        found.append((name, len(part), part.mean(), part.mean() - reach, part.mean() + reach, rose, fell))
    return pd.DataFrame(found, columns=["kind", "filters", "change", "low", "high", "rose", "fell"])


def _compare(before: np.ndarray, after: np.ndarray, prefix: str) -> dict[str, np.ndarray]:
    _check(before, after)
    before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
    step = after - before
    error = np.full(step.shape[1], np.nan)
    if len(step) > 1:
        error = 1.96 * step.std(axis=0, ddof=1) / np.sqrt(len(step))
    found = {"before": before.mean(axis=0), "after": after.mean(axis=0), "change": step.mean(axis=0)}
    return {f"{prefix}{name}": value for name, value in {**found, "change_error": error}.items()}


def _check(before: np.ndarray, after: np.ndarray) -> None:
    if before.ndim != 2 or before.shape != after.shape or not before.size:
        received = f"{list(before.shape)} and {list(after.shape)}"
        raise UserError("after", expected="(images, filters) as before", received=received)


SHARE = 0.25
"""Share of the filters that counts as the most active in the masks, and as the most relevant."""

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
        raise UserError("masks", expected=f"one per image, {len(maps)}", received=len(masks))
    cells = at_tap(masks, maps.shape[1:3]).astype(np.float64)
    sizes = cells.sum(axis=(1, 2))
    if not sizes.all():
        raise UserError("masks", expected="masks with a pixel or more", received=f"an empty one, {int(sizes.argmin())}")
    inside = np.einsum("byx,byxd->bd", cells, maps) / sizes[:, None]
    return inside, maps.mean(axis=(1, 2), dtype=np.float64)


def expert(
    inside: np.ndarray, whole: np.ndarray, relevance: np.ndarray, *, share: float = SHARE, seed: int
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
