import numpy as np
import pytest

from fashionprobe.channels import rankings as ranking
from fashionprobe.channels.relevance import PENALTIES, counts, enough, nested, reaching, relevance, softmax
from fashionprobe.errors import UserError


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    monkeypatch.setattr(ranking, "TREES", 10)


def differences(values, numbers):
    """Stand in for the mutual information, which takes long: how far the means of the classes lie apart."""
    return np.ptp([values[numbers == number].mean(axis=0) for number in np.unique(numbers)], axis=0)


@pytest.fixture(scope="module")
def features_and_classes():
    """Two filters of eight tell four classes together, neither of them alone."""
    random = np.random.default_rng(0)
    labels = np.tile(np.arange(4), 40)
    features = random.normal(size=(160, 8))
    features[:, 5] += 6 * (labels % 2)
    features[:, 1] += 6 * (labels // 2)
    return features, labels, np.arange(160) < 100


def shares(found, order):
    rows = found.curve[found.curve["order"] == order]
    return dict(zip(rows["filters"], rows["accuracy"], strict=True))


def test_two_filters_are_enough(features_and_classes):
    found = relevance(*features_and_classes, seed=0, information=differences, orders=3)
    best, at_random = shares(found, "ranked"), shares(found, "random")
    assert list(best) == list(range(1, 9))
    assert best[1] < 0.65 < 0.95 < best[2]
    assert at_random[2] < best[2]
    assert best[8] == at_random[8]
    assert enough(found.curve) == 2
    layer = shares(found, "softmax")
    assert list(layer) == list(best) and layer[1] < 0.65 < 0.95 < layer[2]
    assert reaching(found.curve, layer[2]) == 2
    assert reaching(found.curve, 1.01) is None
    assert set(found.ranks.sort_values("rank")["filter"].head(2)) == {1, 5}
    assert (found.images, found.folds) == (60, 0)
    assert (found.curve["low"] <= found.curve["accuracy"]).all()
    assert (found.curve["accuracy"] <= found.curve["high"]).all()


def test_l1_models_keep_more_filters_as_the_penalty_falls(features_and_classes):
    l1 = relevance(*features_and_classes, seed=0, information=differences, orders=1).l1
    np.testing.assert_allclose(l1["penalty"], 1 / np.array(PENALTIES))
    assert l1["filters"].iloc[0] <= 2 < l1["filters"].iloc[-1]
    two = l1[l1["filters"] == 2]
    assert two["accuracy"].iloc[-1] > 0.9
    assert ((l1["low"] <= l1["accuracy"]) & (l1["accuracy"] <= l1["high"])).all()


def test_folds_measure_every_image_once(features_and_classes):
    features, labels, _ = features_and_classes
    found = relevance(features, labels, seed=0, information=differences, orders=1, folds=4)
    assert (found.images, found.folds) == (160, 4)
    assert shares(found, "ranked")[2] > 0.95


@pytest.mark.parametrize("folded", [False, True])
def test_noise_tells_nothing(folded):
    # A ranking that saw the test images would find filters that tell them: 0.7 and more.
    random = np.random.default_rng(1)
    features, labels = random.normal(size=(80, 150)), np.tile([0, 1], 40)
    found = relevance(
        features, labels, None if folded else np.arange(80) < 40, seed=0, folds=3, information=differences, orders=1
    )
    assert shares(found, "ranked")[1] < 0.68
    assert np.mean([share for count, share in shares(found, "ranked").items() if count <= 20]) < 0.62


def test_the_ranking_uses_training_images_alone(features_and_classes):
    features, labels, is_train = features_and_classes
    other = features.copy()
    other[~is_train] = np.random.default_rng(3).permutation(other[~is_train], axis=1)
    first, second = (
        relevance(each, labels, is_train, seed=0, information=differences, orders=1).ranks for each in (features, other)
    )
    assert first.equals(second)


def test_nested_fits_agree_with_ledoit_and_wolf_in_scikit_learn(features_and_classes):
    from sklearn.covariance import ledoit_wolf

    features, labels, is_train = features_and_classes
    train, numbers, test = features[is_train], labels[is_train], features[~is_train]
    means = np.stack([train[numbers == number].mean(axis=0) for number in range(4)])
    for count, guess in zip((1, 3, 8), nested(train, numbers, test, [1, 3, 8]), strict=True):
        part = means[:, :count]
        covariance, _ = ledoit_wolf((train - means[numbers])[:, :count], assume_centered=True)
        shares = np.bincount(numbers) / len(numbers)
        inverse = np.linalg.inv(covariance)
        scores = [
            test[:, :count] @ inverse @ mean - mean @ inverse @ mean / 2 + np.log(share)
            for mean, share in zip(part, shares, strict=True)
        ]
        np.testing.assert_array_equal(guess, np.argmax(scores, axis=0))


def test_the_softmax_layer_is_fitted_again_for_each_number_of_filters(features_and_classes):
    from sklearn.linear_model import LogisticRegression

    features, labels, is_train = features_and_classes
    train, test = ranking.standardized(features[is_train], features[~is_train])
    for count, guess in zip((1, 3, 8), softmax(train, labels[is_train], test, [1, 3, 8]), strict=True):
        alone = LogisticRegression(max_iter=10_000).fit(train[:, :count], labels[is_train])
        np.testing.assert_array_equal(guess, alone.predict(test[:, :count]))


def test_the_first_number_of_filters_that_reaches_an_accuracy_by_hand():
    import pandas as pd

    curve = pd.DataFrame({
        "order": ["ranked"] * 3 + ["softmax"] * 3, "filters": [1, 2, 3] * 2,
        "accuracy": [0.9, 0.9, 0.9, 0.5, 0.76, 0.7],
    })  # fmt: skip
    # 0.76 as a quotient may differ from it in the last digit.
    assert reaching(curve, 0.76 + 1e-16) == 2
    assert reaching(curve, 0.77) is None


def test_more_filters_than_images_and_silent_ones():
    random = np.random.default_rng(0)
    train = np.concatenate([random.normal(size=(12, 30)), np.zeros((12, 1))], axis=1)
    numbers = np.tile([0, 1], 6)
    train[numbers == 1, 0] += 20
    (guess,) = nested(train, numbers, train, [31])
    np.testing.assert_array_equal(guess, numbers)


@pytest.mark.parametrize(("filters", "first", "points"), [(3, [1, 2, 3], 3), (64, [1, 2, 3], 64), (2048, [1, 2], 19)])
def test_counts_go_from_one_to_all(filters, first, points):
    found = counts(filters)
    assert found[: len(first)].tolist() == first
    assert found[-1] == filters
    assert len(found) == points


@pytest.mark.parametrize(
    ("labels", "is_train", "message"),
    [
        ([0, 1] * 10, [True] * 20, "`is_train` must be to leave images .* Received: none"),
        ([0, 1] * 9 + [2, 2], [True] * 18 + [False] * 2, "`is_train` must be .* Received: 2, which has none"),
        ([0] * 20, None, "`labels` must be of two classes or more"),
        ([0] * 15 + [1] * 5, None, "`labels` must be 7 images or more of each class. Received: 1 with 5"),
    ],
)
def test_bad_input(labels, is_train, message):
    given = None if is_train is None else np.array(is_train)
    with pytest.raises(UserError, match=message):
        relevance(np.random.default_rng(0).normal(size=(20, 2)), np.array(labels), given, seed=0)
