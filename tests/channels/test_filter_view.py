import numpy as np
import pytest

from fashionprobe.channels.filters import intervals, lit, view
from fashionprobe.errors import UserError


def test_intervals_by_hand():
    values = np.array([0.0, 9.0, 1.0, 4.4, 4.6, 8.9])
    found = intervals(values, random=np.random.default_rng(0))
    assert [(low, high) for low, high, *_ in found] == [(place, place + 1) for place in range(9)]
    # 1 belongs to the interval above, 9 to the last.
    assert [count for *_, count, _ in found] == [1, 1, 0, 0, 2, 0, 0, 0, 2]
    drawn = [row for *_, row in found]
    assert drawn[:4] == [0, 2, None, None]
    assert drawn[4] in (3, 4)
    assert drawn[8] in (1, 5)


def test_any_image_of_an_interval_is_drawn():
    values = np.array([0.0, 0.0, 0.0, 1.0])
    drawn = {intervals(values, random=np.random.default_rng(seed), count=2)[0][3] for seed in range(30)}
    assert drawn == {0, 1, 2}


def test_a_filter_without_range_has_one_interval_with_images():
    found = intervals(np.full(5, 2.0), random=np.random.default_rng(0), count=3)
    assert sum(count for *_, count, _ in found) == 5
    assert sum(row is not None for *_, row in found) == 1


def test_lit_where_the_map_is_strong():
    image = np.full((4, 4, 3), 200.0, np.float32)
    shown = lit(image, np.array([[0.0, 5.0], [0.0, 5.0]]))
    assert shown.dtype == np.uint8
    assert (shown[:, 2:] == 200).all()
    assert (shown[:, 0] == 0).all()
    assert (lit(image, np.ones((2, 2))) == 0).all()
    assert (lit(image, np.array([[0.0, 5.0], [0.0, 5.0]]), "dark")[:, 0] == 50).all()


def test_the_view_of_a_filter_does_not_depend_on_the_others():
    features = np.random.default_rng(0).uniform(size=(40, 3))
    table = view(features, seed=5)
    assert table.groupby("filter").size().tolist() == [9, 9, 9]
    assert (table.groupby("filter")["images"].sum() == 40).all()
    assert ((table["row"] < 0) == (table["images"] == 0)).all()
    for row in table[table["row"] >= 0].itertuples():
        assert row.low <= features[row.row, row.filter] <= row.high
    other = view(np.concatenate([features[:, :2] * 3, features[:, 2:]], axis=1), seed=5)
    assert other[other["filter"] == 2].equals(table[table["filter"] == 2])


@pytest.mark.parametrize("values", [np.array([]), np.array([1.0, np.nan]), np.ones((2, 2))])
def test_bad_values(values):
    with pytest.raises(UserError, match="`values` must be finite numbers"):
        intervals(values, random=np.random.default_rng(0))


def test_bad_count():
    with pytest.raises(UserError, match=r"`count` must be an int in the range \[1, inf\)"):
        intervals(np.ones(2), random=np.random.default_rng(0), count=0)
