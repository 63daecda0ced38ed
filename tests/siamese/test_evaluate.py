import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, silhouette_score
from sklearn.neighbors import KNeighborsClassifier

from fashionprobe.siamese.evaluate import answers, class_auc, evaluate, silhouette_nearest_point

RNG = np.random.default_rng(0)
NUMBERS = np.tile([0, 1, 2], 40)
POINTS = (RNG.normal(size=(120, 4)) + 1.2 * np.eye(4)[NUMBERS]).astype(np.float32)
SPLITS = np.array(["train"] * 75 + ["test"] * 45)
TRAIN, TEST = SPLITS == "train", SPLITS == "test"
CLASSES = ["a", "b", "c"]


def rows(found):
    return {(row["split"], row["classifier"], row["k"]): row for row in found.table.to_dict("records")}


@pytest.fixture(scope="module")
def found():
    return evaluate(POINTS, NUMBERS, SPLITS, CLASSES, neighbours=[5, 1])


def test_test_images_are_classified_by_those_of_train(found):
    for k in (5, 1):
        nearest = KNeighborsClassifier(k).fit(POINTS[TRAIN], NUMBERS[TRAIN])
        assert rows(found)["test", "knn", k]["accuracy"] == nearest.score(POINTS[TEST], NUMBERS[TEST])
        shares = nearest.predict_proba(POINTS[TEST])
        expected = roc_auc_score(NUMBERS[TEST], shares, multi_class="ovr")
        assert rows(found)["test", "knn", k]["auc"] == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_images_of_another_set_are_classified_as_those_of_test_are(metric):
    expected = rows(evaluate(POINTS, NUMBERS, SPLITS, CLASSES, neighbours=[5, 1], metric=metric))
    found = answers(POINTS[TRAIN], NUMBERS[TRAIN], POINTS[TEST], 3, neighbours=[5, 1], metric=metric)
    assert set(found) == {("knn", 5), ("knn", 1), ("nearest_mean", 0)}
    for (classifier, k), (scores, predicted) in found.items():
        assert (predicted == NUMBERS[TEST]).mean() == expected["test", classifier, k]["accuracy"]
        assert scores.shape == (TEST.sum(), 3)


def test_no_image_of_train_is_its_own_neighbour(found):
    right = 0
    for place in np.flatnonzero(TRAIN):
        others = np.flatnonzero(TRAIN & (np.arange(120) != place))
        nearest = others[np.linalg.norm(POINTS[others] - POINTS[place], axis=1).argmin()]
        right += NUMBERS[nearest] == NUMBERS[place]
    assert rows(found)["train", "knn", 1]["accuracy"] == right / TRAIN.sum() < 1


def test_the_class_mean_of_an_image_of_train_is_taken_without_it(found):
    right = 0
    for place in np.flatnonzero(TRAIN):
        others = TRAIN & (np.arange(120) != place)
        means = np.stack([POINTS[others & (number == NUMBERS)].mean(axis=0) for number in range(3)])
        right += np.linalg.norm(means - POINTS[place], axis=1).argmin() == NUMBERS[place]
    assert rows(found)["train", "nearest_mean", 0]["accuracy"] == right / TRAIN.sum()


def test_the_silhouette_is_that_of_scikit_learn(found):
    assert found.silhouette["test"] == pytest.approx(silhouette_score(POINTS[TEST], NUMBERS[TEST]))


def test_the_silhouette_to_the_nearest_point_by_hand():
    # On a line: a at 0 and 2, b at 3 and 7, c at 4 alone.
    points, numbers = np.array([[0.0], [2.0], [3.0], [7.0], [4.0]]), np.array([0, 0, 1, 1, 2])
    # a is 2, 2, 4, 4; b is 3 (to 3), 1 (to 3), 1 (to 2 and 4), 3 (to 4); the only one of c counts 0.
    assert silhouette_nearest_point(points, numbers) == pytest.approx((1 / 3 - 1 / 2 - 3 / 4 - 1 / 4 + 0) / 5)
    # scikit-learn's b, the mean distance to the nearest other class: 4 (c), 2 (a, c), ...
    assert silhouette_nearest_point(points, numbers) < silhouette_score(points, numbers)


def test_the_silhouette_to_the_nearest_point_far_from_the_origin(found):
    points, numbers = POINTS[TEST], NUMBERS[TEST]
    apart = np.sqrt(((points[:, None].astype(float) - points[None]) ** 2).sum(axis=2))
    same = numbers[:, None] == numbers
    a = (apart * same).sum(axis=1) / (same.sum(axis=1) - 1)
    b = np.where(same, np.inf, apart).min(axis=1)
    expected = np.mean((b - a) / np.maximum(a, b))
    assert found.silhouette_nearest_point["test"] == pytest.approx(expected)
    assert silhouette_nearest_point(points.astype(float) * 1e-7 + 100, numbers) == pytest.approx(expected, rel=1e-4)


def test_points_that_coincide_have_a_silhouette_of_0_and_one_class_none():
    assert silhouette_nearest_point(np.ones((6, 2), np.float32), np.arange(6) % 2) == 0
    assert np.isnan(silhouette_nearest_point(POINTS, np.zeros(120, int)))
    assert np.isnan(silhouette_nearest_point(POINTS[:5], np.arange(5)))


def test_the_memory_of_the_silhouette_to_the_nearest_point_is_bounded():
    import tracemalloc

    from sklearn import config_context

    points = np.random.default_rng(0).normal(size=(6000, 2)).astype(np.float32)
    tracemalloc.start()
    with config_context(working_memory=4):
        silhouette_nearest_point(points, np.arange(6000) % 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 * 2**20, "all distances of a class are 72 MB"


def test_tables_of_classes_and_confusions_agree(found):
    counts = found.confusions["test"]
    assert counts.to_numpy().trace() / 45 == rows(found)["test", "knn", 5]["accuracy"]
    recall = found.per_class.query("split == 'test' and classifier == 'knn' and k == 5").set_index("class")["recall"]
    np.testing.assert_allclose(recall, np.diag(counts) / counts.sum(axis=1))


def test_the_nearness_of_a_class_against_the_others():
    known = np.array([[0.0], [2.0], [10.0], [12.0], [20.0]])
    numbers = np.array([0, 0, 1, 1, 2])
    # Means 1, 11 and 20. By how much nearer to 11 than to the nearest other: -10, 10 - 0 = 9, -8, -2.
    asked, truth = np.array([[1.0], [11.0], [2.0], [16.5]]), np.array([0, 1, 1, 2])
    # Of the two of class 1 one is above both others, one above one of them.
    assert class_auc(known, numbers, asked, truth, 1) == pytest.approx(3 / 4)


def test_the_cosine_knows_no_length():
    lengths = RNG.uniform(0.1, 9, (120, 1)).astype(np.float32)
    first, second = (
        evaluate(points, NUMBERS, SPLITS, CLASSES, metric="cosine") for points in (POINTS, lengths * POINTS)
    )
    np.testing.assert_allclose(first.table["accuracy"], second.table["accuracy"])
    assert first.silhouette["test"] == pytest.approx(second.silhouette["test"], abs=1e-5)


def test_a_class_without_images_in_a_split_has_no_auc():
    kept = TRAIN | (NUMBERS != 2)
    found = evaluate(POINTS[kept], NUMBERS[kept], SPLITS[kept], CLASSES)
    of_c = found.per_class.query("split == 'test' and `class` == 'c'")
    assert of_c["auc"].isna().all() and (of_c["images"] == 0).all()
    assert found.table["auc"].notna().all()


def test_one_class_in_a_split_has_no_silhouette():
    kept = TRAIN | (NUMBERS == 1)
    found = evaluate(POINTS[kept], NUMBERS[kept], SPLITS[kept], CLASSES)
    assert np.isnan(found.silhouette["test"]) and found.table.query("split == 'test'")["auc"].isna().all()
