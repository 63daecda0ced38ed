import sys

import numpy as np
import pytest

from fashionprobe.attributes import approximate_neighbours, neighbours
from fashionprobe.errors import UserError

RANDOM = np.random.default_rng(0)
CENTRES = RANDOM.random((25, 24), dtype=np.float32)
POINTS = CENTRES[RANDOM.integers(0, 25, 1500)] + RANDOM.normal(0, 0.05, (1500, 24)).astype(np.float32)


@pytest.fixture
def needs_faiss():
    pytest.importorskip("faiss", reason="faiss is not installed: pip install 'fashionprobe[faiss]'")


@pytest.mark.usefixtures("needs_faiss")
@pytest.mark.parametrize("metric", neighbours.METRICS)
@pytest.mark.parametrize("kind", approximate_neighbours.KINDS)
def test_nearly_all_of_the_nearest_are_found_at_their_exact_distance(kind, metric):
    index = approximate_neighbours.build(POINTS, kind=kind, metric=metric)
    rows, distances = approximate_neighbours.nearest(POINTS, POINTS[:100], 10, index=index, metric=metric)
    exact, expected = neighbours.nearest(POINTS, POINTS[:100], 10, metric=metric)
    recall = np.mean([len(set(one) & set(other)) / 10 for one, other in zip(rows, exact, strict=True)])
    assert recall >= 0.95
    np.testing.assert_array_equal(rows[:, 0], np.arange(100))
    np.testing.assert_array_equal(distances[:, 0], 0)
    np.testing.assert_array_equal(distances[rows == exact], expected[rows == exact])


@pytest.mark.usefixtures("needs_faiss")
def test_more_effort_finds_more():
    noise = np.random.default_rng(1).random((1500, 64), dtype=np.float32)
    index = approximate_neighbours.build(noise, kind="ivf")
    exact = neighbours.nearest(noise, noise[:60], 10)[0]
    found = [
        approximate_neighbours.nearest(noise, noise[:60], 10, index=index, effort=each)[0] for each in (32, 128, 256)
    ]
    hits = [sum(len(set(one) & set(other)) for one, other in zip(rows, exact, strict=True)) for rows in found]
    assert hits[0] < hits[1] < hits[2] == 600


@pytest.mark.usefixtures("needs_faiss")
def test_excluded_rows_are_never_found():
    index = approximate_neighbours.build(POINTS)
    exact = neighbours.nearest(POINTS, POINTS[:2], 8)[0]
    exclude = [exact[0, [0, 2]], np.array([], int)]
    rows, _ = approximate_neighbours.nearest(POINTS, POINTS[:2], 6, index=index, exclude=exclude)
    np.testing.assert_array_equal(rows, [exact[0, [1, 3, 4, 5, 6, 7]], exact[1, :6]])


@pytest.mark.usefixtures("needs_faiss")
def test_bad_input():
    index = approximate_neighbours.build(POINTS[:30])
    with pytest.raises(
        UserError, match=r"`points` must be one of 30 points with 24 channels, .* Received: \[1500, 24\]"
    ):
        approximate_neighbours.nearest(POINTS, POINTS[:1], 3, index=index)
    with pytest.raises(UserError, match=r"`k` must be in 1 to 30, the number of images. Received: 31"):
        approximate_neighbours.nearest(POINTS[:30], POINTS[:1], 31, index=index)
    with pytest.raises(UserError, match=r"`kind` must be one of: hnsw, ivf. Received: hnws. Did you mean 'hnsw'"):
        approximate_neighbours.build(POINTS, kind="hnws")  # pyright: ignore[reportArgumentType]
    with pytest.raises(UserError, match=r"descriptors of finite values"):
        approximate_neighbours.build(np.full((3, 2), np.nan, np.float32))
    with pytest.raises(UserError, match=r"as many as the index finds. Received: 900. Raise `effort`"):
        cells = approximate_neighbours.build(POINTS, kind="ivf")
        approximate_neighbours.nearest(POINTS, POINTS[:1], 900, index=cells, effort=1)


def test_without_faiss_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(
        UserError,
        match=r"`faiss` is needed for approximate search, and is not installed. .*'fashionprobe\[faiss\]'",
    ):
        approximate_neighbours.build(POINTS)
