"""Clusters of points, and how far they agree with known classes."""

from dataclasses import dataclass
from importlib import metadata

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from fashionprobe.errors import UserError

NOISE = -1
"""The cluster number of points that belong to none."""


@dataclass(frozen=True)
class Agreement:
    """How far clusters agree with classes: 1 where they are the same, about 0 where they have nothing in common.

    Attributes:
        ari: Adjusted Rand index, with the points in no cluster taken for one more cluster.
        ami: Adjusted mutual information, likewise.
        ari_clustered: Adjusted Rand index of the points that are in a cluster, alone; NaN when there are none.
        ami_clustered: Adjusted mutual information of these.
        clusters: Number of clusters.
        noise: Share of the points in no cluster, in [0, 1].
        images: Number of points.
    """

    ari: float
    ami: float
    ari_clustered: float
    ami_clustered: float
    clusters: int
    noise: float
    images: int


def least_size(items: int) -> int:
    """Return the size of the smallest cluster when none is asked for: 0.5 % of the items, and five or all at least."""
    return min(max(5, round(items / 200)), max(items, 2))


def cluster(points: np.ndarray, *, min_cluster_size: int | None = None) -> np.ndarray:
    """Find clusters by density, with HDBSCAN of the package hdbscan.

    scikit-learn's gives other clusters, and takes 13 times as long for 44,000 points.

    Args:
        points: float (items, dimensions).
        min_cluster_size: Size of the smallest cluster. Default: `least_size`.

    Returns:
        int (items,), the cluster of each: 0 is the largest; `NOISE` for points in none.

    Raises:
        UserError: If the smallest cluster is smaller than two points or larger than the set.

    Reference:
        Campello, Moulavi and Sander, Density-based clustering based on hierarchical density estimates, PAKDD 2013.
        https://doi.org/10.1007/978-3-642-37456-2_14
    """
    size = least_size(len(points)) if min_cluster_size is None else min_cluster_size
    if not 2 <= size <= len(points):
        raise UserError("min_cluster_size", expected=f"an int in the range [2, {len(points)}]", received=size)
    from hdbscan import HDBSCAN

    # The core distance of a point is that to its `min_samples`-th neighbour, and there must be so many.
    found = HDBSCAN(min_cluster_size=size, min_samples=min(size, len(points) - 1), core_dist_n_jobs=1)
    numbers = found.fit_predict(np.asarray(points, np.float64))
    counts = np.bincount(numbers[numbers != NOISE])
    rank = np.empty(len(counts) + 1, np.intp)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    rank[NOISE] = NOISE
    return rank[numbers]


def agreement(classes: np.ndarray, clusters: np.ndarray) -> Agreement:
    """Compare clusters with classes.

    Args:
        classes: The class of each item, (items,).
        clusters: The cluster of each, int (items,); `NOISE` for none.

    Raises:
        UserError: If the two differ in length, there is no item, or there is one class only.

    Reference:
        Hubert and Arabie, Comparing partitions, Journal of Classification 1985. https://doi.org/10.1007/BF01908075
        Vinh, Epps and Bailey, Information theoretic measures for clusterings comparison, JMLR 2010.
        https://jmlr.org/papers/v11/vinh10a.html
    """
    if len(classes) != len(clusters):
        raise UserError("clusters", expected=f"one for each of {len(classes)} items", received=len(clusters))
    if len(np.unique(classes)) < 2:
        raise UserError("classes", expected="two or more", received=np.unique(classes).tolist())
    inside = clusters != NOISE
    return Agreement(
        ari=float(adjusted_rand_score(classes, clusters)),
        ami=float(adjusted_mutual_info_score(classes, clusters)),
        ari_clustered=float(adjusted_rand_score(classes[inside], clusters[inside])) if inside.any() else np.nan,
        ami_clustered=float(adjusted_mutual_info_score(classes[inside], clusters[inside])) if inside.any() else np.nan,
        clusters=len(np.unique(clusters[inside])),
        noise=float(1 - inside.mean()),
        images=len(classes),
    )


def versions() -> dict[str, str]:
    """Return the versions of the packages that shape reductions and clusters."""
    return {package: metadata.version(package) for package in ("umap-learn", "hdbscan", "numba")}
