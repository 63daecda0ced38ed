"""Folds and copies against plain NumPy."""

import numpy as np
from sklearn.model_selection import StratifiedKFold

from fashionprobe.attributes.copies import identical
from fashionprobe.attributes.folds import assign_folds


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
