"""The choice against scikit-learn, and its honesty on labels that mean nothing."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from fashionprobe.attributes.choose import choose
from fashionprobe.attributes.folds import assign_folds, identical
from fashionprobe.errors import UserError


def made(items=90, seed=0):
    """Block 1 is noise; block 2 knows the class by its second channel, which a far louder first one drowns."""
    random = np.random.default_rng(seed)
    numbers = np.arange(items) % 3
    knows = np.stack([random.normal(0, 100, items), numbers + random.normal(0, 0.15, items)], axis=1)
    noise = random.normal(size=(items, 4))
    return {1: noise.astype(np.float32), 2: knows.astype(np.float32)}, np.array(["a", "b", "c"])[numbers]


def nearer_first(distances):
    return np.tile(1 + 1e-3 * 0.5 ** np.arange(distances.shape[1]), (len(distances), 1))


def row(choice, **wanted):
    table = choice.ablation
    for name, value in wanted.items():
        table = table[table[name] == value]
    return table.iloc[0]


def test_the_block_and_normalization_that_know_it_are_found():
    blocks, labels = made()
    found = choose(blocks, labels, neighbours=(1, 4))
    assert found.best["block"] == 2
    assert found.best["normalization"] in ("standard", "whiten")
    assert row(found, block=2, normalization="none", classifier="knn")["accuracy_mean"] < 0.6
    assert found.accuracy > 0.9
    assert found.low < found.accuracy
    assert set(found.nested["block"]) == {2}


def test_a_candidate_equals_scikit_learn():
    blocks, labels = made()
    numbers = np.unique(labels, return_inverse=True)[1]
    folds = assign_folds(numbers, folds=5, seed=0, same=identical(blocks[1]))
    expected = []
    for fold in range(5):
        train, test = folds != fold, folds == fold
        model = KNeighborsClassifier(4, metric="cosine", weights=nearer_first).fit(blocks[2][train], labels[train])
        expected.append(model.score(blocks[2][test], labels[test]))
    found = row(
        choose(blocks, labels, neighbours=(1, 4)), block=2, normalization="none", metric="cosine", parameter="4"
    )
    assert found["accuracy_mean"] == pytest.approx(np.mean(expected))
    assert found["accuracy_std"] == pytest.approx(np.std(expected))


def test_the_score_of_the_choice_is_not_flattered():
    # Labels that mean nothing: the best of many candidates is above chance, and the choice on unseen images is not.
    best, honest = [], []
    for seed in range(8):
        random = np.random.default_rng(seed)
        blocks = {block: random.normal(size=(60, 3)).astype(np.float32) for block in range(1, 6)}
        labels = np.array(["a", "b"])[random.permutation(60) % 2]
        found = choose(blocks, labels, normalizations=["none", "standard"], neighbours=(1, 4, 8), folds=4)
        best.append(found.best["accuracy_mean"])
        honest.append(found.accuracy)
    assert np.mean(best) > 0.6
    assert abs(np.mean(honest) - 0.5) < 0.08


def test_copies_stay_on_one_side():
    random = np.random.default_rng(0)
    once = random.normal(size=(40, 3)).astype(np.float32)
    labels = np.array(["a", "b"])[random.permutation(40) % 2]
    found = choose({1: np.concatenate([once, once])}, np.concatenate([labels, labels]), neighbours=(1,))
    assert row(found, classifier="knn")["accuracy_mean"] < 0.75


def test_the_seed_decides():
    blocks, labels = made()
    first, again, other = (choose(blocks, labels, neighbours=(1,), seed=seed).ablation for seed in (0, 0, 1))
    assert first.equals(again)
    assert not first.equals(other)


def test_report_is_called_as_often_as_promised():
    blocks, labels = made()
    calls = []
    choose(blocks, labels, normalizations=("none", "l2"), neighbours=(1,), folds=3, report=lambda: calls.append(1))
    assert len(calls) == 2 * 2 * 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neighbours": (99,)}, r"`neighbours` must be numbers in 1 to 51"),
        ({"neighbours": ()}, r"`neighbours` must be numbers in 1 to"),
        ({"metrics": ("manhattan",)}, r"`metrics` must be among euclidean, cosine. Received: manhattan"),
        ({"folds": 1}, r"`folds` must be an int in the range \[2, inf\)"),
    ],
)
def test_error_texts(options, message):
    blocks, labels = made()
    with pytest.raises(UserError, match=message):
        choose(blocks, labels, **{"neighbours": (1,)} | options)


def test_a_class_too_small_for_inner_folds():
    blocks, labels = made()
    labels = labels.astype("U4")
    labels[:6] = "rare"
    with pytest.raises(UserError, match=r"have 5 images or more outside each fold.*Received: one with 4.*--min-images"):
        choose(blocks, labels, neighbours=(1,))
