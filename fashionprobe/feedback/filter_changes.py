"""What a refit did to each filter: its mean before and after, inside the masks too, and its histograms."""

import numpy as np
import pandas as pd

from fashionprobe.errors import UserError

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
        One row a filter, sorted by its change (inside the masks, where they are given), the greatest fall first:
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
        One row a filter and interval: filter, low, high, before, after (numbers of images).

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
