"""Stage `refit`: a trained network continues training with an expert's masks, and is measured against rivals."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe import text_tables
from fashionprobe.artifacts import Artifact, Recipe, Result, build
from fashionprobe.errors import conflict, missing, unknown_name
from fashionprobe.inputs.classifier import find_trained, open_data, open_trained
from fashionprobe.training.augment import check as check_augmentations

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refitted(Result):
    """A corrected classifier on disk, and what became of its rivals.

    Attributes:
        model: The corrected network, `model.keras`: RGB images in [0, 255] -> class probabilities.
        method: The method that made it.
        before: Accuracy of the network before, on the test images.
        after: Mean accuracy afterwards over the seeds, on the test images.
        best: The method with the highest mean accuracy on the test images.
    """

    model: Path
    method: str
    before: float
    after: float
    best: str


@shared.stage
def refit(
    *,
    run: shared.Place,
    dataset: shared.Place | None = None,
    masks: shared.Place | None = None,
    loss: Literal["ce", "pas", "pasa", "rrr", "rrr_g", "dropout"] = "pasa",
    replace: Literal["none", "telea", "navier_stokes", "generative", "crops", "noise", "function"] = "none",
    paint: str | None = None,
    head: Literal["keep", "refit"] = "keep",
    rivals: list[str] | str = "all",
    iterations: int = 100,
    random: int = 50,
    masked: int = 5,
    learning_rate: float | None = None,
    lam: float | list[float] = 1.0,
    scale: Literal["formula", "relative", "absolute"] = "formula",
    b: float | list[float] = 0.4,
    th: float | list[float] = 0.7,
    mask_count: int | list[int] | None = None,
    dropped: int = 20,
    fillings: int = 1,
    keep: Literal["best", "last"] = "best",
    freeze: int = 0,
    augment: list[str] | str = "flip,shift,zoom,rotate",
    check_every: int = 10,
    seeds: int = 3,
    by: str | None = None,
    seed: int = 0,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Refitted:
    """Correct a network with masks; compare with other methods.

    The network that `train` wrote continues training: each batch holds random images and a few masked ones, and the
    loss punishes what the network sees inside the masks. By default PAS and PASA weigh it as the visual-feedback thesis
    does. All methods start from the same weights and take the same number of iterations; the iteration kept is chosen
    without the test images. The trained network does not change.

    Args:
        dataset: Record set to refit and measure with. Default: the one of the training.
        masks: Run or folder that holds the masks. Default: those of this run.
        loss: pasa (activations inside the mask, by the certainty of the class), pas (activations inside the mask), rrr
            (gradients inside the mask), rrr_g (class activation map inside the mask), dropout (selective dropout), or
            ce (cross-entropy alone).
        replace: Fill the masked regions instead of punishing them: telea or navier_stokes (OpenCV), generative (a
            small network trained on these images), crops (of other images), noise, or function (see `paint`).
        paint: Your own function for `replace`, as package.module:name; it takes an image, uint8 (height, width, 3), and
            a mask, bool (height, width), and returns an image. The code of that module runs.
        head: Keep the last layer as the refit leaves it, or fit it again on images whose masked regions are swapped.
        rivals: What the method is compared with: all, none, or some of continued, masked_images, misclassified,
            augmentation, all_data, with_validation, telea, navier_stokes, generative, crops, noise, dropout, rrr,
            rrr_g, head, pas, pasa, pasa_head.
        iterations: Batches.
        random: Random training images per batch.
        masked: Masked images per batch.
        learning_rate: Highest learning rate. Default: that of the training.
        lam: Weight of the penalty. Give several values, as 0.3,1,3, to search over them by validation.
        scale: What lam 1 means. formula: the weight that the source gives the penalty: 1 / (5 x rows x columns x
            channels) for pas, 1 for pasa, the cross-entropy's at the start for rrr and rrr_g. relative: the
            cross-entropy's at the start. absolute: the penalty as it is.
        b: Base of PASA: below 1 the penalty fades as the network gets sure, above 1 it grows. Give several values to
            search over them.
        th: Threshold of PASA. Give several values to search over them.
        mask_count: Number of masks used, drawn at random. Default: all. Give several values to search over them.
        dropped: Channels that selective dropout drops per image.
        fillings: How often each masked region is filled, each time differently, by generative, crops and noise.
        keep: best: the iteration that is best on validation and on swapped masked images, for which a fifth of 20 masks
            or more is held back. last: the last one, and no mask is held back.
        augment: Changes to the images in the rival that trains from scratch.
        check_every: Iterations between two measurements on validation.
        seeds: Runs of each method, with other random images and orders.
        by: A label column; accuracy on test is also shown for each of its values.
        seed: The first seed.

    Returns:
        The corrected network: paths and headline numbers.

    Raises:
        UserError: If an argument does not fit, or the network, the records or the masks are missing or damaged.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe refit --run symbols --loss pasa --b 0.8 --th 2
    """
    _check_numbers(locals())
    folder = shared.run_path(run, runs_root)

    from fashionprobe.feedback import methods

    main = methods.method(loss, replace="" if replace == "none" else replace, head=head == "refit")
    chosen = methods.choose(shared.listed("rivals", rivals) or ["all"], main)
    augmentations = shared.listed("augment", augment) or []
    check_augmentations(augmentations)
    find_trained(folder, trust=trust)

    from fashionprobe.feedback.refit import Plan
    from fashionprobe.inputs.masks import open_masks
    from fashionprobe.stages.refit.experiment import Experiment, Subject
    from fashionprobe.stages.refit.experiment import run as run_all
    from fashionprobe.stages.refit.results import write

    trained = open_trained(folder, trust=trust)
    data = open_data(trained, dataset, tfrecords_root)
    by = by and shared.spelled(by)
    if by is not None and by not in data.records.facts["columns"]:
        raise unknown_name("by", by, data.records.facts["columns"], what=f"a label column of {data.records.path.name}")
    given = open_masks(folder / "masks" if masks is None else masks, data.records, runs_root=runs_root)
    subject = Subject(trained, data, given)
    experiment = Experiment(
        methods=chosen,
        main=main,
        plan=Plan(
            iterations=iterations, masked=masked, optimizer=trained.arguments["optimizer"],
            learning_rate=learning_rate or trained.arguments["learning_rate"], scale=scale,
            dropped=dropped, check_every=check_every, keep_best=keep == "best",
        ),
        random=random,
        swept={"lam": _several(lam), "b": _several(b), "th": _several(th)},
        mask_counts=shared.numbers(mask_count) or [],
        freeze=freeze,
        fillings=fillings,
        paint=paint,
        augment=augmentations,
        seeds=list(range(seed, seed + seeds)),
        by=by,
    )  # fmt: skip
    experiment.check(subject)  # what does not fit is refused here, before anything is written
    artifact = build(
        folder / "refit",
        Recipe("refit", experiment.arguments(), subject.inputs(), trained.backbone.weights_sha256),
        lambda draft: write(draft, experiment, subject, run_all(draft, experiment, subject)),
        overwrite=overwrite,
    )
    return _result(artifact)


def _several(value: float | Sequence[float]) -> list[float]:
    """Return the values to try, in their order, each once."""
    return [float(value)] if isinstance(value, int | float) else list(dict.fromkeys(map(float, value)))


def _check_numbers(given: dict[str, Any]) -> None:
    """Check the arguments that are numbers, or belong together."""
    from fashionprobe.feedback.ranges import check

    for name in ("lam", "b", "th"):
        for value in _several(given[name]):
            check(**{name: value})
    if given["paint"] is None and given["replace"] == "function":
        raise missing("paint", "--replace function needs it", "Such as --paint package.module:name.")
    if given["paint"] is not None and given["replace"] != "function":
        raise conflict("paint", f"--replace {given['replace']}", given["paint"])


def _result(artifact: Artifact) -> Refitted:
    facts = artifact.facts
    for name, reason in facts["left_out"].items():
        log.info("%s not run: %s", name, reason)
    found, base = facts["test"][facts["method"]], facts["test"]["Base"]
    path, method, run = artifact.path, facts["method"], artifact.path.parent.name
    best = max(facts["test"], key=lambda name: facts["test"][name][0])
    ranked = sorted(facts["test"].items(), key=lambda row: -row[1][0])
    rows = [[name, f"{mean:.3f}", f"{mean - base[0]:+.3f}"] for name, (mean, *_) in ranked]
    for line in text_tables.aligned([["method", "test accuracy", "change"], *rows]):
        log.info("%s", line)
    spread = f" (sd {found[1]:.3f} over {facts['seeds']} seeds)" if facts["seeds"] > 1 else ""
    log.info(
        "%s: %s takes the accuracy on test from %.3f to %.3f%s; the best of %d is %s, %.3f. "
        "Next: fashionprobe see --run %s_corrected --dataset %s --backbone %s, or fashionprobe report --run %s",
        artifact.outcome, method, base[0], found[0], spread,
        len(facts["test"]), best, facts["test"][best][0], run, facts["dataset"], path / "model.keras", run,
    )  # fmt: skip
    return Refitted(path, path / "model.keras", method, base[0], found[0], best, reused=artifact.reused)
