import itertools

import numpy as np
import pytest

from fashionprobe.attributes.layouts import grid
from fashionprobe.attributes.layouts.gridcut import energy, exchange, gridcut, pairs, touching


def test_pairs_down_and_across():
    assert pairs(1, 5, np.array([0, 1]), 0).tolist() == [1, 0, 3, 2, 4]
    assert pairs(1, 5, np.array([0, 1]), 1).tolist() == [0, 2, 1, 4, 3]
    assert pairs(1, 5, np.array([0, 2]), 0).tolist() == [2, 3, 0, 1, 4]
    # One down and one to the left: the left column has no partner below, the right one none above.
    assert pairs(2, 3, np.array([1, -1]), 0).tolist() == [0, 3, 4, 1, 2, 5]


@pytest.mark.parametrize("step", [(0, 1), (0, 3), (2, 0), (1, -2), (3, 3)])
def test_partners_are_mutual_and_a_step_apart(step):
    found = set()
    for offset in range(2 * max(np.abs(step))):
        partner = pairs(6, 7, np.array(step), offset)
        assert (partner[partner] == np.arange(42)).all()
        away = np.flatnonzero(partner > np.arange(42))
        found |= {tuple(np.subtract(divmod(int(partner[c]), 7), divmod(int(c), 7)).tolist()) for c in away}
    assert found == {step}


def test_every_two_cells_that_touch_are_there_once():
    one, other = touching(3, 4)
    found = {frozenset(pair) for pair in zip(one.tolist(), other.tolist(), strict=True)}
    places = [divmod(cell, 4) for cell in range(12)]
    expected = {
        frozenset((a, b))
        for a, b in itertools.combinations(range(12), 2)
        if max(abs(places[a][0] - places[b][0]), abs(places[a][1] - places[b][1])) == 1
    }
    assert found == expected
    assert len(one) == len(expected)


def raised_energy(cells, points, partner, changed) -> float:
    """The energy after an exchange, as the cut sees it, two cells that touch at a time."""
    total = 0.0
    for a, b in zip(*(cell.tolist() for cell in touching(2, 5)), strict=True):

        def far(here, there):
            return 0.0 if min(here, there) < 0 else float(np.linalg.norm(points[here] - points[there]))

        if partner[a] == b or (partner[a] == a and partner[b] == b):
            total += far(cells[a], cells[b])
            continue
        mine, its = (cells[a], cells[partner[a]]), (cells[b], cells[partner[b]])
        table = np.array([[far(here, there) for there in its] for here in mine])
        table[[0, 1], [1, 0]] += max(0.0, table[0, 0] + table[1, 1] - table[0, 1] - table[1, 0]) / 2
        total += table[int(changed[a]), int(changed[b])]
    return total


@pytest.mark.parametrize("step", [(0, 1), (0, 2), (1, 1)])
def test_the_cut_is_the_best_of_all_choices(step):
    better = 0
    for seed in range(8):
        random = np.random.default_rng(seed)
        points = random.random((9, 2))
        cells = random.permutation(np.append(np.arange(9), -1))
        one, other = touching(2, 5)
        partner = pairs(2, 5, np.array(step), 0)
        firsts = np.flatnonzero(partner > np.arange(10))
        sums = []
        for kept in itertools.product((False, True), repeat=len(firsts)):
            changed = np.zeros(10, bool)
            changed[firsts] = changed[partner[firsts]] = kept
            sums.append(raised_energy(cells, points, partner, changed))
        moved = exchange(cells, points, partner, one, other)
        found = raised_energy(cells, points, partner, np.isin(np.arange(10), moved))
        assert found == pytest.approx(min(sums), abs=1e-6)
        after = cells.copy()
        after[moved] = cells[partner[moved]]
        assert sorted(after) == list(range(-1, 9))
        # What the cut promises holds for the energy itself.
        assert energy(after, points, one, other) <= found + 1e-6 <= energy(cells, points, one, other) + 2e-6
        better += len(moved) > 0
    assert better >= 3


def test_one_exchange_by_hand():
    # On a row, 0 1 2 with the pair (0, 1) free: exchanging brings 5 beside 6.
    points = np.array([[5.0], [0.0], [6.0]])
    cells, partner = np.array([0, 1, 2]), np.array([1, 0, 2])
    one, other = touching(1, 3)
    assert sorted(exchange(cells, points, partner, one, other)) == [0, 1]
    assert exchange(np.array([1, 0, 2]), points, partner, one, other).tolist() == []


def test_energy_by_hand():
    one, other = touching(2, 2)
    assert energy(np.array([0, 1, 2, -1]), np.array([[0.0], [1.0], [4.0]]), one, other) == 1 + 4 + 3


def test_cuts_lower_the_energy_and_raise_the_scores():
    row, column = np.divmod(np.arange(100), 10)
    descriptors = np.stack([row, column], axis=1).astype(np.float32)
    positions = descriptors + np.random.default_rng(0).normal(0, 1.5, (100, 2))
    layouts = {str(rounds): gridcut(descriptors, positions, 10, 10, rounds=rounds) for rounds in (0, 1, 6)}
    table = grid.scores(descriptors, layouts, 10, 10)
    assert table["dpq"].is_monotonic_increasing
    assert table["dpq"].iloc[2] > table["dpq"].iloc[0] + 0.05
    one, other = touching(10, 10)
    energies = [energy(np.argsort(cells), descriptors, one, other) for cells in layouts.values()]
    assert energies[0] > 1.1 * energies[1]
    assert energies[1] >= energies[2] - 1e-3
