"""Folds and copies against plain NumPy."""

import itertools

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from fashionprobe.attributes.folds import assign_folds, check_classes, fitting_folds, identical
from fashionprobe.errors import UserError


def folds_of(labels, descriptors):
    numbers = np.unique(labels, return_inverse=True)[1]
    return assign_folds(numbers, folds=5, seed=0, same=identical(descriptors))


def test_folds_are_stratified():
    labels = np.repeat(["a", "b", "c"], [50, 25, 10])
    folds = folds_of(labels, np.random.default_rng(0).random((85, 4)).astype("f4"))
    for name, count in (("a", 10), ("b", 5), ("c", 2)):
        assert np.bincount(folds[labels == name]).tolist() == [count] * 5
    numbers = np.unique(labels, return_inverse=True)[1]
    splitter = StratifiedKFold(5, shuffle=True, random_state=0)
    for number, (_, test) in enumerate(splitter.split(labels, numbers)):
        assert np.flatnonzero(folds == number).tolist() == test.tolist()


@pytest.mark.parametrize(("counts", "folds", "optional", "remedy"), [
    ([50, 45, 20], 40, True, "Leave them out with --min-images 40, or pass --folds 20."),
    ([50, 45, 1], 40, True, "Leave them out with --min-images 40."),
    ([30, 25, 20], 40, True, "Pass --folds 20 or less."),
    ([50, 25, 1], 40, True, "Pass --folds 25 --min-images 25."),
    ([50, 25, 1], 40, False, "Two classes with two images or more are needed."),
    ([50, 45, 20], 40, False, "Pass --folds 20 or less."),
    ([50, 1], 5, True, "Two classes with two images or more are needed."),
])  # fmt: skip
def test_what_to_do_about_rare_classes_works(counts, folds, optional, remedy):
    counts = np.array(counts)
    with pytest.raises(UserError) as caught:
        check_classes(
            "colour", np.arange(len(counts)), np.repeat(np.arange(len(counts)), counts), folds, optional=optional
        )
    assert str(caught.value).endswith(f". {remedy}")
    # What the advice says is followed.
    words = remedy.replace(",", "").replace(".", "").split()
    advice = {name: int(value) for name, value in itertools.pairwise(words) if name.startswith("--")}
    if advice:
        for given in [advice] if "or pass" not in remedy else [{name: advice[name]} for name in advice]:
            kept = counts[counts >= given.get("--min-images", 1)]
            check_classes(
                "colour", np.arange(len(kept)), np.repeat(np.arange(len(kept)), kept), given.get("--folds", folds)
            )


@pytest.mark.parametrize(
    ("given", "counts", "nested", "folds"),
    [
        (None, [4, 4, 4], False, 4),
        (None, [3, 4], False, 3),
        (None, [9, 4], False, 5),  # a rare class is to be left out, not to decide for all
        (None, [1, 1], False, 2),
        (7, [4, 4], False, 7),
        (None, [10, 10], True, 5),
        (None, [6, 6], True, 4),  # 6 less 2 are 4 outside each fold
        (None, [4, 4], True, 2),
    ],
)
def test_default_folds_fit_sets_of_small_classes(given, counts, nested, folds):
    assert fitting_folds(given, 5, counts, nested=nested) == folds
