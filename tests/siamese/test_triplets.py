"""Each miner against the loop over all triplets that it stands for."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from fashionprobe.siamese import triplets

LABELS = np.array([0, 0, 1, 1, 1, 2, 0, 3])
"""Of unequal sizes; the classes 2 and 3 have no positive."""


def square(seed=0):
    points = np.random.default_rng(seed).normal(size=(len(LABELS), 3))
    return ((points[:, None] - points[None, :]) ** 2).sum(axis=2).astype(np.float32)


def pairs(labels):
    """Yield anchor, positives, negatives."""
    for anchor, label in enumerate(labels):
        others = np.arange(len(labels)) != anchor
        yield anchor, np.flatnonzero((labels == label) & others), np.flatnonzero(labels != label)


def all_of(labels):
    for anchor, positives, negatives in pairs(labels):
        for positive, negative in itertools.product(positives, negatives):
            yield anchor, positive, negative


def mined(miner, found, labels=LABELS):
    return miner(tf.constant(found), tf.constant(labels))


def test_batch_hard_takes_the_farthest_positive_and_the_nearest_negative():
    found = square()
    got = mined(triplets.batch_hard, found)
    for anchor, positives, negatives in pairs(LABELS):
        assert bool(got.valid[anchor]) == bool(len(positives))
        if len(positives):
            expected = found[anchor, positives].max() - found[anchor, negatives].min()
            assert float(got.differences[anchor]) == pytest.approx(expected, rel=1e-6)


def test_batch_hard_by_hand():
    # On a line: 0 and 3 are of one class, 1 and 7 of the other.
    line = np.array([0.0, 3.0, 1.0, 7.0], np.float32)
    got = mined(triplets.batch_hard, np.abs(line[:, None] - line), np.array([0, 0, 1, 1]))
    np.testing.assert_allclose(got.differences, [3 - 1, 3 - 2, 6 - 1, 6 - 4])


@pytest.mark.parametrize("seed", range(4))
def test_semi_hard_takes_the_nearest_of_the_farther_negatives_else_the_farthest(seed):
    found = square(seed)
    got = mined(triplets.semi_hard, found)
    for anchor, positives, negatives in pairs(LABELS):
        assert not np.asarray(got.valid)[anchor, np.setdiff1d(np.arange(len(LABELS)), positives)].any()
        for positive in positives:
            farther = [found[anchor, one] for one in negatives if found[anchor, one] > found[anchor, positive]]
            negative = min(farther) if farther else found[anchor, negatives].max()
            assert bool(got.valid[anchor, positive])
            assert float(got.differences[anchor, positive]) == pytest.approx(found[anchor, positive] - negative)


def test_semi_hard_falls_back_to_the_farthest_negative():
    # From 0 the positive is 9 away, the negatives 1 and 2.
    line = np.array([0.0, 9.0, 1.0, 2.0], np.float32)
    got = mined(triplets.semi_hard, np.abs(line[:, None] - line), np.array([0, 0, 1, 1]))
    assert float(got.differences[0, 1]) == 9 - 2


def test_semi_hard_without_any_negative_has_no_triplet():
    assert not np.asarray(mined(triplets.semi_hard, square(), np.zeros(len(LABELS), int)).valid).any()


@pytest.mark.parametrize("margin", [0.1, 1.0, 50.0])
def test_batch_all_is_the_sum_over_every_triplet(margin):
    found = square()
    total, failing = triplets.batch_all(tf.constant(found), tf.constant(LABELS), tf.constant(margin))
    terms = [max(found[a, p] - found[a, n] + margin, 0) for a, p, n in all_of(LABELS)]
    assert float(total) == pytest.approx(sum(terms), rel=1e-5)
    assert int(np.sum(failing)) == sum(term > 0 for term in terms)
    assert float(triplets.triplet_count(tf.constant(LABELS))) == len(terms)


def test_the_gradient_of_batch_all_is_that_of_the_sum():
    found, margin = square(), 0.7
    distances = tf.Variable(found)
    with tf.GradientTape() as tape:
        total, _ = triplets.batch_all(distances, tf.constant(LABELS), tf.constant(margin))
    expected = np.zeros_like(found)
    for a, p, n in all_of(LABELS):
        if found[a, p] - found[a, n] + margin > 0:
            expected[a, p] += 1
            expected[a, n] -= 1
    np.testing.assert_allclose(tf.convert_to_tensor(tape.gradient(total, distances)), expected, atol=1e-5)


def test_batch_all_soft_is_the_sum_over_every_triplet_and_so_is_its_gradient():
    found = square()
    distances = tf.Variable(found)
    with tf.GradientTape() as tape:
        total, wrong = triplets.batch_all_soft(distances, tf.constant(LABELS))
    expected, gradient = 0.0, np.zeros_like(found)
    for a, p, n in all_of(LABELS):
        x = float(found[a, p] - found[a, n])
        expected += np.logaddexp(0, x)
        slope = 1 / (1 + np.exp(-x))
        gradient[a, p] += slope
        gradient[a, n] -= slope
    assert float(total) == pytest.approx(expected, rel=1e-5)
    assert int(wrong) == sum(found[a, p] > found[a, n] for a, p, n in all_of(LABELS))
    np.testing.assert_allclose(tf.convert_to_tensor(tape.gradient(total, distances)), gradient, atol=1e-4)


def test_batch_weighted_is_the_difference_of_softmax_means():
    found = square()
    got = mined(triplets.batch_weighted, found)
    for anchor, positives, negatives in pairs(LABELS):
        assert bool(got.valid[anchor]) == bool(len(positives))
        if len(positives):
            near, far = found[anchor, positives].astype(float), found[anchor, negatives].astype(float)
            expected = np.average(near, weights=np.exp(near)) - np.average(far, weights=np.exp(-far))
            assert float(got.differences[anchor]) == pytest.approx(expected, rel=1e-4)
