"""Stage `report`: what the other stages found, as one HTML page."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fashionprobe.inputs.arguments as shared
from fashionprobe.artifacts import MANIFEST, Artifact, Recipe, Result, build, load
from fashionprobe.errors import UserError, missing, unknown_name
from fashionprobe.inputs.descriptors import records_of
from fashionprobe.records.record_set import RecordSet

if TYPE_CHECKING:
    import pandas as pd

    from fashionprobe.report.exhibits import Room
    from fashionprobe.report.section import Section

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report(Result):
    """A report on disk.

    Attributes:
        page: The page, `report.html`.
    """

    page: Path


EXHIBITED = {
    "train": "Training",
    "branch": "Branches for more labels",
    "embed": "The embedding",
    "unseen": "Classes the embedding never saw",
    "tune": "The search for its settings",
    "evaluate": "On other images",
    "predict": "What the network sees",
    "see": "What the network looks at",
    "choose": "How to read each label",
    "classify": "In fewer dimensions",
    "profile": "Channels and classes",
    "fill": "Proposals for images without a label",
    "pairs": "Pairs of one class and of two",
    "reduce": "Maps of the images",
    "wall": "Walls of the images",
    "retrieve": "Finding similar images",
    "faithfulness": "How far to trust the heatmaps",
    "activations": "Inside the network",
    "maximize": "What its channels want to see",
    "selectivity": "What its channels select",
    "dissect": "What its channels detect",
    "converge": "Channels that two networks share",
    "propose": "Where to ask the expert first",
    "masks": "Masks of irrelevant regions",
    "preview": "Before the refit",
    "refit": "Correcting what it looks at",
    "relevance": "Which filters matter",
}
"""Stages whose figures the page shows, when the run has them, and the heading above them."""

SHOWN = 6
"""Figures of one such stage on the page; the folder of the stage has the rest."""


@dataclass(frozen=True)
class _Run:
    """The artifacts of one run; it may hold figures alone, and the records may be gone by now."""

    name: str
    exhibited: tuple[Artifact, ...]
    answers: "_Answers | None"


@dataclass(frozen=True)
class _Answers:
    """What `classify` found, and from what."""

    name: str
    extracted: Artifact
    classified: Artifact
    records: RecordSet | None


@shared.stage(samples="[0, inf)")
def report(
    *,
    run: shared.Place | Sequence[shared.Place],
    title: str | None = None,
    about: str | None = None,
    samples: int = 6,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Report:
    """Write one HTML page about a run, or several.

    Several runs are shown side by side. It shows what `classify` found, and the figures of all other stages. The page
    needs no other file and no network.

    Args:
        run: Name of the run, or several as colour,pattern; in a script also what a stage returned. The page is
            written into the first.
        title: Title of the page. Default: the names of the runs.
        about: Name of the run that the page is about, where there are several; the others are compared with it.
            Default: for each label the run that reads it best.
        samples: Sample images per class; 0 leaves them out.

    Returns:
        The report: path of the folder and of the page.

    Raises:
        UserError: If a run is not there, or holds nothing to show yet.

    Example:
        fashionprobe report --run colour
    """
    folders = [shared.run_path(each, runs_root) for each in _several(run)]
    runs = [_open(folder, tfrecords_root) for folder in folders]
    if about is not None and about not in [each.name for each in runs]:
        raise unknown_name("about", about, [each.name for each in runs], what="one of the runs")
    title = title or "fashionprobe: " + ", ".join(each.name for each in runs)
    recipe = Recipe(
        "report",
        {
            "run": [each.name for each in runs],
            "title": title,
            "samples": samples,
            # This came later: without it a report is the same as ever.
            **({"about": about} if about else {}),
        },
        {name: fingerprint for each in runs for name, fingerprint in _inputs(each).items()},
    )
    artifact = build(
        folders[0] / "report", recipe, lambda draft: _write(draft, runs, title, about, samples), overwrite=overwrite
    )
    page = artifact.path / "report.html"
    log.info("%s/report.html. Open it in a browser.", artifact.outcome)
    return Report(artifact.path, page, reused=artifact.reused)


def _several(run: shared.Place | Sequence[shared.Place]) -> list[shared.Place]:
    runs: list[shared.Place] = []
    for each in [run] if isinstance(run, str) or not isinstance(run, Sequence) else run:
        runs += (shared.listed("run", each) or []) if isinstance(each, str) else [each]
    if not runs:
        raise missing("run", "pass the name of a run, or several as a,b")
    return runs


def _inputs(run: _Run) -> dict[str, str]:
    """Return the fingerprints of all that the page shows of a run."""
    found = {f"{' '.join(_place(made))} of {run.name}": made.fingerprint for made in run.exhibited}
    if run.answers:
        records = run.answers.records
        found[f"classify of {run.name}"] = run.answers.classified.fingerprint
        found[f"records of {run.name}"] = records.fingerprint if records else ""
    return found


def _open(folder: Path, tfrecords_root: str) -> _Run:
    remedy = f"Make it again with --overwrite: fashionprobe STAGE --run {folder.name}"
    exhibited = tuple(
        load(manifest.parent, stage=stage, remedy=remedy)
        for stage in EXHIBITED
        # Some stages write one artifact, others several, each in a folder of its own.
        for manifest in [folder / stage / MANIFEST, *sorted((folder / stage).glob(f"[!.]*/{MANIFEST}"))]
        if manifest.is_file() and not manifest.parent.name.startswith("incomplete.")
    )
    if exhibited and not (folder / "classify" / MANIFEST).is_file():
        return _Run(folder.name, exhibited, None)
    return _Run(folder.name, exhibited, _open_answers(folder, tfrecords_root))


def _open_answers(folder: Path, tfrecords_root: str) -> _Answers:
    extracted = shared.open_descriptors(folder)
    remedy = f"Make it first: fashionprobe classify --run {folder.name} --label COLUMN"
    classified = load(folder / "classify", stage="classify", remedy=remedy)
    if classified.manifest["inputs"]["extract"] != extracted.fingerprint:
        raise UserError(
            str(classified.path), expected="made from the descriptors beside it", received="one made from older ones",
            remedy="Run fashionprobe classify again with --overwrite.",
        )  # fmt: skip
    records = records_of(extracted, tfrecords_root)
    return _Answers(folder.name, extracted, classified, records)


def _place(made: Artifact) -> tuple[str, ...]:
    """Return the stage of an artifact, and its name where the stage has several."""
    stage = made.manifest["stage"]
    return (stage,) if made.path.name == stage else (stage, made.path.name)


def _write(draft: Path, runs: list[_Run], title: str, about: str | None, samples: int) -> dict[str, Any]:
    from fashionprobe.report.render import render

    found = [section for each in runs if each.answers for section in _sections(each.answers, samples)]
    sections = [replace(section, subject=section.run == about) for section in found]
    rooms = [_room(each, made, several=len(runs) > 1) for each in runs for made in each.exhibited]
    command = f"fashionprobe report --run {','.join(each.name for each in runs)}"
    page = render(sections, title=title, command=command, rooms=[room for room in rooms if room.exhibits])
    (draft / "report.html").write_text(page, encoding="utf-8")
    return {"sections": [{"run": section.run, "label": section.label} for section in sections]}


def _room(run: _Run, made: Artifact, *, several: bool) -> "Room":
    """Gather the figures of one stage."""
    from fashionprobe.report.exhibits import Room, exhibits

    stage, *name = _place(made)
    heading = ": ".join([EXHIBITED[stage], *name]) + (f" (run {run.name})" if several else "")
    hidden = max(len(made.facts.get("figures", [])) - SHOWN, 0)
    more = f"{hidden} more {'figure is' if hidden == 1 else 'figures are'} in {made.path.as_posix()}." if hidden else ""
    return Room(heading, exhibits(made, most=SHOWN), more)


def _sections(run: _Answers, samples: int) -> "list[Section]":
    """Make one section a label of this run."""
    import pandas as pd

    from fashionprobe.report.section import Section

    accuracy = _table_of(run, "accuracy")
    linear = _table_of(run, "linear") if "inner_folds" in run.classified.facts else None
    control = _table_of(run, "control") if "control" in run.classified.facts else None
    facts, settings = run.extracted.facts, run.classified.manifest["arguments"]
    sections = []
    for label, best in run.classified.facts["best"].items():
        name = best["files"]
        keep = {"dtype": {"class": str}, "keep_default_na": False}
        per_class = pd.read_csv(run.classified.path / f"per_class_{name}.csv", **keep)
        confusion = pd.read_csv(
            run.classified.path / f"confusion_{name}.csv", index_col=0, keep_default_na=False, dtype={0: str}
        )
        sections.append(
            Section(
                run=run.name,
                dataset=facts["dataset"],
                label=label,
                images=int(best["images"]),
                missing=best["missing"],
                folds=settings["folds"],
                accuracy=accuracy[accuracy["label"] == label],
                per_class=per_class,
                confusion=confusion,
                best_block=int(best["block"]),
                best_classifier=best["classifier"],
                best_parameter=str(best["parameter"]),
                samples=_samples(run, label, per_class["class"].tolist(), samples),
                facts=_facts(run),
                versions=run.extracted.manifest["run"]["versions"],
                notes=_notes(run, best),
                linear=None if linear is None else linear[linear["label"] == label],
                control=None if control is None else control[control["label"] == label],
            )
        )
    return sections


def _table_of(run: _Answers, name: str) -> "pd.DataFrame":
    """Read a table of `classify`, one row per label, block and classifier."""
    import pandas as pd

    return pd.read_csv(run.classified.path / f"{name}.csv", dtype={"label": str, "parameter": str})


def _facts(run: _Answers) -> dict[str, str]:
    """Return how the run was made, for the reader."""
    facts, arguments = run.extracted.facts, run.extracted.manifest["arguments"]
    shown = {
        "data set": facts["dataset"],
        "backbone": facts["backbone"],
        "weights": f"{facts['weights']} (SHA-256 {run.extracted.manifest['weights_sha256'][:12]})",
        "image size": "{} x {} px, {}".format(*facts["size"], arguments["fit"]),
        "precision": arguments["precision"],
    }
    shown |= {
        f"block {block}": f"{found['tap']}, {found['channels']} channels" for block, found in facts["blocks"].items()
    }
    seeds = {"classify": run.classified.manifest["arguments"]["seed"]}
    if run.records:
        seeds["ingest"] = run.records.manifest["arguments"]["seed"]
    shown["seeds"] = ", ".join(f"{stage} {seed}" for stage, seed in sorted(seeds.items(), reverse=True))
    if control := run.classified.facts.get("control"):
        shown["random weights"] = f"run {control}"
    shown["device"] = run.extracted.manifest["run"]["settings"]["device"]
    shown["fingerprint"] = run.extracted.fingerprint[:12]
    return shown


def _notes(run: _Answers, best: dict[str, Any]) -> list[str]:
    """Return what a reader has to know before trusting the numbers."""
    notes = []
    if run.extracted.facts["weights"].startswith("random"):
        notes.append("This backbone has random weights: it has learned nothing.")
    if best["left_out"]:
        count = sum(best["left_out"].values())
        notes.append(f"{len(best['left_out'])} classes with too few images were left out ({count} images).")
    if run.records is None:
        notes.append("The record set is gone or was recreated since, so there are no sample images.")
    else:
        skipped = run.records.facts["skipped"]
        if skipped:
            notes.append(f"{skipped} images or rows of the source could not be used; skipped.csv lists them.")
        notes += run.records.facts["notes"]
    return notes


def _samples(run: _Answers, label: str, classes: list[str], count: int) -> dict[str, list[bytes]]:
    """Return thumbnails of the first images of each class; records are stored in random order."""
    if run.records is None or not count:
        return {}
    from fashionprobe.records.thumbnails import thumbnail

    items = run.records.items
    described = set(run.extracted.manifest["arguments"]["split"])
    items = items[items[label].isin(classes) & items["split"].isin(described)]
    chosen = items.groupby(label, sort=False).head(count)
    class_of = dict(zip(chosen["id"], chosen[label], strict=True))
    found: dict[str, list[bytes]] = {name: [] for name in classes}
    for name, picture in run.records.pictures(class_of.keys()):
        found[class_of[name]].append(thumbnail(picture))
    return found
