"""Profiles and separation against values worked by hand, scikit-learn, and labels that mean nothing."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fashionprobe.channels import profiles as module
from fashionprobe.channels.profiles import profiles, separation
from fashionprobe.errors import UserError


def test_means_peaks_and_common_channels_worked_by_hand():
    # Channel 4 is strong for both classes, channel 1 for b alone; the others are silent.
    descriptors = np.zeros((4, 10), np.float32)
    descriptors[:2, 4] = [8, 12]
    descriptors[2:, 4] = [9, 9]
    descriptors[2:, 1] = [10, 8]
    found = profiles(descriptors, np.array(["a", "a", "b", "b"]), deviations=1.5)
    assert found.classes == ("a", "b")
    assert found.means[:, [1, 4]].tolist() == [[0, 10], [9, 9]]
    # a: mean 1, deviation 3, so 5.5; b: mean 1.8, deviation 3.6, so 7.2.
    assert np.argwhere(found.peaks).tolist() == [[0, 4], [1, 1], [1, 4]]
    assert found.common.tolist() == [4]
    assert not profiles(descriptors, np.array(["a", "a", "b", "b"]), deviations=3.1).peaks.any()


def test_channels_that_are_all_equal_have_no_peak():
    assert not profiles(np.ones((4, 3), np.float32), np.array(["a", "b", "a", "b"])).peaks.any()


def test_common_channels_come_strongest_first():
    descriptors = np.tile(np.r_[np.zeros(20), 5, 7].astype("f4"), (4, 1))
    assert profiles(descriptors, np.array(["a", "b", "a", "b"])).common.tolist() == [21, 20]


def test_area_equals_scikit_learn_with_ties(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 4)
    random = np.random.default_rng(0)
    labels = random.choice(["a", "b", "c"], 60)
    # Like descriptors: many zeros, and values that repeat.
    descriptors = np.maximum(random.normal(size=(60, 9)).round(1), 0).astype(np.float32)
    found = separation(descriptors, labels, shuffles=3)
    expected = [[roc_auc_score(labels == name, channel) for channel in descriptors.T] for name in "abc"]
    np.testing.assert_allclose(found.auc, expected, atol=1e-12)


def test_the_table_ranks_by_distance_from_chance_and_names_the_direction():
    labels = np.array(["a", "a", "b", "b"])
    descriptors = np.array([[1, 9, 0], [2, 8, 3], [3, 1, 2], [2, 2, 1]], np.float32)
    table = separation(descriptors, labels, shuffles=5).table()
    first = table[table["class"] == "a"]
    # Channel 0: of the four pairs 3 are lost and one is a tie, AUC 0.125. Channel 2: two are won, two lost.
    assert first["channel"].tolist() == [1, 0, 2]
    assert first["auc"].tolist() == [1, 0.125, 0.5]
    assert first["separation"].tolist() == [1, 0.875, 0.5]
    assert first["direction"].tolist() == ["active", "silent", "active"]
    assert first["rank"].tolist() == [1, 2, 3]
    # With two images a class even a perfect channel may be luck.
    assert first["luck"].tolist() == [1, 1, 1]
    assert not first["beyond_luck"].any()


def test_luck_covers_what_labels_without_meaning_reach():
    random = np.random.default_rng(1)
    descriptors = random.normal(size=(80, 100)).astype(np.float32)
    beyond = []
    for _ in range(40):
        labels = random.choice(["a", "b", "c", "d"], 80, p=[0.4, 0.3, 0.2, 0.1])
        beyond.append(separation(descriptors, labels, shuffles=60).table()["beyond_luck"].any())
    # 5 % of the data sets may have a channel beyond luck; without the maximum over channels nearly all would.
    assert sum(beyond) <= 7


def test_luck_is_tight_wider_for_rare_classes_and_seeded(monkeypatch):
    monkeypatch.setattr(module, "BATCH", 7)
    random = np.random.default_rng(2)
    labels = np.array(["many"] * 70 + ["rare"] * 10 + ["some"] * 40)
    descriptors = random.normal(size=(120, 50)).astype(np.float32)
    descriptors[:, 3] += np.where(labels == "rare", 4, 0)
    found = separation(descriptors, labels, seed=4)
    assert found.luck[1] > found.luck[2] > found.luck[0] > 0.1
    table = found.table()
    assert set(table[table["beyond_luck"]]["channel"]) == {3}
    assert "rare" in table[table["beyond_luck"]]["class"].tolist()
    assert (separation(descriptors, labels, seed=4).luck == found.luck).all()
    assert (separation(descriptors, labels, seed=5).luck != found.luck).any()


def test_silent_channels_tell_nothing():
    descriptors = np.array([[1, 0], [2, 0], [3, 0], [4, 0]], np.float32)
    found = separation(descriptors, np.array(["a", "a", "b", "b"]), shuffles=2)
    assert found.auc[:, 1].tolist() == [0.5, 0.5]


def test_error_texts():
    with pytest.raises(UserError, match=r"`labels` must be one for each of 3 items\. Received: 2\."):
        profiles(np.ones((3, 2), np.float32), np.array(["a", "b"]))
    with pytest.raises(UserError, match=r"`labels` must be of two classes or more\. Received: one class: \['a'\]"):
        separation(np.ones((2, 2), np.float32), np.array(["a", "a"]))
