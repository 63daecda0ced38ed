import numpy as np
import pytest

from fashionprobe.attributes.layouts import grid
from fashionprobe.attributes.layouts.gridcut import gridcut
from fashionprobe.attributes.layouts.las import _smoothed, las
from fashionprobe.errors import UserError

LAYOUTS = pytest.mark.parametrize("layout", [las, gridcut])


def plane(side: int) -> np.ndarray:
    """Descriptors that change smoothly over a square."""
    row, column = np.divmod(np.arange(side**2), side)
    return np.stack([row, column, 0.3 * np.sin(row), 0.3 * np.cos(column)], axis=1).astype(np.float32)


def test_neighbours_are_found_without_a_projection():
    descriptors = plane(10)
    positions = np.random.default_rng(0).random((100, 2))
    layouts = {"las": las(descriptors, positions, 10, 10), "start": grid.cells_of(grid.start(positions, 10, 10), 100)}
    table = grid.scores(descriptors, layouts, 10, 10).set_index("layout")
    assert table["dpq"]["start"] < 0.6
    assert table["dpq"]["las"] > 0.98
    assert table["neighbours"]["las"] > 0.95


def test_smoothing_is_the_mean_of_the_items_around():
    cells = np.array([0, 1, -1, 2, -1, -1])
    points = np.array([[1.0], [3.0], [8.0]], np.float32)
    found = _smoothed(cells, points, 1, 6, 1)
    np.testing.assert_allclose(found[:, 0], [2, 2, 5.5, 8, 8, 0], rtol=1e-5)


@LAYOUTS
def test_one_seed_gives_one_layout_with_a_cell_for_each(layout):
    descriptors, positions = plane(7)[:40], plane(7)[:40, :2] + np.random.default_rng(0).normal(size=(40, 2))
    found = layout(descriptors, positions, 6, 8, seed=3)
    assert found.dtype.kind == "i"
    assert len(set(found.tolist())) == 40
    assert 0 <= found.min() <= found.max() < 48
    assert (found == layout(descriptors, positions, 6, 8, seed=3)).all()


@LAYOUTS
@pytest.mark.parametrize(("items", "rows", "columns"), [(4, 2, 2), (4, 1, 4), (5, 9, 9), (4, 40, 1)])
def test_few_items_and_odd_grids(layout, items, rows, columns):
    random = np.random.default_rng(0)
    found = layout(random.random((items, 3), np.float32), random.random((items, 2)), rows, columns)
    assert len(set(found.tolist())) == items
    assert found.max() < rows * columns


@LAYOUTS
def test_identical_descriptors(layout):
    same = np.full((10, 3), 7, np.float32)
    assert len(set(layout(same, np.zeros((10, 2)), 3, 4).tolist())) == 10


@LAYOUTS
def test_scale_changes_nothing(layout):
    descriptors, positions = plane(6), np.random.default_rng(0).random((36, 2))
    small = layout(np.ldexp(descriptors, -70), positions, 6, 6)
    assert (small == layout(descriptors, positions, 6, 6)).all()


@LAYOUTS
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 2}, r"`rows x columns` must be a grid with 9 cells or more. Received: 2 x 3"),
        ({"columns": 0}, r"Received: 3 x 0"),
        ({"positions": np.zeros((8, 2))}, r"`positions` must be of shape \(9, 2\)"),
        ({"positions": np.full((9, 2), np.nan)}, r"`positions` must be finite"),
        ({"descriptors": np.full((9, 4), np.inf)}, r"`descriptors` must be finite"),
        ({"descriptors": np.zeros((3, 4))}, r"4 items or more. Received: \(3, 4\)"),
    ],
)
def test_wrong_arguments(layout, change, message):
    right = {"descriptors": plane(3), "positions": np.zeros((9, 2)), "rows": 3, "columns": 3}
    with pytest.raises(UserError, match=message):
        layout(**right | change)


def test_a_neighbourhood_has_to_shrink():
    with pytest.raises(UserError, match=r"`shrink` must be in \(0, 1\). Received: 1"):
        las(plane(3), np.zeros((9, 2)), 3, 3, shrink=1)
