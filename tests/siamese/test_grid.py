import itertools

import numpy as np
import pytest

from fashionprobe.siamese.tuning import grid

VALUES = {"margin": [0.001, 0.01, 0.1], "learning_rate": [0.0001, 0.001, 0.01], "dimension": [2, 3, 4]}


def measure(values, fold):
    return {"loss": values["margin"] * (1 + fold / 7), "accuracy": values["dimension"] / (8 + fold)}


def test_each_of_27_points_is_measured_once_in_every_fold(tmp_path):
    calls, done = [], []

    def counted(values, fold):
        calls.append((*values.values(), fold))
        return measure(values, fold)

    table = grid(counted, VALUES, tmp_path, folds=4, report=done.append)
    assert calls == list(itertools.product(*VALUES.values(), range(4))) and sum(done) == 108
    assert list(table.columns) == ["point", *VALUES, "loss", "loss_std", "accuracy", "accuracy_std"]
    assert table["point"].tolist() == list(range(1, 28))
    points = [dict(zip(VALUES, point, strict=True)) for point in itertools.product(*VALUES.values())]
    for name in ("loss", "accuracy"):
        each = np.array([[measure(point, fold)[name] for fold in range(4)] for point in points])
        np.testing.assert_allclose(table[name], each.mean(axis=1))
        np.testing.assert_allclose(
            table[f"{name}_std"], np.sqrt(((each - each.mean(axis=1)[:, None]) ** 2).mean(axis=1))
        )


class Killed(Exception):
    """In place of a kill."""


def test_a_grid_that_was_cut_goes_on_with_the_fold_it_was_in(tmp_path):
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    whole = grid(measure, VALUES, tmp_path / "whole", folds=3)
    calls = []

    def dying(values, fold):
        calls.append((values, fold))
        if len(calls) == 11:
            raise Killed
        return measure(values, fold)

    with pytest.raises(Killed):
        grid(dying, VALUES, tmp_path / "cut", folds=3)
    again = grid(dying, VALUES, tmp_path / "cut", folds=3)
    assert again.to_dict() == whole.to_dict()
    assert calls[11] == calls[10] and len(calls) == 82
