import numpy as np

from fashionprobe.groups import join


def test_chains_of_pairs_are_one_group():
    first = join(np.arange(7), np.array([5, 3, 1]), np.array([3, 1, 6]))
    assert first.tolist() == [0, 1, 2, 1, 4, 1, 1]


def test_groups_like_a_slow_twin():
    random = np.random.default_rng(0)
    one, other = random.integers(0, 60, (2, 40))
    groups = [{item} for item in range(60)]
    for a, b in zip(one, other, strict=True):
        mine, theirs = (next(group for group in groups if item in group) for item in (a, b))
        if mine is not theirs:
            groups.remove(theirs)
            mine |= theirs
    expected = [min(next(group for group in groups if item in group)) for item in range(60)]
    assert join(np.arange(60), one, other).tolist() == expected
