"""Reduction of descriptors to a few dimensions with UMAP, fitted on some items and applied to others.

UMAP starts from each item's nearest neighbours. They are found exactly, by scikit-learn, and not by UMAP's own search:
so one search serves reductions to any number of dimensions, the answer does not depend on the size of the set, and
numba has half as much to compile, which takes longer than a small set itself.
"""

import warnings
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

from fashionprobe.errors import UserError

NEIGHBOURS = 15
MIN_DIST = 0.0
"""Points may touch: denser clumps are easier to cluster, and no other question is put to the reduced space."""

# What UMAP says of a fall-back that is sound and seeded, and of a search index of another make than its own.
_SAID = (r"Spectral initialisation failed!", r"precomputed_knn\[2\]")


@dataclass(frozen=True)
class Neighbours:
    """The nearest neighbours of each item, from which UMAP starts.

    Attributes:
        values: float32 (items, channels), the descriptors, divided by 2 ** exponent.
        exponent: What brings the largest value into [0.5, 1): distances of tiny values would vanish.
        indices: int32 (items, neighbours), nearest first; each item is its own first neighbour.
        distances: float32 (items, neighbours), euclidean, in units of `values`.
        search: Finds the neighbours of other items.
    """

    values: np.ndarray
    exponent: int
    indices: np.ndarray
    distances: np.ndarray
    search: NearestNeighbors


@dataclass(frozen=True)
class Reduction:
    """A fitted reduction.

    Attributes:
        points: float32 (items, dimensions), where the items it was fitted on are.
        neighbours: What it was fitted on.
        fitted: The reducer of umap-learn.
    """

    points: np.ndarray
    neighbours: Neighbours
    fitted: Any

    def transform(self, descriptors: np.ndarray) -> np.ndarray:
        """Place other items among those of the fit, which stay where they are.

        Args:
            descriptors: float32 (others, channels).

        Returns:
            float32 (others, dimensions).

        Raises:
            UserError: If a value is not finite, or the number of channels is another one.
        """
        values = _checked(descriptors)
        if values.shape[1] != self.neighbours.values.shape[1]:
            expected = f"of {self.neighbours.values.shape[1]} channels, as those of the fit"
            raise UserError("descriptors", expected=expected, received=values.shape[1])
        return np.asarray(self.fitted.transform(np.ldexp(values, -self.neighbours.exponent)), np.float32)


def nearest(descriptors: np.ndarray, neighbours: int = NEIGHBOURS) -> Neighbours:
    """Find the nearest neighbours of each item.

    Args:
        descriptors: float32 (items, channels).
        neighbours: How many, the item itself included. In a smaller set it is the size of the set less one.

    Raises:
        UserError: If there are fewer than four items or two neighbours, a value is not finite, or all items are equal.
    """
    values = _checked(descriptors)
    if neighbours < 2:
        raise UserError("neighbours", expected="an int in the range [2, inf)", received=neighbours)
    if len(values) < 4:
        raise UserError("descriptors", expected="those of four images or more", received=len(values))
    if (values == values[0]).all():
        raise UserError(
            "descriptors", expected="those of images that differ", received=f"{len(values)} equal rows",
            remedy="A block whose channels are all silent says nothing; choose another.",
        )  # fmt: skip
    exponent = int(np.frexp(np.abs(values).max())[1])
    values = np.ldexp(values, -exponent)
    search = NearestNeighbors(n_neighbors=min(neighbours, len(values) - 1) - 1 or 1).fit(values)
    # Asked for the neighbours of its own items, it leaves each item out, whatever rounding makes of a distance of 0.
    distances, indices = search.kneighbors()
    items = np.arange(len(values))
    return Neighbours(
        values,
        exponent,
        np.column_stack([items, indices]).astype(np.int32),
        np.column_stack([np.zeros(len(values)), distances]).astype(np.float32),
        search,
    )


def reduce(
    descriptors: np.ndarray | Neighbours,
    dimensions: int,
    *,
    seed: int | None,
    neighbours: int = NEIGHBOURS,
    min_dist: float = MIN_DIST,
) -> Reduction:
    """Fit UMAP.

    Importing umap-learn and its first use in a process, which compiles, take some ten seconds each.

    Args:
        descriptors: float32 (items, channels); or what `nearest` returned for them, when several reductions share it.
        dimensions: Dimensions to reduce to.
        seed: Seed. It makes UMAP use one core, and give the same points on the same machine with the same versions.
            None uses all cores: the points differ from one call to the next.
        neighbours: Neighbours of each item that should stay near; used unless `nearest` has found them already.
        min_dist: Least distance of points in the reduced space.

    Returns:
        The reduction: the points, and a way to place others among them.

    Raises:
        UserError: If there are too few items for the dimensions, or what `nearest` raises.

    Reference:
        McInnes, Healy and Melville, UMAP: Uniform Manifold Approximation and Projection for Dimension Reduction,
        2018. https://arxiv.org/abs/1802.03426
    """
    known = descriptors if isinstance(descriptors, Neighbours) else nearest(descriptors, neighbours)
    items = len(known.values)
    if not 1 <= dimensions < items:
        expected = f"in 1 to {items - 1}, fewer than there are images to fit on"
        raise UserError("dimensions", expected=expected, received=dimensions)
    import umap

    with warnings.catch_warnings():
        for message in _SAID:
            warnings.filterwarnings("ignore", message=message, category=UserWarning)
        fitted = umap.UMAP(
            n_components=dimensions,
            n_neighbors=known.indices.shape[1],
            min_dist=min_dist,
            # The eigenvectors that spectral initialization starts from are found in a space of this many dimensions.
            init="spectral" if 2 * dimensions + 3 <= items else "random",
            random_state=seed,
            transform_seed=42 if seed is None else seed,
            n_jobs=-1 if seed is None else 1,
            # UMAP prunes neighbours in place where its metric has a largest distance; euclidean has none.
            precomputed_knn=(known.indices, known.distances, _Search(known.search)),
        ).fit(known.values)
    return Reduction(np.asarray(fitted.embedding_, np.float32), known, fitted)


class _Search:
    """Answers UMAP as the search index of pynndescent would, exactly."""

    _angular_trees = False

    def __init__(self, search: NearestNeighbors) -> None:
        self._search = search

    def query(self, values: np.ndarray, k: int, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
        """Return indices, int32 (items, k), and distances, float32 (items, k), of the nearest neighbours."""
        del epsilon  # How far an approximate search looks.
        distances, indices = self._search.kneighbors(values, k)
        return indices.astype(np.int32), distances.astype(np.float32)


def _checked(descriptors: np.ndarray) -> np.ndarray:
    values = np.asarray(descriptors, np.float32)
    if values.ndim != 2 or not values.shape[1]:
        raise UserError("descriptors", expected="a table of items by channels", received=f"shape {values.shape}")
    if not np.isfinite(values).all():
        rows = int((~np.isfinite(values)).any(axis=1).sum())
        raise UserError("descriptors", expected="finite numbers", received=f"NaN or infinity in {rows} rows")
    return values


NOISE = -1
"""The cluster number of points that belong to none."""


@dataclass(frozen=True)
class Agreement:
    """How far clusters agree with classes: 1 where they are the same, about 0 where they have nothing in common.

    Attributes:
        ari: Adjusted Rand index, with the points in no cluster taken for one more cluster.
        ami: Adjusted mutual information, likewise, divided by the greater of the two entropies.
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
        ami=_ami(classes, clusters),
        ari_clustered=float(adjusted_rand_score(classes[inside], clusters[inside])) if inside.any() else np.nan,
        ami_clustered=_ami(classes[inside], clusters[inside]) if inside.any() else np.nan,
        clusters=len(np.unique(clusters[inside])),
        noise=float(1 - inside.mean()),
        images=len(classes),
    )


def _ami(classes: np.ndarray, clusters: np.ndarray) -> float:
    """Return (MI - E) / (max(H(U), H(V)) - E), formula 3.8.2 of the attribute thesis."""
    return float(adjusted_mutual_info_score(classes, clusters, average_method="max"))


def versions() -> dict[str, str]:
    """Return the versions of the packages that shape reductions and clusters."""
    return {package: metadata.version(package) for package in ("umap-learn", "hdbscan", "numba")}
