"""Stage `tune`: the embedding of a run -> the margin, learning rate and dimension that serve it best."""

import hashlib
import logging
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress
from fashionprobe.artifacts import Artifact, Recipe, Result, build
from fashionprobe.errors import UserError, conflict
from fashionprobe.inputs.embedding import open_embedding
from fashionprobe.plots.save import Figures

if TYPE_CHECKING:
    import numpy as np

    from fashionprobe.siamese.embedding_training import EmbeddingTraining
    from fashionprobe.siamese.tuning import Space

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tuning(Result):
    """A search on disk.

    Attributes:
        best: The values that served best.
        accuracy: What they reached: accuracy of 5-NN, mean over the folds.
    """

    best: dict[str, Any]
    accuracy: float


@shared.stage
def tune(
    *,
    run: shared.Place,
    margin: list[float] | float | None = None,
    learning_rate: list[float] | float | None = None,
    dimension: list[int] | int | None = None,
    trials: int = 20,
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
    two. The test images are never looked at. An interrupted run resumes where it stopped. Needs Optuna: pip install
    "fashionprobe[tune]".

    Args:
        margin: Lowest and highest margin. Default: [0.1,10], where the run has a margin.
        learning_rate: Lowest and highest learning rate. Default: [0.0003,0.03].
        dimension: Dimensions to try. Default: the one of the embedding alone.
        trials: Sets of values.
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

    import numpy as np

    from fashionprobe.attributes.folds import check_classes, fitting_folds
    from fashionprobe.siamese.tuning import Space

    soft = job.settings.margin == "soft"
    if soft and margin is not None:
        raise conflict("margin", "an embedding with a soft margin", margin)
    ranges = {} if soft else {"margin": _range("margin", margin, [0.1, 10.0])}
    ranges["learning_rate"] = _range("learning_rate", learning_rate, [3e-4, 3e-2])
    choices = {} if dimension is None else {"dimension": shared.numbers(dimension) or []}
    for value in choices.get("dimension", []):
        job.having(dimension=value).network()
    # Each training has the other folds: a class must be large enough in them, too.
    numbers = job.numbers()
    folds = fitting_folds(folds, 4, np.bincount(numbers).tolist())
    check_classes(job.classes.label, np.array(job.classes.names), numbers, folds, optional=False)
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


def _range(name: str, value: Sequence[float] | float | None, default: Sequence[float]) -> tuple[float, float]:
    given = default if value is None else [value] if isinstance(value, int | float) else list(value)
    if len(given) != 2 or not 0 < given[0] <= given[1] < math.inf:
        raise UserError(name, expected="two numbers above 0, the lower first, as 0.1,10", received=value)
    return float(given[0]), float(given[1])


def _write(draft: Path, job: "EmbeddingTraining", space: "Space", options: dict[str, Any]) -> dict[str, Any]:
    from fashionprobe.attributes.folds import assign_folds
    from fashionprobe.plots.embedding import trials as draw
    from fashionprobe.siamese.embedding_training import decoded
    from fashionprobe.siamese.tuning import best_of, search

    (draft / ".pictures").mkdir(exist_ok=True)
    with progress.bar(total=len(job.numbers()), unit="image", description="decode") as bar:
        pictures = decoded(job, draft / ".pictures", report=bar.update)
    same = _first_alike(pictures)
    fold_of = assign_folds(job.numbers(), folds=options["folds"], seed=options["seed"], same=same)

    def score(values: dict[str, Any], fold: int) -> float:
        return _score(draft, job.having(**values), pictures, fold_of, fold, options["neighbours"])

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


def _first_alike(pictures: "np.ndarray") -> "np.ndarray":
    """Return for each picture the place of the first one with the same pixels."""
    import numpy as np

    digests = np.array([hashlib.blake2b(picture.tobytes(), digest_size=16).hexdigest() for picture in pictures])
    _, first, inverse = np.unique(digests, return_index=True, return_inverse=True)
    return first[inverse]


def _score(
    draft: Path, job: "EmbeddingTraining", pictures: "np.ndarray", fold_of: "np.ndarray", fold: int, neighbours: int
) -> float:
    """Train on all folds but one; return the share of its images whose neighbours in the others tell the class."""
    import numpy as np
    from sklearn.neighbors import KNeighborsClassifier

    from fashionprobe.siamese.embedding_training import embedded_pictures, train

    folder = draft / ".training"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    trained = train(job, folder, pictures, rows=np.flatnonzero(fold_of != fold))
    points, numbers = embedded_pictures(trained.network, pictures), job.numbers()
    known, asked = fold_of != fold, fold_of == fold
    nearest = KNeighborsClassifier(neighbours, metric="cosine" if job.settings.metric == "cosine" else "euclidean")
    return float(nearest.fit(points[known], numbers[known]).score(points[asked], numbers[asked]))


def _result(artifact: Artifact, embedding: Artifact) -> Tuning:
    facts = artifact.facts
    options = " ".join(f"--{name.replace('_', '-')} {value:.3g}" for name, value in facts["best"].items())
    log.info(
        "%s: best of %d sets (%d given up early), %d-NN %.3f (std %.3f over %d folds). "
        "Next: the same fashionprobe embed --dataset %s --run %s, with %s --overwrite",
        artifact.outcome, facts["trials"], facts["pruned"],
        facts["neighbours"], facts["mean"], facts["std"], facts["folds"], embedding.facts["dataset"],
        artifact.path.parent.name, options,
    )  # fmt: skip
    return Tuning(artifact.path, facts["best"], facts["mean"], reused=artifact.reused)
