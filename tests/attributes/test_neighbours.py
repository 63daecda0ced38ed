import tracemalloc

import numpy as np
import pytest

from fashionprobe.attributes import neighbours
from fashionprobe.attributes.neighbours import squared_norms_of
from fashionprobe.errors import UserError


def twin(points, queries, metric):
    """All distances, written down plainly in float64."""
    points, queries = points.astype(np.float64), queries.astype(np.float64)
    if metric == "euclidean":
        return np.stack([np.sqrt(((points - query) ** 2).sum(axis=1)) for query in queries])
    dots = queries @ points.T
    lengths = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(points, axis=1)
    return 1 - np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)


def noise(count, channels, seed=0):
    return np.random.default_rng(seed).random((count, channels), dtype=np.float32)


def test_values_worked_by_hand():
    points = np.array([[0, 0], [3, 4], [6, 8], [0, 1]], np.float32)
    rows, distances = neighbours.nearest(points, np.array([[0, 0], [6, 7]], np.float32), 3)
    np.testing.assert_array_equal(rows, [[0, 3, 1], [2, 1, 3]])
    np.testing.assert_allclose(distances, [[0, 1, 5], [1, np.sqrt(18), np.sqrt(72)]], rtol=1e-7)
    assert distances.dtype == np.float32
    rows, distances = neighbours.nearest(points, np.array([[4, 3]], np.float32), 4, metric="cosine")
    # 24/25 with both (3, 4) and (6, 8), 3/5 with (0, 1), and nothing with the origin.
    np.testing.assert_array_equal(rows, [[1, 2, 3, 0]])
    np.testing.assert_allclose(distances, [[0.04, 0.04, 0.4, 1]], rtol=1e-6)


@pytest.mark.parametrize("metric", neighbours.METRICS)
@pytest.mark.parametrize("scale", [1, 1e-19, 1e18])
@pytest.mark.parametrize("k", [1, 7, 300])
def test_equals_the_plain_twin(monkeypatch, metric, scale, k):
    # Chunks so small that queries and points take several.
    monkeypatch.setattr(neighbours, "QUERIES", 8)
    monkeypatch.setattr(neighbours, "SCORES", 800)
    points, queries = noise(300, 6) - 0.3, noise(20, 6, 1) - 0.3
    # The twin's own squares would round 1e-38 less well than the answer.
    expected = twin(points, queries, metric)
    order = np.argsort(expected, axis=1, kind="stable")[:, :k]
    factor = np.float32(scale)
    rows, distances = neighbours.nearest(points * factor, queries * factor, k, metric=metric)
    np.testing.assert_array_equal(rows, order)
    wanted = np.take_along_axis(expected, order, axis=1) * (scale if metric == "euclidean" else 1)
    np.testing.assert_allclose(distances, wanted, rtol=2e-5)


@pytest.mark.parametrize("k", [1, 5, 40])
@pytest.mark.parametrize("metric", neighbours.METRICS)
def test_near_points_far_from_the_origin_come_in_the_right_order(metric, k):
    """The product alone, |a|2 + |b|2 - 2ab in float32, is off by 0.1 here, and their distances differ by 0.001."""
    steps = np.arange(40, dtype=np.float32) * 0.001
    points = np.full((40, 16), 100, np.float32)
    points[:, 0] += np.random.default_rng(0).permutation(steps)
    far = np.argsort(np.abs(points[:, 0].astype(np.float64) - points[:3, :1]), axis=1, kind="stable")
    # All in one plane: the cosine has the order of the first channel.
    rows, distances = neighbours.nearest(points, points[:3], k, metric=metric)
    np.testing.assert_array_equal(rows[:, 0], [0, 1, 2])
    np.testing.assert_array_equal(distances[:, 0], 0)
    steps_away = np.abs(np.take_along_axis(points[:, 0][None], rows, 1) - points[:3, :1])
    expected = np.abs(np.take_along_axis(points[:, 0][None], far[:, :k], 1) - points[:3, :1])
    np.testing.assert_allclose(steps_away, expected, atol=1e-4)


def test_the_lower_row_first_where_only_rounding_tells_two_apart():
    """(a, b) and (b, a) are equally far from (c, c), but their products with it may be rounded differently."""
    one = noise(200, 2)
    points = np.r_[one, one[:, ::-1]]
    rows, distances = neighbours.nearest(points, np.full((1, 2), 0.3, np.float32), 400)
    assert (np.diff(distances[0]) >= 0).all()
    np.testing.assert_array_equal(rows[0, 1::2] - rows[0, ::2], 200)


@pytest.mark.parametrize("metric", neighbours.METRICS)
def test_an_image_finds_itself_and_its_copies_at_0_the_lower_row_first(metric):
    points = noise(500, 64)
    points[[7, 90, 430]] = points[250]
    rows, distances = neighbours.nearest(points, points, 5, metric=metric)
    np.testing.assert_array_equal(rows[[7, 90, 250, 430], :4], [[7, 90, 250, 430]] * 4)
    assert (distances[[7, 90, 250, 430], :4] == 0).all()
    assert (distances[:, 0] == 0).all()
    assert (rows[np.delete(np.arange(500), [90, 250, 430]), 0] == np.delete(np.arange(500), [90, 250, 430])).all()


def test_points_all_alike():
    rows, distances = neighbours.nearest(np.ones((50, 3), np.float32), np.zeros((2, 3), np.float32), 4)
    np.testing.assert_array_equal(rows, [[0, 1, 2, 3]] * 2)
    np.testing.assert_allclose(distances, np.sqrt(3), rtol=1e-7)


@pytest.mark.parametrize("flip", [1, -1])
def test_points_that_come_nearer_and_nearer(monkeypatch, flip):
    monkeypatch.setattr(neighbours, "SCORES", 64)
    points = np.linspace(9, 1, 200, dtype=np.float32)[::flip, None]
    rows, _ = neighbours.nearest(points, np.zeros((3, 1), np.float32), 4)
    expected = [199, 198, 197, 196] if flip == 1 else [0, 1, 2, 3]
    np.testing.assert_array_equal(rows, [expected] * 3)


@pytest.mark.parametrize("scores", [2**21, 40])
def test_excluded_rows_are_never_found(monkeypatch, scores):
    monkeypatch.setattr(neighbours, "SCORES", scores)
    points = noise(30, 4)
    exclude = [np.array([0, 3, 3]), np.array([], int), np.arange(25)]
    rows, _ = neighbours.nearest(points, points[:3], 5, exclude=exclude)
    expected = twin(points, points[:3], "euclidean")
    for query, left_out in enumerate(exclude):
        expected[query, left_out] = np.inf
    np.testing.assert_array_equal(rows, np.argsort(expected, axis=1)[:, :5])
    with pytest.raises(UserError, match=r"`k` must be in 1 to 5, the number of images less the 25 left out. Received"):
        neighbours.nearest(points, points[:3], 6, exclude=exclude)


@pytest.mark.parametrize("scores", [2**21, 64])
def test_only_the_points_among_which_it_searches_are_found(monkeypatch, scores):
    monkeypatch.setattr(neighbours, "SCORES", scores)
    points, queries, among = noise(50, 5), noise(4, 5, 1), np.arange(50) % 3 == 0
    rows, distances = neighbours.nearest(points, queries, 16, among=among, exclude=[np.array([0, 1])] * 4)
    for query, found, far in zip(queries, rows, distances, strict=True):
        expected = np.where(among & (np.arange(50) > 0), twin(points, query[None], "euclidean")[0], np.inf)
        assert found.tolist() == np.argsort(expected)[:16].tolist()
        assert far == pytest.approx(np.sort(expected)[:16], rel=1e-6)
    with pytest.raises(UserError, match="in 1 to 16, the number of images less the 1 left out"):
        neighbours.nearest(points, queries, 17, among=among, exclude=[np.array([0, 1])] * 4)


def test_memory_map_and_given_norms(tmp_path):
    points = noise(200, 8)
    np.save(tmp_path / "points.npy", points)
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r")
    found = neighbours.nearest(mapped, points[:9], 3, squared_norms=squared_norms_of(mapped))
    assert type(found[0]) is np.ndarray
    for one, other in zip(found, neighbours.nearest(points, points[:9], 3), strict=True):
        np.testing.assert_array_equal(one, other)


def test_memory_is_bounded():
    points, queries = noise(30_000, 8), noise(2_000, 8, 1)
    tracemalloc.start()
    neighbours.nearest(points, queries, 10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # All scores would be 240 MB.
    assert peak < 60e6


def test_squared_norms():
    points = noise(50, 7) * np.float32(1e-20)
    np.testing.assert_allclose(squared_norms_of(points), (points.astype(np.float64) ** 2).sum(axis=1), rtol=1e-12)


@pytest.mark.parametrize("metric", neighbours.METRICS)
def test_distances_to_all(monkeypatch, metric):
    monkeypatch.setattr(neighbours, "SCORES", 100)
    points = noise(60, 32) + 10
    points[5] = points[0]
    found = neighbours.distances(points, points[:4], metric=metric)
    np.testing.assert_allclose(found, twin(points, points[:4], metric), rtol=1e-4, atol=1e-9)
    assert (found[np.arange(4), np.arange(4)] == 0).all()
    assert found[0, 5] == 0
    # Those near 0, of which the product keeps no digit, are those of `nearest`.
    rows, distances = neighbours.nearest(points, points[:4], 60, metric=metric)
    near = distances < 0.05 * np.linalg.norm(points[0]) if metric == "euclidean" else distances < 0.005
    assert near.sum() > 20
    np.testing.assert_array_equal(np.take_along_axis(found, rows, axis=1)[near], distances[near])


def test_combined_is_the_sum_of_z_scores():
    one, other = np.array([1.0, 2, 3]), np.array([10.0, 10, 40])
    half = np.sqrt(1.5)
    expected = [-half - np.sqrt(0.5), -np.sqrt(0.5), half + np.sqrt(2)]
    np.testing.assert_allclose(neighbours.combined([one, other]), expected)
    np.testing.assert_allclose(neighbours.combined([np.stack([one, one]), np.stack([other, other])]), [expected] * 2)


def test_weights_multiply_the_z_scores():
    one, other = np.array([1.0, 2, 3]), np.array([10.0, 10, 40])
    half = np.sqrt(1.5)
    expected = [-0.25 * half - 3 * np.sqrt(0.5), -3 * np.sqrt(0.5), 0.25 * half + 3 * np.sqrt(2)]
    np.testing.assert_allclose(neighbours.combined([one, other], [0.25, 3]), expected)
    np.testing.assert_allclose(neighbours.combined([one, other], [1, 0]), neighbours.combined([one]))


def test_equal_distances_add_nothing():
    one = np.array([1.0, 2, 3])
    np.testing.assert_array_equal(neighbours.combined([one, np.full(3, 0.1, np.float32)]), neighbours.combined([one]))


def test_smallest():
    values = np.array([[3.0, 1, 1, np.inf], [0, 5, -2, 4]])
    np.testing.assert_array_equal(neighbours.smallest(values, 3), [[1, 2, 0], [2, 0, 3]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 11}, r"`k` must be in 1 to 10, the number of images. Received: 11"),
        ({"k": 0}, r"`k` must be in 1 to 10"),
        (
            {"queries": np.zeros((2, 3), np.float32)},
            r"channels of the points, \[4\]. Received: \[2, 3\]. Descriptors of",
        ),
        (
            {"queries": np.full((2, 4), np.nan, np.float32)},
            r"`queries` must be descriptors of finite values. Received: ",
        ),
        ({"points": np.full((10, 4), np.inf, np.float32)}, r"`points` must be .* Received: NaN or infinity in row 0"),
        ({"metric": "cosin"}, r"`metric` must be one of: euclidean, cosine. Received: cosin. Did you mean 'cosine'"),
        ({"squared_norms": np.ones(3)}, r"`squared_norms` must be one per point, 10. Received: 3"),
        ({"exclude": [np.array([1])]}, r"`exclude` must be one list of rows per query, 2. Received: 1"),
        ({"exclude": [np.array([1]), np.array([10])]}, r"`exclude` must be rows in 0 to 9. Received: 1 to 10"),
    ],
)
def test_bad_input(change, message):
    given = {"points": noise(10, 4), "queries": noise(2, 4, 1), "k": 2} | change
    with pytest.raises(UserError, match=message):
        neighbours.nearest(given.pop("points"), given.pop("queries"), given.pop("k"), **given)


def test_a_broken_row_is_named():
    points = noise(10, 4)
    points[6, 1] = np.nan
    with pytest.raises(UserError, match=r"NaN or infinity in row 6"):
        neighbours.distances(points, noise(1, 4))
