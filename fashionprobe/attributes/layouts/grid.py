"""Items on a grid: the projection and the first assignment that all layouts start from, and how layouts are scored."""

import math
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from threadpoolctl import threadpool_limits

from fashionprobe.errors import UserError

LEAST = 4
"""Items that a layout needs: with fewer, every cell is beside every other."""

DIRECTIONS = 50
"""Principal directions that the projection and the layouts work with; the scores take the whole descriptors."""

PERPLEXITY = 30.0
ITERATIONS = 500
"""Steps of t-SNE: layouts score no better with twice as many."""

NEAREST = 8
"""Neighbours by descriptor that the items beside an item should be among."""

POWER = 16
"""p of the distance preservation quality."""

MOST = 16
"""Side, in cells, of the largest square that is assigned at once."""

SWEEPS = 8
"""Times that windows cover the grid in the first assignment: half of them of twice the side, thinned out."""

CHUNK = 2**22
"""Distances that are held at a time, in each of a few arrays."""

_AROUND = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right)


def shape(items: int) -> tuple[int, int]:
    """Return (rows, columns) of the squarest grid that has a cell for each item and no empty row."""
    columns = max(1, math.ceil(math.sqrt(items)))
    return max(1, math.ceil(items / columns)), columns


def project(descriptors: np.ndarray, seed: int, *, perplexity: float = PERPLEXITY) -> np.ndarray:
    """Bring descriptors into the plane, with neighbours kept: t-SNE of their principal components.

    Args:
        descriptors: float32 (items, channels).
        seed: Seed of t-SNE; one seed gives one result.
        perplexity: Neighbours that each item looks at, about; lowered for few items.

    Returns:
        float64 (items, 2). All zero when the descriptors are all the same.

    Raises:
        UserError: If there are fewer than four items, or a value is not finite.

    Reference:
        van der Maaten and Hinton, Visualizing data using t-SNE, Journal of Machine Learning Research 2008.
    """
    from sklearn.manifold import TSNE

    _check_descriptors(descriptors)
    reduced = principal(descriptors, seed)
    if not reduced.any():
        return np.zeros((len(reduced), 2))
    lowered = min(perplexity, (len(reduced) - 1) / 3)
    model = TSNE(perplexity=lowered, init="pca", max_iter=ITERATIONS, random_state=seed)
    # Threads add up in an order of their own, and t-SNE makes a large difference of the last digit.
    with threadpool_limits(1):
        return model.fit_transform(reduced).astype(np.float64)


def principal(descriptors: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the principal components of descriptors, the most important first.

    Args:
        descriptors: float32 (items, channels).
        seed: Seed of the decomposition, which is randomized where that is faster.

    Returns:
        float32 (items, at most `DIRECTIONS`), scaled so that the squared lengths are 1 on average; all zero when the
        descriptors are all the same.
    """
    from sklearn.decomposition import PCA

    centred = np.asarray(descriptors, np.float64)
    centred = centred - centred.mean(axis=0)
    spread = math.sqrt((centred**2).sum(axis=1).mean())
    if not np.ptp(descriptors, axis=0).any() or not spread:
        return np.zeros((len(descriptors), 1), np.float32)
    # Untrained networks give values of 1e-19, whose squares single precision does not hold.
    centred = (centred / spread).astype(np.float32)
    if min(centred.shape) > DIRECTIONS:
        return PCA(DIRECTIONS, random_state=seed).fit_transform(centred)
    return centred


def start(positions: np.ndarray, rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Give each item a cell near its place in the plane.

    Rows are cut from the plane by one coordinate, and columns by the other. Then windows of the grid, moved about, give
    their items again to their cells, so that the squared distances between places and cells become least (linear
    assignment). One assignment over the whole grid would be a little better and take far longer.

    Args:
        positions: float (items, 2).
        rows: Rows of the grid.
        columns: Columns of the grid; rows x columns is the number of items or more.
        seed: Seed of the places of the windows.

    Returns:
        The item in each cell, int (rows * columns,); -1 for an empty one.
    """
    order = np.argsort(positions[:, 0], kind="stable")
    grid = np.full((rows, columns), -1)
    for row, members in enumerate(np.array_split(order, rows)):
        part = members[np.argsort(positions[members, 1], kind="stable")]
        # Empty cells are spread over the row, so that columns stay columns.
        grid[row, (np.arange(len(part)) * columns) // max(1, len(part))] = part
    grid = grid.ravel()
    low, extent = positions.min(axis=0), np.ptp(positions, axis=0)
    places = (positions - low) / np.where(extent > 0, extent, 1) * [rows - 1, columns - 1]
    cells = np.stack(np.divmod(np.arange(rows * columns), columns), axis=1).astype(np.float64)
    random = np.random.default_rng(seed)
    for number in range(SWEEPS if extent.any() else 0):
        side = 2 * MOST if number < SWEEPS // 2 else MOST
        for window in windows(rows, columns, side, random):
            reassign(grid, window, places, cells[window])
    return grid


def windows(rows: int, columns: int, side: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Cut the grid into windows, at a random offset, for items to be assigned within each.

    Assignment takes time with the cube of its size. So a window larger than `MOST` x `MOST` cells is taken apart into
    every second (third, ...) cell down and across, which lets items travel as far.

    Args:
        rows: Rows of the grid.
        columns: Columns of the grid.
        side: Cells along the side of a window; those at the edges are smaller.
        random: Draws the offset.

    Yields:
        Cells, int (cells,); every cell of the grid once.
    """
    row, column = np.divmod(np.arange(rows * columns), columns)
    stride = math.ceil(side / MOST)
    down, right = (int(random.integers(side)) for _ in range(2))
    across = columns // side + 2
    window = ((row + down) // side * across + (column + right) // side) * stride**2
    window += row % stride * stride + column % stride
    order = np.argsort(window, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(window[order])) + 1)


def reassign(grid: np.ndarray, window: np.ndarray, points: np.ndarray, targets: np.ndarray) -> None:
    """Reassign the items of some cells to these cells, so that the sum of squared distances is least.

    Args:
        grid: The item in each cell, or -1; changed in place.
        window: The cells.
        points: A point for each item of the grid, float (items, d).
        targets: What each cell of the window wants, float (cells of the window, d).
    """
    items = grid[window]
    items = items[items >= 0]
    # The squared length of a point is the same for every cell, and so left out.
    cost = (targets**2).sum(axis=1) - 2 * points[items] @ targets.T
    mine, given = linear_sum_assignment(cost)
    grid[window] = -1
    grid[window[given]] = items[mine]


def check(descriptors: np.ndarray, positions: np.ndarray, rows: int, columns: int) -> None:
    """Check what a layout is made from.

    Raises:
        UserError: If there are too few items or cells, or a value is not finite.
    """
    _check_descriptors(descriptors)
    items = len(descriptors)
    if positions.shape != (items, 2):
        raise UserError("positions", expected=f"of shape ({items}, 2)", received=positions.shape)
    if not np.isfinite(positions).all():
        raise UserError("positions", expected="finite", received="NaN or infinity")
    if rows < 1 or columns < 1 or rows * columns < items:
        received = f"{rows} x {columns}"
        raise UserError("rows x columns", expected=f"a grid with {items} cells or more", received=received)


def cells_of(grid: np.ndarray, items: int) -> np.ndarray:
    """Return the cell of each item, int (items,), from the item of each cell."""
    full = np.flatnonzero(grid >= 0)
    cells = np.empty(items, np.intp)
    cells[grid[full]] = full
    return cells


def around(cells: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return the items beside each item, up to eight.

    Args:
        cells: The cell of each item, int (items,).
        rows: Rows of the grid.
        columns: Columns of the grid.

    Returns:
        int (items, 8); -1 past the edge of the grid and for empty cells.
    """
    grid = np.full((rows + 2, columns + 2), -1)
    row, column = np.divmod(cells, columns)
    grid[row + 1, column + 1] = np.arange(len(cells))
    return np.stack([grid[row + 1 + down, column + 1 + right] for down, right in _AROUND], axis=1)


def scores(
    descriptors: np.ndarray,
    layouts: Mapping[str, np.ndarray],
    rows: int,
    columns: int,
    *,
    classes: np.ndarray | None = None,
    power: float = POWER,
) -> pd.DataFrame:
    r"""Score layouts of the same items: how much of the neighbourhoods of the descriptors they keep.

    `neighbours` is the mean share of the items beside an item (up to eight) that are among the eight nearest to it by
    descriptor. `dpq` is the distance preservation quality: let D_k be the mean, over items, of the mean descriptor
    distance to the first k of the others in order of distance on the grid (equal ones: nearest by descriptor first),
    D the mean of all distances, and g_k = max((D - D_k) / D, 0). Then `dpq` = ||g||_p / ||h||_p, where h_k is g_k for
    the others in order of descriptor distance. `same_class` is the mean share of items beside an item that have its
    class. Empty cells count nowhere.

    Args:
        descriptors: float32 (items, channels). Distances are euclidean, over all channels.
        layouts: The cell of each item, int (items,), by name of the layout.
        rows: Rows of the grid.
        columns: Columns of the grid.
        classes: Class of each item, (items,).
        power: p of the distance preservation quality: the larger, the more the nearest count.

    Returns:
        One row a layout: layout, neighbours, dpq, same_class; each in [0, 1], larger is better. NaN where there is
        nothing to score: all distances zero, no item beside another, or no classes.

    Raises:
        UserError: If there are too few items, a value is not finite, or a layout is not one.

    Reference:
        Barthel, Hezel, Jung and Schall, Improved evaluation and generation of grid layouts using distance preservation
        quality and linear assignment sorting, Computer Graphics Forum 2023. https://doi.org/10.1111/cgf.14718
    """
    _check_descriptors(descriptors)
    for name, cells in layouts.items():
        _check_cells(name, cells, len(descriptors), rows * columns)
    beside = {name: around(cells, rows, columns) for name, cells in layouts.items()}
    kept, sums, true = _sums(descriptors, layouts, beside, columns)
    total = true.sum()
    found = []
    for name in layouts:
        there = beside[name] >= 0
        same = np.zeros_like(there) if classes is None else (classes[beside[name]] == classes[:, None]) & there
        found.append(
            (
                name,
                _mean_share(kept[name], there) if total > 0 else math.nan,
                _quality(sums[name], true, len(descriptors), power) if total > 0 else math.nan,
                math.nan if classes is None else _mean_share(same, there),
            )
        )
    return pd.DataFrame(found, columns=["layout", "neighbours", "dpq", "same_class"])


def neighbours_in_plane(descriptors: np.ndarray, points: np.ndarray) -> float:
    """Return what `neighbours` of `scores` is for points that are on no grid: of each the eight nearest in the plane.

    Args:
        descriptors: float32 (items, channels).
        points: float (items, 2).

    Returns:
        The mean share of them that are among the eight nearest by descriptor, in [0, 1].
    """
    from sklearn.neighbors import NearestNeighbors

    count = min(8, len(points) - 1)
    near, true = (
        NearestNeighbors(n_neighbors=count).fit(each).kneighbors(return_distance=False)
        for each in (points, descriptors)
    )
    return float(np.mean([len(np.intersect1d(one, other)) for one, other in zip(near, true, strict=True)]) / count)


def _sums(
    descriptors: np.ndarray, layouts: Mapping[str, np.ndarray], beside: Mapping[str, np.ndarray], columns: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
    """Go through all distances in chunks.

    Returns:
        For each layout which of the items beside an item are among its nearest, bool (items, 8); for each layout the
        sum over items of the distance to the k-th on the grid, float64 (items - 1,); the same for the true order.
    """
    from sklearn.metrics.pairwise import euclidean_distances

    items = len(descriptors)
    kept = {name: np.zeros((items, len(_AROUND)), bool) for name in layouts}
    sums = {name: np.zeros(items - 1) for name in layouts}
    true = np.zeros(items - 1)
    if not np.ptp(descriptors, axis=0).any():
        return kept, sums, true
    points = np.asarray(descriptors, np.float64)
    points = points - points.mean(axis=0)
    # No two points are farther apart: a distance divided by it stays a fraction behind the whole number of the grid.
    bound = 2.001 * np.sqrt((points**2).sum(axis=1).max())
    places = {name: np.divmod(cells, columns) for name, cells in layouts.items()}
    for chunk in np.array_split(np.arange(items), math.ceil(items**2 / CHUNK)):
        distances = euclidean_distances(points[chunk], points) / bound
        distances[np.arange(len(chunk)), chunk] = -1
        ordered = np.sort(distances, axis=1)
        true += ordered[:, 1:].sum(axis=0)
        # By distance and not by place in the order: of copies, all count or none.
        farthest = ordered[:, min(NEAREST, items - 1), None]
        for name, (row, column) in places.items():
            kept[name][chunk] = np.take_along_axis(distances, beside[name][chunk], axis=1) <= farthest
            keys = (row[chunk, None] - row) ** 2 + (column[chunk, None] - column) ** 2 + distances
            keys.sort(axis=1)
            sums[name] += np.fmod(keys[:, 1:], 1).sum(axis=0)
    return {name: hits & (beside[name] >= 0) for name, hits in kept.items()}, sums, true


def _quality(on_grid: np.ndarray, true: np.ndarray, items: int, power: float) -> float:
    """Return the distance preservation quality from the sums of distances to the k-th neighbours."""
    count = np.arange(1, items)
    mean = true.mean()
    # Rounding must not make a gain of the last place, where grid and truth are both the mean of all.
    gains = [np.clip(1 - np.cumsum(sums) / count / mean, 0, None) for sums in (on_grid, true)]
    norms = [np.linalg.norm(gain, power) for gain in gains]
    return float(norms[0] / norms[1]) if norms[1] > 1e-9 else math.nan


def _mean_share(hits: np.ndarray, there: np.ndarray) -> float:
    """Return the mean share of hits among what is there, over the items that have any."""
    count = there.sum(axis=1)
    return float((hits.sum(axis=1)[count > 0] / count[count > 0]).mean()) if count.any() else math.nan


def _check_descriptors(descriptors: np.ndarray) -> None:
    if descriptors.ndim != 2 or len(descriptors) < LEAST:
        expected = f"of shape (items, channels), {LEAST} items or more"
        raise UserError("descriptors", expected=expected, received=descriptors.shape)
    if not np.isfinite(descriptors).all():
        raise UserError("descriptors", expected="finite", received="NaN or infinity")


def _check_cells(name: str, cells: np.ndarray, items: int, most: int) -> None:
    fits = len(cells) == items and len(np.unique(cells)) == items and cells.min() >= 0 and cells.max() < most
    if not fits:
        expected = f"a cell of its own for each of {items} items, 0 to {most - 1}"
        raise UserError(f"layouts[{name!r}]", expected=expected, received=f"{len(np.unique(cells))} different cells")
