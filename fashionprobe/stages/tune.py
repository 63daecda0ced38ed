"""Stage `tune`: the embedding of a run -> the margin, learning rate and dimension that serve it best."""

import hashlib
import logging
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress
from fashionprobe.artifacts import Artifact, Recipe, Result, build
from fashionprobe.errors import UserError, conflict
from fashionprobe.inputs.embedding import open_embedding
from fashionprobe.plots.save import Figures

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from fashionprobe.inputs.embedding import RunEmbedding
    from fashionprobe.siamese.embedding_training import EmbeddingTraining
    from fashionprobe.siamese.tuning import Space

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tuning(Result):
    """A search on disk.

    Attributes:
        best: The values that served best.
        accuracy: What they reached: accuracy of 5-NN, mean over the folds.
        loss: Their loss, mean over the folds; of a grid alone.
    """

    best: dict[str, Any]
    accuracy: float
    loss: float | None = None


@shared.stage
def tune(
    *,
    run: shared.Place,
    margin: list[float] | float | None = None,
    learning_rate: list[float] | float | None = None,
    dimension: list[int] | int | None = None,
    grid: bool = False,
    objective: Literal["accuracy", "loss"] = "accuracy",
    trials: int | None = None,
    folds: int | None = None,
    epochs: int | None = None,
    neighbours: int = 5,
    seed: int = 0,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Tuning:
    """Search for margin, learning rate and dimension.

    The best values are those with which the embedding separates the classes best. Everything else is as in the run of
    `embed`. Each set of values is tried in stratified folds of the train split: trained on the others, the
    images of a fold are classified by their neighbours in them. Sets that look hopeless are dropped after a fold or
    two. With --grid each combination is tried once, in all folds. The test images are never looked at. An interrupted
    search resumes where it stopped. Without --grid it needs Optuna: pip install "fashionprobe[tune]".

    Args:
        margin: Lowest and highest margin; with --grid the margins. Default: [0.1,10], where the run has a margin; with
            --grid that of the run.
        learning_rate: Lowest and highest learning rate; with --grid the learning rates. Default: [0.0003,0.03]; with
            --grid that of the run.
        dimension: Dimensions to try. Default: the one of the embedding alone.
        grid: Try each combination of the values once.
        objective: What makes the best: accuracy of the nearest neighbours, or with --grid the least loss of the fold,
            which shrinks with the margin.
        trials: Sets of values. Default: 20; with --grid there are as many as combinations.
        folds: Stratified folds. Default: 4, or as many as classes that are all smaller have images in train.
        neighbours: k of the nearest neighbours.

    Returns:
        The search: path, the best values and what they reach.

    Raises:
        UserError: If the run has no embedding, a range is wrong, a class has too few images, or Optuna is missing.

    Example:
        fashionprobe tune --run fashion_mnist --dimension 2,4,8,16
    """
    folder = shared.run_path(run, runs_root)
    opened = open_embedding(folder, tfrecords_root, trust=trust)
    job = opened.job if epochs is None else opened.job.having(epochs=epochs)

    from fashionprobe.siamese.tuning import Space

    soft = job.settings.margin == "soft"
    if soft and margin is not None:
        raise conflict("margin", "an embedding with a soft margin", margin)
    if grid and trials is not None:
        raise conflict("trials", "--grid, which tries each combination once", trials)
    if objective == "loss" and not grid:
        remedy = "Pass --grid, which lists the loss of every point."
        raise UserError("objective", expected="accuracy for a search over ranges", received=objective, remedy=remedy)
    if grid:
        values = _grid_values(job, margin, learning_rate, dimension)
        return _tune_grid(folder, opened, job, values, objective, folds, neighbours, seed, overwrite)
    trials = 20 if trials is None else trials
    ranges = {} if soft else {"margin": _range("margin", margin, [0.1, 10.0])}
    ranges["learning_rate"] = _range("learning_rate", learning_rate, [3e-4, 3e-2])
    choices = {} if dimension is None else {"dimension": shared.numbers(dimension) or []}
    for value in choices.get("dimension", []):
        job.having(dimension=value).network()
    folds = _fitting(job, folds)
    recipe = Recipe(
        "tune",
        {"ranges": {name: list(ends) for name, ends in ranges.items()}, "choices": choices, "trials": trials}
        | {"folds": folds, "epochs": job.settings.plan.epochs, "neighbours": neighbours, "seed": seed},
        {"embed": opened.artifact.fingerprint},
    )
    options = {"trials": trials, "folds": folds, "seed": seed, "neighbours": neighbours}
    artifact = build(
        folder / "tune", recipe, lambda draft: _write(draft, job, Space(ranges, choices), options), overwrite=overwrite
    )
    return _result(artifact, opened.artifact)


def _fitting(job: "EmbeddingTraining", folds: int | None) -> int:
    """Return the number of folds. Each training has the others: a class must be large enough in them, too."""
    import numpy as np

    from fashionprobe.attributes.folds import check_classes, fitting_folds

    numbers = job.numbers()
    folds = fitting_folds(folds, 4, np.bincount(numbers).tolist())
    check_classes(job.classes.label, np.array(job.classes.names), numbers, folds, optional=False)
    return folds


def _grid_values(
    job: "EmbeddingTraining", margin: Sequence[float] | float | None, learning_rate: Sequence[float] | float | None,
    dimension: Sequence[int] | int | None,
) -> dict[str, list[Any]]:  # fmt: skip
    """Return the values of the grid, those of the run where none are given, each checked."""
    chosen = job.settings
    given = {"margin": margin, "learning_rate": learning_rate, "dimension": dimension}
    own = {"margin": chosen.margin, "learning_rate": chosen.plan.learning_rate, "dimension": chosen.dimension}
    values = {}
    for name in [name for name in given if name != "margin" or own[name] != "soft"]:
        several = own[name] if given[name] is None else given[name]
        values[name] = list(dict.fromkeys(several if isinstance(several, Sequence) else [several]))
    for each in values.get("margin", []):
        job.having(margin=each).loss()
    for each in values["dimension"]:
        job.having(dimension=each).network()
    return values


def _tune_grid(
    folder: Path, opened: "RunEmbedding", job: "EmbeddingTraining", values: dict[str, list[Any]],
    objective: Literal["accuracy", "loss"], folds: int | None, neighbours: int, seed: int, overwrite: bool,
) -> Tuning:  # fmt: skip
    import numpy as np

    folds = _fitting(job, folds)
    counts = np.sort(np.bincount(job.numbers()))
    if objective == "loss" and counts[-2] < 2 * folds:
        raise UserError(
            "folds", expected=f"{max(counts[-2] // 2, 1)} or fewer, for a loss needs two classes of two images in each",
            received=folds, remedy="Or pass --objective accuracy.",
        )  # fmt: skip
    options = {"objective": objective, "folds": folds, "neighbours": neighbours, "seed": seed}
    recipe = Recipe(
        "tune",
        {"grid": values, "epochs": job.settings.plan.epochs, **options},
        {"embed": opened.artifact.fingerprint},
    )
    artifact = build(
        folder / "tune", recipe, lambda draft: _write_grid(draft, job, values, options), overwrite=overwrite
    )
    return _grid_result(artifact, opened.artifact)


def _write_grid(
    draft: Path, job: "EmbeddingTraining", values: dict[str, list[Any]], options: dict[str, Any]
) -> dict[str, Any]:
    import numpy as np

    from fashionprobe.plots.embedding import grid as draw
    from fashionprobe.siamese.tuning import grid

    pictures, fold_of = _folded(draft, job, options)

    def measure(point: dict[str, Any], fold: int) -> dict[str, float]:
        return _measure(draft, job.having(**point), pictures, fold_of, fold, options["neighbours"])

    total = math.prod(map(len, values.values())) * options["folds"]
    with progress.bar(total=total, unit="fold", description="tune") as bar:
        table = grid(measure, values, draft, folds=options["folds"], report=bar.update)
    table.to_csv(draft / "grid.csv", index=False, float_format="%.10g")
    losses, accuracies = table["loss"].to_numpy(), table["accuracy"].to_numpy()
    least = None if np.isnan(losses).all() else table.iloc[int(np.nanargmin(losses))]
    highest = table.iloc[int(accuracies.argmax())]
    best = highest if least is None or options["objective"] == "accuracy" else least
    figures = Figures(draft)
    drawn = draw(
        table, best=int(best["point"]), neighbours=options["neighbours"], title=f"Grid for {job.classes.label}"
    )
    text = f"Mean ± std over {options['folds']} folds; the star is the best by {options['objective']}. {_trap(values)}"
    figures.add("grid", drawn, "Grid", text.strip())
    return {
        "label": job.classes.label,
        "best": _point(best, values),
        "points": len(table),
        **options,
        **{name: _number(best[name]) for name in ("loss", "loss_std", "accuracy", "accuracy_std")},
        "least_loss": None if least is None else _point(least, values) | {"loss": float(least["loss"])},
        "highest_accuracy": _point(highest, values) | {"accuracy": float(highest["accuracy"])},
        "trap": _trap(values),
        "figures": figures.notes,
    }


def _trap(values: dict[str, list[Any]]) -> str:
    """Say what the losses of a grid cannot tell; nothing where there is one margin."""
    if len(values.get("margin", [])) < 2:
        return ""
    return "The loss shrinks with the margin, so it cannot compare points of different margins."


def _point(row: "pd.Series", values: dict[str, list[Any]]) -> dict[str, Any]:
    return {name: int(row[name]) if name == "dimension" else float(row[name]) for name in values}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _grid_result(artifact: Artifact, embedding: Artifact) -> Tuning:
    facts = artifact.facts
    said = []
    if facts["least_loss"]:
        said.append(f"least loss {facts['least_loss']['loss']:.3g} with {_options(facts['least_loss'])}.")
    best = facts["highest_accuracy"]
    said.append(f"{facts['neighbours']}-NN is best, {best['accuracy']:.3f}, with {_options(best)}.")
    log.info(
        "%s: %d points, %d folds: %s %s Next: the same fashionprobe embed --dataset %s --run %s, with %s --overwrite",
        artifact.outcome, facts["points"], facts["folds"], " ".join(said), facts["trap"], embedding.facts["dataset"],
        artifact.path.parent.name, _options(facts["best"]),
    )  # fmt: skip
    return Tuning(artifact.path, facts["best"], facts["accuracy"], facts["loss"], reused=artifact.reused)


def _options(values: dict[str, Any]) -> str:
    names = ("margin", "learning_rate", "dimension")
    return " ".join(f"--{name.replace('_', '-')} {values[name]:.3g}" for name in names if name in values)


def _range(name: str, value: Sequence[float] | float | None, default: Sequence[float]) -> tuple[float, float]:
    given = default if value is None else [value] if isinstance(value, int | float) else list(value)
    if len(given) != 2 or not 0 < given[0] <= given[1] < math.inf:
        raise UserError(name, expected="two numbers above 0, the lower first, as 0.1,10", received=value)
    return float(given[0]), float(given[1])


def _write(draft: Path, job: "EmbeddingTraining", space: "Space", options: dict[str, Any]) -> dict[str, Any]:
    from fashionprobe.plots.embedding import trials as draw
    from fashionprobe.siamese.tuning import best_of, search

    pictures, fold_of = _folded(draft, job, options)

    def score(values: dict[str, Any], fold: int) -> float:
        return _measure(draft, job.having(**values), pictures, fold_of, fold, options["neighbours"])["accuracy"]

    given = {name: options[name] for name in ("trials", "folds", "seed")}
    with progress.bar(total=options["trials"] * options["folds"], unit="fold", description="tune") as bar:
        table = search(score, space, draft, **given, report=bar.update)
    table.to_csv(draft / "trials.csv", index=False, float_format="%.6g")
    best = best_of(table)
    names = [*space.ranges, *space.choices]
    label = job.classes.label
    text = "Each mark is a set of values; open marks were given up early. Higher is better."
    figures = Figures(draft)
    drawn = draw(table, names, logarithmic=[*space.ranges], title=f"Search for {label}")
    figures.add("trials", drawn, "Search", text)
    return {
        "label": label,
        "best": {name: best[name].item() for name in names},
        "mean": float(best["mean"]),
        "std": float(best["std"]),
        "folds": options["folds"],
        "trials": len(table),
        "pruned": int(table["pruned"].sum()),
        "neighbours": options["neighbours"],
        "figures": figures.notes,
    }


def _folded(draft: Path, job: "EmbeddingTraining", options: dict[str, Any]) -> "tuple[np.ndarray, np.ndarray]":
    """Decode the images of train, and return them and the fold of each."""
    from fashionprobe.attributes.folds import assign_folds
    from fashionprobe.siamese.embedding_training import decoded

    (draft / ".pictures").mkdir(exist_ok=True)
    with progress.bar(total=len(job.numbers()), unit="image", description="decode") as bar:
        pictures = decoded(job, draft / ".pictures", report=bar.update)
    same = _first_alike(pictures)
    return pictures, assign_folds(job.numbers(), folds=options["folds"], seed=options["seed"], same=same)


def _first_alike(pictures: "np.ndarray") -> "np.ndarray":
    """Return for each picture the place of the first one with the same pixels."""
    import numpy as np

    digests = np.array([hashlib.blake2b(picture.tobytes(), digest_size=16).hexdigest() for picture in pictures])
    _, first, inverse = np.unique(digests, return_index=True, return_inverse=True)
    return first[inverse]


def _measure(
    draft: Path, job: "EmbeddingTraining", pictures: "np.ndarray", fold_of: "np.ndarray", fold: int, neighbours: int
) -> dict[str, float]:
    """Train on all folds but one; return its loss, and the share of its images whose neighbours tell the class."""
    import numpy as np
    from sklearn.neighbors import NearestNeighbors

    from fashionprobe.attributes.votes import majority
    from fashionprobe.siamese.embedding_training import embedded_pictures, train

    folder = draft / ".training"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    trained = train(job, folder, pictures, rows=np.flatnonzero(fold_of != fold))
    points, numbers = embedded_pictures(trained.network, pictures), job.numbers()
    known, asked = fold_of != fold, fold_of == fold
    search = NearestNeighbors(
        n_neighbors=neighbours, metric="cosine" if job.settings.metric == "cosine" else "euclidean"
    )
    found = search.fit(points[known]).kneighbors(points[asked], return_distance=False)
    ((_, guessed),) = majority(numbers[known][found], int(numbers.max()) + 1, (neighbours,))
    return {
        "loss": job.measured(points[asked], numbers[asked]),
        "accuracy": float((guessed == numbers[asked]).mean()),
    }


def _result(artifact: Artifact, embedding: Artifact) -> Tuning:
    facts = artifact.facts
    log.info(
        "%s: best of %d sets (%d given up early), %d-NN %.3f (std %.3f over %d folds). "
        "Next: the same fashionprobe embed --dataset %s --run %s, with %s --overwrite",
        artifact.outcome, facts["trials"], facts["pruned"],
        facts["neighbours"], facts["mean"], facts["std"], facts["folds"], embedding.facts["dataset"],
        artifact.path.parent.name, _options(facts["best"]),
    )  # fmt: skip
    return Tuning(artifact.path, facts["best"], facts["mean"], reused=artifact.reused)
