import numpy as np
import pytest

from fashionprobe.errors import UserError
from fashionprobe.siamese.sampling import NO_PLACE, balanced, random_batches, random_triplets

MIXED = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 3], [5, 9, 4, 20]))


def test_each_batch_has_p_classes_with_k_different_images():
    batches = balanced(MIXED, classes=3, per_class=4, steps=50)
    assert batches.shape == (50, 12)
    for batch in batches:
        assert len(set(batch)) == 12
        classes, counts = np.unique(MIXED[batch], return_counts=True)
        assert len(classes) == 3 and set(counts) == {4}
    assert len(np.unique(MIXED[batches])) == 4


def test_no_image_comes_twice_before_all_have_come():
    batches = balanced(MIXED, classes=4, per_class=3, steps=3)
    dealt = batches[MIXED[batches] == 1]
    assert sorted(dealt) == sorted(np.flatnonzero(MIXED == 1))


def test_seed_and_epoch_decide_the_batches():
    first, again, epoch, seed = (
        balanced(MIXED, classes=2, per_class=2, steps=9, seed=seed, epoch=epoch)
        for seed, epoch in ((1, 0), (1, 0), (1, 1), (2, 0))
    )
    assert (first == again).all()
    assert (first != epoch).any() and (first != seed).any() and (epoch != seed).any()


def test_drawn_triplets_are_triplets():
    drawn = random_triplets(MIXED, size=40, steps=30, seed=3)
    anchors, positives, negatives = np.split(drawn, 3, axis=1)
    assert drawn.shape == (30, 120)
    assert (MIXED[anchors] == MIXED[positives]).all() and (anchors != positives).all()
    assert (MIXED[anchors] != MIXED[negatives]).all()
    for part in (anchors, positives, negatives):
        assert len(np.unique(part)) == len(MIXED)
    assert (drawn == random_triplets(MIXED, size=40, steps=30, seed=3)).all()
    assert (drawn != random_triplets(MIXED, size=40, steps=30, seed=3, epoch=1)).any()


def test_negatives_are_drawn_evenly():
    numbers = np.array([0, 0, 1, 1, 1, 2, 2])
    anchors, _, negatives = np.split(random_triplets(numbers, size=1000, steps=20), 3, axis=1)
    counts = np.bincount(negatives[numbers[anchors] == 0], minlength=7)
    assert (counts[:2] == 0).all() and counts[2:].min() > 0.9 * counts[2:].mean()


@pytest.mark.parametrize(
    ("numbers", "arguments", "message"),
    [
        (
            MIXED,
            {"per_class": 5},
            r"`per_class` must be in 2 to 4, the images of the smallest class. Received: 5. Pass --per-class 4. "
            "Or leave rare classes out: --min-images 5",
        ),
        (MIXED, {"per_class": 1}, r"`per_class` must be in 2 to 4.*Received: 1. Pass --per-class 2\.$"),
        (MIXED, {"classes": 5}, r"`classes_per_batch` must be in 2 to 4, the classes there are. Received: 5"),
        (MIXED, {"classes": 1}, r"`classes_per_batch` must be in 2 to 4"),
        (np.zeros(9, int), {}, r"`label` must be a column with two classes or more. Received: 1"),
    ],
)
def test_bad_arguments(numbers, arguments, message):
    with pytest.raises(UserError, match=message):
        balanced(numbers, **{"classes": 2, "per_class": 2, "steps": 1, **arguments})


def test_drawn_triplets_need_two_images_a_class():
    with pytest.raises(
        UserError, match=r"classes have two images or more.*Received: one with a class of one.*--min-im"
    ):
        random_triplets(np.array([0, 0, 1]), size=1, steps=1)


def test_random_batches_are_one_pass_in_random_order_the_last_one_smaller():
    drawn = random_batches(MIXED, size=16, steps=3, seed=2)
    assert drawn.shape == (3, 16) and (drawn[2, 6:] == NO_PLACE).all()
    assert sorted(drawn[drawn != NO_PLACE]) == list(range(len(MIXED))) and list(drawn[0]) != list(range(16))
    assert (drawn == random_batches(MIXED, size=16, steps=3, seed=2)).all()
    assert (drawn != random_batches(MIXED, size=16, steps=3, seed=2, epoch=1)).any()


def test_random_batches_go_on_with_another_pass():
    drawn = random_batches(MIXED, size=16, steps=5)
    assert drawn.shape == (5, 16) and (drawn[3] != drawn[0]).any()
    assert len({*drawn[3:].ravel()}) == 32


def test_a_batch_larger_than_all_images_has_each_once():
    assert sorted(random_batches(MIXED, size=1024, steps=1)[0]) == list(range(len(MIXED)))


def test_random_batches_need_two_images_a_class():
    with pytest.raises(UserError, match=r"--min-images 2"):
        random_batches(np.array([0, 0, 1]), size=2, steps=1)
