"""UMAP: what it keeps, what the seed decides, and that others are placed without moving anything."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.manifold import trustworthiness

from fashionprobe.attributes.reduce import nearest, reduce
from fashionprobe.errors import UserError


def blobs(items=20):
    """Three clumps, far apart in six channels, and which clump each item is of."""
    rng = np.random.default_rng(0)
    numbers = np.repeat(np.arange(3), items)
    return (20 * np.eye(6)[numbers] + rng.normal(size=(3 * items, 6))).astype(np.float32), numbers


@pytest.mark.slow
def test_umap_keeps_neighbours_and_places_others_among_them():
    # One test for all that needs UMAP: it compiles for ten seconds in each process.
    points, numbers = blobs()
    known = nearest(points[::2], neighbours=8)
    first = reduce(known, 2, seed=3)
    again, other = reduce(points[::2], 2, seed=3, neighbours=8), reduce(known, 2, seed=4)
    assert (first.points.shape, first.points.dtype) == ((30, 2), np.float32)
    assert trustworthiness(points[::2], first.points, n_neighbors=5) > 0.9
    np.testing.assert_array_equal(first.points, again.points)
    assert not np.array_equal(first.points, other.points)

    before = first.points.copy()
    placed = first.transform(points[1::2])
    nearest_known = cdist(placed, first.points).argmin(axis=1)
    assert (numbers[::2][nearest_known] == numbers[1::2]).mean() > 0.9
    np.testing.assert_array_equal(first.points, before)
    np.testing.assert_array_equal(first.transform(points[1::2]), placed)

    # One search for neighbours serves any number of dimensions, up to as many as there are other items.
    assert reduce(known, 29, seed=0).transform(points[1:3]).shape == (2, 29)
    # The scale of the descriptors does not matter, even where squares of them vanish.
    tiny = reduce(points[::2] * np.float32(2.0**-90), 2, seed=3, neighbours=8)
    np.testing.assert_array_equal(tiny.points, first.points)
    np.testing.assert_array_equal(tiny.transform(points[1::2] * np.float32(2.0**-90)), placed)
    with pytest.raises(UserError, match=r"`descriptors` must be of 6 channels, as those of the fit. Received: 5."):
        first.transform(points[:, :5])


def test_neighbours_equal_a_numpy_twin():
    rng = np.random.default_rng(1)
    points = rng.random((30, 4)).astype(np.float32)
    found = nearest(points, neighbours=5)
    distances = cdist(points.astype(float), points.astype(float))
    expected = np.argsort(distances, axis=1)[:, :5]
    np.testing.assert_array_equal(found.indices, expected)
    np.testing.assert_allclose(found.distances * 2.0**found.exponent, np.sort(distances, axis=1)[:, :5], atol=1e-6)


def test_an_item_is_its_own_first_neighbour_even_with_copies():
    points = np.zeros((6, 3), np.float32)
    points[3:, 0] = 1e4
    found = nearest(points, neighbours=3)
    assert found.indices[:, 0].tolist() == list(range(6))
    assert found.distances[:, :3].tolist() == [[0, 0, 0]] * 6
    assert {frozenset(row) for row in found.indices.tolist()} == {frozenset({0, 1, 2}), frozenset({3, 4, 5})}


def test_a_small_set_has_fewer_neighbours():
    assert nearest(blobs(2)[0], neighbours=15).indices.shape == (6, 5)


@pytest.mark.parametrize(
    ("points", "neighbours", "message"),
    [
        (np.zeros((5, 2)), 3, r"must be those of images that differ. Received: 5 equal rows. A block whose channels"),
        (np.zeros((3, 2)), 3, r"must be those of four images or more. Received: 3."),
        (np.full((5, 2), np.nan), 3, r"must be finite numbers. Received: NaN or infinity in 5 rows."),
        (np.zeros(5), 3, r"must be a table of items by channels. Received: shape \(5,\)."),
        (np.eye(5), 1, r"`neighbours` must be an int in the range \[2, inf\). Received: 1."),
    ],
)
def test_bad_descriptors(points, neighbours, message):
    with pytest.raises(UserError, match=message):
        nearest(points, neighbours)


@pytest.mark.parametrize("dimensions", [0, 5])
def test_bad_dimensions(dimensions):
    with pytest.raises(UserError, match=r"`dimensions` must be in 1 to 4, fewer than there are images to fit on."):
        reduce(np.eye(5), dimensions, seed=0)


@pytest.mark.parametrize(("seed", "cores"), [(0, 1), (7, 1), (None, -1)])
def test_a_seed_takes_one_core_and_none_takes_all(monkeypatch, seed, cores):
    given = {}

    class Umap:
        embedding_ = np.zeros((5, 2))

        def __init__(self, **arguments):
            given.update(arguments)

        def fit(self, values):
            return self

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Umap))
    reduce(np.eye(5), 2, seed=seed)
    assert (given["random_state"], given["n_jobs"], given["n_neighbors"]) == (seed, cores, 4)
    # Spectral initialization wants a space of seven dimensions here.
    assert given["init"] == "random"
