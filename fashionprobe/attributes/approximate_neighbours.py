"""Approximate nearest neighbours with faiss, for sets too large to compare every image with: the extra `faiss`."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fashionprobe.attributes import neighbours
from fashionprobe.attributes.neighbours import directions
from fashionprobe.errors import UserError, require, unknown_name

KINDS = ("hnsw", "ivf")

LINKS = 32
"""Links a point of the graph (M of HNSW): 256 bytes a point."""

CHUNK = 4096
"""Points added at a time."""

TRAINING = 64
"""Points a cell that k-means sees at most; faiss warns below 39."""


def build(
    points: np.ndarray, *, kind: Literal["hnsw", "ivf"] = "hnsw", metric: neighbours.Metric = "euclidean", seed: int = 0
) -> Any:
    """Build a faiss index of points.

    Which kind follows the guide of faiss' authors: HNSW finds most for its time and needs no training, but takes longer
    to build, and 256 bytes of links a point above the points themselves; IVF has 4 sqrt(points) cells. For less than
    some 1,000 searches of one set `search.nearest` is done sooner than an index is built.

    Recall of the 10 nearest at the default effort, on descriptors of a MobileNet: 0.99 to 1.00 by either kind; on noise
    without structure in 1,024 channels, the worst case, 0.5 (HNSW) and 0.8 (IVF).

    Args:
        points: float32 (points, channels); may be a memory map. The index holds a copy.
        kind: "hnsw", a graph of near points, or "ivf", cells around centres found by k-means.
        metric: "euclidean" or "cosine".
        seed: Seed of the k-means.

    Returns:
        A faiss index, for `nearest` and `save`.

    Raises:
        UserError: If faiss is not installed, there is no such kind or metric, or a value is not finite.

    Reference:
        Malkov and Yashunin, Efficient and robust approximate nearest neighbor search using hierarchical navigable small
        world graphs, TPAMI 2020. https://doi.org/10.1109/TPAMI.2018.2889473
        Faiss, Guidelines to choose an index. https://github.com/facebookresearch/faiss/wiki/Guidelines-to-choose-an-index
    """
    faiss = _faiss()
    if kind not in KINDS:
        raise unknown_name("kind", kind, KINDS)
    if metric not in neighbours.METRICS:
        raise unknown_name("metric", metric, neighbours.METRICS)
    count, channels = points.shape
    if not count:
        raise UserError("points", expected="one point or more", received="none")
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(channels, LINKS)
        index.hnsw.efConstruction = 80
    else:
        cells = max(1, min(int(4 * np.sqrt(count)), count // 39))
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(channels), channels, cells)
        index.cp.seed, index.cp.max_points_per_centroid, index.cp.min_points_per_centroid = seed, TRAINING, 1
        drawn = np.random.default_rng(seed).choice(count, min(count, TRAINING * cells), replace=False)
        index.train(_prepared(points[np.sort(drawn)], metric))
    for start in range(0, count, CHUNK):
        index.add(_prepared(points[start : start + CHUNK], metric))
    return index


def save(index: Any, path: Path) -> None:
    """Write an index to a file."""
    _faiss().write_index(index, str(path))


def load(path: Path) -> Any:
    """Read an index from a file that `save` wrote.

    Raises:
        UserError: If faiss is not installed, or the file is damaged.
    """
    faiss = _faiss()
    try:
        return faiss.read_index(str(path))
    except RuntimeError as error:
        raise UserError(
            str(path), expected="an index that faiss wrote", received="a damaged file",
            remedy="Make it again with --overwrite: fashionprobe index.",
        ) from error  # fmt: skip


def nearest(
    points: np.ndarray,
    queries: np.ndarray,
    k: int,
    *,
    index: Any,
    metric: neighbours.Metric = "euclidean",
    exclude: Sequence[np.ndarray] | None = None,
    effort: int = 64,
) -> tuple[np.ndarray, np.ndarray]:
    """Find about the k nearest points of each query: the call and the results of `search.nearest`, with an index.

    Distances and order are exact; a few of the nearest may be missing.

    Args:
        points: float32 (points, channels), of which the index was built.
        queries: float32 (queries, channels).
        k: How many, 1 to the number of points less those excluded.
        index: What `build` returned for these points.
        metric: That of the index.
        exclude: For each query the rows of points that it must not find, int.
        effort: How many points of a graph are kept in sight (efSearch), or how many cells are searched of 256 (nprobe):
            higher finds more of the nearest, and takes longer.

    Returns:
        Rows, int (queries, k), nearest first, and distances, float32 (queries, k).

    Raises:
        UserError: If the index is of other points, k is out of range, a value is not finite, or too few are found.
    """
    faiss = _faiss()
    if (index.ntotal, index.d) != points.shape:
        expected = f"one of {index.ntotal} points with {index.d} channels, as indexed"
        raise UserError("points", expected=expected, received=list(points.shape), remedy="Build the index again.")
    excluded = neighbours.pairs(exclude, len(queries), len(points))
    most = int(np.bincount(excluded[:, 0], minlength=1).max())
    if not 1 <= k <= len(points) - most:
        raise UserError("k", expected=f"in 1 to {len(points) - most}, the number of images", received=k)
    wanted = k + most
    if isinstance(index, faiss.IndexIVF):
        parameters = faiss.SearchParametersIVF(nprobe=max(1, round(index.nlist * effort / 256)))
    else:
        parameters = faiss.SearchParametersHNSW(efSearch=max(effort, 2 * wanted))
    found = index.search(_prepared(queries, metric), wanted, params=parameters)[1]
    # -1 stands for none.
    query, place = np.nonzero(found >= 0)
    row = found[query, place]
    kept = ~np.isin(query * len(points) + row, excluded[:, 0] * len(points) + excluded[:, 1])
    fewest = int(np.bincount(query[kept], minlength=len(queries)).min(initial=k))
    if fewest < k:
        expected = f"at most {fewest}, as many as the index finds"
        raise UserError("k", expected=expected, received=k, remedy="Raise `effort`, or search exactly.")
    return neighbours.best_of(points, np.asarray(queries), query[kept], row[kept], k, metric)


def _prepared(points: np.ndarray, metric: str) -> np.ndarray:
    """Return points as faiss takes them: float32 and finite, and at length 1 for the cosine."""
    values = np.ascontiguousarray(points, np.float32)
    if not np.isfinite(values).all():
        raise UserError("points", expected="descriptors of finite values", received="NaN or infinity")
    return directions(values).astype(np.float32) if metric == "cosine" else values


def _faiss() -> Any:
    """Import faiss, or say how to get it."""
    with warnings.catch_warnings():
        # SWIG before 4.4 makes types that Python 3.12 complains about; faiss has the newer one since 1.14.2.
        warnings.filterwarnings("ignore", message="builtin type .* has no __module__", category=DeprecationWarning)
        return require("faiss", extra="faiss", purpose="approximate search", remedy="The exact search does without.")
