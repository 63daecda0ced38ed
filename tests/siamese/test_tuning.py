import subprocess
import sys

import pytest

from fashionprobe.errors import UserError
from fashionprobe.siamese.tuning import Space, best_of, search

pytest.importorskip("optuna")
SPACE = Space({"margin": (0.1, 10.0)}, {"dimension": [2, 8]})


def score(values, fold):
    return values["dimension"] / 10 - abs(values["margin"] - 1) / 20 + fold / 1000


def test_the_best_values_are_found_and_hopeless_trials_end_early(tmp_path):
    calls, done = [], []

    def counted(values, fold):
        calls.append(fold)
        return score(values, fold)

    table = search(counted, SPACE, tmp_path, trials=16, folds=4, seed=1, report=done.append)
    best = best_of(table)
    assert best["dimension"] == 8 and 0.5 < best["margin"] < 2
    assert len(table) == 16 and table["folds"].sum() == len(calls) and sum(done) == 64
    pruned = table[table["pruned"]]
    assert len(pruned) >= 2 and (pruned["folds"] < 4).all() and (table[~table["pruned"]]["folds"] == 4).all()
    assert not table["pruned"].iloc[:4].any()


class Killed(Exception):
    """In place of a kill."""


def test_a_search_that_was_cut_ends_as_if_it_had_not_been(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = search(score, SPACE, tmp_path / "whole", trials=8, folds=3)
    calls = []

    def dying(values, fold):
        calls.append(values)
        if len(calls) == 11:
            raise Killed
        return score(values, fold)

    with pytest.raises(Killed):
        search(dying, SPACE, tmp_path / "cut", trials=8, folds=3)
    again = search(score, SPACE, tmp_path / "cut", trials=8, folds=3)
    assert again.to_dict() == whole.to_dict()


def test_without_optuna_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"pip install 'fashionprobe\[tune\]'"):
        search(score, SPACE, tmp_path, trials=1, folds=2)


def test_importing_the_module_does_not_import_optuna():
    code = "import sys, fashionprobe.siamese.tuning; sys.exit('optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
