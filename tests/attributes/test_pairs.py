"""Pairs and the overlap of their distances, by hand and against plain NumPy and scikit-learn."""

import itertools

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score

from fashionprobe.attributes import pairs as module
from fashionprobe.attributes.pairs import ALL, distances, draw_pairs, overlap_coefficient, overlaps
from fashionprobe.errors import UserError


def unordered(found):
    return {tuple(sorted(pair)) for pair in found.tolist()}


@pytest.mark.parametrize("size", [2, 5, 6])
def test_all_pairs_are_drawn_once_when_there_are_fewer_than_asked_for(size):
    labels = np.array(["b", "a"] + ["a"] * (size - 1) + ["b"] * 2)
    mine, others = np.flatnonzero(labels == "a"), np.flatnonzero(labels == "b")
    (first, second) = draw_pairs(labels, pairs=1000)
    assert (first.name, second.name) == ("a", "b")
    assert len(first.positive) == size * (size - 1) / 2
    assert unordered(first.positive) == set(itertools.combinations(mine, 2))
    assert len(first.negative) == size * 3
    assert unordered(first.negative) == {tuple(sorted(pair)) for pair in itertools.product(mine, others)}


def test_drawn_pairs_are_distinct_and_of_the_right_classes():
    labels = np.random.default_rng(0).choice(["a", "b", "c"], 200)
    for each in draw_pairs(labels, pairs=700, seed=1):
        assert len(unordered(each.positive)) == len(unordered(each.negative)) == 700
        assert (labels[each.positive] == each.name).all()
        assert ((labels[each.negative] == each.name).sum(axis=1) == 1).all()
        assert (each.positive[:, 0] != each.positive[:, 1]).all()


def test_every_pair_is_as_likely():
    labels = np.array(["a"] * 5 + ["b"] * 2)
    counts = dict.fromkeys(itertools.combinations(range(5), 2), 0)
    for seed in range(600):
        for pair in unordered(draw_pairs(labels, pairs=3, seed=seed)[0].positive):
            counts[pair] += 1
    # Three of ten pairs, 600 times: 180 each, give or take 3.5 standard deviations of 11.
    assert min(counts.values()) > 140
    assert max(counts.values()) < 220


def test_copies_are_no_pairs_and_are_counted():
    labels = np.array(["a", "a", "a", "b", "b"])
    same = np.array([0, 0, 2, 2, 4])
    first, second = draw_pairs(labels, pairs=100, same=same)
    assert unordered(first.positive) == {(0, 2), (1, 2)}
    # Items 2 and 3 are one picture with two labels.
    assert unordered(first.negative) == {(0, 3), (0, 4), (1, 3), (1, 4), (2, 4)}
    assert (first.copies, second.copies) == (2, 1)
    for seed in range(20):
        assert len(draw_pairs(labels, pairs=2, same=same, seed=seed)[0].positive) == 2


def test_pairs_are_seeded():
    labels = np.array(["a", "b"] * 50)
    first, again, other = (draw_pairs(labels, pairs=40, seed=seed)[0].positive for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_distances_equal_scipy(metric, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 7)
    random = np.random.default_rng(0)
    points, pairs = random.normal(size=(20, 6)).astype("f4"), random.integers(0, 20, (30, 2))
    expected = cdist(points.astype(float), points.astype(float), metric)[pairs[:, 0], pairs[:, 1]]
    np.testing.assert_allclose(distances(points, pairs, metric=metric), expected, atol=1e-12)


def test_cosine_of_a_point_without_direction_and_of_tiny_ones():
    points = np.array([[0, 0], [3, 4], [3e-30, 4e-30]], np.float32)
    assert distances(points, np.array([[0, 1], [1, 2]]), metric="cosine") == pytest.approx([1, 0])
    assert distances(points, np.array([[0, 2]])) == pytest.approx(5e-30)


def test_overlap_worked_by_hand():
    # Shares 1/4, 1/2, 1/4, 0 and 0, 1/4, 1/4, 1/2: the smaller are 0, 1/4, 1/4, 0.
    assert overlap_coefficient(np.array([2, 4, 2, 0]), np.array([0, 1, 1, 2])) == 0.5
    assert overlap_coefficient(np.array([1, 3, 0]), np.array([0, 0, 9])) == 0
    assert overlap_coefficient(np.array([1, 3]), np.array([2, 6])) == 1


def test_a_line_of_points_worked_by_hand():
    points = np.array([[0.0], [1.0], [10.0], [14.0]])
    found = overlaps(points, draw_pairs(np.array(["a", "a", "b", "b"])), bins=2)
    # Distances: a 1; b 4; across 10, 14, 9, 13. Two bins from 1 to 14: 7.5 parts them.
    assert found.table["class"].tolist() == ["a", "b", ALL]
    assert found.table["positives"].tolist() == [1, 1, 2]
    assert found.table["negatives"].tolist() == [4, 4, 8]
    assert found.table["overlap"].tolist() == [0, 0, 0]
    assert found.table["auc"].tolist() == [1, 1, 1]
    assert found.table["positive_median"].tolist() == [1, 4, 2.5]
    rows = found.histogram[found.histogram["class"] == ALL]
    assert rows.drop(columns="class").to_numpy().tolist() == [[1, 7.5, 2, 0], [7.5, 14, 0, 8]]


def test_separate_and_equal_classes():
    random = np.random.default_rng(0)
    labels = np.repeat(["a", "b"], 60)
    points = random.normal(size=(120, 5)).astype("f4")
    drawn = draw_pairs(labels, pairs=1500)
    same = overlaps(points, drawn, bins=20).table
    apart = overlaps(points + 50 * (labels == "b")[:, None], drawn, bins=20).table
    assert same["overlap"].min() > 0.9
    assert same["auc"].to_numpy() == pytest.approx([0.5] * 3, abs=0.05)
    assert (same["overlap_by_luck"] > same["overlap"].min() - 0.03).all()
    assert same["overlap_by_luck"].between(0.9, 1, inclusive="left").all()
    assert apart["overlap"].tolist() == [0, 0, 0]
    assert apart["auc"].tolist() == [1, 1, 1]


def test_the_overlap_by_luck_falls_with_few_pairs():
    points = np.random.default_rng(0).normal(size=(100, 3))
    labels = np.array(["a", "b"] * 50)
    few, many = (overlaps(points, draw_pairs(labels, pairs=count)).table["overlap_by_luck"][0] for count in (30, 900))
    assert few < 0.75 < 0.88 < many


def test_auc_equals_scikit_learn_with_ties():
    random = np.random.default_rng(0)
    points = random.integers(0, 3, (40, 2)).astype(float)
    drawn = draw_pairs(random.choice(["a", "b"], 40), pairs=100)
    found = overlaps(points, drawn, bins=5).table["auc"][0]
    one, other = distances(points, drawn[0].positive), distances(points, drawn[0].negative)
    expected = roc_auc_score(np.r_[np.zeros(len(one)), np.ones(len(other))], np.r_[one, other])
    assert found == pytest.approx(expected)


def test_points_that_are_all_equal_overlap_wholly():
    found = overlaps(np.ones((6, 2)), draw_pairs(np.array(["a", "b"] * 3)))
    assert found.table["overlap"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (["a", "a"], {}, r"`labels` must be of two classes or more\. Received: one class: \['a'\]"),
        (["a", "a", "b"], {}, r"two different images or more, .* Received: b, with 1\. Leave rare classes out"),
        (["a", "a", "b", "b"], {"same": np.array([0, 0, 2, 3])}, r"Received: a, with 2\."),
        (["a", "a", "b", "b"], {"pairs": 0}, r"`pairs` must be an int in the range \[1, inf\)\. Received: 0\."),
    ],
)
def test_error_texts_of_the_draw(labels, options, message):
    with pytest.raises(UserError, match=message):
        draw_pairs(np.array(labels), **options)


def test_error_texts_of_the_distances():
    drawn = draw_pairs(np.array(["a", "a", "b", "b"]))
    with pytest.raises(UserError, match=r"`metric` must be one of: euclidean, cosine\. Received: cosin\. Did you mean"):
        overlaps(np.eye(4), drawn, metric="cosin")
    with pytest.raises(UserError, match=r"`bins` must be an int in the range \[2, inf\)\. Received: 1\."):
        overlaps(np.eye(4), drawn, bins=1)
