"""Stage `preview`: what a refit would use, before it is used: filled regions, and how large PASA's penalty is."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fashionprobe.inputs.arguments as shared
from fashionprobe.artifacts import Artifact, Recipe, Result, build
from fashionprobe.errors import UserError, unknown_name
from fashionprobe.inputs.classifier import find_trained, open_data, open_trained
from fashionprobe.plots.save import Figures

if TYPE_CHECKING:
    import pandas as pd

    from fashionprobe.feedback.comparison import Bench
    from fashionprobe.feedback.correctable import Correctable
    from fashionprobe.feedback.refit import MaskedImages
    from fashionprobe.stages.refit.experiment import Experiment, Subject

log = logging.getLogger(__name__)

PLAIN = 400
"""Training images without masks at most, whose Act is measured."""

FILLED = 8
"""Masked images that are filled."""


@dataclass(frozen=True)
class Preview(Result):
    """What a refit would use.

    Attributes:
        table: Act and probability of each image, `activations.csv`.
        b: Base of PASA to start from.
        th: Threshold of PASA to start from.
    """

    table: Path
    b: float
    th: float


@shared.stage
def preview(
    *,
    run: shared.Place,
    dataset: shared.Place | None = None,
    masks: shared.Place | None = None,
    replace: list[str] | str = "telea,navier_stokes,generative,crops,noise",
    fillings: int = 1,
    seed: int = 0,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Preview:
    """Show what fills masked regions, and the size of penalties.

    Look before a refit: a filling that still shows what it should hide needs another mask, or another method. The size
    of the activations inside the masks says which B and th of PASA make a penalty that the network feels.

    Args:
        dataset: Record set to refit with. Default: the one of the training.
        masks: Run or folder that holds the masks. Default: those of this run.
        replace: What fills the masked regions, of: telea, navier_stokes (OpenCV), generative, crops, noise.
        fillings: How often each region is filled by generative, crops and noise.
        seed: Seed of the fillings and of the images without masks.

    Returns:
        The preview: path and suggestion.

    Raises:
        UserError: If an argument does not fit, or the network, the records or the masks are missing or damaged.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe preview --run symbols --replace crops,noise
    """
    from fashionprobe.feedback import methods

    folder = shared.run_path(run, runs_root)
    names, there = shared.listed("replace", replace) or [], methods.REPLACEMENTS[:-1]
    for name in names:
        if name not in there:
            raise unknown_name("replace", name, there)
    chosen = [methods.method(replace=name) for name in names]
    find_trained(folder, trust=trust)

    from fashionprobe.feedback.refit import Plan
    from fashionprobe.inputs.masks import open_masks
    from fashionprobe.stages.refit.experiment import Experiment, Subject

    trained = open_trained(folder, trust=trust)
    data = open_data(trained, dataset, tfrecords_root)
    given = open_masks(folder / "masks" if masks is None else masks, data.records, runs_root=runs_root)
    subject = Subject(trained, data, given)
    experiment = Experiment(
        methods=chosen, main=methods.method("pasa"), plan=Plan(keep_best=False), random=50, swept={}, mask_counts=[],
        freeze=0, fillings=fillings, paint=None, augment=[], seeds=[seed], by=None,
    )  # fmt: skip
    experiment.check(subject)
    artifact = build(
        folder / "preview",
        Recipe(
            "preview", {"replace": [each.name for each in chosen], "fillings": fillings, "seed": seed},
            subject.inputs(), trained.backbone.weights_sha256,
        ),
        lambda draft: _write(draft, experiment, subject),
        overwrite=overwrite,
    )  # fmt: skip
    return _result(artifact)


def _write(draft: Path, experiment: "Experiment", subject: "Subject") -> dict[str, Any]:
    import numpy as np

    from fashionprobe.feedback.comparison import Bench
    from fashionprobe.feedback.settings import DOCUMENTED, penalties, suggest
    from fashionprobe.plots.refit_settings import act_and_penalties
    from fashionprobe.stages.refit.experiment import fresh_plan, refit_data_of

    network = subject.network(0)
    data = refit_data_of(experiment, subject, network)
    table, entropy = _measured(subject, network, data.masked, experiment.seeds[0])
    table.to_csv(draft / "activations.csv", index=False, float_format="%.6f")
    masked = table[table["masked"]]
    act, certain = masked["act"].to_numpy(), masked["probability"].to_numpy()
    b, th = suggest(act, certain, entropy) if act.any() else (1.0, 0.7)
    figures = Figures(draft)
    settings = {**DOCUMENTED, f"to start from ({b:.2g}, {th:.2g})": (b, th)}
    sizes = {name: penalties(act, certain, *pair) for name, pair in settings.items()}
    figures.add(
        "act", act_and_penalties(table, sizes, entropy), "How large the penalty of PASA would be",
        "Act, the mean activation, over the whole map of training images and inside the masks; and the penalty inside "
        "the masks by B and th: those of the visual-feedback thesis, and ours to start from. The dotted line is the "
        "cross-entropy of the training images: a penalty far below it changes little.",
    )  # fmt: skip
    left_out = _fill(figures, Bench(network, data, experiment.plan, fresh_plan(experiment, subject),
                                    experiment.fillings), experiment, subject)  # fmt: skip
    mean = table.groupby("masked")["act"].agg(["mean", "min", "max"])
    return {
        "dataset": subject.data.records.path.name, "masks": len(data.masked), "b": round(b, 3), "th": th,
        "cross_entropy": entropy, "left_out": left_out, "figures": figures.notes,
        "act": {("inside" if key else "whole"): np.round(row, 4).tolist() for key, row in mean.iterrows()},
    }  # fmt: skip


def _measured(
    subject: "Subject", network: "Correctable", masked: "MaskedImages", seed: int
) -> "tuple[pd.DataFrame, float]":
    """Return id, masked, act and probability of the true class, and the cross-entropy of the images without masks."""
    import numpy as np
    import pandas as pd
    import tensorflow as tf

    from fashionprobe.feedback.losses import mean_inside

    images, labels = subject.data.sample("train", PLAIN, seed)
    rows = subject.data.of("train")["id"].to_numpy()
    names = rows[np.sort(np.random.default_rng(seed).permutation(len(rows))[:PLAIN])]
    whole = np.ones((len(images), *network.shape[:2]), np.float32)
    parts = []
    for ids, pictures, numbers, at_tap, inside in (
        (names, images, labels, whole, False), (masked.ids, masked.images, masked.labels, masked.at_tap, True),
    ):  # fmt: skip
        for start in range(0, len(pictures), 64):
            part = slice(start, start + 64)
            maps, scores = network(tf.cast(pictures[part], tf.float32), training=False)
            certain = np.take_along_axis(tf.nn.softmax(scores).numpy(), numbers[part][:, None], axis=1)[:, 0]
            act = np.asarray(mean_inside(maps, at_tap[part]))
            parts.append(pd.DataFrame({"id": ids[part], "masked": inside, "act": act, "probability": certain}))
    table = pd.concat(parts, ignore_index=True)
    plain = table.loc[~table["masked"], "probability"].to_numpy(np.float64)
    return table, float(-np.log(np.maximum(plain, 1e-12)).mean())


def _fill(figures: Figures, bench: "Bench", experiment: "Experiment", subject: "Subject") -> dict[str, str]:
    """Write and draw the filled images; return why a method could not fill, by its title."""
    from dataclasses import replace

    import numpy as np
    from PIL import Image

    from fashionprobe.plots.correction import Line, masked_table
    from fashionprobe.stages.refit.experiment import fillings_of

    masked = bench.data.masked.take(np.arange(min(FILLED, len(bench.data.masked))))
    bench = bench.at(replace(bench.data, masked=masked), bench.plan)
    names = subject.trained.classes
    lines = [Line("Image", list(masked.images.astype(np.uint8)), [names[number] for number in masked.labels])]
    left_out = {}
    for method in experiment.methods:
        try:
            filled = fillings_of(bench, method, experiment.seeds[0])
        except UserError as error:
            left_out[method.title] = str(error)
            continue
        for number, images in enumerate(filled):
            title = method.title + (f", {number + 1}" if len(filled) > 1 else "")
            lines.append(Line(title, list(images), [""] * len(images), outlined=False))
            for place, image in enumerate(images, start=1):
                Image.fromarray(image).save(figures.folder / f"{method.name}-{place:05d}-{number + 1}.png")
    if len(lines) > 1:
        figures.add(
            "fillings", masked_table(lines, list(masked.masks)), "What the masked regions would be filled with",
            "Where a filling shows what it should hide, edit the mask (in the app, tab Mark) or take another method.",
        )  # fmt: skip
    return left_out


def _result(artifact: Artifact) -> Preview:
    facts, run = artifact.facts, artifact.path.parent.name
    for name, reason in facts["left_out"].items():
        log.info("%s left out: %s", name, reason)
    whole, inside = facts["act"]["whole"], facts["act"]["inside"]
    log.info("Act over whole maps: mean %.3f (%.3f to %.3f); inside the masks: mean %.3f (%.3f to %.3f)",
             *whole, *inside)  # fmt: skip
    log.info(
        "%s: fillings and penalties of %d masks. Next: fashionprobe refit --run %s --loss pasa --b %.3g --th %.3g",
        artifact.outcome, facts["masks"], run, facts["b"], facts["th"],
    )  # fmt: skip
    return Preview(artifact.path, artifact.path / "activations.csv", facts["b"], facts["th"], reused=artifact.reused)
