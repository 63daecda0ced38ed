"""Rankings of channels against scikit-learn and channels made to be told apart."""

import numpy as np
import pytest
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_classif
from sklearn.linear_model import LogisticRegression

from fashionprobe.channels import rankings
from fashionprobe.channels.rankings import l1_path, mutual_information, rank_channels


def noise(items=90, channels=12, classes=3, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(items, channels)), random.integers(0, classes, items)


def test_mutual_information_equals_scikit_learn(monkeypatch):
    monkeypatch.setattr(rankings, "CHUNK", 5)
    values, numbers = noise()
    values[:, 3] += numbers
    values[:, 7] = np.where(numbers == 1, 4, 0) + 0.1 * values[:, 7]
    # A class of one item, which is left out.
    numbers[0] = 3
    expected = mutual_info_classif(values, numbers, random_state=0)
    np.testing.assert_allclose(mutual_information(values, numbers), expected, atol=1e-9)


def test_mutual_information_equals_plain_numpy():
    values, numbers = noise(items=30, seed=3)
    # A class of three has but two neighbours.
    numbers[:3] = 3
    expected = []
    for channel in values.T:
        apart = np.abs(channel[:, None] - channel)
        k = np.minimum(3, np.bincount(numbers)[numbers] - 1)
        radius = [np.sort(apart[item, numbers == numbers[item]])[k[item]] for item in range(30)]
        within = [(apart[item] < radius[item]).sum() for item in range(30)]
        sizes = np.bincount(numbers)[numbers]
        expected.append(digamma(30) + np.mean(digamma(k) - digamma(sizes) - digamma(within)))
    np.testing.assert_allclose(mutual_information(values, numbers), np.maximum(expected, 0), atol=1e-9)


def test_mutual_information_of_two_equal_classes_apart_is_one_bit():
    values = np.random.default_rng(0).normal(size=(400, 1))
    numbers = np.arange(400) % 2
    assert mutual_information(values + 50 * numbers[:, None], numbers)[0] == pytest.approx(np.log(2), abs=0.01)


def test_channels_that_repeat_one_value_tell_nothing():
    values, numbers = noise()
    values[:, 4] = 0
    assert mutual_information(values, numbers)[4] == 0
    # Half of the values are zeros, as after ReLU; the noise that tells them apart is seeded.
    ties = np.maximum(values, 0)
    first, again = (mutual_information(ties, numbers, seed=3) for _ in range(2))
    assert (first == again).all()
    assert (mutual_information(ties, numbers, seed=4) != first).any()


@pytest.mark.parametrize("classes", [2, 3])
def test_the_l1_path_enters_where_scikit_learn_has_weights(classes):
    values, numbers = noise(items=120, classes=classes, seed=1)
    values[:, 2] += 1.5 * numbers
    values[:, 5] -= numbers == 1
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    order = l1_path(values, numbers)
    assert sorted(order) == list(range(12))
    assert order[0] == 2
    # The penalty that silences all, from scikit-learn's own search.
    target = np.eye(classes)[numbers]
    largest = np.abs(values.T @ (target - target.mean(axis=0))).max()
    old = LogisticRegression().get_params()["penalty"] != "deprecated"
    l1 = {"penalty": "l1"} if old else {"l1_ratio": 1.0}
    model = LogisticRegression(C=2 / largest, solver="saga", tol=1e-6, max_iter=10_000, **l1).fit(values, numbers)
    active = set(np.flatnonzero(np.abs(model.coef_).max(axis=0) > 1e-3))
    assert active
    assert active == set(order[: len(active)].tolist())


def test_l1_sees_what_channels_say_together():
    # The first channel is drowned in a nuisance that the last one shows: alone, the last tells nothing.
    random = np.random.default_rng(0)
    numbers = np.repeat([0, 1], 100)
    nuisance = random.normal(0, 2, 200)
    values = random.normal(size=(200, 10))
    values[:, 0] = 2 * numbers + nuisance
    values[:, 9] = nuisance
    assert set(rank_channels(values, numbers, ranking="l1", seed=0)[:2]) == {0, 9}
    assert 9 not in rank_channels(values, numbers, ranking="mutual_information", seed=0)[:2]


@pytest.mark.parametrize("ranking", rankings.RANKINGS)
def test_tiny_and_dead_channels(ranking):
    values, numbers = noise(seed=2)
    values[:, 6] += 2 * numbers
    values[:, 1] = 7
    tiny = (values * 2.0**-70).astype(np.float32)
    order = rank_channels(tiny, numbers, ranking=ranking, seed=0)
    assert order[0] == 6
    assert order[-1] == 1
    assert (order == rank_channels(values.astype(np.float32), numbers, ranking=ranking, seed=0)).all()
    dead = rank_channels(np.zeros((90, 3), np.float32), numbers, ranking=ranking, seed=0)
    assert dead.tolist() == [0, 1, 2]
