"""Stage `masks`: which regions of which images are irrelevant: drawn by an expert elsewhere, or found automatically."""

import itertools
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress
from fashionprobe.artifacts import Artifact, Recipe, Result, build, child
from fashionprobe.errors import Situation, UserError, conflict, missing, unknown_name
from fashionprobe.inputs.masks import Mask, write_masks
from fashionprobe.inputs.network import NetworkSpec
from fashionprobe.plots.save import Figures
from fashionprobe.records.record_set import RecordSet
from fashionprobe.stages.masks.sources import (
    APP,
    BATCH,
    DRAWN,
    IMPORTED,
    Find,
    MaskNote,
    by_background,
    by_box,
    by_filter,
    choose,
    from_app,
    from_files,
    read_masks,
    refuse_test,
    strongest,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from fashionprobe.plots.sheets import Row

log = logging.getLogger(__name__)

SOURCES = (*DRAWN, "otsu", "box", "outside_box", "filter")
EXAMPLES = {
    "path": "Pass --path PATH.",
    "box": "For example --box [0.5,0,1,0.5], the lower left quarter: top, left, bottom, right.",
    "channel": "Pass --channel NUMBER, the filter; `fashionprobe activations` shows which there are.",
}
REMARK = "What is tinted is irrelevant."
SHOWN_CLASSES, SHOWN = 8, 6
"""Rows and columns of the contact sheet."""


@dataclass(frozen=True)
class MaskSet(Result):
    """Masks on disk.

    Attributes:
        table: `masks.csv`.
        masks: Number of masks.
        share: Masked part of a picture, the mean over the masks, in [0, 1].
        left_out: Number of images of which all or nothing would have been masked.
    """

    table: Path
    masks: int
    share: float
    left_out: int


@dataclass(frozen=True, kw_only=True)
class _Job:
    """All that decides what one run of this stage writes."""

    records: RecordSet
    items: "pd.DataFrame"
    label: str | None
    source: str
    find: Find
    author: str
    note: str
    notes: "Mapping[str, MaskNote]"

    @property
    def automatic(self) -> bool:
        """Whether the masks are found, not drawn: then an image that gives none is not a mistake."""
        return self.source not in DRAWN


@shared.stage
def masks(
    *,
    dataset: shared.Place,
    source: Literal["app", "png", "coco", "pickle", "otsu", "box", "outside_box", "filter"],
    run: str | None = None,
    path: str | None = None,
    categories: list[str] | str | None = None,
    box: list[float] | None = None,
    split: list[str] | str | None = None,
    where: str | None = None,
    label: str | None = None,
    classes: list[str] | str | None = None,
    samples: int | None = None,
    id: list[str] | str | None = None,
    backbone: str | None = None,
    weights: str = "pretrained",
    taps: list[str] | str | None = None,
    preprocessing: Literal["auto", "none", "tf", "caffe", "torch"] = "auto",
    size: int | list[int] | None = None,
    fit: Literal["pad", "stretch"] = "pad",
    block: int | None = None,
    layer: str | None = None,
    channel: int | None = None,
    percentile: float = 70,
    percentile_of: Literal["image", "dataset"] = "image",
    author: str = "",
    note: str = "",
    seed: int = 0,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> MaskSet:
    """Collect masks of irrelevant regions.

    Read what an expert drew elsewhere, or find them automatically. Images of the test split are never masked,
    because they evaluate the correction.

    Args:
        source: app takes the masks that were drawn in this run by `fashionprobe app`; png, coco and pickle read masks
            from `path`; otsu masks the background, box a box, outside_box all but
            a box, and filter the region where one filter is strong.
        path: For png a folder whose files are named like the ids (gun/1.png for the image gun/1.jpg), grey, 255 where
            masked and 0 elsewhere; for coco a JSON file; for pickle a dictionary of masks by id.
        categories: For coco: names of the categories that count. Default: all.
        box: For box and outside_box: [top, left, bottom, right] as shares of the picture's height and width.
        split: Splits whose images are masked automatically: train, val or both. Default: train.
        where: Mask automatically the images for which this pandas query over the label columns is true.
        label: Label column of the classes. Default: the one by which the record set was split.
        classes: Mask images of these classes only.
        samples: Number of images that are masked automatically, drawn with the seed unless the filter is strongest
            in them; all if there are fewer.
            Default: 50.
        id: Or the ids of the images.
        backbone: For filter: mini, resnet50, any other name of keras.applications, or the path of a .keras file.
            Default: the network that `train` wrote into this run, if there is one, else resnet50.
        block: For filter: number of the block whose last layer has the filter. Default: the last.
        layer: The layer, given by name instead of a block number.
        channel: For filter: its number, from 0.
        percentile: For filter: mask what is above this percentile of the filter's map.
        percentile_of: For filter: image takes the percentile of each image's own map; dataset takes that of the maps of
            all images of the splits, and masks the `samples` images in which the filter is strongest.
        author: Who drew the masks, for the table. Default: the source; for app those who drew them.
        note: Why, for the table; for app what they noted.

    Returns:
        The masks: path and counts.

    Raises:
        UserError: If an argument or a mask does not fit, or no mask is left.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe masks --dataset symbols --source box --box 0.75 0 1 0.25 --samples 300
    """
    _check(locals())
    records_path = shared.records_path(dataset, tfrecords_root)
    folder = child(runs_root, records_path.name if run is None else run, argument="run")
    records = shared.open_records(dataset, tfrecords_root)
    items, column = records.items, _label(records, label)
    arguments: dict[str, Any] = {"source": source, "label": column, "author": author, "note": note}
    if source == APP:
        chosen, way = from_app(folder, items)
        refuse_test(chosen, "source")
    elif source in IMPORTED:
        found = read_masks(source, Path(path or ""), shared.listed("categories", categories), items["id"].tolist())
        chosen, way = items[items["id"].isin(list(found))], from_files(found)
        refuse_test(chosen, "path")
    else:
        splits = shared.listed("split", split)
        chosen = choose(
            items, splits=splits, where=where and shared.spelled(where), label=column,
            classes=shared.listed("classes", classes), samples=len(items) if percentile_of == "dataset" else samples,
            ids=shared.listed("id", id), seed=seed,
        )  # fmt: skip
        if source == "filter":
            spec = NetworkSpec.of(folder, backbone, weights, taps, preprocessing, size, seed, trust)
            spec.check([block], [layer])
            opened = spec.open(classifier=False)
            all_of = records.in_splits(splits or ["train"])[0]["id"] if percentile_of == "dataset" else None
            way = by_filter(
                opened, block, layer, channel or 0, percentile, fit,
                None if all_of is None else records.pictures(all_of.tolist()),
            )  # fmt: skip
            if id is None and way.strength:
                chosen = strongest(chosen, way.strength, samples)
        else:
            way = by_background() if source == "otsu" else by_box(box or (), inside=source == "box")
        arguments["id"] = chosen["id"].tolist()
    job = _Job(
        records=records, items=chosen, label=column, source=source, find=way.find, author=author or source, note=note,
        notes=way.notes,
    )  # fmt: skip
    recipe = Recipe(
        "masks", arguments | way.arguments, {"records": records.fingerprint, **way.inputs}, way.weights_sha256
    )
    artifact = build(folder / "masks", recipe, lambda draft: _write(draft, job), overwrite=overwrite)
    return _result(artifact)


def _check(given: dict[str, Any]) -> None:
    """Check that each source has the arguments it needs, and none that it would not look at."""
    source = given["source"]
    if source not in SOURCES:
        raise unknown_name("source", source, SOURCES)
    needed = {"path": IMPORTED, "box": ("box", "outside_box"), "channel": ("filter",)}
    for name, sources in needed.items():
        if source in sources and given[name] is None:
            raise missing(name, f"source {source} needs it", EXAMPLES[name])
    automatic = tuple(name for name in SOURCES if name not in DRAWN)
    allowed = needed | {"categories": ("coco",), "block": ("filter",), "layer": ("filter",), "backbone": ("filter",)}
    allowed |= {name: automatic for name in ("split", "where", "classes", "samples", "id")}
    for name, sources in allowed.items():
        if given[name] is not None and source not in sources:
            raise conflict(name, f"source {source}", given[name])
    if given["percentile_of"] not in ("image", "dataset"):
        raise unknown_name("percentile_of", given["percentile_of"], ("image", "dataset"))
    if given["percentile_of"] == "dataset" and source != "filter":
        raise conflict("percentile_of", f"source {source}", "dataset")
    for name in ("author", "note"):
        if given[name] and source == APP:
            raise conflict(name, "source app, where each mask has its own", given[name])
    for name in ("split", "where", "classes", "samples"):
        if given["id"] is not None and given[name] is not None:
            raise conflict(name, "--id", given[name])


def _label(records: RecordSet, label: str | None) -> str | None:
    """Return the label column whose classes the masks are noted with; None for a record set without one."""
    if label is None and records.facts.get("stratify") is None:
        return None
    return records.label(label and shared.spelled(label))


def _write(draft: Path, job: _Job) -> dict[str, Any]:
    """Write the masks, their table and a contact sheet."""
    from fashionprobe.plots.sheets import contact_sheet

    labels = job.items[job.label] if job.label else job.items["id"].map(lambda _: "")
    left_out: list[str] = []
    sheet: dict[str, Row] = {}
    table = write_masks(draft, _drawn(job, dict(zip(job.items["id"], labels, strict=True)), left_out, sheet))
    if table.empty:
        raise Situation(
            "source", f"{job.source} gave a full or an empty mask for each of {len(left_out)} images.",
            "Choose another --source.",
        )  # fmt: skip
    rows = [sheet[name] for name in sorted(sheet)]
    figures = Figures(draft)
    contact = contact_sheet(rows, title=f"Masks of {job.records.path.name}", remark=REMARK)
    caption = (
        f"Some of {len(table)} images, each with its mask ({job.source}): what is tinted is irrelevant. "
        f"On average {table['share'].mean():.0%} of an image is masked."
    )
    figures.add("masks", contact, "Masks of irrelevant regions", caption)
    splits = job.items.set_index("id").loc[table["id"], "split"]
    return {
        "dataset": job.records.path.name, "source": job.source, "label": job.label, "masks": len(table),
        "left_out": len(left_out), "share": round(float(table["share"].mean()), 6),
        "classes": {str(name): int(count) for name, count in table["class"].value_counts().sort_index().items()},
        "splits": {str(name): int(count) for name, count in splits.value_counts().sort_index().items()},
        "figures": figures.notes,
    }  # fmt: skip


def _drawn(job: _Job, labels: dict[str, str], left_out: list[str], sheet: "dict[str, Row]") -> Iterator[Mask]:
    """Yield the masks in stored order; note whose mask would be empty or full, and fill the rows of the sheet."""
    images = job.records.pictures(list(labels))
    with progress.bar(total=len(labels), unit="mask", description="masks") as bar:
        while batch := list(itertools.islice(images, BATCH)):
            found = job.find([name for name, _ in batch], [picture for _, picture in batch])
            for (name, picture), mask in zip(batch, found, strict=True):
                bar.update()
                if not _is_part(name, mask, picture, job):
                    left_out.append(name)
                    continue
                _show(sheet, labels[name], name, picture, mask)
                notes = job.notes.get(name, MaskNote(job.author, job.note))
                yield Mask(name, labels[name], mask, notes.author, notes.note, notes.time)


def _show(sheet: "dict[str, Row]", label: str, name: str, picture: "np.ndarray", mask: "np.ndarray") -> None:
    """Add a picture to the row of its class, while there is room."""
    from fashionprobe.plots.overlays import outlined
    from fashionprobe.plots.sheets import Row
    from fashionprobe.plots.style import short

    if label not in sheet and len(sheet) < SHOWN_CLASSES:
        sheet[label] = Row(short(label, 20), [], [])
    if label in sheet and len(sheet[label].images) < SHOWN:
        sheet[label] = Row(
            sheet[label].name,
            [*sheet[label].images, outlined(picture, mask)],
            [*sheet[label].captions, Path(name).stem],
        )


def _is_part(name: str, mask: "np.ndarray", picture: "np.ndarray", job: _Job) -> bool:
    """Tell whether a mask covers a part of its picture, and refuse one that was drawn and does not.

    Raises:
        UserError: If it was drawn for a picture of another size, or is empty or full.
    """
    if mask.shape != picture.shape[:2]:
        sizes = [f"{each.shape[0]} x {each.shape[1]}" for each in (picture, mask)]
        raise UserError(
            "path", expected=f"masks in the size of their pictures, {sizes[0]} (height x width) for image {name}",
            received=sizes[1], remedy="The size is that of the upright picture as it stands in the record set.",
        )  # fmt: skip
    is_part = bool(mask.any() and not mask.all())
    if not is_part and not job.automatic:
        raise UserError(
            "path", expected="masks of a part of each image",
            received=f"{'a full' if mask.any() else 'an empty'} mask for image {name}",
            remedy="Take it out: a full mask leaves nothing to learn from, an empty one says nothing.",
        )  # fmt: skip
    return is_part


def _result(artifact: Artifact) -> MaskSet:
    facts = artifact.facts
    left_out = facts["left_out"]
    if left_out:
        log.info("%d image%s left out, of which all or nothing would be masked", left_out, "" if left_out == 1 else "s")
    log.info(
        "%s: %d mask%s, %.0f %% of an image on average. Next: fashionprobe refit --dataset %s --run %s",
        artifact.outcome, facts["masks"], "" if facts["masks"] == 1 else "s",
        100 * facts["share"], facts["dataset"], artifact.path.parent.name,
    )  # fmt: skip
    return MaskSet(
        artifact.path, artifact.path / "masks.csv", facts["masks"], facts["share"], left_out, reused=artifact.reused
    )
