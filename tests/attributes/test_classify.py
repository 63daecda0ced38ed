"""Cross-validated classification against points worked by hand, scikit-learn and plain NumPy."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_blobs
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from fashionprobe.attributes import classify
from fashionprobe.attributes import reduce as reduction
from fashionprobe.attributes.classify import cross_validate, cross_validate_reduced
from fashionprobe.attributes.folds import assign_folds, identical
from fashionprobe.errors import UserError


def blobs(items=150, classes=4, channels=6, seed=0):
    points, numbers = make_blobs(items, channels, centers=classes, cluster_std=6.0, random_state=seed)
    return points.astype(np.float32), np.array(["red", "blue", "green", "black"])[numbers]


def accuracy(scores, classifier, parameter, block=None):
    table = scores.accuracy
    chosen = table[(table["classifier"] == classifier) & (table["parameter"] == parameter)]
    return (chosen if block is None else chosen[chosen["block"] == block])["accuracy_mean"].item()


def folds_of(labels, descriptors, seed=0, folds=5):
    numbers = np.unique(labels, return_inverse=True)[1]
    return assign_folds(numbers, folds=folds, seed=seed, same=identical(descriptors))


def reference(points, labels, model, folds):
    """Accuracy of a scikit-learn classifier, fold by fold."""
    found = []
    for number in np.unique(folds):
        train, test = folds != number, folds == number
        found.append(model.fit(points[train], labels[train]).score(points[test], labels[test]))
    return np.array(found)


def nearer_first(distances):
    """Weigh the k-th neighbour by 1 + 0.001 / 2^k: a tie of votes goes to the class with the nearest one."""
    return np.tile(1 + 1e-3 * 0.5 ** np.arange(distances.shape[1]), (len(distances), 1))


def test_points_on_a_line_worked_by_hand():
    # Two folds, one point of each pair in each; "b" lies near 10, but for the intruder at 1.
    points = np.array([[0.0], [0.3], [10.0], [10.4], [1.0], [11.0]], np.float32)
    labels = np.array(["a", "a", "b", "b", "b", "b"])
    train, test = np.array([0, 2, 4]), np.array([1, 3, 5])
    numbers = (labels == "b").astype(int)
    answers = dict(classify._predict(points[train], numbers[train], points[test], 2, (1, 2, 3)))
    # Means: a 0, b (10 + 1) / 2 = 5.5. Nearest of 0.3: 0; of 10.4 and 11: 10.
    assert answers["nearest_mean", "euclidean"].tolist() == [0, 1, 1]
    assert answers["knn", "1"].tolist() == [0, 1, 1]
    # Two neighbours of 0.3: 0 (a) and 1 (b), a tie that goes to the nearer, a. Of the others: 10 and 1, both b.
    assert answers["knn", "2"].tolist() == [0, 1, 1]
    # All three train points vote: b wins two to one, everywhere.
    assert answers["knn", "3"].tolist() == [1, 1, 1]


def test_cosine_worked_by_hand():
    train = np.array([[1, 0], [3, 0], [0, 1], [0, 9]], np.float32)
    test = np.array([[5, 4], [0.2, 0.3]], np.float32)
    answers = dict(classify._predict(train, np.array([0, 0, 1, 1]), test, 2, (1,)))
    # Means (2, 0) and (0, 5). By distance (5, 4) is 5.0 from the first and 5.1 from the second.
    assert answers["nearest_mean", "euclidean"].tolist() == [0, 0]
    assert answers["nearest_mean", "cosine"].tolist() == [0, 1]


def test_separate_classes_are_told_apart_and_the_shallowest_block_wins():
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b"], 10)
    clear = np.where(labels == "a", 0.0, 100.0)[:, None] + rng.random((20, 3))
    blocks = {1: rng.random((20, 3)).astype("f4"), 2: clear.astype("f4"), 3: clear.astype("f4")}
    scores = cross_validate(blocks, labels, neighbours=(1, 2))
    assert scores.best == {
        "block": 2, "classifier": "nearest_mean", "parameter": "euclidean", "accuracy_mean": 1.0, "accuracy_std": 0.0,
        "folds": 5, "images": 20,
    }  # fmt: skip
    assert scores.confusion.to_numpy().tolist() == [[10, 0], [0, 10]]
    assert scores.confusion.index.tolist() == ["a", "b"]
    assert len(scores.accuracy) == 3 * (2 + 2)
    assert scores.per_class["correct"].tolist() == [10, 10]
    assert scores.per_class["low"].tolist() == pytest.approx([0.7225, 0.7225], abs=1e-4)


@pytest.mark.parametrize("k", [1, 2, 4, 8, 16])
def test_knn_equals_scikit_learn(k):
    points, labels = blobs()
    folds = folds_of(labels, points)
    scores = cross_validate({1: points}, labels)
    expected = reference(points, labels, KNeighborsClassifier(k, weights=nearer_first), folds)
    assert accuracy(scores, "knn", str(k)) == pytest.approx(expected.mean())
    row = scores.accuracy[scores.accuracy["parameter"] == str(k)]
    assert row["accuracy_std"].item() == pytest.approx(expected.std())


def test_ties_of_votes_go_to_the_nearer():
    train = np.array([[0.0], [1.0], [5.0], [6.0]], np.float32)
    numbers = np.array([1, 0, 2, 1])
    test = np.array([[0.4], [5.6], [3.1]], np.float32)
    answers = dict(classify._predict(train, numbers, test, 3, (1, 2, 4)))
    for k in (2, 4):
        expected = KNeighborsClassifier(k, weights=nearer_first).fit(train, numbers).predict(test)
        assert answers["knn", str(k)].tolist() == expected.tolist()
    # Two neighbours decide as one does.
    assert answers["knn", "2"].tolist() == answers["knn", "1"].tolist() == [1, 1, 2]


def test_classes_by_number_of_neighbours_add_up_to_the_accuracy():
    points, labels = blobs(seed=4)
    scores = cross_validate({1: points, 2: points[:, :1]}, labels, neighbours=(1, 4))
    by_k = scores.by_neighbours
    assert by_k.groupby(["block", "k"]).size().to_dict() == {
        (block, k): len(set(labels)) for block in (1, 2) for k in (1, 4)
    }
    sums = by_k.groupby(["block", "k"])[["correct", "images"]].sum()
    for (block, k), row in sums.iterrows():
        folds = folds_of(labels, points)
        matrix = points if block == 1 else points[:, :1]
        found = reference(matrix, labels, KNeighborsClassifier(k, weights=nearer_first), folds)
        sizes = np.bincount(folds)
        assert row["correct"] == pytest.approx((found * sizes[sizes > 0]).sum())


def test_nearest_mean_equals_nearest_centroid():
    points, labels = blobs(seed=1)
    scores = cross_validate({1: points}, labels)
    expected = reference(points, labels, NearestCentroid(), folds_of(labels, points))
    assert accuracy(scores, "nearest_mean", "euclidean") == pytest.approx(expected.mean())


def test_cosine_equals_a_numpy_twin():
    points, labels = blobs(seed=2)
    folds, classes = folds_of(labels, points), np.unique(labels)
    right = []
    for number in range(5):
        train, test = folds != number, folds == number
        means = np.stack([points[train & (labels == name)].mean(axis=0) for name in classes])
        similarity = points[test] @ means.T / np.linalg.norm(means, axis=1)
        right.append(np.mean(classes[similarity.argmax(axis=1)] == labels[test]))
    scores = cross_validate({1: points}, labels)
    assert accuracy(scores, "nearest_mean", "cosine") == pytest.approx(np.mean(right))


@pytest.mark.parametrize("factor", [2.0**-64, 2.0**64])
def test_the_scale_of_the_descriptors_changes_no_answer(factor):
    points, labels = blobs(seed=2)
    pd.testing.assert_frame_equal(
        cross_validate({1: points * np.float32(factor)}, labels).accuracy, cross_validate({1: points}, labels).accuracy
    )


def test_channels_that_are_always_zero_are_no_trouble():
    points, labels = blobs()
    padded = np.concatenate([points, np.zeros((len(points), 2), np.float32)], axis=1)
    padded[0] = 0
    scores = cross_validate({1: padded}, labels)
    assert np.isfinite(scores.accuracy["accuracy_mean"]).all()


def test_copies_share_a_fold_and_cannot_leak():
    rng = np.random.default_rng(0)
    once = rng.random((300, 8)).astype("f4")
    # The copy went through the net in another batch: its last digits differ.
    points = np.concatenate([once, once * (1 + 1e-7 * rng.standard_normal(once.shape)).astype("f4")])
    labels = rng.choice(["a", "b", "c", "d"], 300)
    labels = np.concatenate([labels, labels])
    assert identical(points).tolist() == [*range(300), *range(300)]
    folds = folds_of(labels, points)
    assert (folds[:300] == folds[300:]).all()
    scores = cross_validate({1: points}, labels)
    # Chance is 0.25; with the copies in other folds it would be 1.
    assert accuracy(scores, "knn", "1") == pytest.approx(0.25, abs=0.09)


def test_the_seed_decides():
    points, labels = blobs()
    first, again, other = (cross_validate({1: points}, labels, seed=seed).accuracy for seed in (0, 0, 1))
    assert first.equals(again)
    assert not first["accuracy_mean"].equals(other["accuracy_mean"])


def test_chosen_rows_of_a_memory_map(tmp_path):
    points, labels = blobs()
    rows = np.random.default_rng(0).permutation(150)[:100]
    shuffled = np.zeros((200, 6), np.float32)
    shuffled[rows] = points[:100]
    np.save(tmp_path / "block1.npy", shuffled)
    mapped = np.load(tmp_path / "block1.npy", mmap_mode="r")
    found = cross_validate({1: mapped}, labels[:100], rows=rows).accuracy
    assert found.equals(cross_validate({1: points[:100]}, labels[:100]).accuracy)


def test_reports_each_fold_of_each_block():
    points, labels = blobs()
    calls = []
    cross_validate({1: points, 2: points}, labels, folds=3, report=lambda: calls.append(1))
    assert len(calls) == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 1}, "`folds` must be an int in the range [2, inf). Received: 1."),
        ({"neighbours": (0, 1)}, "`neighbours` must be numbers in 1 to 16. Received: [0, 1]."),
        ({"neighbours": (17,)}, "`neighbours` must be numbers in 1 to 16. Received: [17]."),
        ({"neighbours": ()}, "`neighbours` must be numbers in 1 to 16. Received: []."),
        (
            {"labels": ["a"] * 20},
            "`colour` must be a column with two classes or more. Received: one class: ['a'].",
        ),
        (
            {"labels": ["a"] * 13 + ["b"] * 4 + ["c"] * 3},
            "`colour` must be a column whose classes all have 5 images or more, one per fold. Received: 2 with fewer: "
            "b (4), c (3). Pass --folds 3 or less.",
        ),
    ],
)
def test_error_texts(options, message):
    labels = np.array(options.pop("labels", ["a"] * 10 + ["b"] * 10))
    points = np.random.default_rng(0).random((20, 3)).astype("f4")
    with pytest.raises(UserError) as caught:
        cross_validate({1: points}, labels, name="colour", **options)
    assert str(caught.value) == message


def test_many_rare_classes_are_cut_short():
    labels = np.array([f"c{number:02d}" for number in range(12)])
    with pytest.raises(UserError, match=r"12 with fewer: c00 \(1\), .*, c09 \(1\) and 2 more\. "):
        cross_validate({1: np.eye(12, dtype="f4")}, labels)


def test_nothing_but_copies():
    with pytest.raises(UserError) as caught:
        cross_validate({1: np.ones((20, 3), np.float32)}, np.repeat(["a", "b"], 10), name="colour")
    assert str(caught.value) == (
        "`colour` must be a column whose images differ. Received: 4 folds with no image. Most images are copies of "
        "each other: remove copies, or lower --folds."
    )


class FirstChannels:
    """Stands in for UMAP, which compiles for ten seconds: keeps the first channels, and what it was given."""

    def __init__(self):
        self.fits, self.asked = [], []

    def reduce(self, known, dimensions, *, seed):
        self.fits.append((known.values, dimensions, seed))
        return SimpleNamespace(points=known.values[:, :dimensions], transform=lambda values: self.take(values, known))

    def take(self, values, known):
        self.asked.append(values)
        return np.ldexp(values, -known.exponent)[:, : self.fits[-1][1]]


@pytest.fixture
def umap(monkeypatch):
    stand_in = FirstChannels()
    monkeypatch.setattr(reduction, "reduce", stand_in.reduce)
    return stand_in


def test_reduced_accuracy_is_that_of_the_reduced_descriptors(umap):
    points, labels = blobs()
    found = cross_validate_reduced({3: points}, labels, [2, 5], neighbours=(1, 4), seed=2)
    assert list(found) == ["block", "dimensions", "classifier", "parameter", "accuracy_mean", "accuracy_std", "folds",
                           "images"]  # fmt: skip
    for number in (2, 5):
        expected = cross_validate({3: points[:, :number]}, labels, neighbours=(1, 4), seed=2).accuracy
        rows = found[found["dimensions"] == number].drop(columns="dimensions").reset_index(drop=True)
        pd.testing.assert_frame_equal(rows, expected)


def test_reduction_and_normalization_are_fitted_on_the_training_folds_alone(umap):
    points, labels = blobs()
    calls = []
    cross_validate_reduced(
        {1: points}, labels, [2, 3], seed=5, normalization="standard", report=lambda: calls.append(1)
    )
    assert len(calls) == 10
    folds = folds_of(labels, points, seed=5)
    for number in range(5):
        train, test = points[folds != number], points[folds == number]
        mean, deviation = train.mean(axis=0), train.std(axis=0)
        for place in (2 * number, 2 * number + 1):
            values, _, seed = umap.fits[place]
            expected = (train - mean) / deviation
            scale = 2.0 ** np.frexp(np.abs(expected).max())[1]
            np.testing.assert_allclose(values * scale, expected, atol=1e-4)
            np.testing.assert_allclose(umap.asked[place], (test - mean) / deviation, atol=1e-4)
            assert seed == 5


def test_a_block_of_few_channels_is_left_out_where_nothing_would_be_reduced(umap):
    points, labels = blobs()
    found = cross_validate_reduced({1: points[:, :3], 2: points}, labels, [2, 3, 5])
    assert sorted({*zip(found["block"], found["dimensions"], strict=True)}) == [(1, 2), (2, 2), (2, 3), (2, 5)]


@pytest.mark.parametrize("dimensions", [[], [0], [6], [2, 40]])
def test_dimensions_that_reduce_nothing(umap, dimensions):
    points, labels = blobs()
    with pytest.raises(UserError, match=r"`dimensions` must be numbers in 1 to 5. Received: "):
        cross_validate_reduced({1: points}, labels, dimensions)
    assert not umap.fits


def test_fewer_dimensions_than_training_images(umap):
    points, labels = blobs(items=20, channels=60)
    with pytest.raises(UserError, match=r"`dimensions` must be numbers in 1 to 15. Received: \[16\]."):
        cross_validate_reduced({1: points}, labels, [16], folds=5, neighbours=(1,))


def test_normalization_changes_the_space():
    points, labels = blobs(seed=2)
    points[:, 0] *= 1000
    plain, standard = (
        accuracy(cross_validate({1: points}, labels, normalization=name), "knn", "4") for name in ("none", "standard")
    )
    points[:, 0] /= 1000
    assert standard == pytest.approx(
        accuracy(cross_validate({1: points}, labels, normalization="standard"), "knn", "4")
    )
    assert plain < standard - 0.1
