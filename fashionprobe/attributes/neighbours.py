"""Exact nearest neighbours: one matrix product a chunk ranks all points, the few winners are measured again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fashionprobe.errors import UserError, unknown_name

STEP = 2**21
"""Numbers of points that are squared at a time."""

NEAR = 0.01
"""Squared distances below this part of the squared lengths have lost digits in the product."""


@dataclass(frozen=True)
class Ranking:
    """What turns products into scores that rise with the distance: score = shift + stretch * (point . query).

    Attributes:
        queries: float32 (queries, channels), scaled so that no product leaves the range of float32.
        shift: float32 (points,), or None.
        stretch: float32 (points,), or None.
        exponent: Lengths were multiplied by 2 to this power.
        size: float64 (queries,), the length of each query, so multiplied; None for cosine.
        error: How far rounding may move a score, as a part of what it is made of.
    """

    queries: np.ndarray
    shift: np.ndarray | None
    stretch: np.ndarray | None
    exponent: int
    size: np.ndarray | None
    error: float

    def scores(self, points: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Return the scores of some points for all queries, float32 (queries, stop - start)."""
        found = self.queries @ np.ascontiguousarray(points[start:stop], np.float32).T
        if self.stretch is not None:
            found *= self.stretch[start:stop]
        if self.shift is not None:
            found += self.shift[start:stop]
        return found

    def limit(self, kth: np.ndarray, query: np.ndarray) -> np.ndarray:
        """Return the highest score that a point as near as the k-th may have, float32.

        Args:
            kth: The k-th smallest score of some queries.
            query: Their numbers.
        """
        if self.size is None:
            return kth + np.float32(4 * self.error)
        size = self.size[query]
        # Whoever is as near as the k-th has at most the length of the query plus that distance.
        reach = np.sqrt(np.abs(np.where(np.isfinite(kth), kth, 0) + size**2))
        return (kth + 4 * self.error * (size + reach) ** 2).astype(np.float32)

    def distances(self, scores: np.ndarray, norms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the distances that the scores stand for, float64, and which have lost digits in the product.

        Args:
            scores: float32 (queries, points).
            norms: Squared lengths of these points, float64 (points,).
        """
        if self.size is None:
            found = 1 + scores.astype(np.float64)
            return found, found < NEAR
        own = self.size[:, None] ** 2
        squared = scores + own
        close = squared < NEAR * (np.ldexp(norms, 2 * self.exponent) + own)
        return np.ldexp(np.sqrt(np.where(close, 0, squared)), -self.exponent), close


def squared_norms_of(points: np.ndarray) -> np.ndarray:
    """Return the squared length of each point, float64 (points,), read in chunks; not finite where a point is not.

    Args:
        points: float32 (points, channels), may be a memory map.
    """
    found = np.empty(len(points))
    step = max(1, STEP // max(1, points.shape[1]))
    for start in range(0, len(points), step):
        part = np.asarray(points[start : start + step])
        np.einsum("ij,ij->i", part, part, dtype=np.float64, out=found[start : start + step])
    return found


def ranking(queries: np.ndarray, norms: np.ndarray, metric: str) -> Ranking:
    """Prepare the scores.

    They are brought to about 1 by a power of two, which rounds nothing: untrained networks give values of 1e-19, whose
    squares are 0 in float32.
    """
    error = float(np.sqrt(queries.shape[1]) * np.finfo(np.float32).eps)
    own = squared_norms_of(queries)
    largest = max(norms.max(initial=0), own.max(initial=0) if metric == "euclidean" else 0)
    exponent = -int(np.frexp(np.sqrt(largest))[1])
    if metric == "cosine":
        direction = np.ldexp(-directions(queries), exponent)
        stretch = np.divide(1, np.ldexp(np.sqrt(norms), exponent), out=np.zeros_like(norms), where=norms > 0)
        # A row of which float32 hardly holds a digit must not become infinity.
        stretch = np.minimum(stretch, 1e30)
        return Ranking(direction.astype(np.float32), None, stretch.astype(np.float32), exponent, None, error)
    scaled = np.ldexp(queries.astype(np.float64), 2 * exponent + 1)
    shift = np.ldexp(norms, 2 * exponent).astype(np.float32)
    return Ranking(-scaled.astype(np.float32), shift, None, exponent, np.ldexp(np.sqrt(own), exponent), error)


def directions(values: np.ndarray) -> np.ndarray:
    """Return the rows at length 1, float64; rows of zeros stay."""
    values = values.astype(np.float64)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(length > 0, length, 1)


METRICS = ("euclidean", "cosine")
Metric = Literal["euclidean", "cosine"]

QUERIES = 1024
"""Queries a chunk: enough for the product to run at the processor's full speed."""

SCORES = 2**21
"""Scores at a time, 8 MB, and numbers of the winners' measurement at a time, 16 MB."""

POINTS = 2**16
"""Points a chunk at most. One query is fastest in one product: each call waits for all threads of the BLAS."""


def nearest(
    points: np.ndarray,
    queries: np.ndarray,
    k: int,
    *,
    metric: Metric = "euclidean",
    squared_norms: np.ndarray | None = None,
    exclude: Sequence[np.ndarray] | None = None,
    among: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k nearest points of each query, exactly.

    Scores come from a matrix product in float32; all points within its rounding error of the k-th are measured again,
    by their differences in float64. So an image finds itself at distance 0, and the order is right. Besides inputs and
    results it takes less than 150 MB, for any number of points and queries, and 40 bytes for each point beyond the k-th
    that is just as near as it.

    Args:
        points: float32 (points, channels); may be a memory map, which is read once for 1,024 queries.
        queries: float32 (queries, channels).
        k: How many, 1 to the number of points less those excluded.
        metric: "euclidean", or "cosine", 1 - cosine; a row of zeros has cosine 0 to all.
        squared_norms: What `squared_norms_of` returns for the points, to spare one reading of them.
        exclude: For each query the rows of points that it must not find, int.
        among: Which points any query may find, bool (points,); None for all.

    Returns:
        Rows of the points, int (queries, k), nearest first, the lower row first among equals; and their distances,
        float32 (queries, k).

    Raises:
        UserError: If k is out of range, shapes do not fit, or a value is not finite.

    Reference:
        Higham and Mary, A new approach to probabilistic rounding error analysis, SIAM J. Sci. Comput. 2019 (the error
        of the product). https://doi.org/10.1137/18M1226312
    """
    points, queries, norms = _checked(points, queries, squared_norms, metric)
    excluded = pairs(exclude, len(queries), len(points))
    there = len(points)
    if among is not None:
        there, excluded = int(np.count_nonzero(among)), excluded[among[excluded[:, 1]]]
    most = int(np.bincount(excluded[:, 0], minlength=1).max()) if len(excluded) else 0
    if not 1 <= k <= there - most:
        less = f" less the {most} left out" if most else ""
        expected = f"in 1 to {there - most}, the number of images{less}"
        raise UserError("k", expected=expected, received=k)
    rows, distances = np.empty((len(queries), k), np.intp), np.empty((len(queries), k), np.float32)
    for chunk in _query_chunks(len(queries), k):
        mine = (excluded[:, 0] >= chunk.start) & (excluded[:, 0] < chunk.stop)
        made = ranking(queries[chunk], norms, metric)
        query, row = _candidates(points, made, k, excluded[mine] - [chunk.start, 0], among)
        rows[chunk], distances[chunk] = best_of(points, queries[chunk], query, row, k, metric)
    return rows, distances


def distances(
    points: np.ndarray,
    queries: np.ndarray,
    *,
    metric: Metric = "euclidean",
    squared_norms: np.ndarray | None = None,
) -> np.ndarray:
    """Return the distance of each query to all points.

    Args:
        points: float32 (points, channels); may be a memory map.
        queries: float32 (queries, channels).
        metric: As in `nearest`.
        squared_norms: As in `nearest`.

    Returns:
        float32 (queries, points), to about four digits; near 0 and at 0 as in `nearest`.

    Raises:
        UserError: If shapes do not fit, or a value is not finite.
    """
    points, queries, norms = _checked(points, queries, squared_norms, metric)
    found = np.empty((len(queries), len(points)), np.float32)
    for chunk in _query_chunks(len(queries), 1):
        made = ranking(queries[chunk], norms, metric)
        for start, stop in _point_chunks(len(points), len(made.queries)):
            scores = made.scores(points, start, stop)
            part, close = made.distances(scores, norms[start:stop])
            query, row = np.nonzero(close)
            part[query, row] = _measured(points, queries[chunk], query, row + start, metric)
            found[chunk, start:stop] = part
    return found


def combined(found: Sequence[np.ndarray], weights: Sequence[float] | None = None) -> np.ndarray:
    """Combine distances of several descriptors: the sum of their z-scores over all points.

    Args:
        found: For each descriptor the distances of one or more queries to all points, (points,) or (queries, points).
        weights: What the z-scores of each are multiplied by; None for 1 each.

    Returns:
        float64 of the same shape; smaller is nearer. A descriptor that is equally far from all points adds 0.
    """
    total = np.zeros(np.shape(found[0]))
    for each, weight in zip(found, [1.0] * len(found) if weights is None else weights, strict=True):
        values = np.asarray(each, np.float64)
        mean, deviation = values.mean(axis=-1, keepdims=True), values.std(axis=-1, keepdims=True)
        # The mean of equal numbers may differ from them in the last digit.
        spread = deviation > 1e-12 * np.abs(mean)
        total += weight * np.divide(values - mean, deviation, out=np.zeros_like(values), where=spread)
    return total


def smallest(values: np.ndarray, k: int) -> np.ndarray:
    """Return the rows of the k smallest values of each query, int (queries, k), the lower row first among equals.

    Args:
        values: (queries, points), such as `combined` returns; infinity for points that are left out.
        k: How many.
    """
    return np.argsort(values, axis=1, kind="stable")[:, :k]


def best_of(
    points: np.ndarray, queries: np.ndarray, query: np.ndarray, row: np.ndarray, k: int, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """Measure candidates exactly and return the nearest of each query.

    Args:
        points: float32 (points, channels).
        queries: float32 (queries, channels).
        query: Number of the query of each candidate, int (candidates,), ascending; each at least k times.
        row: Row of each candidate, int (candidates,).
        k: How many.
        metric: As in `nearest`.

    Returns:
        Rows and distances as `nearest` returns them.
    """
    found = _measured(points, queries, query, row, metric)
    order = np.lexsort((row, found, query))
    first = np.searchsorted(query, np.arange(len(queries)))
    places = order[first[:, None] + np.arange(k)]
    return row[places], found[places].astype(np.float32)


def _checked(
    points: np.ndarray, queries: np.ndarray, norms: np.ndarray | None, metric: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points, queries and squared norms of points as plain arrays, checked."""
    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)
    # A memory map stays one, without the cost of its Python class for each slice.
    points, queries = np.asarray(points), np.asarray(queries)
    if points.ndim != 2 or queries.ndim != 2 or points.shape[1] != queries.shape[1]:
        expected = f"(queries, channels) with the channels of the points, {list(points.shape[1:])}"
        raise UserError(
            "queries", expected=expected, received=list(queries.shape),
            remedy="Descriptors of two networks or blocks cannot be compared.",
        )  # fmt: skip
    found = squared_norms_of(points) if norms is None else np.asarray(norms, np.float64)
    if len(found) != len(points):
        raise UserError("squared_norms", expected=f"one per point, {len(points)}", received=len(found))
    for name, lengths in (("points", found), ("queries", squared_norms_of(queries))):
        if not np.isfinite(lengths).all():
            row = int(np.isfinite(lengths).argmin())
            raise UserError(name, expected="descriptors of finite values", received=f"NaN or infinity in row {row}")
    return points, queries, found


def pairs(exclude: Sequence[np.ndarray] | None, queries: int, points: int) -> np.ndarray:
    """Return what is excluded as pairs of query and row, each once, int (pairs, 2)."""
    if exclude is None or not queries:
        return np.empty((0, 2), np.intp)
    if len(exclude) != queries:
        raise UserError("exclude", expected=f"one list of rows per query, {queries}", received=len(exclude))
    counts = [len(rows) for rows in exclude]
    rows = np.concatenate([np.asarray(rows, np.intp) for rows in exclude])
    if len(rows) and not 0 <= rows.min() <= rows.max() < points:
        raise UserError("exclude", expected=f"rows in 0 to {points - 1}", received=f"{rows.min()} to {rows.max()}")
    return np.unique(np.stack([np.repeat(np.arange(queries), counts), rows], axis=1), axis=0)


def _query_chunks(queries: int, k: int) -> Iterator[slice]:
    """Cut the queries so that the candidates of a chunk fit into memory."""
    step = max(1, min(QUERIES, SCORES // k))
    return (slice(start, min(start + step, queries)) for start in range(0, queries, step))


def _point_chunks(points: int, queries: int) -> Iterator[tuple[int, int]]:
    step = min(POINTS, max(1, SCORES // queries))
    return ((start, min(start + step, points)) for start in range(0, points, step))


def _candidates(
    points: np.ndarray, made: Ranking, k: int, excluded: np.ndarray, among: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of query and row, ordered by query, that hold the k nearest rows of each query and few more."""
    queries = len(made.queries)
    excluded = excluded[np.argsort(excluded[:, 1], kind="stable")]
    limit = np.full(queries, np.inf, np.float32)
    query, row, score = np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.float32)
    for start, stop in _point_chunks(len(points), queries):
        scores = made.scores(points, start, stop)
        first, last = np.searchsorted(excluded[:, 1], [start, stop])
        scores[excluded[first:last, 0], excluded[first:last, 1] - start] = np.inf
        if among is not None:
            scores[:, ~among[start:stop]] = np.inf
        hits = _below(scores, limit, k, made)
        found = scores.ravel()[hits]
        hits, found = hits[found < np.inf], found[found < np.inf]
        query = np.concatenate([query, hits // (stop - start)])
        row = np.concatenate([row, hits % (stop - start) + start])
        score = np.concatenate([score, found])
        order = np.lexsort((score, query))
        query, row, score = query[order], row[order], score[order]
        ends = np.searchsorted(query, np.arange(queries + 1))
        full = np.flatnonzero(np.diff(ends) >= k)
        limit[full] = made.limit(score[ends[full] + k - 1], full)
        kept = score <= limit[query]
        query, row, score = query[kept], row[kept], score[kept]
    return query, row


def _below(scores: np.ndarray, limit: np.ndarray, k: int, made: Ranking) -> np.ndarray:
    """Return the places, in the flattened scores of a chunk, that may hold one of the k nearest."""
    hits = scores <= limit[:, None]
    if scores.shape[1] > k and np.count_nonzero(hits) > 2 * k * len(scores):
        # Too many to sort: the k-th of this chunk alone is a better limit. Partition costs more than the comparison,
        # so that chunks with few hits do without.
        kth = np.partition(scores, k - 1, axis=1)[:, k - 1]
        hits = scores <= np.minimum(limit, made.limit(kth, np.arange(len(scores))))[:, None]
    return np.flatnonzero(hits)


def _measured(points: np.ndarray, queries: np.ndarray, query: np.ndarray, row: np.ndarray, metric: str) -> np.ndarray:
    """Return the distance of each pair of query and row, float64, from the differences of their values."""
    found = np.empty(len(query))
    step = max(1, SCORES // max(1, points.shape[1]))
    for start in range(0, len(query), step):
        part = slice(start, start + step)
        one, other = points[row[part]].astype(np.float64), queries[query[part]].astype(np.float64)
        if metric == "euclidean":
            one -= other
            found[part] = np.sqrt(np.einsum("ij,ij->i", one, one))
        else:
            found[part] = _cosine(one, other)
    return found


def _cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return 1 - cosine of each pair of rows as half the squared distance of their directions, exact near 0."""
    difference = directions(one) - directions(other)
    found = np.einsum("ij,ij->i", difference, difference) / 2
    return np.where(one.any(axis=1) & other.any(axis=1), found, 1)
