import collections

import numpy as np

from fashionprobe.attributes.votes import majority


def test_a_tie_goes_to_the_class_of_the_nearer_neighbour():
    nearest = np.array([[2, 0, 0, 2], [1, 0, 2, 0]])
    found = dict(majority(nearest, 3, (1, 2, 3, 4)))
    assert {k: answer.tolist() for k, answer in found.items()} == {1: [2, 1], 2: [2, 1], 3: [0, 1], 4: [2, 0]}


def test_votes_equal_a_count_by_hand():
    nearest = np.random.default_rng(0).integers(0, 5, (300, 16))
    for k, answer in majority(nearest, 5, (1, 2, 4, 8, 16)):
        for row, guess in zip(nearest[:, :k].tolist(), answer.tolist(), strict=True):
            # Counter keeps the order in which classes come first, and most_common keeps it among equals.
            assert guess == collections.Counter(row).most_common(1)[0][0]
