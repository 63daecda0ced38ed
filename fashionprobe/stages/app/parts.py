"""What stands behind the tabs of `app`, opened from the artifacts of a run."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import tensorflow as tf

import fashionprobe.inputs.arguments as shared
from fashionprobe import backbones
from fashionprobe.app.exploring import Exploring
from fashionprobe.app.judging import Judging
from fashionprobe.app.mapping import Mapping
from fashionprobe.app.marking import Marking
from fashionprobe.app.pictures import Pictures
from fashionprobe.app.refit_job import Correcting, Outcome, Pair, RefitRequest
from fashionprobe.app.searching import FITTED_ON, Backing, Points, Searching
from fashionprobe.app.served_classifier import ServedClassifier
from fashionprobe.artifacts import MANIFEST, load, locked, read_manifest, write_text
from fashionprobe.attributes.classes import Classes
from fashionprobe.attributes.index import Index
from fashionprobe.channels.filters import Filters, lit, open_filters
from fashionprobe.errors import UserError
from fashionprobe.feedback import verdicts
from fashionprobe.feedback.masks import drawings
from fashionprobe.feedback.masks.files import read_png
from fashionprobe.feedback.significance import heat_inside
from fashionprobe.inputs.classifier import open_data, open_trained
from fashionprobe.inputs.descriptors import read_descriptors
from fashionprobe.inputs.index import normalized, open_classes, open_index, readable
from fashionprobe.inputs.masks import TABLE, fitted
from fashionprobe.inputs.network import NetworkSpec
from fashionprobe.inputs.new_images import describer, resizing_of
from fashionprobe.plots.overlays import outlined, overlay
from fashionprobe.records import decode
from fashionprobe.records.image_files import read
from fashionprobe.stages import attribute
from fashionprobe.stages.masks import masks
from fashionprobe.stages.masks.sources import APP
from fashionprobe.stages.refit import refit

if TYPE_CHECKING:
    from fashionprobe.artifacts import Artifact

SHOWN = 6
"""Marked images that are shown before and after."""

TAKEN = "taken.txt"
"""File beside the marks: fingerprint of the masks that they began with."""


@dataclass(frozen=True)
class Place:
    """Where everything is.

    Attributes:
        run: Folder of the run.
        dataset: Record set whose images are shown; None for the one that the run is about.
        tfrecords_root: Folder that holds the record sets.
        trust: Whether networks of the run may hold more than layers of Keras.
    """

    run: Path
    dataset: shared.Place | None
    tfrecords_root: str
    trust: bool = False

    @property
    def runs_root(self) -> str:
        """Folder that holds the runs, of which this is one."""
        return str(self.run.parent)


def marking(place: Place) -> Marking:
    """Open the classifier of a run and the images that it was trained on.

    Raises:
        UserError: If there is none, or the record set is gone or does not fit.
    """
    trained = open_trained(place.run, trust=place.trust)
    data = open_data(trained, place.dataset, place.tfrecords_root, whole=False)
    classifier = ServedClassifier(trained.backbone, trained.classes, data.fit)
    known = _predictions(trained.artifact.path, trained.classes) if place.dataset is None else {}
    folder = place.run / drawings.FOLDER
    _take_masks(place.run, data.records, folder)
    return Marking(classifier, Pictures(data.records), data.items, data.label, folder, known)


def _predictions(path: Path, classes: tuple[str, ...]) -> dict[str, tuple[int, float]]:
    """Return first guess and probability of the images that `train` has measured, by id."""
    table = pd.read_csv(path / "predictions.csv", dtype={"id": str, "predicted": str}, keep_default_na=False)
    numbers = {name: number for number, name in enumerate(classes)}
    rows = zip(table["id"], table["predicted"], table["probability"], strict=True)
    return {name: (numbers[guess], float(sure)) for name, guess, sure in rows if guess in numbers}


def _take_masks(run: Path, records: "Artifact", folder: Path) -> None:
    """Begin with the masks that the run has already, once: a person may change them, and a refit uses all together."""
    path = run / "masks"
    if not (path / MANIFEST).is_file():
        return
    there = load(path, stage="masks", remedy="Make it again with --overwrite: fashionprobe masks.")
    if there.facts["source"] == APP or there.manifest["inputs"].get("records") != records.fingerprint:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / TAKEN, patience=60):
        taken = folder / TAKEN
        if taken.is_file() and taken.read_text(encoding="utf-8") == there.fingerprint:
            return
        for row in pd.read_csv(path / TABLE, dtype=str, keep_default_na=False).itertuples():
            name, mask = str(row.id), read_png(path / Path(str(row.file)).name)
            if drawings.load(folder, name) is None:
                drawings.save(folder, name, str(row[2]), mask, author=str(row.author), note=str(row.note), base="")
        write_text(taken, there.fingerprint)


def searching(place: Place) -> Searching:
    """Open the index of a run to search in.

    Raises:
        UserError: If there is none, or the network that described it is gone.
    """
    run, runs_root = place.run, place.runs_root
    index = open_index(run)
    described = read_descriptors(run)
    size, fit = tuple(index.network["arguments"]["size"]), index.network["arguments"]["fit"]
    network = describer(index.network, index.blocks, trust=place.trust, one_by_one=True)
    resizing = resizing_of(run, index.network, place.tfrecords_root)

    def describe(data: bytes, name: str) -> tuple[Points, Points]:
        found = network(read.fitted(data, name, size, fit, resizing=resizing)[None])
        return normalized(index, found), readable(index, found)

    def labelled(group: str) -> tuple[np.ndarray, np.ndarray]:
        use = index.groups[group]
        labels = described.items[use.label].to_numpy(str) if use.label else np.full(len(described.items), "")
        rows = np.random.default_rng(0).permutation(np.flatnonzero(labels != ""))[:FITTED_ON]
        return use.reading(described.source(use.block)[np.sort(rows)]), labels[np.sort(rows)]

    def classes(opened: Index) -> tuple[dict[str, Classes], set[tuple[str, str]]]:
        known = open_classes(run, opened)
        return known.classes, {(each.group, each.name) for each in known.added}

    def add(group: str, name: str, ids: Sequence[str]) -> float:
        return attribute.add(run=run.name, name=name, group=group, id=list(ids), runs_root=runs_root).reach

    return Searching(Backing(
        index=lambda: open_index(run), classes=classes, describe=describe,
        read=lambda name: readable(index, described.of_ids([name], index.blocks)),
        labelled=labelled, add=add,
        remove=lambda group, name: attribute.remove(run=run.name, name=name, group=group, runs_root=runs_root),
    ))  # fmt: skip


def exploring(place: Place, marking: Marking | None) -> Exploring:
    """Return what the tab Explore looks through: the classifier of the run, else the one that described its images.

    Raises:
        UserError: If the run has neither, or its record set is gone.
    """
    path = place.run / "maximize"
    there = (path / MANIFEST).is_file()
    if there:
        load(path, stage="maximize", remedy="Make it again with --overwrite: fashionprobe maximize.")
    maximized = path if there else None
    if marking is not None:
        return Exploring(marking.classifier, marking.pictures, marking.label, maximized)
    described = read_descriptors(place.run)
    records = described.records(place.tfrecords_root)
    opened = NetworkSpec.of_manifest(described.artifact.manifest, trust=place.trust).open()
    if not opened.is_classifier:
        raise UserError(
            "run", expected="one with a classifier",
            received=f"{place.run.name}, described by {opened.backbone.name}, which ends in features",
            remedy=f"Train one: fashionprobe train --dataset {records.path.name} --run {place.run.name}.",
        )  # fmt: skip
    classes = [opened.class_name(number) for number in range(opened.model.output_shape[-1])]
    fit = described.artifact.manifest["arguments"]["fit"]
    return Exploring(
        ServedClassifier(opened.backbone, classes, fit), Pictures(records), (described.labels or ["id"])[0], maximized
    )


def mapping(place: Place) -> Mapping:
    """Open the maps and walls of a run, one of them at least.

    Raises:
        UserError: If there is neither, or the record set is gone.
    """
    run = place.run
    maps, walls = ((run / name / MANIFEST).is_file() for name in ("reduce", "wall"))
    if not maps and not walls:
        raise UserError(
            str(run / "reduce"), expected="a finished artifact, or that of wall", received="nothing there",
            remedy=f"Make one: fashionprobe reduce --run {run.name} --label LABEL, or fashionprobe wall ...",
        )  # fmt: skip
    for name, there in (("reduce", maps), ("wall", walls)):
        if there:
            load(run / name, stage=name, remedy=f"Make it again with --overwrite: fashionprobe {name}.")
    described = read_descriptors(run)
    records = described.records(place.tfrecords_root)
    return Mapping(
        Pictures(records), described.items, functools.cache(described.matrix), described.blocks,
        run / "reduce" if maps else None, run / "wall" if walls else None,
    )  # fmt: skip


def judging(place: Place) -> Judging:
    """Open the global view of the filters of a run; the network is opened when one is looked at.

    Raises:
        UserError: If there is none, or the record set is gone or was made again.
    """
    run = place.run
    remedy = f"Make it with --overwrite: fashionprobe relevance --run {run.name}"
    made = load(run / "relevance", stage="relevance", remedy=remedy.replace(" with --overwrite", ""))
    records = shared.open_records(made.facts["dataset"], place.tfrecords_root)
    if records.fingerprint != made.manifest["inputs"]["records"]:
        raise UserError(
            str(made.path), expected=f"made of {records.path} as it is now", received="one of an older record set",
            remedy=remedy,
        )  # fmt: skip

    @functools.cache
    def network() -> Filters:
        noted = made.manifest["run"]["settings"].get("network")
        trained = None if noted else run / "train" / "model.keras"
        spec = NetworkSpec.of_manifest(made.manifest, trained, trust=place.trust)
        opened = spec.open(classifier=False)
        if opened.backbone.weights_sha256 != made.manifest["weights_sha256"]:
            raise UserError(
                str(made.path), expected=f"made of {spec.backbone} as it is now", received="one of other weights",
                remedy=remedy,
            )  # fmt: skip
        return open_filters(opened.model)

    def shown(name: str, number: int) -> np.ndarray:
        image = decode.fit(tf.constant(pictures.picture(name)), size, made.manifest["arguments"]["fit"])
        return lit(image.numpy(), network().maps(image.numpy()[None])[0, ..., number])

    pictures, size = Pictures(records), cast(tuple[int, int], tuple(made.manifest["arguments"]["size"]))
    view = pd.read_csv(made.path / "filter_view.csv", dtype={"id": str}, keep_default_na=False)
    return Judging(shown, view, verdicts.file_of(run, made.manifest["weights_sha256"]), made.facts["filters"])


def correcting(place: Place, marking: Marking) -> Correcting:
    """Return the refit of a run by the masks that are drawn."""
    return Correcting(_Refit(place, marking))


@dataclass(frozen=True)
class _Refit:
    """Masks and refit as the command line has them."""

    place: Place
    marking: Marking

    def run(self, request: RefitRequest) -> None:
        place = self.place
        roots: dict[str, Any] = {"tfrecords_root": place.tfrecords_root, "runs_root": place.runs_root}
        dataset, loss = self.marking.pictures.records.path, cast(Any, request.loss)
        masks(
            dataset=dataset, source="app", run=place.run.name, label=self.marking.label,
            overwrite=request.replace or self._is_taken(), **roots,
        )  # fmt: skip
        try:
            refit(
                run=place.run.name, dataset=dataset, iterations=request.iterations, loss=loss, seeds=request.seeds,
                rivals="all" if request.rivals else "continued", check_every=max(1, min(10, request.iterations // 2)),
                overwrite=request.replace, trust=place.trust, **roots,
            )  # fmt: skip
        except UserError as error:
            if "--overwrite" not in str(error):
                raise
            raise UserError(
                "refit", expected="a new one", received="one with other masks or settings that already exists",
                remedy='Tick "Replace the existing refit", or keep it under another name first.',
            ) from error  # fmt: skip

    def _is_taken(self) -> bool:
        """Tell whether the masks of the run may be replaced: they are of this application, or it began with them."""
        path = self.place.run / "masks"
        if not (path / MANIFEST).is_file():
            return True
        manifest = read_manifest(path, remedy="Delete the folder.")
        taken = self.marking.folder / TAKEN
        began = taken.read_text(encoding="utf-8") if taken.is_file() else ""
        return manifest["facts"].get("source") == APP or manifest["fingerprint"] == began

    def outcome(self) -> Outcome | None:
        path = self.place.run / "refit"
        if not (path / MANIFEST).is_file():
            return None
        made = load(path, stage="refit", remedy="Make it again with --overwrite: fashionprobe refit.")
        return _outcome(made.fingerprint, path, self.marking, self.place)


@functools.lru_cache(maxsize=1)
def _outcome(fingerprint: str, path: Path, marking: Marking, place: Place) -> Outcome:  # noqa: ARG001
    """Read what a refit came to, and look through both networks; kept, for many pages may ask."""
    made = load(path, stage="refit", remedy="Make it again with --overwrite: fashionprobe refit.")
    table = pd.read_csv(path / "methods.csv")
    columns = (table[name].astype(float) for name in ("test_mean", "balanced_mean", "inside_mean", "p"))
    rows = list(zip(table["method"].astype(str), *columns, strict=True))
    after = ServedClassifier(
        backbones.load(str(path / "model.keras"), trust=place.trust), made.facts["classes"], marking.classifier.fit
    )
    marked = [mark for mark in drawings.load_all(marking.folder) if mark.now.file]
    number = {name: item for item, name in enumerate(marking.items["id"])}
    shown = [(number[mark.id], mark) for mark in marked if mark.id in number][:SHOWN]
    pairs = [_pair(marking, after, item, mark) for item, mark in shown]
    return Outcome(made.facts["method"], int(made.facts["masks"]), rows, pairs)


def _pair(marking: Marking, after: ServedClassifier, item: int, mark: drawings.Mark) -> Pair:
    picture, number = marking.picture(item), int(marking.items["number"].iloc[item])
    before = marking.classifier
    mask = drawings.mask_of(marking.folder, mark.now)
    mask = np.zeros(picture.shape[:2], bool) if mask is None else mask
    heats = [network.heatmap(picture, "grad_cam", number) for network in (before, after)]
    inner = before.cropped(fitted(mask, before.size, before.fit), picture.shape)
    inside = [float(heat_inside(heat[None], inner[None])[0]) for heat in heats]
    sure = [float(network.predict(network.fitted(picture))[0, number]) for network in (before, after)]
    small = before.cropped(np.rint(before.fitted(picture)[0]).astype(np.uint8), picture.shape)
    shown = [overlay(small, heat) for heat in heats]
    return Pair(
        mark.id, mark.label, outlined(picture, mask), shown[0], shown[1],
        (inside[0], inside[1]), (sure[0], sure[1]),
    )  # fmt: skip
