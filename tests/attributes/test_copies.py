"""Copies of pictures against a slow twin."""

import numpy as np

from fashionprobe.attributes.folds import identical


def test_identical_equals_a_slow_twin():
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 2, (120, 5)).astype("f4") - np.float32(0.5)
    order = rng.permutation(120)
    rows[order[:40]] = rows[order[40:80]]
    expected = [int(np.flatnonzero((rows == row).all(axis=1))[0]) for row in rows]
    assert identical(rows).tolist() == expected


def test_identical_compares_beyond_the_next_row():
    # Equal sums, so that the copies of one picture do not lie side by side.
    rows = np.array([[1, 2], [2, 1], [1, 2], [2, 1], [1.5, 1.5], [1, 2]], np.float32)
    assert identical(rows).tolist() == [0, 1, 0, 1, 4, 0]
    assert identical(rows[:1]).tolist() == [0]
    assert identical(np.zeros((4000, 3), np.float32)).tolist() == [0] * 4000
