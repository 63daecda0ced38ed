"""Stage `embed`: records -> an embedding trained with triplets, and what it is worth."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress
from fashionprobe.artifacts import Artifact, Recipe, Result, build, child
from fashionprobe.backbones import architectures, blocks
from fashionprobe.errors import UserError, conflict
from fashionprobe.inputs.embedding import choose, make_job
from fashionprobe.inputs.network import NetworkSpec
from fashionprobe.plots.save import Figures
from fashionprobe.training.augment import check as check_augmentations

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from fashionprobe.siamese.embedding_training import EmbeddingOutcome, EmbeddingTraining
    from fashionprobe.siamese.evaluate import Evaluation

log = logging.getLogger(__name__)

MAPPED = 4000
"""Images, at most, that UMAP is fitted on for the figures."""


@dataclass(frozen=True)
class Embedding(Result):
    """A trained embedding on disk.

    Attributes:
        model: The network, `model.keras`: RGB images in [0, 255] -> embeddings. It is a backbone whose last block is
            the embedding.
        dimension: Dimensions of the embedding.
        accuracy: Share of the test images (of val or train where there are none) whose class the k nearest neighbours
            in train tell, for the first k.
        auc: Macro area under the ROC curve of the shares of each class among these neighbours, on the same images.
        silhouette: Silhouette of the classes on the same images, in [-1, 1].
        states: The epoch in which it "collapsed" or "stalled" first, when it did.
    """

    model: Path
    dimension: int
    accuracy: float
    auc: float
    silhouette: float
    states: dict[str, int]


@shared.stage(batch_size="[2, inf)")
def embed(
    *,
    dataset: shared.Place,
    run: str | None = None,
    label: str | None = None,
    backbone: str = "light_bn",
    weights: str = "auto",
    taps: list[str] | str | None = None,
    preprocessing: Literal["auto", "none", "tf", "caffe", "torch"] = "auto",
    size: int | list[int] | None = None,
    fit: Literal["pad", "stretch"] = "pad",
    min_images: int = 2,
    dimension: int = 16,
    pooling: Literal["auto", "average", "flatten"] = "auto",
    hidden: int = 0,
    unit_norm: bool = False,
    freeze: int = 0,
    augment: list[str] | str | None = None,
    mining: Literal["random", "batch_hard", "semi_hard", "batch_all", "batch_weighted"] = "semi_hard",
    metric: Literal["euclidean", "cosine"] = "euclidean",
    margin: float | str = 1.0,
    margin_end: float | None = None,
    easy_epochs: int = 0,
    classes_per_batch: int | None = None,
    per_class: int | None = None,
    batch_size: int | None = None,
    triplets: int | None = None,
    epochs: int = 20,
    steps: int | None = None,
    loss_every: int | None = None,
    optimizer: Literal["adam", "sgd"] = "adam",
    learning_rate: float = 3e-3,
    warmup: float = 0.0,
    decay: Literal["none", "cosine"] = "cosine",
    weight_decay: float = 0.0,
    neighbours: int | list[int] | None = None,
    seed: int = 0,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Embedding:
    """Train an embedding that pulls images of a class together.

    It is also evaluated. It learns from triplets of the train split: an image, another of its class, and one
    of another class that should be farther away. Then the images of each split are classified by those of train;
    scores.csv has a row per split: accuracy, areas under the ROC curve, two silhouettes, and the loss. An interrupted
    run resumes after its last complete epoch. When all images end on one point, it says so and suggests what helps.

    Args:
        label: Label column. Default: the one by which the record set was split (class for fashion_mnist).
        dimension: Dimensions of the embedding, 2 to 512.
        weights: pretrained, imagenet, random, or the path of a weights file; auto is pretrained where the backbone has
            weights, else random.
        taps: Names of the layers that end block 1, 2, ...; the embedding is made of the last one.
        min_images: Leave out classes with fewer images in train than this.
        pooling: What of the last map is read: its average over space, or all its values. auto is flatten for
            light_model, light and light_bn, else average.
        hidden: Units of a dense layer with ReLU before the embedding; 0 for none.
        unit_norm: Bring each embedding to length 1.
        mining: Which triplets count: semi_hard (negatives farther than the positive, but not by much), batch_hard
            (farthest positive, nearest negative), batch_all, batch_weighted, or random (drawn beforehand).
        margin: What the distances of a triplet should differ by; soft for softplus without a margin.
        margin_end: Let the margin rise to this one in the last epoch; it never exceeds the mean distance reached.
        easy_epochs: Mine semi-hard triplets for this many epochs first; it keeps batch_hard from collapsing.
        classes_per_batch: P, the classes in a batch. Default: all, 16 at most.
        per_class: K, the images of each class in a batch. Default: 8, or as many as the smallest class has in train.
        batch_size: Images in a batch, drawn at random, in place of P classes with K images each.
        triplets: With --mining random: triplets in a batch. Default: as many images as the other batches have.
        steps: Batches per epoch. Default: 200; with --batch-size or --triplets one pass over the images.
        loss_every: Note the loss every so many batches, of training and of up to 1,024 images of val (of test where
            val is empty), in losses.csv and a figure.
        neighbours: Values of k to classify with; the first is the headline. Default: [5,1,3,10,20], as far as
            there are images.

    Returns:
        The embedding: paths and headline numbers.

    Raises:
        UserError: If an argument does not fit, a class has fewer than K images, or the loss becomes NaN.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe embed --dataset fashion_mnist --mining batch_hard
    """
    _check(locals())
    backbone = architectures.named(backbone)
    records_path = shared.records_path(dataset, tfrecords_root)
    folder = child(runs_root, records_path.name if run is None else run, argument="run") / "embed"
    if weights == "auto":
        weights = "random" if backbone.lower() in blocks.NETS else "pretrained"
    spec = NetworkSpec.of(None, backbone, weights, taps, preprocessing, size, seed, trust)
    spec.check()
    records = shared.open_records(dataset, tfrecords_root)

    augmentations = (shared.listed("augment", augment) or []) if augment else []
    check_augmentations(augmentations)
    classes = choose(records, label, min_images)

    import numpy as np

    from fashionprobe.backbones import devices
    from fashionprobe.siamese.embedding_training import Settings
    from fashionprobe.training.fit import Plan

    if pooling == "auto":
        pooling = "flatten" if spec.backbone.lower().startswith("light") else "average"
    settings = Settings(
        dimension=dimension,
        pooling=pooling,
        hidden=hidden,
        unit_norm=unit_norm,
        freeze=freeze,
        augment=augmentations,
        mining=mining,
        metric=metric,
        margin=margin,  # pyright: ignore[reportArgumentType]
        margin_end=margin_end,
        easy_epochs=easy_epochs,
        classes_per_batch=min(len(classes.names), 16) if classes_per_batch is None else classes_per_batch,
        per_class=8 if per_class is None else per_class,
        steps=200 if steps is None and batch_size is None and triplets is None else steps,
        seed=seed,
        plan=Plan(epochs, optimizer, learning_rate, warmup, decay, weight_decay),
        batch_size=batch_size,
        triplets=triplets,
        loss_every=loss_every,
    )
    job = make_job(records, classes, spec, fit, settings)
    if per_class is None:
        smallest = int(np.bincount(job.numbers()).min())
        job = replace(job, settings=replace(settings, per_class=max(2, min(8, smallest))))
    job.loss()
    job.drawn(job.numbers(), 0)  # what does not fit is refused here, before anything is written
    job.network()
    smallest = len(job.numbers()) - 1
    defaults = [k for k in (5, 1, 3, 10, 20) if k <= smallest]
    ks = defaults if neighbours is None else list(dict.fromkeys(_several(neighbours)))
    if not ks or min(ks) < 1 or max(ks) > smallest:
        raise UserError("neighbours", expected=f"numbers in 1 to {smallest}", received=ks)
    artifact = build(
        folder,
        Recipe(
            "embed", {**job.arguments(), "neighbours": ks}, {"records": records.fingerprint},
            job.backbone.weights_sha256,
        ),
        lambda draft: _write(draft, job, ks),
        overwrite=overwrite,
        settings={"network": spec.noted(), "device": devices.name()},
        changed={"records": lambda there: shared.other_records(there, records)},
    )  # fmt: skip
    return _result(artifact)


def _several(neighbours: int | Sequence[int]) -> list[int]:
    return [neighbours] if isinstance(neighbours, int) else list(neighbours)


def _check(given: dict[str, Any]) -> None:
    """Check the arguments that bind each other."""
    end, margin = given["margin_end"], given["margin"]
    if end is not None and (margin == "soft" or not isinstance(margin, int | float) or not margin <= end < math.inf):
        raise UserError("margin_end", expected=f"a number of `margin` ({margin}) or more", received=end)
    drawn = given["mining"] == "random"
    if given["batch_size"] is not None and drawn:
        remedy = "Pass --triplets for the size of its batches."
        raise conflict("batch_size", "--mining random", given["batch_size"], remedy)
    if given["triplets"] is not None and not drawn:
        raise conflict("triplets", f"--mining {given['mining']}", given["triplets"], "Pass --mining random.")
    for name in ("classes_per_batch", "per_class"):
        for other in ("batch_size", "triplets"):
            if given[name] is not None and given[other] is not None:
                raise conflict(name, f"--{other.replace('_', '-')}", given[name])


def _write(draft: Path, job: "EmbeddingTraining", ks: list[int]) -> dict[str, Any]:
    """Train, measure, and fill the files of the artifact."""
    from fashionprobe.siamese.embedding_training import decoded, embedded, held_out, train
    from fashionprobe.siamese.evaluate import evaluate

    steps = job.settings.plan.epochs * job.steps(len(job.numbers()))
    with progress.bar(total=len(job.numbers()), unit="image", description="decode") as bar:
        (draft / ".pictures").mkdir(exist_ok=True)
        pictures = decoded(job, draft / ".pictures", report=bar.update)
    held = held_out(job) if job.settings.loss_every else None
    with progress.bar(total=steps, unit="batch", description="train") as bar:
        trained = train(job, draft, pictures, held_out=held, report=bar.update)
    with progress.bar(total=len(job.items), unit="image", description="embed") as bar:
        points = embedded(job, trained.network, report=bar.update)
    trained.network.save(draft / "model.keras")
    found = evaluate(
        points, job.items["number"].to_numpy(), job.items["split"].to_numpy(str), job.classes.names,
        neighbours=ks, metric=job.settings.metric, seed=job.settings.seed,
    )  # fmt: skip
    scores = _scores(job, found, points, ks[0])
    _write_tables(draft, found, scores)
    figures = Figures(draft)
    _draw(figures, job, trained, found, points)
    return _facts(job, trained, scores) | {"figures": figures.notes}


def _write_tables(draft: Path, found: "Evaluation", scores: "pd.DataFrame") -> None:
    # The loss of a narrow embedding is as small as the margin.
    scores.to_csv(draft / "scores.csv", index=False, float_format="%.6g")
    found.table.to_csv(draft / "evaluation.csv", index=False, float_format="%.6f")
    found.per_class.to_csv(draft / "per_class.csv", index=False, float_format="%.6f")
    for split, counts in found.confusions.items():
        counts.rename_axis("true / predicted").to_csv(draft / f"confusion_{split}.csv")


def _draw(
    figures: Figures, job: "EmbeddingTraining", trained: "EmbeddingOutcome", found: "Evaluation", points: "np.ndarray"
) -> None:
    """Draw training, maps and confusions; the pages show those of the last split."""
    import numpy as np

    from fashionprobe.plots.maps import scatter
    from fashionprobe.plots.per_class import confusion
    from fashionprobe.plots.training import embedding_training, loss_curves

    label = job.classes.label
    curves = embedding_training(trained.history, title=f"Embedding by {label}")
    figures.add("training", curves, "Training", "Loss, triplets that fail, and distances, by epoch.")
    if trained.losses is not None:
        text = "Loss of the batches since the mark before, as they were trained on, and of fixed batches that were not."
        figures.add("losses", loss_curves(trained.losses, title=f"Loss of the embedding by {label}"), "Loss", text)
    places, kind = _places(job, points)
    names = np.asarray(job.classes.names)[job.items["number"]]
    table = job.items[["id", "split"]].assign(**{label: names, "x": places[:, 0], "y": places[:, 1]})
    table.to_csv(figures.folder / "map.csv", index=False, float_format="%.6g")
    for split, counts in found.confusions.items():
        of = job.items["split"].to_numpy() == split
        shown = of & np.isfinite(places).all(axis=1)
        heading = f"{label}, {split} ({shown.sum()} images)"
        figures.write(f"map_{split}", scatter(places[shown], names[shown], title=heading, kind=kind))
        figures.write(f"confusion_{split}", confusion(counts, title=heading))
    last = [*found.confusions][-1]
    silhouette = found.silhouette[last]
    what = "The embedding" if job.settings.dimension == 2 else "The embedding, by UMAP fitted on train"
    figures.describe(f"map_{last}", "Map", f"{what}: the {last} images; silhouette {silhouette:.2f}.")
    neighbours = f"Classes of the {last} images by their neighbours in train."
    figures.describe(f"confusion_{last}", "Confusion", neighbours)


def _places(job: "EmbeddingTraining", points: "np.ndarray") -> "tuple[np.ndarray, str]":
    """Return where each image is in the plane, NaN for those that are not drawn, and what the axes are."""
    import numpy as np

    from fashionprobe.attributes.reduce import nearest, reduce

    if points.shape[1] == 2:
        return points, "the embedding"
    rng = np.random.default_rng(job.settings.seed)
    splits = job.items["split"].to_numpy()
    places = np.full((len(points), 2), np.nan)
    drawn = {}
    for split in np.unique(splits):
        rows = np.flatnonzero(splits == split)
        drawn[split] = np.sort(rng.choice(rows, MAPPED, replace=False)) if len(rows) > MAPPED else rows
    train = drawn.pop("train")
    with progress.bar(total=1 + len(drawn), unit="map", description="map") as bar:
        reduced = reduce(nearest(points[train]), 2, seed=job.settings.seed)
        places[train] = reduced.points
        bar.update()
        for rows in drawn.values():
            places[rows] = reduced.transform(points[rows])
            bar.update()
    return places, "UMAP"


def _scores(job: "EmbeddingTraining", found: "Evaluation", points: "np.ndarray", k: int) -> "pd.DataFrame":
    """Return the headline numbers, one row per split."""
    import pandas as pd

    rows = {(row["split"], row["classifier"], row["k"]): row for row in found.table.to_dict("records")}
    splits, numbers = job.items["split"].to_numpy(), job.items["number"].to_numpy()
    table = []
    for split in found.silhouette:
        knn, mean, of = rows[split, "knn", k], rows[split, "nearest_mean", 0], splits == split
        table.append({
            "split": split, **{name: knn[name] for name in ("images", "k", "accuracy", "low", "high")},
            "knn_auc": knn["auc"], "mean_accuracy": mean["accuracy"], "mean_auc": mean["auc"],
            "silhouette": found.silhouette[split],
            "silhouette_nearest_point": found.silhouette_nearest_point[split],
            "loss": job.measured(points[of], numbers[of]),
        })  # fmt: skip
    return pd.DataFrame(table)


def _facts(job: "EmbeddingTraining", trained: "EmbeddingOutcome", scores: "pd.DataFrame") -> dict[str, Any]:
    """Gather what the manifest, the report and later stages need to know."""
    counts = job.items["split"].value_counts()
    known = scores.astype(object).where(scores.notna(), None).set_index("split").to_dict("index")
    return {
        "dataset": job.records.path.name,
        "label": job.classes.label,
        "classes": list(job.classes.names),
        "rare": dict(job.classes.rare),
        "missing": job.classes.missing,
        "images": {split: int(counts.get(split, 0)) for split in ("train", "val", "test")},
        "backbone": job.backbone.name,
        "weights": job.backbone.weights,
        "size": list(job.backbone.size),
        "blocks": len(job.backbone.taps) + 1,
        "dimension": job.settings.dimension,
        "parameters": trained.network.count_params(),
        "states": trained.states,
        "scores": known,
    }


def _result(artifact: Artifact) -> Embedding:
    facts = artifact.facts
    split = [name for name in ("train", "val", "test") if name in facts["scores"]][-1]
    found = facts["scores"][split]
    auc, silhouette = (math.nan if found[name] is None else found[name] for name in ("knn_auc", "silhouette"))
    if facts["rare"]:
        log.info("%d rare classes (%d images) left out", len(facts["rare"]), sum(facts["rare"].values()))
    if facts["missing"]:
        log.info("%d images without a %s left out", facts["missing"], facts["label"])
    for state, epoch in facts["states"].items():
        log.info("The embedding has %s in epoch %d.", state, epoch)
    log.info(
        "%s: %d dimensions, %d-NN %.3f (%.3f to %.3f) on %d %s images, its AUC %.3f, silhouette %.2f. "
        "Next: fashionprobe extract --dataset %s --run %s --backbone %s --block %d",
        artifact.outcome, facts["dimension"], found["k"], found["accuracy"],
        found["low"], found["high"], found["images"], split, auc, silhouette, facts["dataset"],
        artifact.path.parent.name, artifact.path / "model.keras", facts["blocks"],
    )  # fmt: skip
    return Embedding(
        artifact.path, artifact.path / "model.keras", facts["dimension"], found["accuracy"], auc, silhouette,
        facts["states"], reused=artifact.reused,
    )  # fmt: skip
