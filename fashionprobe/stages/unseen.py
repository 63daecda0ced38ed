"""Stage `unseen`: an embedding trained without one class -> whether a class held out of training is still separable."""

import logging
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress
from fashionprobe.artifacts import Artifact, Recipe, Result, build, write_text
from fashionprobe.errors import UserError, unknown_name
from fashionprobe.inputs.embedding import open_embedding
from fashionprobe.plots.save import Figures

if TYPE_CHECKING:
    import numpy as np

    from fashionprobe.siamese.embedding_training import EmbeddingTraining

log = logging.getLogger(__name__)

DONE = ".done.csv"


@dataclass(frozen=True)
class HeldOutClasses(Result):
    """How well classes that the embedding never saw are separated, on disk.

    Attributes:
        auc: By class, mean over the seeds: how well the class is told from all others by an embedding without it.
        seen: The same with it.
    """

    auc: dict[str, float]
    seen: dict[str, float]


@shared.stage
def unseen(
    *,
    run: shared.Place,
    classes: list[str] | str | None = None,
    seeds: int = 1,
    epochs: int | None = None,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> HeldOutClasses:
    """Train an embedding without a class; test it on that class.

    This is done for each class. Everything else is as in the run of `embed`. Then the images of train,
    including the class left out, give the class means, and an image of test (of val or train where there is
    none) is scored by how much nearer it is to the mean of the class left out than to any other. An interrupted run
    resumes after its last network.

    Args:
        classes: Classes to leave out, one at a time. Default: all.
        seeds: Networks per class, with the seed of the run and those that follow it, and as many that see all classes.

    Returns:
        The result: path and areas under the ROC curve.

    Raises:
        UserError: If the run has no embedding, a class is not there, or fewer than three classes are.

    Example:
        fashionprobe unseen --run fashion_mnist
    """
    folder = shared.run_path(run, runs_root)
    opened = open_embedding(folder, tfrecords_root, trust=trust)
    job = opened.job if epochs is None else opened.job.having(epochs=epochs)
    names = list(job.classes.names)
    chosen = names if classes is None else shared.listed("classes", classes) or []
    for name in chosen:
        if name not in names:
            listing = f"{folder / 'embed' / 'manifest.json'} lists them all."
            raise unknown_name("classes", name, names, what="a class of the embedding", listing=listing)
    if len(names) < 3:
        raise UserError("run", expected="an embedding of three classes or more", received=f"{len(names)} classes")
    # With all classes in a batch, one is left out there, too.
    most = min(job.settings.classes_per_batch, len(names) - 1)
    recipe = Recipe(
        "unseen", {"classes": chosen, "seeds": seeds, "epochs": job.settings.plan.epochs},
        {"embed": opened.artifact.fingerprint},
    )  # fmt: skip
    artifact = build(
        folder / "unseen", recipe, lambda draft: _write(draft, job, chosen, seeds, most), overwrite=overwrite
    )
    return _result(artifact)


def _write(draft: Path, job: "EmbeddingTraining", chosen: list[str], seeds: int, most: int) -> dict[str, Any]:
    import pandas as pd

    from fashionprobe.plots.embedding import unseen_classes
    from fashionprobe.siamese.embedding_training import decoded

    (draft / ".pictures").mkdir(exist_ok=True)
    with progress.bar(total=len(job.numbers()), unit="image", description="decode") as bar:
        pictures = decoded(job, draft / ".pictures", report=bar.update)
    rows: list[dict[str, Any]] = []
    if (draft / DONE).is_file():
        rows = pd.read_csv(draft / DONE, keep_default_na=False).to_dict("records")  # pyright: ignore[reportAssignmentType]
    known = {(row["left_out"], row["seed"]) for row in rows}
    todo = [(name, job.settings.seed + number) for number in range(seeds) for name in ("", *chosen)]
    steps = job.steps(len(job.numbers())) * job.settings.plan.epochs
    with progress.bar(total=len(todo) * steps, done=len(known) * steps, unit="batch", description="unseen") as bar:
        for name, seed in todo:
            if (name, seed) not in known:
                rows += _measure(draft, job.having(seed=seed), name, most, pictures, bar.update)
                write_text(draft / DONE, pd.DataFrame(rows).to_csv(index=False))
    table = pd.DataFrame(rows).query("left_out == '' or left_out == `class`")
    table = table.assign(seen=table["left_out"] == "").drop(columns="left_out")
    table = table[table["class"].isin(chosen)].sort_values(["class", "seen", "seed"], ignore_index=True)
    table.to_csv(draft / "unseen.csv", index=False, float_format="%.6f")
    label = job.classes.label
    means = table.groupby(["class", "seen"])["auc"].mean()
    text = "Each class told from all others by its nearness to the class mean: by networks without it, and with it."
    figures = Figures(draft)
    drawn = unseen_classes(table, title=f"Classes the embedding never saw: {label}")
    figures.add("unseen", drawn, "Classes that were never seen", text)
    return {
        "label": label,
        "auc": {name: float(means[name, False]) for name in chosen},
        "with": {name: float(means[name, True]) for name in chosen},
        "seeds": seeds,
        "figures": figures.notes,
    }


def _measure(
    draft: Path, job: "EmbeddingTraining", left_out: str, most: int, pictures: "np.ndarray", report: Any
) -> "list[dict[str, Any]]":
    """Train one network, without a class or with all ("" is left out), and score each class by it."""
    import numpy as np

    from fashionprobe.siamese.embedding_training import embedded, train
    from fashionprobe.siamese.evaluate import class_auc

    names = job.classes.names
    numbers, splits = job.items["number"].to_numpy(), job.items["split"].to_numpy(str)
    rows = None
    if left_out:
        rows = np.flatnonzero(job.numbers() != names.index(left_out))
        job = job.having(classes_per_batch=most)
    folder = draft / ".training"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    trained = train(job, folder, pictures, rows=rows, report=report)
    points = embedded(job, trained.network)
    train_rows = splits == "train"
    split = next(name for name in ("test", "val", "train") if (splits == name).any())
    of = splits == split
    found = []
    for number, name in enumerate(names):
        auc = math.nan
        if (numbers[of] == number).any():
            auc = class_auc(points[train_rows], numbers[train_rows], points[of], numbers[of], number)
        found.append({"left_out": left_out, "class": name, "seed": job.settings.seed, "auc": auc})
    return found


def _result(artifact: Artifact) -> HeldOutClasses:
    auc, seen = artifact.facts["auc"], artifact.facts["with"]
    worst = min(auc, key=lambda name: auc[name])
    mean, others = (sum(found.values()) / len(found) for found in (auc, seen))
    log.info(
        "%s: AUC of classes that were never seen %.3f on average (%.3f when seen), lowest %.3f for %s. "
        "Next: fashionprobe report --run %s",
        artifact.outcome, mean, others, auc[worst], worst,
        artifact.path.parent.name,
    )  # fmt: skip
    return HeldOutClasses(artifact.path, auc, seen, reused=artifact.reused)
