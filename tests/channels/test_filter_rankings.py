import numpy as np
import pandas as pd
import pytest

from fashionprobe.channels import rankings
from fashionprobe.channels.rankings import CRITERIA, one_filter, order, ranks, standardized
from fashionprobe.errors import UserError


@pytest.fixture(scope="module")
def features_and_classes():
    """Filter 2 tells three classes nearly, filter 0 a little, filters 1 and 3 nothing; 4 is silent."""
    random = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c"], 30)
    noise = random.normal(size=(90, 5))
    noise[:, 2] = np.repeat([0.0, 6.0, 12.0], 30) + noise[:, 2]
    noise[:, 0] += np.repeat([0.0, 0.0, 2.0], 30)
    noise[:, 4] = 1.5
    return noise.astype(np.float32), labels


def test_the_filter_that_tells_the_classes_is_first_and_the_silent_one_last(features_and_classes):
    table = ranks(*features_and_classes, seed=0)
    assert table["filter"].tolist() == [0, 1, 2, 3, 4]
    assert order(table)[:2].tolist() == [2, 0]
    assert table.loc[4, "mutual_information"] == table.loc[4, "extra_trees"] == 0
    for name in CRITERIA:
        assert table.loc[2, f"{name}_rank"] == 1
    np.testing.assert_allclose(table["mean_rank"], table[[f"{name}_rank" for name in CRITERIA]].mean(axis=1))
    assert table.loc[2, "rank"] == 1


def test_ranks_are_those_of_scikit_learn_and_equal_values_share_theirs(features_and_classes):
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.feature_selection import mutual_info_classif

    values, _ = standardized(features_and_classes[0], features_and_classes[0])
    numbers = np.repeat([0, 1, 2], 30)
    table = ranks(*features_and_classes, seed=3)
    np.testing.assert_allclose(table["mutual_information"], mutual_info_classif(values, numbers, random_state=3))
    trees = ExtraTreesClassifier(250, random_state=3).fit(values, numbers)
    np.testing.assert_allclose(table["extra_trees"], trees.feature_importances_)
    given = ranks(
        *features_and_classes, seed=3, information=lambda values, numbers: np.array([1.0, 0.5, 2.0, 0.5, 0.0])
    )
    assert given["mutual_information_rank"].tolist() == [2, 3.5, 1, 3.5, 5]


def test_one_filter_accuracy_is_that_of_linear_discriminant_analysis_of_each_column(features_and_classes):
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    values = features_and_classes[0].astype(np.float64)[:80, :4]
    numbers = np.repeat([0, 1, 2], 30)[:80]
    folds = StratifiedKFold(n_splits=4, shuffle=True, random_state=5)
    right = []
    for column in values.T:
        scores = cross_val_score(LinearDiscriminantAnalysis(), column[:, None], numbers, cv=folds)
        right.append(np.mean(scores))
    # Folds of 20 images each: the mean of their accuracies is the accuracy over all.
    np.testing.assert_allclose(one_filter(values, numbers, folds=4, seed=5), right)


def test_a_silent_filter_guesses_the_largest_class():
    values = np.zeros((10, 1))
    assert one_filter(values, np.array([0] * 4 + [1] * 6), folds=2, seed=0) == [0.6]
    assert one_filter(values, np.array([0] * 5 + [1] * 5), folds=5, seed=0) == [0.5]


def test_the_same_seed_gives_the_same_table(features_and_classes, monkeypatch):
    monkeypatch.setattr(rankings, "TREES", 10)
    one, same, other = (ranks(*features_and_classes, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same)
    assert not one.equals(other)


def test_standardizing_uses_the_training_images_alone():
    train, test = standardized(np.array([[1.0, 7], [3.0, 7]]), np.array([[5.0, 9]]))
    np.testing.assert_array_equal(train, [[-1, 0], [1, 0]])
    np.testing.assert_array_equal(test, [[3, 0]])


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (np.ones((4, 2)), ["a"] * 4, r"`labels` must be of two classes or more. Received: one class: \['a'\]"),
        (np.ones((4, 2)), ["a", "a", "a", "b"], "`labels` must be 5 images or more of each class. Received: b with 1"),
        (np.full((2, 2), np.nan), ["a", "b"], "`features` must be finite numbers. Received: NaN or infinity in filt"),
        (np.ones((3, 2)), ["a", "b"], r"`features` must be a table .* Received: \[3, 2\] for 2 labels"),
        (np.ones(2), ["a", "b"], r"`features` must be a table .* Received: \[2\] for 2 labels"),
    ],
)
def test_bad_input(features, labels, message):
    with pytest.raises(UserError, match=message):
        ranks(features, np.array(labels), seed=0)
