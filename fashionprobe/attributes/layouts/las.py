"""Layout `las`: linear assignment sorting, over neighbourhoods that shrink, in windows of the grid."""

import math
from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter
from threadpoolctl import threadpool_limits

from fashionprobe.attributes.layouts import grid as grids
from fashionprobe.errors import UserError

RADIUS = 4.0
"""Radius of the first neighbourhood, in cells; a quarter of the grid's longer side when that is less."""

SHRINK = 0.95
"""What the radius is multiplied by from one neighbourhood to the next."""

SWEEPS = 2
"""Times that the items are reassigned to the cells for each neighbourhood."""

WINDOW = (16, 32)
"""Least and most cells along the side of a window: four radii between them."""


def las(
    descriptors: np.ndarray,
    positions: np.ndarray,
    rows: int,
    columns: int,
    *,
    seed: int = 0,
    radius: float = RADIUS,
    shrink: float = SHRINK,
) -> np.ndarray:
    """Lay items out on a grid so that neighbours have like descriptors.

    From the assignment that keeps the projection, each sweep smooths the map of descriptors over a neighbourhood, and
    reassigns the items to the cells, each to one whose smoothed descriptor is like its own (linear assignment). The
    neighbourhood shrinks from sweep to sweep. The assignment is optimal within windows of the grid, which move from
    sweep to sweep: on a large grid that is many times faster, as in the paper's fast variant, which draws the cells
    that it assigns at once instead.

    Args:
        descriptors: float32 (items, channels).
        positions: Projection of the items into the plane, float (items, 2).
        rows: Rows of the grid.
        columns: Columns of the grid; cells that are left over stay empty.
        seed: Seed of the places of the windows.
        radius: Radius of the first neighbourhood, in cells.
        shrink: What the radius is multiplied by from one neighbourhood to the next, in (0, 1); the last is above 1.

    Returns:
        The cell of each item, row * columns + column, int (items,).

    Raises:
        UserError: If there are fewer than four items, too few cells, or a value is not finite.

    Reference:
        Barthel, Hezel, Jung and Schall, Improved evaluation and generation of grid layouts using distance preservation
        quality and linear assignment sorting, Computer Graphics Forum 2023. https://doi.org/10.1111/cgf.14718
    """
    grids.check(descriptors, positions, rows, columns)
    if not 0 < shrink < 1:
        raise UserError("shrink", expected="in (0, 1)", received=shrink)
    random = np.random.default_rng(seed)
    # The products are small: threads would wait for each other longer than they compute.
    with threadpool_limits(1, user_api="blas"):
        points = grids.principal(descriptors)
        grid = grids.start(positions, rows, columns, seed)
        radius = min(radius, max(rows, columns) / 4) if points.any() else 0
        while radius >= 1:
            for _ in range(SWEEPS):
                wanted = _smoothed(grid, points, rows, columns, round(radius))
                side = int(np.clip(round(4 * radius), *WINDOW))
                for window in grids.windows(rows, columns, side, random):
                    grids.reassign(grid, window, points, wanted[window])
            radius *= shrink
    return grids.cells_of(grid, len(points))


def _smoothed(grid: np.ndarray, points: np.ndarray, rows: int, columns: int, radius: int) -> np.ndarray:
    """Return the mean descriptor around each cell, float32 (cells, d): over a square, without what is empty."""
    full = (grid >= 0).astype(np.float32)
    values = (points[grid] * full[:, None]).reshape(rows, columns, -1)
    side = 2 * radius + 1
    sides: Any = (side, side, 1)
    total = uniform_filter(values, sides, mode="constant").reshape(len(grid), -1)
    weight = uniform_filter(full.reshape(rows, columns), side, mode="constant").reshape(-1, 1)
    # A square with nothing but empty cells wants the mean of all, which is zero. Less than one item is rounding.
    return total / np.where(weight > 0.5 / side**2, weight, math.inf)
