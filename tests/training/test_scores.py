import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score, top_k_accuracy_score

from fashionprobe.training.scores import score, softmax

NAMES = ["a", "b", "c"]


def test_a_case_worked_by_hand():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.1, 0.5, 0.4]])
    found = score(probabilities, np.array([0, 1, 1, 0]), NAMES)
    assert (found.images, found.top_1, found.top_5) == (4, 0.5, None)
    # Wilson's interval of 2 of 4.
    assert (found.low, found.high) == pytest.approx((0.1500, 0.8500), abs=1e-4)
    table = found.predictions
    assert table["true"].tolist() == ["a", "b", "b", "a"]
    assert table["predicted"].tolist() == ["a", "a", "b", "b"]
    assert table["rank"].tolist() == [1, 2, 1, 3]
    assert table["probability"].tolist() == [0.7, 0.6, 0.8, 0.5]
    rows = found.per_class.set_index("class")
    assert rows.loc["a", ["images", "precision", "recall", "f1"]].tolist() == [2, 0.5, 0.5, 0.5]
    assert rows.loc["c", "images"] == 0 and rows.loc["c", ["recall", "low", "high"]].isna().all()
    assert found.macro_f1 == 0.5  # of a and b; c has no image
    assert found.confusion.to_numpy().tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert found.pairs[["true", "predicted", "images", "of", "share"]].to_numpy().tolist() == [
        ["a", "b", 1, 2, 0.5],
        ["b", "a", 1, 2, 0.5],
    ]


def test_figures_agree_with_scikit_learn():
    random = np.random.default_rng(0)
    names = [f"class {number}" for number in range(9)]
    numbers = random.integers(0, 9, 400)
    probabilities = random.dirichlet(np.ones(9), 400) + 0.3 * np.eye(9)[numbers]
    found = score(probabilities, numbers, names)
    predicted = probabilities.argmax(axis=1)
    assert found.top_5 == pytest.approx(top_k_accuracy_score(numbers, probabilities, k=5, labels=range(9)))
    assert found.macro_f1 == pytest.approx(f1_score(numbers, predicted, average="macro"))
    for column, function in (("precision", precision_score), ("recall", recall_score)):
        np.testing.assert_allclose(found.per_class[column], function(numbers, predicted, average=None))
    assert found.pairs["images"].sum() == (predicted != numbers).sum()
    assert found.pairs["images"].is_monotonic_decreasing


def test_equal_probabilities_count_as_argmax_counts_them():
    found = score(np.full((3, 3), 1 / 3), np.array([0, 1, 2]), NAMES)
    assert found.predictions["rank"].tolist() == [1, 2, 3]
    assert found.top_1 == pytest.approx(1 / 3)


def test_without_a_mistake_there_is_no_pair():
    found = score(np.eye(3), np.arange(3), NAMES)
    assert found.pairs.empty and found.top_1 == found.macro_f1 == 1.0


def test_softmax_of_large_logits():
    found = softmax(np.array([[1000.0, 1000.0], [0.0, np.log(3.0)]], np.float32))
    np.testing.assert_allclose(found, [[0.5, 0.5], [0.25, 0.75]], rtol=1e-6)


@pytest.mark.parametrize(("classes", "top_5"), [(2, None), (5, None), (6, 0.5)])
def test_five_guesses_count_where_there_are_more_classes(classes, top_5):
    probabilities = np.linspace(0.5, 0.1, classes)[None].repeat(2, axis=0)
    assert score(probabilities, np.array([0, classes - 1]), list("abcdef")[:classes]).top_5 == top_5
