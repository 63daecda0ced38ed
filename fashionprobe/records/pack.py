"""A request for a record set -> the record set as an artifact: choose, split, write, list."""

import csv
import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from fashionprobe import progress
from fashionprobe.artifacts import MANIFEST, Artifact, Recipe, build
from fashionprobe.errors import UserError, conflict, unknown_name
from fashionprobe.records import copies
from fashionprobe.records.image_files.info import Resizing
from fashionprobe.records.record_set import SPLITS, RecordSet
from fashionprobe.records.select import assign_splits, check_parts, label_columns, matching, select
from fashionprobe.records.sources import (
    MARKED,
    PROCEDURAL,
    Catalogue,
    decoy,
    fashion_mnist,
    folder,
    garments,
    kaggle,
    quickdraw,
    sprites,
    symbols,
    table,
    xray,
)

log = logging.getLogger(__name__)

NAMED = 3
"""Files that changed since that are named."""

SOON = 2
"""Seconds between the note of an artifact's end and the date of its file."""

MAX_CLASSES = 1000
"""A column with more distinct values, such as the titles, is not a class column: the manifest holds only a count."""

DRAWN_SIZES = {"garments": (224, 224), "symbols": symbols.SIZE}
"""(height, width) in pixels at which the sources that draw do so when no size is asked for."""

RATE, MARKS = 0.9, "symbols"
"""What a source that puts marks into its images does when nothing is asked for."""


@dataclass(frozen=True)
class Request:
    """What a record set should hold; the arguments of the stage `ingest`, which documents them."""

    source: str
    path: str | None = None
    where: str | None = None
    test_where: str | None = None
    label: str | None = None
    classes: Sequence[str] | None = None
    per_class: int | None = None
    split: Sequence[float] | None = None
    image_column: str | None = None
    id_column: str | None = None
    label_columns: Sequence[str] | None = None
    count: int = 1000
    rate: float | None = None
    marks: Literal["auto", "symbols", "patch", "dots", "none"] = "auto"
    size: tuple[int, int] | None = None
    fit: Literal["pad", "stretch"] = "pad"
    strip_metadata: bool = False
    near_copies: float | None = None
    check: bool = False
    strict: bool = False
    shard_size: int = 512
    seed: int = 0


def pack(request: Request, path: Path, *, threads: int | None = None, overwrite: bool = False) -> RecordSet:
    """Write the record set, or find it finished.

    Args:
        request: What it should hold.
        path: Its folder.
        threads: Shards written at a time; None for one per processor core.
        overwrite: Replace a record set made by another request.

    Returns:
        The artifact: shards, `items.csv` (row, id, label columns, split, shard), `skipped.csv` (id, reason).

    Raises:
        UserError: If the source or the request is wrong, or no image is left.
        OSError: If a file cannot be written.
    """
    catalogue = _catalogue(request)
    items = _selected(request, catalogue)
    if request.split is not None:
        check_parts(request.split)
    if request.near_copies is not None and (catalogue.contents is None or not _draws_splits(request, catalogue)):
        why = "has no copies" if catalogue.contents is None else "comes with its splits"
        remedy = "Pass --split to draw them." if "split" in items and not catalogue.split_is_fixed else ""
        raise conflict("near_copies", f"this source, which {why}", request.near_copies, remedy)
    threads = threads or os.cpu_count() or 1
    artifact = build(
        path,
        Recipe("ingest", _result_changing(request), {"source": catalogue.fingerprint}),
        lambda draft: _write(draft, request, catalogue, items, threads),
        overwrite=overwrite,
        settings={"threads": threads, "path": request.path},
        changed={"source": lambda there: _changed_since(there, request, catalogue)},
    )
    if artifact.reused and catalogue.newer and (names := catalogue.newer(_begun(artifact))):
        # The fingerprint knows names and sizes alone: reading every file would take as long as making it again.
        log.warning(
            "%s may have changed since %s was made (%s, no other size): pass --overwrite to read it again",
            request.path, path, _named(names),
        )  # fmt: skip
    if request.strict and artifact.facts["bad"]:
        # Made without `strict`, which changes nothing about a set of whole images.
        raise UserError(
            str(path), expected="a record set without bad images",
            received=f"{artifact.facts['bad']} that an earlier run skipped, listed in {path / 'skipped.csv'}",
            remedy="Fix or remove them, or drop --strict.",
        )  # fmt: skip
    return RecordSet(artifact.path, artifact.manifest, reused=artifact.reused)


def _selected(request: Request, catalogue: Catalogue) -> pd.DataFrame:
    """Return the items asked for; with `test_where`, `per_class` counts in the test images and in the others."""
    choice = {"where": request.where, "label": request.label, "classes": request.classes}
    if request.test_where is None:
        return select(catalogue.items, **choice, per_class=request.per_class, seed=request.seed)
    if catalogue.split_is_fixed:
        raise conflict("test_where", f"source {request.source}, whose splits are fixed", request.test_where)
    if request.split is not None and list(request.split)[2:] != [0]:
        raise UserError(
            "split", expected="parts of train and val, and 0 for test, which `test_where` chooses",
            received=list(request.split), remedy="For example --split 70,30,0.",
        )  # fmt: skip
    items = select(catalogue.items, **choice, seed=request.seed)
    test = items.index.isin(matching(items, request.test_where, argument="test_where").index)
    if test.all():
        raise UserError(
            "test_where", expected="a query that leaves images to train on",
            received=f"{request.test_where!r}, which is true for all {len(items)}",
        )  # fmt: skip
    sides = {"label": request.label, "per_class": request.per_class, "seed": request.seed}
    return pd.concat([select(items[side], **sides) for side in (~test, test)]).sort_index()


def _changed_since(there: Artifact, request: Request, catalogue: Catalogue) -> str:
    """Say what is not as it was when a record set was made, as far as dates and names of files tell."""
    made_from = there.manifest["run"]["settings"].get("path")
    if made_from is not None and Path(made_from).resolve() != Path(request.path or "").resolve():
        return f"path: {made_from} -> {request.path}"
    known = [pd.read_csv(there.path / name, usecols=["id"], dtype=str)["id"] for name in ("items.csv", "skipped.csv")]
    listed = {*catalogue.items["id"], *(name for name, _ in catalogue.left_out)}
    names = {*(catalogue.newer(_begun(there)) if catalogue.newer else ()), *(set(pd.concat(known)) - listed)}
    return f"{request.path} changed since" + (f" ({_named(sorted(names))})" if names else "")


def _begun(there: Artifact) -> float:
    """Return when a record set began to be made, in seconds since 1970."""
    made = there.manifest["run"]
    noted, written = datetime.fromisoformat(made["finished_utc"]).timestamp(), (there.path / MANIFEST).stat().st_mtime
    # The note is in whole seconds; a set that was copied here has a later date.
    return (written if 0 <= written - noted < SOON else noted) - made["seconds"]


def _named(names: Sequence[str]) -> str:
    listed = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
    return f"{len(names)} file{'' if len(names) == 1 else 's'}: {listed}"


def resizing(records: Artifact) -> Resizing | None:
    """Return how the images of a record set were resized when it was made; None where they kept their size."""
    arguments = records.manifest["arguments"]
    size = _stored_size(arguments["source"], arguments["size"])
    return None if size is None else Resizing((int(size[0]), int(size[1])), arguments["fit"])


def _stored_size(source: str, size: Sequence[int] | None) -> Sequence[int] | None:
    """Return the size to which images are resized; those that are drawn have the size asked for."""
    return None if source in (*PROCEDURAL, "quickdraw") else size


def _catalogue(request: Request) -> Catalogue:
    if request.source in PROCEDURAL and request.path is not None:
        raise conflict("path", f"source {request.source}, whose images are drawn", request.path)
    _check_marks(request)
    for name in ("image_column", "id_column", "label_columns"):
        if getattr(request, name) is not None and request.source != "table":
            raise conflict(name, f"source {request.source}", getattr(request, name), "Only table has columns to name.")
    catalogue = CATALOGUES[request.source](request)
    items = catalogue.items
    # File names and tables come in NFC; words inside the files of a source, and older record sets, may not.
    spelled = {column: items[column].str.normalize("NFC") for column in label_columns(items)}
    return replace(catalogue, items=items.assign(**spelled))


def _garments(request: Request) -> Catalogue:
    return garments.catalogue(count=request.count, size=_drawn_size(request), seed=request.seed)


def _symbols(request: Request) -> Catalogue:
    size = _drawn_size(request)
    return symbols.catalogue(request.count, size, request.seed, split=request.split, **_marking(request))


def _decoy(request: Request) -> Catalogue:
    if request.split is not None:
        raise conflict("split", "source decoy, which keeps the splits of the record set", request.split)
    return decoy.catalogue(request.path, label=request.label, seed=request.seed, **_marking(request))


CATALOGUES: dict[str, Callable[[Request], Catalogue]] = {
    "kaggle": lambda request: kaggle.catalogue(request.path),
    "folder": lambda request: folder.catalogue(request.path),
    "garments": _garments,
    "symbols": _symbols,
    "quickdraw": lambda request: quickdraw.catalogue(request.path, request.size),
    "xray": lambda request: xray.catalogue(request.path, request.seed),
    "decoy": _decoy,
    "fashion_mnist": lambda request: fashion_mnist.catalogue(request.path),
    "sprites": lambda request: sprites.catalogue(request.path),
    "table": lambda request: table.catalogue(
        request.path, request.image_column, request.id_column, request.label_columns
    ),
}
"""How each source of `SOURCES` is opened."""


def _check_marks(request: Request) -> None:
    """Refuse marks for a source that makes none, and kinds that a source does not know."""
    marks = None if request.marks == "auto" else request.marks
    for name, value in (("rate", request.rate), ("marks", marks)):
        if value is not None and request.source not in MARKED:
            raise conflict(
                name, f"source {request.source}, which puts no marks into its images", value,
                f"Only {' and '.join(MARKED)} do.",
            )  # fmt: skip
    kinds = MARKED.get(request.source, ())
    if marks is not None and marks not in kinds:
        raise unknown_name("marks", marks, kinds, what=f"for {request.source} one of")


def _marking(request: Request) -> dict[str, Any]:
    """Return rate and kind of the marks, the defaults filled in."""
    marks = MARKS if request.marks == "auto" else request.marks
    return {"rate": RATE if request.rate is None else request.rate, "marks": marks}


def _drawn_size(request: Request) -> tuple[int, int]:
    return request.size or DRAWN_SIZES[request.source]


def _result_changing(request: Request) -> dict[str, Any]:
    """Return the arguments that decide what the record set holds, each in one of its spellings."""
    arguments = asdict(request)
    drawn = request.source in PROCEDURAL
    for neutral in ("path", "strict", "rate", "marks") if drawn else ("path", "strict", "rate", "marks", "count"):
        del arguments[neutral]
    for later in ("near_copies", "test_where", "image_column", "id_column", "label_columns"):
        if arguments[later] is None:
            del arguments[later]  # as in record sets of earlier versions
    if drawn:
        arguments["size"] = _drawn_size(request)
    if request.source in MARKED:
        arguments |= _marking(request)
    if request.classes is not None:
        arguments["classes"] = sorted(set(request.classes))
    return arguments


def _write(draft: Path, request: Request, catalogue: Catalogue, items: pd.DataFrame, threads: int) -> dict[str, Any]:
    from fashionprobe.records import write

    packing = write.Packing(
        size=request.size if _stored_size(request.source, request.size) else None,
        fit=request.fit,
        strip_metadata=request.strip_metadata,
        check=request.check,
        strict=request.strict,
    )
    found: dict[str, int] = {}
    if _draws_splits(request, catalogue):
        items, found = _with_splits(items, request, catalogue, threads)
    shards = write.plan(items, shard_size=request.shard_size, seed=request.seed)
    with progress.bar(total=len(items), unit="image", description="ingest") as bar:
        write.write_shards(draft, shards, catalogue.read, packing, threads=threads, report=bar.update)
    table, skipped, images = write.summary(draft, shards)
    if table.empty:
        shutil.rmtree(draft)  # nothing in it is worth a resumption
        name, reason = skipped[0]
        raise UserError(
            "path", expected="a source with a whole image",
            received=f"{len(skipped)} files, all of them bad (the first, {name}: {reason})",
            remedy="Check that it is the right folder, and that the download was complete.",
        )  # fmt: skip
    bad = len(skipped)
    table.to_csv(draft / "items.csv", index=False)
    # A row at a time: a table may name a million files that are not there.
    with (draft / "skipped.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["id", "reason"])
        rows.writerows(catalogue.left_out)
        rows.writerows(skipped)
    skipped = [*catalogue.left_out, *skipped]
    splits = Counter(table["split"])
    return {
        "splits": {split: splits[split] for split in SPLITS},
        "skipped": len(skipped),
        "bad": bad,
        "skipped_by_reason": dict(Counter(reason for _, reason in skipped).most_common(20)),
        "images": images,
        "columns": {column: _describe(table[column]) for column in label_columns(table.drop(columns=["row", "shard"]))},
        **({"copies": found} if found else {}),
        "notes": list(catalogue.notes),
        "stratify": request.label or catalogue.stratify,
    }


def _draws_splits(request: Request, catalogue: Catalogue) -> bool:
    return (
        request.test_where is not None
        or "split" not in catalogue.items
        or (request.split is not None and not catalogue.split_is_fixed)
    )


def _with_splits(
    items: pd.DataFrame, request: Request, catalogue: Catalogue, threads: int
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Draw the splits; return the items with them, and how many are copies of an earlier one, by kind."""
    names = list(items["id"])
    contents, found = None, {}
    if catalogue.contents is not None:
        contents = catalogue.contents(names)
        equal = contents if catalogue.by_pixels else copies.equal(names, catalogue.read, threads=threads)
        found["equal"] = len(names) - len(set(equal))
        contents = copies.joined(contents, equal).tolist()
        if request.near_copies is not None:
            near = copies.near(names, catalogue.read, most=request.near_copies, threads=threads)
            found["near"] = len(names) - len(set(copies.joined(equal, near))) - found["equal"]
            contents = copies.joined(contents, near).tolist()
    parts, label = request.split or catalogue.split, request.label or catalogue.stratify
    if request.test_where is None:
        split = assign_splits(items, parts, label=label, contents=contents, seed=request.seed)
    else:
        split = _with_chosen_test(items, request, parts, label, contents)
    return items.assign(split=split), {kind: count for kind, count in found.items() if count}


def _with_chosen_test(
    items: pd.DataFrame, request: Request, parts: Sequence[float], label: str | None, contents: list[Any] | None
) -> pd.Series:
    """Return splits in which the images of `test_where` are test, and copies of them, and the others are drawn."""
    keys = pd.Series(range(len(items)) if contents is None else contents, index=items.index)
    test = items.index.isin(matching(items, str(request.test_where), argument="test_where").index)
    test = keys.isin(set(keys[test]))
    drawn = assign_splits(
        items[~test], (parts[0], parts[1], 0), label=label, contents=keys[~test].tolist(), seed=request.seed
    )
    return drawn.reindex(items.index, fill_value="test")


def _describe(column: pd.Series) -> dict[str, Any]:
    """Count a label column's values: how many are missing, and how many images each class has."""
    present = column[column != ""]
    counts = present.value_counts().sort_index()
    described: dict[str, Any] = {"missing": int(len(column) - len(present)), "distinct": len(counts)}
    if len(counts) <= MAX_CLASSES:
        described["classes"] = {str(name): int(count) for name, count in counts.items()}
    return described
