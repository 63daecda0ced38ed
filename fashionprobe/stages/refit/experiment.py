"""The work of `refit`: every method and seed in turn, each kept on disk, then tables over all of them."""

import functools
import importlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import tensorflow as tf

from fashionprobe import progress
from fashionprobe.errors import Situation, UserError
from fashionprobe.explain.cam import grad_cam
from fashionprobe.explain.heatmaps import heatmap
from fashionprobe.feedback.comparison import Bench, Labelled, Material, mask_at_tap
from fashionprobe.feedback.correctable import Correctable
from fashionprobe.feedback.inpainter import as_paint, train_inpainter
from fashionprobe.feedback.methods import Method
from fashionprobe.feedback.refit import Batches, Masked, Plan, Stepper
from fashionprobe.feedback.replace import Paint, navier_stokes, telea
from fashionprobe.feedback.significance import heat_inside
from fashionprobe.inputs.classifier import WRONG, Data, Trained
from fashionprobe.inputs.masks import Masks
from fashionprobe.training import augment

if TYPE_CHECKING:
    from fashionprobe.explain.explained_model import ExplainFunction

RUNS = ".runs"
"""Folder of the draft in which each method and seed is kept when it is done."""

VALIDATION, TRAINING, DONORS, HEATED = 400, 1000, 200, 40
"""Images at most: that choose an iteration, that measure training, that give pixels, whose heat is measured."""

HELD_OUT, FEWEST = 0.2, 20
"""Share of the masked images that chooses an iteration, from this number of masks on."""

PENALIZED = ("pas", "pasa", "rrr", "rrr_g")
INPAINTER_STEPS = 100


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that decides the result of a refit.

    Attributes:
        trained: The network.
        data: The images.
        masks: The masks.
        methods: The methods, the base first and the one asked for second.
        main: The one asked for.
        plan: How they are run.
        random: Random images in a batch.
        swept: Values to try of lam, b and th.
        mask_counts: Numbers of masks to try; [] for all of them.
        freeze: Blocks 1 to this one keep their weights.
        paint: Where the user's own function is; None for none.
        augment: Names of the changes of the rival from scratch.
        seeds: The seeds.
        by: Label column by whose values the test images are grouped.
    """

    trained: Trained
    data: Data
    masks: Masks
    methods: list[Method]
    main: Method
    plan: Plan
    random: int
    swept: dict[str, list[float]]
    mask_counts: list[int]
    freeze: int
    paint: str | None
    augment: list[str]
    seeds: list[int]
    by: str | None

    def arguments(self) -> dict[str, Any]:
        """Return all that changes the result, as plain values."""
        plan = {name: value for name, value in asdict(self.plan).items() if name not in ("loss", "lam", "b", "th")}
        return {
            "method": self.main.name, "rivals": [each.name for each in self.methods[2:]], **plan,
            "random": self.random, **self.swept, "mask_count": self.mask_counts, "freeze": self.freeze,
            "paint": self.paint, "augment": self.augment, "seeds": self.seeds, "by": self.by,
        }  # fmt: skip

    def inputs(self) -> dict[str, str]:
        """Return the fingerprints of what is read."""
        read = {"train": self.trained.artifact, "records": self.data.records, "masks": self.masks.artifact}
        return {name: artifact.fingerprint for name, artifact in read.items()}

    def network(self) -> Correctable:
        """Open the network, frozen as asked for.

        Raises:
            UserError: If there is no such block.
        """
        taps = [name for name in self.trained.backbone.taps]
        if not 0 <= self.freeze <= len(taps):
            raise UserError("freeze", expected=f"in 0 to {len(taps)}, the blocks of the network", received=self.freeze)
        network = Correctable(self.trained.model)
        network.freeze(taps[self.freeze - 1] if self.freeze else None)
        return network

    def check(self) -> None:
        """Refuse what the network or the masks do not allow."""
        network = self.network()
        if self.main.head:
            network.need_head("head")
        Stepper(network, self.main.loss).start(self.plan)
        augment.layers(self.augment, seed=0)
        if self.paint:
            _own_function(self.paint)
        known = set(self.data.items["id"])
        foreign = [name for name in self.masks.ids if name not in known]
        if foreign:
            raise UserError(
                "masks", expected=f"masks of images that have a {self.data.label} which the network knows",
                received=f"{foreign[0]}, without one, and {len(foreign) - 1} others",
            )  # fmt: skip
        used = [split for split in self.masks.splits if split == "train"]
        most = max(self.mask_counts, default=1)
        if len(used) < most:
            raise UserError(
                "masks", expected=f"{most} masks or more of images of the train split", received=len(used),
                remedy="Mark more of them: fashionprobe masks --split train.",
            )  # fmt: skip


def write(draft: Path, job: Job) -> dict[str, Any]:
    """Run everything, or what a killed run left to do, and fill the files of the artifact."""
    from fashionprobe.stages.refit.results import Found, write_files

    network = job.network()
    names = job.trained.classes
    explainer = grad_cam(network.model, network.tap)
    material = _material(job, network, _wrong(job, network))
    bench = Bench(network, material, job.plan, _fresh_plan(job))
    train = job.data.sample("train", TRAINING, 0)
    heated = material.masked.take(np.arange(min(HEATED, len(material.masked))))
    found, left_out, tried = [], {}, []
    total = sum(bench.iterations(method) for method in job.methods) * len(job.seeds)
    with progress.bar(total=total, unit="iteration", description="refit") as bar:
        for method in job.methods:
            try:
                best, table = _swept(draft, job, bench, method, bar.update)
                done = []
                for seed in job.seeds:
                    done.append(Found(method, seed, draft / RUNS / f"{method.name}-{seed}"))
                    if done[-1].folder.is_dir():
                        bar.update(bench.iterations(method))
                        continue
                    with _whole(done[-1].folder) as folder:
                        _run(folder, job, best, method, seed, bar.update, explainer, train, heated)
            except UserError as error:
                if method in job.methods[:2]:
                    raise
                left_out[method.title] = str(error)
                continue
            found += done
            tried += table
    return write_files(draft, job, network, found, left_out, pd.DataFrame(tried), heated, train[1], names)


def _run(
    folder: Path, job: Job, bench: Bench, method: Method, seed: int, report: Callable[[int], object],
    explainer: "ExplainFunction", train: Labelled, heated: Masked,
) -> None:  # fmt: skip
    """Run one method with one seed, measure it, and keep what came out."""
    started = tf.timestamp()
    outcome = bench.run(method, seed, report=report)
    seconds = float(tf.timestamp() - started)
    network = bench.network
    parts = [(network.probabilities(images), labels) for images, labels in job.data.stream(("val", "test"))]
    probabilities, truth = (np.concatenate(each) for each in zip(*parts, strict=True))
    measured = job.data.items[job.data.items["split"].isin(["val", "test"])]
    if not np.array_equal(truth, measured["number"].to_numpy()):
        raise UserError(str(job.data.records.path), expected="records in the order of items.csv", received="others")
    splits = measured["split"].to_numpy()
    maps = heatmap(explainer(heated.images, heated.labels), job.data.size)
    outcome.history.to_csv(folder / "history.csv", index=False)
    outcome.probabilities.to_csv(folder / "masked.csv", index=False)
    np.savez(
        folder / "found.npz", train=network.probabilities(train[0]), val=probabilities[splits == "val"],
        test=probabilities[splits == "test"], heat=maps.astype(np.float16), inside=heat_inside(maps, heated.masks),
        certain=network.probabilities(heated.images),
    )  # fmt: skip
    noted = {"iteration": outcome.iteration, "strength": outcome.strength, "seconds": seconds, **bench.score(seed)}
    (folder / "noted.json").write_text(json.dumps(noted), encoding="utf-8")
    if method == job.main:
        network.model.save_weights(folder / "kept.weights.h5")


class _whole:
    """A folder that is there when the block has ended well, and else not at all."""

    def __init__(self, path: Path) -> None:
        self._path, self._part = path, path.with_name(f"{path.name}.part")

    def __enter__(self) -> Path:
        shutil.rmtree(self._part, ignore_errors=True)
        self._part.mkdir(parents=True)
        return self._part

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is None:
            os.replace(self._part, self._path)


def _swept(
    draft: Path, job: Job, bench: Bench, method: Method, report: Callable[[int], object]
) -> tuple[Bench, list[dict[str, Any]]]:
    """Try the numbers of a penalty with the first seed; return a bench with the best of them, and the table."""
    grid: dict[str, list[Any]] = {"lam": job.swept["lam"]} if method.loss in PENALIZED else {}
    if method.loss == "pasa":
        grid |= {"b": job.swept["b"], "th": job.swept["th"]}
    if method == job.main and job.mask_counts:
        grid["masks"] = job.mask_counts
    points = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    benches = [_at(job, bench, point) for point in points]
    if len(points) == 1:
        return benches[0], []
    rows = []
    for number, (point, tried) in enumerate(zip(points, benches, strict=True)):
        kept = draft / RUNS / f"{method.name}-try-{number}"
        if not kept.is_dir():
            with _whole(kept) as folder:
                tried.run(method, job.seeds[0])
                (folder / "score.json").write_text(json.dumps(tried.score(job.seeds[0])), encoding="utf-8")
        rows.append({"method": method.title, **point, **json.loads((kept / "score.json").read_text(encoding="utf-8"))})
    best = int(np.argmax([row["score"] for row in rows]))
    for number, row in enumerate(rows):
        row["chosen"] = number == best
    return benches[best], rows


def _at(job: Job, bench: Bench, point: dict[str, Any]) -> Bench:
    """Return the bench with these numbers; steps that are compiled already are used again."""
    numbers = {name: value for name, value in point.items() if name != "masks"}
    material = bench.material
    if "masks" in point:
        rows = np.random.default_rng(job.seeds[0]).permutation(len(material.masked))[: point["masks"]]
        material = replace(material, masked=material.masked.take(np.sort(rows)))
    return bench.at(material, replace(bench.plan, **numbers))


def _fresh_plan(job: Job) -> Plan:
    """Return the plan of a training from the start: as many images as the training saw, at its rate."""
    images = len(job.data.of("train")) * job.trained.artifact.facts["epochs"]
    iterations = max(job.plan.iterations, images // job.random)
    rate = job.trained.arguments["learning_rate"]
    every = max(iterations // 10, 1)
    return replace(job.plan, iterations=iterations, learning_rate=rate, decay="cosine", check_every=every)


def _wrong(job: Job, network: Correctable) -> list[str]:
    """Return the ids of training images that the network has wrong, in a random order."""
    if not any(method.pool == "wrong" for method in job.methods):
        return []
    right = [network.probabilities(images).argmax(axis=1) == labels for images, labels in job.data.stream(("train",))]
    ids = job.data.of("train")["id"].to_numpy()[~np.concatenate(right)]
    return np.random.default_rng(0).permutation(ids).tolist()


def _material(job: Job, network: Correctable, wrong: list[str]) -> Material:
    """Gather what the methods may use."""
    masked, held_out = _split_masks(job, network)
    data, donors = job.data, job.data.sample("train", DONORS, 1)
    numbers = dict(zip(data.items["id"], data.items["number"], strict=True))

    def batches(pool: str, seed: int) -> Batches:
        if pool != "wrong":
            return data.batches(tuple(pool.split("+")), job.random, seed)
        if not wrong:
            raise Situation(
                "rivals", "misclassified has nothing to learn from: every training image is classified correctly.",
                "Drop it from --rivals.",
            )  # fmt: skip
        ids = wrong[:WRONG]
        return data.mixed((data.pictures(ids), np.array([numbers[name] for name in ids])), job.random, seed)

    def fresh(seed: int) -> None:
        if job.freeze and job.trained.artifact.facts["weights"].startswith("random"):
            raise UserError("freeze", expected="0 for training from random weights", received=job.freeze)
        network.model.set_weights(job.trained.fresh(seed))

    def changed(seed: int) -> Callable[[np.ndarray], np.ndarray]:
        changes = augment.layers(job.augment, seed=seed)

        @tf.function(input_signature=[tf.TensorSpec((None, *data.size, 3), tf.float32)], autograph=False)
        def change(images: tf.Tensor) -> tf.Tensor:
            for layer in changes:
                images = layer(images, training=True)
            return images

        return lambda images: change(tf.constant(images)).numpy()

    return Material(batches, masked, held_out, data.sample("val", VALIDATION, 0), donors, _paints(job), fresh, changed)


def _split_masks(job: Job, network: Correctable) -> tuple[Masked, Masked | None]:
    """Return the masked images to train with, and those that choose the iteration: of val, else some of train."""
    given = job.masks
    data, ids = job.data, np.array(given.ids)
    numbers = dict(zip(data.items["id"], data.items["number"], strict=True))
    labels = np.array([numbers[name] for name in ids])
    together = mask_at_tap(network, ids, data.pictures(list(ids)), labels, given.fitted(data.size, data.fit))
    held_out = np.array([split == "val" for split in given.splits])
    if not held_out.any() and len(ids) >= FEWEST:
        order = np.random.default_rng(0).permutation(len(ids))
        held_out[order[: round(HELD_OUT * len(ids))]] = True
    chooses = len(np.unique(labels[held_out])) > 1
    return together.take(np.flatnonzero(~held_out)), together.take(np.flatnonzero(held_out)) if chooses else None


def _paints(job: Job) -> dict[str, Callable[[int], Paint]]:
    """Return what makes the function that fills regions, by the name of the replacement."""

    def generative(seed: int) -> Paint:
        def images() -> Iterator[np.ndarray]:
            return (batch for batch, _ in job.data.stream(("train",), 16))

        side = tuple(max(8, number // 8 * 8) for number in job.data.size)
        return as_paint(train_inpainter(images, (side[0], side[1]), steps=INPAINTER_STEPS, seed=seed, width=12))

    first = functools.cache(lambda: generative(job.seeds[0]))
    paints: dict[str, Callable[[int], Paint]] = {
        "telea": lambda seed: telea, "navier_stokes": lambda seed: navier_stokes, "generative": lambda seed: first(),
    }  # fmt: skip
    own = job.paint
    if own is not None:
        paints["function"] = lambda seed: _own_function(own)
    return paints


def _own_function(name: str) -> Any:
    """Import the user's function."""
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            "paint", expected="package.module:name of a function that Python can import",
            received=f"{name} ({error})",
        ) from error  # fmt: skip
    if not callable(found):
        raise UserError("paint", expected="the name of a function", received=name)
    return found
