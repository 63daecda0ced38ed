"""Search over margin, learning rate and dimension by cross-validation.

`search` tries what looks promising and ends hopeless trials early (Optuna); `grid` tries each point of a grid once.
"""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fashionprobe.artifacts import write_text
from fashionprobe.errors import require

STUDY = ".study.log"
FOLDS = ".folds.json"
SEEN_FIRST = 4
"""Trials that are never ended early: the later ones are compared with them."""


@dataclass(frozen=True)
class Space:
    """What is searched.

    Attributes:
        ranges: Name of a number, and its lowest and highest value; searched on a logarithmic scale.
        choices: Name of a setting, and its values.
    """

    ranges: Mapping[str, tuple[float, float]]
    choices: Mapping[str, Sequence[Any]]


def search(
    score: Callable[[dict[str, Any], int], float],
    space: Space,
    folder: Path,
    *,
    trials: int,
    folds: int,
    seed: int = 0,
    report: Callable[[int], object] = lambda folds: None,
) -> pd.DataFrame:
    """Try values that look promising, one fold after the other, and give a trial up that is worse than most.

    A trial is given up when the mean of its folds so far is below the median that the trials before it had after as
    many folds. What is done is kept in a file: the same call after a kill resumes with the interrupted trial, and
    tries the same values as if never stopped.

    Args:
        score: Returns what a set of values reaches in a fold, higher is better.
        space: What is searched.
        folder: Where the state is kept.
        trials: Number of trials.
        folds: Number of folds.
        seed: Seed of the values tried.
        report: Called with the number of folds that are done or will not be needed.

    Returns:
        One row per trial, in the order they were tried: trial (from 1), a column per setting, mean (over the folds that
        were measured), std, folds, pruned.

    Raises:
        UserError: If Optuna is not installed.

    Reference:
        Akiba et al., Optuna, KDD 2019, https://arxiv.org/abs/1907.10902; the sampler: Bergstra et al., Algorithms for
        Hyper-Parameter Optimization, NeurIPS 2011.
    """
    optuna = _optuna()
    state = optuna.trial.TrialState
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder / STUDY))),
        study_name="search",
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=SEEN_FIRST),
    )
    for cut in study.get_trials(states=[state.RUNNING]):
        study.tell(cut.number, state=state.FAIL)
    values = _distributions(optuna, space)
    done = len(study.get_trials(states=[state.COMPLETE, state.PRUNED]))
    report(done * folds)
    for number in range(done, trials):
        # A sampler of its own for each trial, so that a search that was killed resumes as if it had not been.
        study.sampler = optuna.samplers.TPESampler(seed=seed + number)
        trial = study.ask(values)
        reached = []
        for fold in range(folds):
            reached.append(score(dict(trial.params), fold))
            report(1)
            trial.set_user_attr("reached", reached)
            trial.report(float(np.mean(reached)), fold)
            if fold + 1 < folds and trial.should_prune():
                report(folds - fold - 1)
                study.tell(trial, state=state.PRUNED)
                break
        else:
            study.tell(trial, float(np.mean(reached)))
    return _table(study.get_trials(states=[state.COMPLETE, state.PRUNED]), state.PRUNED)


def best_of(table: pd.DataFrame) -> pd.Series:
    """Return the best row among the trials with all folds."""
    whole = table[~table["pruned"]]
    return whole.iloc[int(whole["mean"].to_numpy().argmax())]


def grid(
    measure: Callable[[dict[str, Any], int], dict[str, float]],
    values: Mapping[str, Sequence[Any]],
    folder: Path,
    *,
    folds: int,
    report: Callable[[int], object] = lambda folds: None,
) -> pd.DataFrame:
    """Measure each combination of values once, in every fold.

    What is done is kept in a file: the same call after a kill resumes with the fold that was interrupted.

    Args:
        measure: Returns what a set of values reaches in a fold, by name of the measure.
        values: The values of each setting; the last setting varies fastest.
        folder: Where the state is kept.
        folds: Number of folds.
        report: Called with the number of folds that are done.

    Returns:
        One row per combination: point (from 1), a column per setting, and for each measure its mean over the folds and
        its standard deviation, "NAME_std".
    """
    points = [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]
    path = folder / FOLDS
    rows = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    report(len(rows))
    for point, fold in [*itertools.product(range(len(points)), range(folds))][len(rows) :]:
        rows.append({"point": point + 1, "fold": fold, **measure(points[point], fold)})
        write_text(path, json.dumps(rows))
        report(1)
    by_point = pd.DataFrame(rows).drop(columns="fold").groupby("point")
    means, deviations = by_point.mean(), by_point.std(ddof=0).add_suffix("_std")
    order = [column for name in means for column in (name, f"{name}_std")]
    measured = means.join(deviations)[order].reset_index(drop=True)
    table = pd.DataFrame(points).join(measured)
    table.insert(0, "point", range(1, len(points) + 1))
    return table


def _distributions(optuna: Any, space: Space) -> dict[str, Any]:
    kinds = optuna.distributions
    ranges = {name: kinds.FloatDistribution(low, high, log=True) for name, (low, high) in space.ranges.items()}
    return ranges | {name: kinds.CategoricalDistribution(list(values)) for name, values in space.choices.items()}


def _table(trials: Sequence[Any], pruned: Any) -> pd.DataFrame:
    rows = []
    for number, trial in enumerate(trials, start=1):
        reached = trial.user_attrs["reached"]
        scores = {"mean": np.mean(reached), "std": np.std(reached), "folds": len(reached)}
        rows.append({"trial": number, **trial.params, **scores, "pruned": trial.state == pruned})
    return pd.DataFrame(rows)


def _optuna() -> Any:
    """Import Optuna, or say how to install it."""
    require("optuna", extra="tune", purpose="the search of `tune`")
    import optuna
    import optuna.storages.journal

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
