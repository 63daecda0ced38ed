"""Stages `index add`, `index remove`, `index compact`, `index status`: an index that follows a catalogue."""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import fashionprobe.inputs.arguments as shared
from fashionprobe.artifacts import MANIFEST, locked, read_manifest, relist
from fashionprobe.errors import UserError, check_one, missing
from fashionprobe.inputs.index import normalized, open_index
from fashionprobe.inputs.new_images import check_describer, describer, resizing_of

if TYPE_CHECKING:
    import types

    import numpy as np
    import pandas as pd

    from fashionprobe.attributes.index import Index
    from fashionprobe.backbones.pooling import Block
    from fashionprobe.records.image_files.info import Resizing

log = logging.getLogger(__name__)

AT_ONCE = 2048
"""Images that are described and written as one part; a killed command keeps all parts that are done."""

PATIENCE = 60
"""Seconds to wait for another process that changes the index."""

LISTED = 5
"""Names in a message."""


@dataclass(frozen=True)
class IndexChanges:
    """What became of an index.

    Attributes:
        images: Number of images in it now.
        added: Images that are new.
        updated: Images whose picture, id or columns are new.
        unchanged: Images that it had already.
        removed: Images that were taken away.
        skipped: Name and reason of each image that could not be used.
    """

    images: int
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    skipped: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class IndexStatus:
    """What an index holds.

    Attributes:
        images: Number of images.
        removed: Rows that were taken away and are still on disk.
        parts: Number of parts.
        megabytes: Size on disk in 10^6 bytes.
        columns: Its columns, for --where.
        current: Whether the descriptors that it was made of are those that the run holds now.
    """

    images: int
    removed: int
    parts: int
    megabytes: float
    columns: tuple[str, ...]
    current: bool


@dataclass(frozen=True)
class _New:
    """Images on their way into the index.

    Attributes:
        files: Name and bytes of each.
        items: Their ids and other columns, row for row.
        listed: Whether a table gave the ids.
    """

    files: list[tuple[str, bytes]]
    items: "pd.DataFrame"
    listed: bool


@shared.stage
def index_add(
    *,
    run: shared.Place,
    images: list[str] | str | None = None,
    path: str | None = None,
    image_column: str | None = None,
    id_column: str | None = None,
    backbone: str | None = None,
    trust: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> IndexChanges:
    """Add images to an index, or update those that it has.

    Nothing else of it changes. An image whose id is there already replaces it. A picture that is there under another
    id gets the id and the columns of the table; without a table it is left as it is.

    Args:
        images: Image files. The file name is the id, without its suffix if the ids of the index have none.
        path: Or a table of images with columns of any kind, .csv, .tsv, .parquet or .feather, as `ingest --source
            table` takes it.
        backbone: Name or path of the backbone that described the run; needed when it was moved.

    Returns:
        How many images are new, updated, unchanged and skipped.

    Raises:
        UserError: If there is no index, the table does not fit, or an image of `images` cannot be read.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe index add --run shop --path new_products.csv --id-column sku
    """
    check_one(images=images, path=path)
    folder = shared.run_path(run, runs_root)
    there = open_index(folder)
    check_describer(there.network, backbone, trust=trust)
    if images is not None:
        batches, skipped = _of_files([images] if isinstance(images, str) else list(images), there), []
    else:
        batches, skipped = _of_table(str(path), image_column, id_column)
    resizing, describe = resizing_of(folder, there.network, tfrecords_root), None
    added = updated = unchanged = 0
    for batch in batches:
        kept, pixels, small = _decoded(batch, there, resizing, skipped)
        if not kept:
            continue
        describe = describe or describer(there.network, there.blocks, backbone=backbone, trust=trust)
        found = describe(pixels)
        items = batch.items.iloc[kept].reset_index(drop=True)
        with locked(folder / "index", patience=PATIENCE):
            counts = _write(open_index(folder), items, found, small, listed=batch.listed)
        added, updated, unchanged = added + counts[0], updated + counts[1], unchanged + counts[2]
    _say_skipped(skipped)
    count = len(open_index(folder))
    log.info(
        "added %d, updated %d, unchanged %d: %d images. Next: fashionprobe search --run %s --image IMAGE",
        added, updated, unchanged, count, folder.name,
    )  # fmt: skip
    return IndexChanges(count, added, updated, unchanged, 0, tuple(skipped))


@shared.stage
def index_remove(
    *, run: shared.Place, ids: list[str] | str | None = None, where: str | None = None, runs_root: str = "runs"
) -> IndexChanges:
    """Take images out of an index.

    They are not found from then on; `fashionprobe index compact` frees their space. Classes stay as they are.

    Args:
        ids: Ids of the images.
        where: Or a pandas query over the columns of the index, such as "season == '2012'".

    Returns:
        How many were removed, and how many are left.

    Raises:
        UserError: If there is no index, an id is not in it, or the query keeps no image.

    Example:
        fashionprobe index remove --run shop --where "price > 100"
    """
    from fashionprobe.records.select import matching

    check_one(ids=ids, where=where)
    folder = shared.run_path(run, runs_root)
    open_index(folder)
    with locked(folder / "index", patience=PATIENCE):
        there = open_index(folder)
        if ids is not None:
            rows = [there.row(name) for name in shared.listed("ids", ids) or []]
        else:
            rows = [int(row) for row in matching(there.items[there.alive], str(where)).index]
        parts().remove(there, rows)
    count = len(there) - len(rows)
    log.info("removed %d: %d images. Next: fashionprobe index compact --run %s", len(rows), count, folder.name)
    return IndexChanges(count, removed=len(rows))


@shared.stage
def index_compact(*, run: shared.Place, runs_root: str = "runs") -> IndexChanges:
    """Write an index again as one part, without what was removed.

    Whoever searches meanwhile is not disturbed, and a killed command leaves the index as it was.

    Returns:
        The number of images.

    Raises:
        UserError: If there is no index.
        OSError: If the disk is full: it needs room for both.

    Example:
        fashionprobe index compact --run shop
    """
    folder = shared.run_path(run, runs_root)
    open_index(folder)
    with locked(folder / "index", patience=PATIENCE):
        before = _size(folder / "index")
        _sweep(folder / "index")  # what a killed one left
        there = open_index(folder)
        part = parts().compact(there)
        _sweep(folder / "index")
    log.info(
        "%s: %d images, %.1f MB less. Next: fashionprobe index status --run %s",
        "nothing to do" if part is None else "compact", len(there), (before - _size(folder / "index")) / 1e6,
        folder.name,
    )  # fmt: skip
    return IndexChanges(len(there))


@shared.stage
def index_status(*, run: shared.Place, runs_root: str = "runs") -> IndexStatus:
    """Say what an index holds.

    Returns:
        Counts, size and columns.

    Raises:
        UserError: If there is no index.

    Example:
        fashionprobe index status --run shop
    """
    from fashionprobe.inputs.index import open_classes

    folder = shared.run_path(run, runs_root)
    there = open_index(folder)
    columns = tuple(str(name) for name in there.items.columns if name != "id")
    found = IndexStatus(
        len(there), len(there.alive) - len(there), len(there.parts), _size(there.folder) / 1e6, columns,
        _is_current(folder),
    )  # fmt: skip
    waiting = f", {found.removed} removed and still on disk" if found.removed else ""
    log.info("%d images in %d parts, %.1f MB%s", found.images, found.parts, found.megabytes, waiting)
    known = open_classes(folder, there).classes
    for name, group in there.groups.items():
        log.info("%s: block %s, %d classes", name, group.block, len(known[name].names))
    log.info("columns: %s", ", ".join(columns) or "none")
    if not found.current:
        log.info("It was made of other descriptors than runs/%s/extract holds now.", folder.name)
    if found.removed or found.parts > 1:
        log.info("Next: fashionprobe index compact --run %s", folder.name)
    return found


def parts() -> "types.ModuleType":
    """Import the index when it is needed: NumPy and pandas take a second."""
    from fashionprobe.attributes import index_parts

    return index_parts


def _is_current(folder: Path) -> bool:
    if not (folder / "extract" / MANIFEST).is_file():
        return True
    described = read_manifest(folder / "extract", remedy="Delete the folder.")["fingerprint"]
    made = read_manifest(folder / "index", remedy="Make it again: fashionprobe index.")
    return made["inputs"].get("extract") == described


def _sweep(folder: Path) -> None:
    """Delete the files that no longer count, after the list of files: at no time does it name one that is gone."""
    gone = parts().replaced(folder)
    if gone:
        there = {path.name for path in folder.iterdir()} - {path.name for path in gone} - {MANIFEST}
        relist(folder, [name for name in there if not name.startswith(".")])
        for path in gone:
            path.unlink()


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _of_files(paths: list[str], there: "Index") -> Iterator[_New]:
    """Read image files, and name them as the index names its own: with their suffix where those have one."""
    import pandas as pd

    from fashionprobe.inputs.searcher import distinct
    from fashionprobe.records.sources.folder import SUFFIXES

    if not paths:
        raise missing("images", "pass one image file or more")
    for path in paths:
        if not Path(path).is_file():
            raise UserError("images", expected="image files", received=f"{path!r}, which is not a file")
    with_suffix = any(name.lower().endswith(SUFFIXES) for name in there.items["id"])
    names = [shared.spelled(Path(path).name) for path in paths]
    names = distinct(names if with_suffix else [os.path.splitext(name)[0] for name in names])
    for start in range(0, len(paths), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        files = [(path, Path(path).read_bytes()) for path in paths[part]]
        yield _New(files, pd.DataFrame({"id": names[part]}), listed=False)


def _of_table(
    path: str, image_column: str | None, id_column: str | None
) -> tuple[Iterator[_New], list[tuple[str, str]]]:
    """Read the images of a table, and say which rows have none that can be used."""
    from fashionprobe.records.sources.table import catalogue

    listing = catalogue(path, image_column, id_column)
    items = listing.items.drop(columns="split", errors="ignore")

    def batches() -> Iterator[_New]:
        for start in range(0, len(items), AT_ONCE):
            part = items.iloc[start : start + AT_ONCE].reset_index(drop=True)
            yield _New([(name, listing.read(name)) for name in part["id"]], part, listed=True)

    return batches(), list(listing.left_out)


def _decoded(
    batch: _New, there: "Index", resizing: "Resizing | None", skipped: list[tuple[str, str]]
) -> "tuple[list[int], np.ndarray, list[bytes]]":
    """Return the places, pixels and thumbnails of the images that can be read; a table may list others, too."""
    import numpy as np

    from fashionprobe.records.image_files.read import decoded, fitted
    from fashionprobe.records.thumbnails import thumbnail

    size, fit = tuple(there.network["arguments"]["size"]), there.network["arguments"]["fit"]
    kept, pixels, small = [], [], []
    for place, (name, data) in enumerate(batch.files):
        try:
            pixels.append(fitted(data, name, size, fit, resizing=resizing))
        except UserError as error:
            if not batch.listed:
                raise
            skipped.append((name, str(error)))
            continue
        small.append(thumbnail(decoded(data, name)))
        kept.append(place)
    return kept, np.array(pixels), small


def _write(
    there: "Index", items: "pd.DataFrame", found: "dict[Block, np.ndarray]", small: list[bytes], *, listed: bool
) -> tuple[int, int, int]:
    """Write described images as a part, and return how many are new, updated and unchanged."""
    from fashionprobe.attributes.folds import identical

    points = normalized(there, found)
    first = identical(list(found.values())[-1])
    names, table, copies = items["id"].tolist(), there.items, there.copies(points)
    there_as, named = table["id"].tolist(), set(names)
    kept, gone, merged = [], set(), []
    counts = {"added": 0, "updated": 0, "unchanged": 0}
    for place, name in enumerate(names):
        if not listed and first[place] != place:
            log.info("%s is the same picture as %s and counts once", name, names[first[place]])
            continue
        same = copies[place]
        own = [there.row(name)] if there.has(name) else []
        # Where several ids have this picture already, or the table gives it to several, it may have one more.
        others = [] if own or len(same) > 1 else [row for row in same if there_as[row] not in named]
        before = own[:1] or others[:1]
        fields = items.iloc[place].to_dict()
        for row in before:
            fields = table.iloc[row].to_dict() | fields
        if others and not listed:
            log.info("%s is in the index already, as %s", name, there_as[others[0]])
            counts["unchanged"] += 1
        elif own and own[0] in same and fields == table.iloc[own[0]].to_dict():
            counts["unchanged"] += 1
        else:
            if others:
                log.info("%s was %s", name, there_as[others[0]])
            counts["updated" if before else "added"] += 1
            gone |= {*own, *others}
            kept.append(place)
            merged.append(fields)
    if kept:
        import pandas as pd

        parts().write_part(
            there.folder, there.next_number, list(there.groups.values()),
            {block: matrix[kept] for block, matrix in found.items()}, pd.DataFrame(merged).fillna(""),
            [small[place] for place in kept], removes=[there.locate(row) for row in sorted(gone)],
        )  # fmt: skip
    return counts["added"], counts["updated"], counts["unchanged"]


def _say_skipped(skipped: Sequence[tuple[str, str]]) -> None:
    for name, reason in skipped[:LISTED]:
        log.info("skipped %s: %s", name, reason)
    if len(skipped) > LISTED:
        log.info("... and %d more; --json lists them all", len(skipped) - LISTED)
