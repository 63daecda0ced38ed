"""Layout `gridcut`: a projection into the plane, then cells exchanged by minimum cuts of a graph of the grid.

A reconstruction from the description of a method in two steps: a projection into the plane, then an assignment to cells
that is improved by minimal graph cuts. The text of its paper could not be found, so the energy and the moves are ours.
"""

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow
from threadpoolctl import threadpool_limits

from fashionprobe.attributes.layouts import grid as grids

FARTHEST = 3
"""Longest exchange, in cells down and across."""

ROUNDS = 6
"""Times that every exchange is tried, at most."""

UNITS = 2**30
"""What all costs of a cut sum to, as whole numbers of 32 bits, which is what cuts are computed in."""


def gridcut(
    descriptors: np.ndarray,
    positions: np.ndarray,
    rows: int,
    columns: int,
    *,
    seed: int = 0,
    farthest: int = FARTHEST,
    rounds: int = ROUNDS,
) -> np.ndarray:
    """Lay items out on a grid so that neighbours have like descriptors, by minimum cuts.

    The energy of a layout is the sum of the descriptor distances of all items that are beside each other (eight
    neighbours). The first layout keeps the projection. Then the cells are paired, each with the one a step away, such
    as two down and one to the right, and one minimum cut decides for all pairs together which to exchange: two states a
    pair, and a cost for each two pairs that touch. Costs that no cut can express (not submodular) are raised where one
    pair is exchanged and the other is not, so that the energy never grows. All steps up to `farthest` are tried in a
    random order, until none helps.

    Args:
        descriptors: float32 (items, channels).
        positions: Projection of the items into the plane, float (items, 2).
        rows: Rows of the grid.
        columns: Columns of the grid; cells that are left over stay empty, and have distance 0 to all.
        seed: Seed of the order of the steps, and of the pairs.
        farthest: Longest step, in cells down and across.
        rounds: Times that every step is tried, at most.

    Returns:
        The cell of each item, row * columns + column, int (items,).

    Raises:
        UserError: If there are fewer than four items, too few cells, or a value is not finite.

    Reference:
        Kolmogorov and Zabih, What energy functions can be minimized via graph cuts?, IEEE TPAMI 2004, for the graph.
        https://doi.org/10.1109/TPAMI.2004.1262177
        Rother, Kumar, Kolmogorov and Blake, Digital tapestry, CVPR 2005, for what is not submodular.
        https://doi.org/10.1109/CVPR.2005.130
    """
    grids.check(descriptors, positions, rows, columns)
    random = np.random.default_rng(seed)
    with threadpool_limits(1, user_api="blas"):
        points = grids.principal(descriptors)
        grid = grids.start(positions, rows, columns, seed)
    one, other = touching(rows, columns)
    steps = _steps(rows, columns, farthest)
    for _ in range(rounds if points.any() else 0):
        exchanged = 0
        for step in random.permutation(steps):
            partner = pairs(rows, columns, step, int(random.integers(2 * abs(step).max())))
            cells = exchange(grid, points, partner, one, other)
            grid[cells] = grid[partner[cells]]
            exchanged += len(cells)
        if not exchanged:
            break
    return grids.cells_of(grid, len(points))


def touching(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs of cells that are beside each other, two times int (pairs,); each pair once."""
    cell = np.arange(rows * columns).reshape(rows, columns)
    slices = [
        (cell[:, :-1], cell[:, 1:]),
        (cell[:-1], cell[1:]),
        (cell[:-1, :-1], cell[1:, 1:]),
        (cell[:-1, 1:], cell[1:, :-1]),
    ]
    one, other = (np.concatenate([pair[side].ravel() for pair in slices]) for side in (0, 1))
    return one, other


def energy(grid: np.ndarray, points: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    """Return the sum of the distances of items that are beside each other.

    Args:
        grid: The item in each cell, or -1.
        points: A point for each item, float (items, d).
        one: Cells, int (pairs,).
        other: The cell beside each, int (pairs,).
    """
    return float(_distance(points, grid[one], grid[other]).sum(dtype=np.float64))


def pairs(rows: int, columns: int, step: np.ndarray, offset: int) -> np.ndarray:
    """Pair cells that are a step apart.

    Args:
        rows: Rows of the grid.
        columns: Columns of the grid.
        step: Cells down (0 or more) and to the right (more than 0 where down is 0), int (2,).
        offset: Where along the step the pairs begin.

    Returns:
        The partner of each cell, int (cells,); the cell itself where there is none.
    """
    down, right = step
    cells = np.arange(rows * columns)
    row, column = np.divmod(cells, columns)
    place, length = (row, down) if down else (column, right)
    first = (place + offset) // length % 2 == 0
    first &= (row + down < rows) & (column + right < columns) & (column + right >= 0)
    partner = cells.copy()
    partner[cells[first]] = cells[first] + down * columns + right
    partner[partner[cells[first]]] = cells[first]
    return partner


def exchange(
    grid: np.ndarray, points: np.ndarray, partner: np.ndarray, one: np.ndarray, other: np.ndarray
) -> np.ndarray:
    """Decide by a minimum cut which pairs of cells exchange their items.

    Args:
        grid: The item in each cell, or -1.
        points: A point for each item, float (items, d).
        partner: The partner of each cell; a cell that is its own never changes.
        one: Cells, int (pairs,).
        other: The cell beside each, int (pairs,).

    Returns:
        The cells to exchange, int: both of each pair. Energy does not grow, but for rounding.
    """
    cells = np.arange(len(grid))
    free, pair = partner != cells, np.minimum(cells, partner)
    # Two cells of one pair touch before and after.
    changes = (free[one] | free[other]) & (pair[one] != pair[other])
    one, other = one[changes], other[changes]
    mine, its = (grid[one], grid[partner[one]]), (grid[other], grid[partner[other]])
    neither, second, first, both = (_distance(points, a, b) for a in mine for b in its)
    raised = np.maximum(neither + both - first - second, 0) / 2
    first, second = first + raised, second + raised
    # Rounding must not leave a capacity below zero, with which there is no cut.
    joint = np.maximum(first + second - neither - both, 0)
    # The energy is a constant + alone[p] for each pair p that is exchanged + joint for each touching (p, q) of which q
    # is exchanged and p is not.
    p, q, size = pair[one], pair[other], len(grid)
    alone = np.bincount(p, first - neither, size) + np.bincount(q, both - first, size)
    fixed = ~free[p]
    alone += np.bincount(q[fixed], joint[fixed], size)
    coupled = free[p] & free[q]
    alone = np.where(free & (pair == cells), alone, 0)
    chosen = _source_side(alone, q[coupled], p[coupled], joint[coupled])
    return np.concatenate([chosen, partner[chosen]])


def _source_side(alone: np.ndarray, one: np.ndarray, other: np.ndarray, joint: np.ndarray) -> np.ndarray:
    """Return the smallest set of nodes of least cost: `alone` of each, `joint` of each `one` whose `other` is out."""
    total = float(abs(alone).sum() + joint.sum())
    scale = UNITS / total if total > 0 else 0.0
    cost, joint = np.rint(alone * scale).astype(np.int32), np.rint(joint * scale).astype(np.int32)
    gain, loss = np.flatnonzero(cost < 0), np.flatnonzero(cost > 0)
    source, sink = len(cost), len(cost) + 1
    begin = np.concatenate([one, loss, np.full(len(gain), source)])
    end = np.concatenate([other, np.full(len(loss), sink), gain])
    capacity = np.concatenate([joint, cost[loss], -cost[gain]])
    graph = csr_array(coo_array((capacity, (begin, end)), shape=(len(cost) + 2, len(cost) + 2)))
    rest = csr_array(graph - maximum_flow(graph, source, sink).flow)
    rest.eliminate_zeros()
    reached = breadth_first_order(rest, source, return_predecessors=False)
    return reached[reached < source]


def _steps(rows: int, columns: int, farthest: int) -> np.ndarray:
    """Return all steps, each direction once, int (steps, 2)."""
    down, right = np.divmod(np.arange((farthest + 1) * (2 * farthest + 1)), 2 * farthest + 1)
    right -= farthest
    fits = ((down > 0) | (right > 0)) & (down < rows) & (abs(right) < columns)
    return np.stack([down[fits], right[fits]], axis=1)


def _distance(points: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    distance = np.linalg.norm(points[one] - points[other], axis=1).astype(np.float64)
    return np.where((one < 0) | (other < 0), 0, distance)
