import itertools
import math

import numpy as np
import pytest

from fashionprobe.attributes.layouts import grid
from fashionprobe.errors import UserError


def random_items(items: int, channels: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(items, channels)).astype(np.float32)


def twin(descriptors, cells, columns, power=16.0) -> tuple[float, float]:
    """The scores, item by item as the paper words them."""
    items = len(descriptors)
    place = [divmod(int(cell), columns) for cell in cells]
    far = [[math.dist(a, b) for b in descriptors.astype(float)] for a in descriptors.astype(float)]
    shares, on_grid, true = [], np.zeros(items - 1), np.zeros(items - 1)
    for i in range(items):
        others = [j for j in range(items) if j != i]
        nearest = sorted(others, key=lambda j: far[i][j])[:8]
        beside = [j for j in others if max(abs(place[i][0] - place[j][0]), abs(place[i][1] - place[j][1])) == 1]
        if beside:
            shares.append(sum(j in nearest for j in beside) / len(beside))
        by_grid = sorted(others, key=lambda j: ((math.dist(place[i], place[j])), far[i][j]))
        for sums, order in ((on_grid, by_grid), (true, sorted(others, key=lambda j: far[i][j]))):
            sums += np.cumsum([far[i][j] for j in order]) / np.arange(1, items)
    mean = sum(map(sum, far)) / (items * (items - 1))
    gains = [np.maximum((mean - sums / items) / mean, 0) for sums in (on_grid, true)]
    norms = [(gain**power).sum() ** (1 / power) for gain in gains]
    return float(np.mean(shares)), norms[0] / norms[1]


@pytest.mark.parametrize(("items", "rows", "columns"), [(30, 5, 6), (30, 6, 7), (23, 1, 23)])
@pytest.mark.parametrize("chunk", [100, grid.CHUNK])
def test_scores_are_those_of_the_paper(monkeypatch, items, rows, columns, chunk):
    monkeypatch.setattr(grid, "CHUNK", chunk)
    descriptors = random_items(items)
    cells = np.random.default_rng(1).permutation(rows * columns)[:items]
    (found,) = grid.scores(descriptors, {"mine": cells}, rows, columns).to_dict("records")
    assert found["layout"] == "mine"
    np.testing.assert_allclose((found["neighbours"], found["dpq"]), twin(descriptors, cells, columns), rtol=1e-6)
    assert math.isnan(found["same_class"])


def test_scores_by_hand():
    # Four places on a line, at 0, 1, 3 and 7, laid out in this order and in the order 0 3 1 7. D = 23 / 6.
    line = np.array([[0], [1], [3], [7]], np.float32)
    classes = np.array(["a", "a", "b", "b"])
    layouts = {"true": np.array([0, 1, 2, 3]), "other": np.array([0, 2, 1, 3])}
    table = grid.scores(line, layouts, 1, 4, classes=classes, power=1).set_index("layout")
    # First on the grid: 1, 1, 2, 4, as it should be; then 3, 2, 4 (7 is as near on the grid as 1), 6 in place of 3, 2,
    # 3, 6. In the other layout first 3, 2, 2, 6 (0 sees 3, 1 sees 3, 3 sees 1, 7 sees 1), then 1, 6, 3, 4.
    mean = 23 / 6
    h = [1 - 8 / 4 / mean, 1 - 22 / 8 / mean]
    assert table.loc["true", "dpq"] == pytest.approx((h[0] + 1 - 23 / 8 / mean) / sum(h))
    assert table.loc["other", "dpq"] == pytest.approx((1 - 13 / 4 / mean + 1 - 27 / 8 / mean) / sum(h))
    # Beside 0 and beside 3 sits one, beside the inner ones sit two; all three others are among the eight nearest.
    assert table["neighbours"].tolist() == [1, 1]
    assert table["same_class"].tolist() == [(1 + 0.5 + 0.5 + 1) / 4, 0]


def test_empty_cells_count_nowhere():
    square = random_items(16)
    cells = np.arange(16)
    alone = grid.scores(square, {"a": cells}, 4, 4)
    row, column = np.divmod(cells, 4)
    wide = grid.scores(square, {"a": (row + 3) * 9 + column + 2}, 9, 9)
    assert alone.equals(wide)
    # Nobody beside anybody: there is no share to take the mean of.
    apart = grid.scores(square, {"a": (row * 2) * 7 + column * 2}, 7, 7, classes=np.zeros(16))
    assert np.isnan(apart[["neighbours", "same_class"]].to_numpy()).all()


def test_copies_count_all_or_none():
    # Twelve copies of one item: each of them is among the eight nearest of the others.
    copies = np.concatenate([np.zeros((12, 3)), 9 + np.eye(3)]).astype(np.float32)
    found = grid.scores(copies, {"a": np.arange(15)}, 1, 15).iloc[0]
    # All but the items on both sides of the border, number 11 and 12, see nothing else beside them; number 12 is near.
    assert found["neighbours"] == pytest.approx((13 + 0.5 + 1) / 15)


def test_identical_descriptors_have_no_order_to_keep():
    same = np.full((9, 4), 0.1, np.float32)
    table = grid.scores(same, {"a": np.arange(9)}, 3, 3, classes=np.arange(9) // 3)
    assert table[["neighbours", "dpq"]].isna().all(axis=None)
    # Rows are classes. Corners see 1 of 3, edges beside them 1 of 5 or 2 of 5, the middle 2 of 8.
    assert table["same_class"].item() == pytest.approx((4 / 3 + 2 * 2 / 5 + 2 / 5 + 2 / 8) / 9)
    assert not grid.project(same, 0).any()


@pytest.mark.parametrize("items", [4, 5, 12, 13, 1000, 1024, 1025])
def test_the_grid_is_nearly_square_and_has_no_empty_row(items):
    rows, columns = grid.shape(items)
    assert 0 <= columns - rows <= 1
    assert (rows - 1) * columns < items <= rows * columns


def test_start_gives_points_of_a_grid_their_cells():
    rows, columns = 6, 9
    points = np.stack(np.divmod(np.arange(54), columns), axis=1) * 2.0
    order = np.random.default_rng(0).permutation(54)
    assert grid.cells_of(grid.start(points[order], rows, columns), 54).tolist() == order.tolist()


def test_start_is_the_best_assignment_on_a_small_grid():
    points = np.random.default_rng(3).random((6, 2))
    found = grid.cells_of(grid.start(points, 2, 3), 6)
    places = (points - points.min(axis=0)) / np.ptp(points, axis=0) * [1, 2]
    cells = np.stack(np.divmod(np.arange(6), 3), axis=1)
    cost = {cells_: ((places - cells[list(cells_)]) ** 2).sum() for cells_ in itertools.permutations(range(6))}
    assert cost[tuple(found)] == pytest.approx(min(cost.values()))


@pytest.mark.parametrize("side", [5, 16, 30])
def test_windows_hold_every_cell_once_and_are_small(side):
    parts = list(grid.windows(37, 20, side, np.random.default_rng(0)))
    assert sorted(np.concatenate(parts).tolist()) == list(range(740))
    for part in parts:
        row, column = np.divmod(part, 20)
        assert len(part) <= min(side, grid.MOST) ** 2
        assert max(np.ptp(row), np.ptp(column)) < side


def test_reassign_moves_into_empty_cells():
    cells = np.array([0, -1, 1, -1])
    grid.reassign(cells, np.array([0, 1, 3]), np.array([[5.0], [0.0]]), np.array([[0.0], [9.0], [6.0]]))
    assert cells.tolist() == [-1, -1, 1, 0]


def test_projection_keeps_groups_and_repeats():
    descriptors = (random_items(45, 60) + 12 * np.repeat(np.eye(3, 60), 15, axis=0)).astype(np.float32)
    found = grid.project(descriptors, 1)
    assert (found == grid.project(np.ldexp(descriptors, -63), 1)).all()
    centres = found.reshape(3, 15, 2).mean(axis=1)
    nearest = ((found[:, None] - centres) ** 2).sum(axis=-1).argmin(axis=1)
    assert nearest.tolist() == np.repeat(range(3), 15).tolist()


def test_principal_components_keep_distances():
    descriptors = random_items(20, 7)
    found = grid.principal(descriptors)
    far = [np.linalg.norm(points[:, None] - points, axis=-1) for points in (descriptors, found)]
    ratio = far[0][np.triu_indices(20, 1)] / far[1][np.triu_indices(20, 1)]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    assert (found**2).sum(axis=1).mean() == pytest.approx(1, rel=1e-5)
    assert grid.principal(random_items(80, 70)).shape == (80, grid.DIRECTIONS)


@pytest.mark.parametrize(
    ("cells", "received"), [([0, 1, 2, 2], "3 different"), ([0, 1, 2, 6], "4 different"), ([0, 1, 2], "3 different")]
)
def test_layouts_that_are_none(cells, received):
    with pytest.raises(UserError, match=rf"`layouts\['a'\]` must be a cell of its own.*0 to 5. Received: {received}"):
        grid.scores(random_items(4), {"a": np.array(cells)}, 2, 3)


def test_too_few_items_and_values_that_are_not_finite():
    with pytest.raises(UserError, match=r"`descriptors` must be of shape \(items, channels\), 4 items or more"):
        grid.project(random_items(3), 0)
    broken = random_items(5)
    broken[2, 1] = np.nan
    with pytest.raises(UserError, match=r"`descriptors` must be finite"):
        grid.scores(broken, {}, 2, 3)


def test_neighbours_in_the_plane_are_those_of_the_descriptors_where_they_are_the_plane():
    from fashionprobe.attributes.layouts.grid import neighbours_in_plane

    random = np.random.default_rng(0)
    descriptors = random.normal(size=(60, 2)).astype(np.float32)
    assert neighbours_in_plane(descriptors, descriptors * 3 + 1) == 1
    # By chance 8 of 59 others.
    assert neighbours_in_plane(descriptors, random.normal(size=(60, 2))) == pytest.approx(8 / 59, abs=0.06)
