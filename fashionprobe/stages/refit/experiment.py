"""The work of `refit`: what to run, on what, and every method and seed in turn, each kept on disk."""

import functools
import importlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
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
from fashionprobe.feedback.comparison import Bench, Labelled, RefitData, mask_at_tap
from fashionprobe.feedback.correctable import Correctable
from fashionprobe.feedback.inpainter import as_paint, train_inpainter
from fashionprobe.feedback.methods import Method
from fashionprobe.feedback.refit import Batches, MaskedImages, Plan, Stepper
from fashionprobe.feedback.replace import Paint, navier_stokes, telea
from fashionprobe.feedback.significance import heat_inside
from fashionprobe.inputs.classifier import WRONG, Data, TrainedClassifier
from fashionprobe.inputs.masks import Masks
from fashionprobe.training import augment

if TYPE_CHECKING:
    from fashionprobe.explain.explained_model import ExplainFunction

RUNS = ".runs"
"""Folder of the draft in which each method and seed is kept when it is done."""

VALIDATION, TRAINING, DONORS, HEATMAPS, WATCHED = 400, 1000, 200, 40, 5
"""Images at most: that choose an iteration, that measure training, that give pixels, whose heat is measured, whose
fillings and heatmaps along the refit are kept."""

HELD_OUT, MIN_TO_HOLD_OUT = 0.2, 20
"""Share of the masked images that chooses an iteration, from this number of masks on."""

PENALIZED = ("pas", "pasa", "rrr", "rrr_g")
INPAINTER_STEPS = 100


@dataclass(frozen=True)
class Subject:
    """What is corrected, and with what.

    Attributes:
        trained: The network.
        data: The images.
        masks: The masks.
    """

    trained: TrainedClassifier
    data: Data
    masks: Masks

    def inputs(self) -> dict[str, str]:
        """Return the fingerprints of what is read."""
        read = {"train": self.trained.artifact, "records": self.data.records, "masks": self.masks.artifact}
        return {name: artifact.fingerprint for name, artifact in read.items()}

    def network(self, freeze: int) -> Correctable:
        """Open the network with blocks 1 to `freeze` frozen.

        Raises:
            UserError: If there is no such block.
        """
        taps = self.trained.backbone.taps
        if not 0 <= freeze <= len(taps):
            raise UserError("freeze", expected=f"in 0 to {len(taps)}, the blocks of the network", received=freeze)
        network = Correctable(self.trained.model)
        network.freeze(taps[freeze - 1] if freeze else None)
        return network

    def number_of(self, ids: Sequence[str]) -> np.ndarray:
        """Return the class numbers of some images, int (n,)."""
        numbers = dict(zip(self.data.items["id"], self.data.items["number"], strict=True))
        return np.array([numbers[name] for name in ids])


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What is run on it.

    Attributes:
        methods: The methods, the base first and the one asked for second.
        main: The one asked for.
        plan: How they are run.
        random: Random images in a batch.
        swept: Values to try of lam, b and th.
        mask_counts: Numbers of masks to try; [] for all of them.
        freeze: Blocks 1 to this one keep their weights.
        fillings: How often a masked region is filled.
        paint: Where the user's own function is; None for none.
        augment: Names of the changes of the rival from scratch.
        seeds: The seeds.
        by: Label column by whose values the test images are grouped.
    """

    methods: list[Method]
    main: Method
    plan: Plan
    random: int
    swept: dict[str, list[float]]
    mask_counts: list[int]
    freeze: int
    fillings: int
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
            **({} if self.fillings == 1 else {"fillings": self.fillings}),
        }  # fmt: skip

    def check(self, subject: Subject) -> None:
        """Refuse what the network or the masks do not allow."""
        network = subject.network(self.freeze)
        if self.main.head:
            network.need_head("head")
        Stepper(network, self.main.loss).start(self.plan)
        augment.layers(self.augment, seed=0)
        if self.paint:
            _own_function(self.paint)
        known = set(subject.data.items["id"])
        foreign = [name for name in subject.masks.ids if name not in known]
        if foreign:
            raise UserError(
                "masks", expected=f"masks of images that have a {subject.data.label} which the network knows",
                received=f"{foreign[0]}, without one, and {len(foreign) - 1} others",
            )  # fmt: skip
        used = [split for split in subject.masks.splits if split == "train"]
        most = max(self.mask_counts, default=1)
        if len(used) < most:
            raise UserError(
                "masks", expected=f"{most} masks or more of images of the train split", received=len(used),
                remedy="Mark more of them: fashionprobe masks --split train.",
            )  # fmt: skip


@dataclass(frozen=True)
class Run:
    """What one method left on disk with one seed.

    Attributes:
        method: The method.
        seed: The seed.
        folder: Where its files are.
    """

    method: Method
    seed: int
    folder: Path

    def arrays(self) -> dict[str, np.ndarray]:
        """Return its probabilities and heatmaps."""
        with np.load(self.folder / "found.npz", allow_pickle=False) as file:
            return dict(file)

    def along(self) -> dict[str, np.ndarray]:
        """Return its heatmaps and probabilities along the refit, by `iteration`."""
        with np.load(self.folder / "along.npz", allow_pickle=False) as file:
            return dict(file)

    def filled(self) -> np.ndarray:
        """Return the first masked images as it filled them, uint8 (fillings, images, height, width, 3)."""
        return np.load(self.folder / "filled.npy", allow_pickle=False)

    def noted(self) -> dict[str, Any]:
        """Return its numbers: iteration, strength, seconds, val, swapped, score."""
        return json.loads((self.folder / "noted.json").read_text(encoding="utf-8"))

    def table(self, name: str) -> pd.DataFrame:
        """Return one of its tables, with the names of method and seed."""
        table = pd.read_csv(self.folder / name)
        table.insert(0, "seed", self.seed)
        table.insert(0, "method", self.method.title)
        return table


@dataclass(frozen=True)
class Outcome:
    """What all methods and seeds left.

    Attributes:
        network: The network, with the weights of whatever ran last.
        runs: What each method left with each seed.
        left_out: Why a rival was not run, by its title.
        tried: The numbers that were tried; empty when there was no choice.
        masked: The masked images whose heatmaps are measured.
        train_labels: Class numbers of the images that measure training.
    """

    network: Correctable
    runs: list[Run]
    left_out: dict[str, str]
    tried: pd.DataFrame
    masked: MaskedImages
    train_labels: np.ndarray


def run(draft: Path, experiment: Experiment, subject: Subject) -> Outcome:
    """Run every method with every seed, or what a killed run left to do.

    Args:
        draft: Folder in which each is kept when it is done.
        experiment: What to run.
        subject: On what.
    """
    network = subject.network(experiment.freeze)
    explainer = grad_cam(network.model, network.tap)
    refit_data = refit_data_of(experiment, subject, network)
    bench = Bench(network, refit_data, experiment.plan, fresh_plan(experiment, subject), experiment.fillings)
    train = subject.data.sample("train", TRAINING, 0)
    masked = refit_data.masked.take(np.arange(min(HEATMAPS, len(refit_data.masked))))
    runs, left_out, tried = [], {}, []
    total = sum(bench.iterations(method) for method in experiment.methods) * len(experiment.seeds)
    with progress.bar(total=total, unit="iteration", description="refit") as bar:
        for method in experiment.methods:
            try:
                best, table = _sweep(draft, experiment, bench, method)
                done = []
                for seed in experiment.seeds:
                    done.append(Run(method, seed, draft / RUNS / f"{method.name}-{seed}"))
                    if done[-1].folder.is_dir():
                        bar.update(bench.iterations(method))
                        continue
                    with _whole(done[-1].folder) as folder:
                        along = _Along(network, explainer, masked) if method == experiment.main else None
                        outcome, seconds = _timed(best, method, seed, bar.update, along or (lambda iteration: None))
                        if along is not None and method.iterate:
                            along.save(folder / "along.npz")
                        if method.replace:
                            np.save(folder / "filled.npy", fillings_of(best, method, seed)[:, :WATCHED])
                        _measure(folder, best, outcome, subject.data, explainer, train, masked)
                        noted = {"iteration": outcome.iteration, "strength": outcome.strength, "seconds": seconds}
                        (folder / "noted.json").write_text(json.dumps(noted | best.score(seed)), encoding="utf-8")
                        if method == experiment.main:
                            network.model.save_weights(folder / "kept.weights.h5")
            except UserError as error:
                if method in experiment.methods[:2]:
                    raise
                left_out[method.title] = str(error)
                continue
            runs += done
            tried += table
    return Outcome(network, runs, left_out, pd.DataFrame(tried), masked, train[1])


class _Along:
    """The heatmaps of the first masked images, and their probabilities, at each measurement of a refit."""

    def __init__(self, network: Correctable, explainer: "ExplainFunction", masked: MaskedImages) -> None:
        self._network, self._explainer = network, explainer
        self._masked = masked.take(np.arange(min(WATCHED, len(masked))))
        self._found: dict[str, list[Any]] = {"iteration": [], "heat": [], "certain": []}

    def __call__(self, iteration: int) -> None:
        images, labels = self._masked.images, self._masked.labels
        self._found["iteration"].append(iteration)
        self._found["heat"].append(heatmap(self._explainer(images, labels), images.shape[1:3]).astype(np.float16))
        self._found["certain"].append(self._network.probabilities(images))

    def save(self, path: Path) -> None:
        """Write iteration (n,), heat (n, images, height, width) and certain (n, images, classes)."""
        arrays: dict[str, Any] = {name: np.array(values) for name, values in self._found.items()}
        np.savez(path, **arrays)


def fillings_of(bench: Bench, method: Method, seed: int) -> np.ndarray:
    """Return the masked images as a method fills them, uint8 (fillings, images, height, width, 3)."""
    filled, count = bench.edited(method, seed).images, len(bench.data.masked)
    apart = filled.reshape(len(filled) // count, count, *filled.shape[1:])
    return np.rint(apart).clip(0, 255).astype(np.uint8)


def _timed(
    bench: Bench, method: Method, seed: int, report: Callable[[int], object], watch: Callable[[int], object]
) -> "tuple[Any, float]":
    """Run one method with one seed; return what came out, and the seconds."""
    started = tf.timestamp()
    outcome = bench.run(method, seed, report=report, watch=watch)
    return outcome, float(tf.timestamp() - started)


def _measure(
    folder: Path, bench: Bench, outcome: Any, data: Data, explainer: "ExplainFunction", train: Labelled,
    masked: MaskedImages,
) -> None:  # fmt: skip
    """Measure the network as a method left it, and keep the figures."""
    network = bench.network
    parts = [(network.probabilities(images), labels) for images, labels in data.stream(("val", "test"))]
    probabilities, truth = (np.concatenate(each) for each in zip(*parts, strict=True))
    measured = data.items[data.items["split"].isin(["val", "test"])]
    if not np.array_equal(truth, measured["number"].to_numpy()):
        raise UserError(str(data.records.path), expected="records in the order of items.csv", received="others")
    splits = measured["split"].to_numpy()
    maps = heatmap(explainer(masked.images, masked.labels), data.size)
    outcome.history.to_csv(folder / "history.csv", index=False)
    outcome.probabilities.to_csv(folder / "masked.csv", index=False)
    np.savez(
        folder / "found.npz", train=network.probabilities(train[0]), val=probabilities[splits == "val"],
        test=probabilities[splits == "test"], heat=maps.astype(np.float16), inside=heat_inside(maps, masked.masks),
        certain=network.probabilities(masked.images),
    )  # fmt: skip


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


def _sweep(draft: Path, experiment: Experiment, bench: Bench, method: Method) -> tuple[Bench, list[dict[str, Any]]]:
    """Try the numbers of a penalty with the first seed; return a bench with the best of them, and the table."""
    grid: dict[str, list[Any]] = {"lam": experiment.swept["lam"]} if method.loss in PENALIZED else {}
    if method.loss == "pasa":
        grid |= {"b": experiment.swept["b"], "th": experiment.swept["th"]}
    if method == experiment.main and experiment.mask_counts:
        grid["masks"] = experiment.mask_counts
    points = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    benches = [_at(experiment, bench, point) for point in points]
    if len(points) == 1:
        return benches[0], []
    rows = []
    for number, (point, tried) in enumerate(zip(points, benches, strict=True)):
        kept = draft / RUNS / f"{method.name}-try-{number}"
        if not kept.is_dir():
            with _whole(kept) as folder:
                tried.run(method, experiment.seeds[0])
                (folder / "score.json").write_text(json.dumps(tried.score(experiment.seeds[0])), encoding="utf-8")
        rows.append({"method": method.title, **point, **json.loads((kept / "score.json").read_text(encoding="utf-8"))})
    best = int(np.argmax([row["score"] for row in rows]))
    for number, row in enumerate(rows):
        row["chosen"] = number == best
    return benches[best], rows


def _at(experiment: Experiment, bench: Bench, point: dict[str, Any]) -> Bench:
    """Return the bench with these numbers; steps that are compiled already are used again."""
    numbers = {name: value for name, value in point.items() if name != "masks"}
    refit_data = bench.data
    if "masks" in point:
        rows = np.random.default_rng(experiment.seeds[0]).permutation(len(refit_data.masked))[: point["masks"]]
        refit_data = replace(refit_data, masked=refit_data.masked.take(np.sort(rows)))
    return bench.at(refit_data, replace(bench.plan, **numbers))


def fresh_plan(experiment: Experiment, subject: Subject) -> Plan:
    """Return the plan of a training from the start: as many images as the training saw, at its rate."""
    images = len(subject.data.of("train")) * subject.trained.artifact.facts["epochs"]
    iterations = max(experiment.plan.iterations, images // experiment.random)
    rate = subject.trained.arguments["learning_rate"]
    every = max(iterations // 10, 1)
    return replace(experiment.plan, iterations=iterations, learning_rate=rate, decay="cosine", check_every=every)


def _wrong(experiment: Experiment, subject: Subject, network: Correctable) -> list[str]:
    """Return the ids of training images that the network has wrong, in a random order."""
    if not any(method.pool == "wrong" for method in experiment.methods):
        return []
    batches = subject.data.stream(("train",))
    right = [network.probabilities(images).argmax(axis=1) == labels for images, labels in batches]
    ids = subject.data.of("train")["id"].to_numpy()[~np.concatenate(right)]
    return np.random.default_rng(0).permutation(ids).tolist()


def refit_data_of(experiment: Experiment, subject: Subject, network: Correctable) -> RefitData:
    """Gather what the methods may use."""
    masked, held_out = _split_masks(subject, network, chooses=experiment.plan.keep_best)
    wrong = _wrong(experiment, subject, network)
    data, donors = subject.data, subject.data.sample("train", DONORS, 1)

    def batches(pool: str, seed: int) -> Batches:
        if pool != "wrong":
            return data.batches(tuple(pool.split("+")), experiment.random, seed)
        if not wrong:
            raise Situation(
                "rivals", "misclassified has nothing to learn from: every training image is classified correctly.",
                "Drop it from --rivals.",
            )  # fmt: skip
        ids = wrong[:WRONG]
        return data.mixed((data.pictures(ids), subject.number_of(ids)), experiment.random, seed)

    def fresh(seed: int) -> None:
        if experiment.freeze and subject.trained.artifact.facts["weights"].startswith("random"):
            raise UserError("freeze", expected="0 for training from random weights", received=experiment.freeze)
        network.model.set_weights(subject.trained.fresh(seed))

    def changed(seed: int) -> Callable[[np.ndarray], np.ndarray]:
        changes = augment.layers(experiment.augment, seed=seed)

        @tf.function(input_signature=[tf.TensorSpec((None, *data.size, 3), tf.float32)], autograph=False)
        def change(images: tf.Tensor) -> tf.Tensor:
            for layer in changes:
                images = layer(images, training=True)
            return images

        return lambda images: change(tf.constant(images)).numpy()

    validation, paints = data.sample("val", VALIDATION, 0), _paints(experiment, data)
    return RefitData(batches, masked, held_out, validation, donors, paints, fresh, changed)


def _split_masks(subject: Subject, network: Correctable, *, chooses: bool) -> tuple[MaskedImages, MaskedImages | None]:
    """Return the masked images to train with, and those that measure: of val, else some of train if they choose."""
    given = subject.masks
    data, ids = subject.data, np.array(given.ids)
    labels = subject.number_of(ids.tolist())
    together = mask_at_tap(network, ids, data.pictures(list(ids)), labels, given.fitted(data.size, data.fit))
    held_out = np.array([split == "val" for split in given.splits])
    if chooses and not held_out.any() and len(ids) >= MIN_TO_HOLD_OUT:
        order = np.random.default_rng(0).permutation(len(ids))
        held_out[order[: round(HELD_OUT * len(ids))]] = True
    several = len(np.unique(labels[held_out])) > 1
    return together.take(np.flatnonzero(~held_out)), together.take(np.flatnonzero(held_out)) if several else None


def _paints(experiment: Experiment, data: Data) -> dict[str, Callable[[int], Paint]]:
    """Return what makes the function that fills regions, by the name of the replacement."""

    def generative(seed: int) -> Paint:
        def images() -> Iterator[np.ndarray]:
            return (batch for batch, _ in data.stream(("train",), 16))

        side = tuple(max(8, number // 8 * 8) for number in data.size)
        return as_paint(train_inpainter(images, (side[0], side[1]), steps=INPAINTER_STEPS, seed=seed, width=12))

    # All seeds share the networks that fill; each filling has one of its own.
    trained = functools.cache(lambda number: generative(experiment.seeds[0] + number))
    paints: dict[str, Callable[[int], Paint]] = {
        "telea": lambda number: telea, "navier_stokes": lambda number: navier_stokes, "generative": trained,
    }  # fmt: skip
    own = experiment.paint
    if own is not None:
        paints["function"] = lambda number: _own_function(own)
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
