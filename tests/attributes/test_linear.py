"""Linear probes against scikit-learn's own pipeline, plain loops, and descriptors that a test makes."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fashionprobe.attributes import linear
from fashionprobe.attributes.classify import cross_validate
from fashionprobe.attributes.linear import FIXED, STRENGTHS, CrossValidatedProbe, LinearProbe


def noisy(items=120, channels=60, classes=3, strength=1.5, seed=0):
    """Descriptors that know the class a little, in channels of very different scales, and class numbers."""
    random = np.random.default_rng(seed)
    numbers = np.arange(items) % classes
    values = random.normal(size=(items, channels)) + strength * random.normal(size=(classes, channels))[numbers] / 4
    return (values * np.logspace(-2, 2, channels) + 5).astype(np.float32), numbers


def alone(count):
    return np.arange(count)


def test_a_line_reads_one_quiet_channel_that_neighbours_cannot():
    random = np.random.default_rng(0)
    values = random.normal(size=(200, 40)).astype(np.float32)
    labels = np.where(values[:, 7] > 0, "striped", "plain")
    scores = cross_validate({1: values}, labels, linear=True, neighbours=[1, 4, 16])
    table = scores.accuracy.set_index("classifier")["accuracy_mean"]
    assert table["linear"] > 0.88
    assert table["knn"].max() < 0.75
    assert (scores.best["classifier"], scores.best["parameter"]) == ("linear", "nested")
    assert np.trace(scores.confusion.to_numpy()) == round(200 * table["linear"])


def test_without_being_asked_there_is_no_probe():
    values, numbers = noisy()
    scores = cross_validate({1: values}, numbers.astype(str))
    assert set(scores.accuracy["classifier"]) == {"nearest_mean", "knn"}
    assert len(scores.linear) == 0


@pytest.mark.parametrize("strength", [1e-3, 1e-1, 1e1])
def test_the_rotation_leaves_the_answers_of_logistic_regression(strength, monkeypatch):
    monkeypatch.setattr(linear, "TOLERANCE", 1e-8)
    values, numbers = noisy(items=60, channels=150)
    train, test = slice(0, 40), slice(40, 60)
    probe = LinearProbe(values[train])
    assert probe.directions is not None
    assert probe.values.shape[1] <= 40
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=strength, tol=1e-8, max_iter=5000))
    plain.fit(values[train].astype(np.float64), numbers[train])
    rotated = linear.fit(probe.values, numbers[train], strength)
    shown = rotated.predict_proba(probe.transform(values[test]))
    np.testing.assert_allclose(shown, plain.predict_proba(values[test].astype(np.float64)), atol=1e-4)
    np.testing.assert_array_equal(probe.answers(numbers[train], strength, values[test]), plain.predict(values[test]))


def test_with_more_images_than_channels_nothing_is_rotated():
    values, _ = noisy(items=60, channels=100)
    probe = LinearProbe(values)
    assert probe.directions is None
    np.testing.assert_allclose(probe.values.std(axis=0), 1, rtol=1e-4)


@pytest.mark.parametrize(("channels", "known"), [(20, 1.0), (260, 0.5)])
def test_nested_cross_validation_is_that_of_scikit_learn(channels, known, monkeypatch):
    # Equal folds at every level, so that the mean over folds and the mean over images choose the same C.
    monkeypatch.setattr(linear, "TOLERANCE", 1e-6)
    values, numbers = noisy(items=90, channels=channels, strength=known)
    search = GridSearchCV(
        LogisticRegression(tol=1e-6, max_iter=5000),
        {"C": list(STRENGTHS)},
        cv=StratifiedKFold(3, shuffle=True, random_state=4),
    )
    right, strengths = [], []
    for train, test in StratifiedKFold(5, shuffle=True, random_state=4).split(values, numbers):
        # The scaler is fitted on the training folds, then C is searched, then all is fitted again with it.
        scaler = StandardScaler().fit(values[train].astype(np.float64))
        search.fit(scaler.transform(values[train]), numbers[train])
        right.append(search.score(scaler.transform(values[test]), numbers[test]))
        strengths.append(search.best_params_["C"])
    (row,) = cross_validate({1: values}, numbers.astype(str), linear=True, seed=4).linear.to_dict("records")
    assert 0.4 < np.mean(right) < 0.98
    assert row["accuracy_mean"] == pytest.approx(np.mean(right), abs=1e-9)
    assert row["accuracy_std"] == pytest.approx(np.std(right), abs=1e-9)
    assert row["C"] == np.median(strengths)


def test_scaler_and_strength_see_the_training_folds_alone():
    values, numbers = noisy(strength=1.0)
    train, test = np.arange(24, 120), np.arange(24)

    def probed(asked, truth):
        probe = CrossValidatedProbe(truth, alone(120), seed=0)
        probe.control = truth
        probe.add(values[train], train, asked, test)
        return probe.answer[0], probe.control_answer[0], probe.strengths

    loud, wrong = values[test].copy(), numbers.copy()
    # The other test images differ in scale, the test labels are others: the first test image is read as before.
    loud[1:] = 1e4 * loud[1:] - 7
    wrong[test] = 2 - numbers[test]
    assert probed(loud, wrong) == probed(values[test], numbers)


def test_the_strength_is_no_ones_choice_but_the_inner_folds(monkeypatch):
    values, numbers = noisy(strength=1.0)
    seen = []
    drawn = linear.assign_folds
    monkeypatch.setattr(
        linear, "assign_folds", lambda given, **options: seen.append((given, options)) or drawn(given, **options)
    )
    train = np.arange(0, 120, 2)
    CrossValidatedProbe(numbers, alone(120), seed=3).add(values[train], train, values[1::2], np.arange(1, 120, 2))
    ((given, options),) = seen
    np.testing.assert_array_equal(given, numbers[train])
    assert (options["folds"], options["seed"]) == (3, 3)


def test_copies_share_an_inner_fold(monkeypatch):
    values, numbers = noisy()
    # Items 10 and 40 are copies, and so are 11 and 41; the training items start at 5.
    same = alone(120)
    same[[40, 41]] = [10, 11]
    folds = []
    drawn = linear.assign_folds
    monkeypatch.setattr(
        linear, "assign_folds", lambda *given, **options: folds.append(drawn(*given, **options)) or folds[-1]
    )
    train = np.arange(5, 120)
    CrossValidatedProbe(numbers, same, seed=0).add(values[train], train, values[:5], np.arange(5))
    assert folds[0][40 - 5] == folds[0][10 - 5]
    assert folds[0][41 - 5] == folds[0][11 - 5]
    np.testing.assert_array_equal(np.sort(np.unique(folds[0])), [0, 1, 2])


@pytest.mark.parametrize(("rare", "folds"), [(2, 2), (1, 0)])
def test_small_classes_have_fewer_inner_folds_or_a_fixed_strength(rare, folds):
    values, numbers = noisy(items=30)
    numbers = np.where(np.arange(30) < rare, 3, numbers)
    strength, found = LinearProbe(values).choose(numbers, same=alone(30), seed=0)
    assert found == folds
    assert strength in STRENGTHS
    assert folds or strength == FIXED


def test_inner_folds_are_in_the_table():
    values, _ = noisy(items=24)
    labels = np.array(["a"] * 20 + ["b"] * 4)
    # With two folds a training fold has two images of b, so C is chosen in two inner folds.
    assert cross_validate({1: values}, labels, linear=True, folds=2, neighbours=[1]).linear["inner_folds"].item() == 2


def test_equal_accuracies_choose_the_strongest_regularization():
    values = np.repeat([[0.0, 1.0], [100.0, -3.0]], 12, axis=0) + np.random.default_rng(0).normal(0, 0.1, (24, 2))
    strength, _ = LinearProbe(values.astype(np.float32)).choose(np.arange(24) // 12, same=alone(24), seed=0)
    assert strength == STRENGTHS[0]


def test_training_images_of_one_class_name_that_class():
    values, _ = noisy(items=20)
    assert LinearProbe(values[:10]).answers(np.full(10, 4), 1.0, values[10:]).tolist() == [4] * 10


def test_the_control_task_has_the_same_classes_and_is_not_learned():
    values, numbers = noisy(items=300, strength=6.0)
    probe = CrossValidatedProbe(numbers, alone(300), seed=0)
    np.testing.assert_array_equal(np.bincount(probe.control), np.bincount(numbers))
    assert 0.2 < (probe.control == numbers).mean() < 0.47
    assert (CrossValidatedProbe(numbers, alone(300), seed=1).control != probe.control).any()
    (row,) = cross_validate({1: values}, numbers.astype(str), linear=True).linear.to_dict("records")
    assert row["accuracy_mean"] > 0.9
    # One in three; three standard errors of 300 images are 0.08.
    assert abs(row["control_mean"] - 1 / 3) < 0.08
    assert row["selectivity"] == row["accuracy_mean"] - row["control_mean"]


def test_the_control_is_scored_against_the_shuffled_labels(monkeypatch):
    # A reader that knows the shuffled label is right in the control task everywhere, and at chance in the other.
    numbers = np.arange(90) % 3
    control = CrossValidatedProbe(numbers, alone(90), seed=0).control
    told = np.eye(3, dtype=np.float32)[control] + np.arange(90)[:, None] / 1e3
    monkeypatch.setattr(linear, "STRENGTHS", (100.0,))
    (row,) = cross_validate({1: told}, numbers.astype(str), linear=True).linear.to_dict("records")
    assert row["control_mean"] == 1
    assert row["accuracy_mean"] < 0.6
    assert row["selectivity"] < 0


def test_the_same_seed_gives_the_same_probe():
    values, numbers = noisy(items=60)
    first, second = (cross_validate({1: values}, numbers.astype(str), linear=True, seed=2) for _ in range(2))
    assert first.linear.equals(second.linear)


def test_given_copies_decide_the_folds():
    # A network with random weights may give all images one descriptor: these are not copies.
    numbers = np.arange(20) % 2
    flat = np.ones((20, 3), np.float32)
    table = cross_validate({1: flat}, numbers.astype(str), same=alone(20), linear=True, neighbours=[1])
    assert table.linear["accuracy_mean"].item() == 0.5
