"""Before and after a correction: whether the change is more than luck, and one line per method over its seeds."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

BASE = "Base"
"""Name of the method that does nothing."""

METRICS = ("train", "val", "test", "balanced", "macro_f1", "swapped", "inside", "better", "worse", "seconds")
"""Columns of the runs that `summary` averages, beside those of the groups."""

GROUP = "test: "
"""How the name of a column begins that holds the accuracy on a group of the test images."""


@dataclass(frozen=True)
class McNemar:
    """The outcome of McNemar's test.

    Attributes:
        better: Images that only the second network has right.
        worse: Images that only the first network has right.
        p: Probability of a difference of this size or more if both networks were equally good.
    """

    better: int
    worse: int
    p: float


def mcnemar(before: np.ndarray, after: np.ndarray) -> McNemar:
    """Test whether two networks differ on the same images: McNemar's test, exact and two-sided.

    The images that both have right or both have wrong say nothing; if the networks were equally good, each of the
    others would be a toss of a coin.

    Args:
        before: Whether the first network has each image right, bool (n,).
        after: The same of the second.

    Returns:
        The two counts and p; p is 1 where the networks never differ.

    Raises:
        UserError: If the two do not hold one value for each of the same images.

    Reference:
        McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
        Psychometrika 1947. https://doi.org/10.1007/BF02295996

    Example:
        >>> import numpy as np
        >>> mcnemar(np.array([0, 0, 0, 0, 1], bool), np.array([1, 1, 1, 1, 1], bool))
        McNemar(better=4, worse=0, p=0.125)
    """
    from scipy.stats import binomtest

    before, after = np.asarray(before, bool), np.asarray(after, bool)
    if before.ndim != 1 or before.shape != after.shape:
        expected = f"one value per image, shape ({before.size},)"
        raise UserError("after", expected=expected, received=f"shapes {before.shape} before and {after.shape} after")
    better, worse = int((after & ~before).sum()), int((before & ~after).sum())
    p = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
    return McNemar(better, worse, p)


def groups(runs: "pd.DataFrame") -> list[str]:
    """Return the columns of the runs that hold the accuracy on a group of the test images."""
    return [column for column in runs.columns if str(column).startswith(GROUP)]


def summary(
    runs: "pd.DataFrame", *, base: str = BASE, metric: str = "test", upper: float | None = None
) -> "pd.DataFrame":
    """Return one row per method, in the order in which they come.

    A deviation is that of a sample (divisor n - 1), and NaN with one seed. A method is compared with the base seed by
    seed where both have the same seeds, and with the base's mean where they have none in common.

    Args:
        runs: Columns method, family, seed, p, any of `METRICS`, and any number of groups; one row per method and seed.
        base: Name of the method that the others are compared with.
        metric: The column that `points` and `gap` compare.
        upper: Value of `metric` that the best network could have, such as one trained on clean images.

    Returns:
        Columns method, family, seeds (their number), `<metric>_mean` and `<metric>_std` of each metric, p (the largest
        of the seeds), points and points_std (percentage points of `metric` over the base, over the seeds),
        points_low and points_high (the 95 % interval of their mean by Student's t, NaN with one seed), and gap (the
        share of the way from the base to `upper` that was made; NaN without `upper`, or if it is not above the base).
        All five are NaN when the runs lack the base.

    Raises:
        UserError: If there is no row, a method has a seed twice, or `metric` is not a column.
    """
    import pandas as pd

    _check(runs, metric)
    measured = [column for column in (*METRICS, *groups(runs)) if column in runs]
    grouped = runs.groupby("method", sort=False)
    table = grouped.agg(family=("family", "first"), seeds=("seed", "nunique"))
    for column in measured:
        values = grouped[column]
        table[f"{column}_mean"], table[f"{column}_std"] = values.mean(), values.std()
    table["p"] = grouped["p"].max()
    of_base = runs.loc[runs["method"] == base].set_index("seed")[metric]
    compared = [_compared(rows.set_index("seed")[metric], of_base, upper) for _, rows in grouped]
    compared = pd.DataFrame(
        compared,
        columns=["points", "points_std", "points_low", "points_high", "gap"],
        index=[name for name, _ in grouped],
    )
    return table.join(compared).reset_index()


def _check(runs: "pd.DataFrame", metric: str) -> None:
    """Refuse an empty table, a seed that comes twice, and an unknown metric."""
    if runs.empty:
        raise UserError("runs", expected="a table with one run or more", received="no rows")
    if metric not in runs:
        raise unknown_name("metric", metric, [*METRICS, *groups(runs)])
    twice = runs[runs.duplicated(["method", "seed"])]
    if len(twice):
        received = f"two of {twice['method'].iloc[0]} with seed {twice['seed'].iloc[0]}"
        raise UserError("runs", expected="a table with one row per method and seed", received=received)


def _compared(values: "pd.Series", of_base: "pd.Series", upper: float | None) -> tuple[float, ...]:
    """Return points over the base, their deviation over seeds, the interval of their mean, and the share of the gap."""
    from scipy.stats import t

    known = of_base.dropna()
    common = values.dropna().index.intersection(known.index)
    if len(common):
        start = known.loc[common]
        gain = values.loc[common] - start
    else:
        start, gain = known, values - known.mean()
    room = upper - start.mean() if upper is not None else np.nan
    gap = gain.mean() / room if room > 0 else np.nan
    count = len(gain)
    half = t.ppf(0.975, count - 1) * gain.std() / np.sqrt(count) if count > 1 else np.nan
    return 100 * gain.mean(), 100 * gain.std(), 100 * (gain.mean() - half), 100 * (gain.mean() + half), gap


def heat_inside(heatmaps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return which share of each heatmap's mass is inside its mask.

    This is the relevance mass accuracy, with the irrelevant region in place of the relevant one: here less is better.

    Args:
        heatmaps: Relevance of 0 or more, float (n, height, width).
        masks: bool (n, height, width).

    Returns:
        float64 (n,) in [0, 1]; NaN for a heatmap that is 0 everywhere.

    Raises:
        UserError: If the two do not have the same shape, or a heatmap has values below 0.

    Reference:
        Arras, Osman and Samek, "CLEVR-XAI: A benchmark dataset for the ground truth evaluation of neural network
        explanations", Information Fusion 2022. https://doi.org/10.1016/j.inffus.2021.11.008
    """
    heatmaps, masks = np.asarray(heatmaps), np.asarray(masks, bool)
    if heatmaps.ndim != 3 or heatmaps.shape != masks.shape:
        received = f"heatmaps {heatmaps.shape} and masks {masks.shape}"
        raise UserError("masks", expected="of the heatmaps' shape (n, height, width)", received=received)
    if (heatmaps < 0).any():
        raise UserError("heatmaps", expected="0 or more everywhere", received=f"a value of {heatmaps.min():.3g}")
    mass = heatmaps.sum(axis=(1, 2), dtype=np.float64)
    inside = heatmaps.sum(axis=(1, 2), dtype=np.float64, where=masks)
    return np.divide(inside, mass, out=np.full(len(mass), np.nan), where=mass > 0)
