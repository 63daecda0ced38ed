"""Scores by one matrix product that rank points by their distance, and how far rounding may have moved them."""

from dataclasses import dataclass

import numpy as np

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
