"""Items -> sharded TFRecord files, several shards at a time, each there whole or not at all."""

import errno
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import tensorflow as tf

from fashionprobe.artifacts import write_text
from fashionprobe.errors import UserError
from fashionprobe.records import schema
from fashionprobe.records.image_files import inspect
from fashionprobe.records.record_set import SPLITS
from fashionprobe.records.select import label_columns, shuffled

REPORT_EVERY = 64
"""Images between two updates of the progress bar: an update costs about as much as packing an image."""


@dataclass(frozen=True)
class Packing:
    """How an image becomes the bytes of a record.

    Attributes:
        size: (height, width) in pixels to resize to; None keeps the original bytes.
        fit: How to resize: keep the aspect ratio and pad with white, or stretch.
        strip_metadata: Drop camera data and comments from JPEG and PNG files without touching a pixel.
        check: Decode every image to find damage that its structure does not show.
        strict: Make the first bad image an error.
    """

    size: tuple[int, int] | None = None
    fit: Literal["pad", "stretch"] = "pad"
    strip_metadata: bool = False
    check: bool = False
    strict: bool = False


@dataclass(frozen=True)
class Shard:
    """One file to be written: its name and its items."""

    name: str
    items: pd.DataFrame


def plan(items: pd.DataFrame, *, shard_size: int, seed: int) -> list[Shard]:
    """Cut the items, shuffled within each split, into shards of one split each.

    Shuffling once here is what lets a reader get mixed classes from a plain sequential read.
    """
    shards = []
    for split in SPLITS:
        chosen = shuffled(items[items["split"] == split], seed)
        count = -(-len(chosen) // shard_size)
        for number in range(count):
            part = chosen.iloc[number * shard_size : (number + 1) * shard_size]
            shards.append(Shard(f"{split}-{number:05d}-of-{count:05d}.tfrecord", part))
    return shards


def write_shards(
    folder: Path,
    shards: list[Shard],
    read: Callable[[str], bytes],
    packing: Packing,
    *,
    threads: int,
    report: Callable[[int], object] = lambda count: None,
) -> int:
    """Write the shards that are not there yet.

    Args:
        folder: Where to.
        shards: What to write.
        read: Returns an image's encoded bytes by its id.
        packing: How an image becomes a record.
        threads: Shards written at a time.
        report: Called with the number of items done, from any of the threads.

    Returns:
        The number of shards that an earlier run had finished.

    Raises:
        UserError: If an image is bad and `packing.strict` is set.
        OSError: If a file cannot be written.
    """
    waiting = [shard for shard in shards if not _note_path(folder, shard).is_file()]
    report(sum(len(shard.items) for shard in shards) - sum(len(shard.items) for shard in waiting))
    with inspect.quiet():
        pool = ThreadPoolExecutor(max_workers=threads)
        try:
            for _ in pool.map(lambda shard: _write_shard(folder, shard, read, packing, report), waiting):
                pass
        finally:
            pool.shutdown(cancel_futures=True)
    return len(shards) - len(waiting)


def summary(folder: Path, shards: list[Shard]) -> tuple[pd.DataFrame, list[tuple[str, str]], dict[str, dict[str, int]]]:
    """Put together what the shards hold.

    Returns:
        The table of items (row, id, label columns, split, shard), the skipped images as (id, reason), and how many
        images there are of each `format`, `orientation` and `alpha`.
    """
    tables, skipped = [], []
    counts: dict[str, Counter[str]] = {"format": Counter(), "orientation": Counter(), "alpha": Counter()}
    for shard in shards:
        note = json.loads(_note_path(folder, shard).read_text(encoding="utf-8"))
        bad = {name for name, _ in note["skipped"]}
        skipped += [(name, reason) for name, reason in note["skipped"]]
        tables.append(shard.items[~shard.items["id"].isin(bad)].assign(shard=shard.name))
        for key, counter in counts.items():
            counter.update(note[key])
    items = pd.concat(tables, ignore_index=True)
    items = items[["id", *label_columns(items.drop(columns="shard")), "split", "shard"]]
    items.insert(0, "row", range(len(items)))
    return items, skipped, {key: dict(sorted(counter.items())) for key, counter in counts.items()}


def _note_path(folder: Path, shard: Shard) -> Path:
    return folder / f".{shard.name}.json"


def _write_shard(
    folder: Path,
    shard: Shard,
    read: Callable[[str], bytes],
    packing: Packing,
    report: Callable[[int], object],
) -> None:
    """Write one shard and then its note; a shard without a note is written again."""
    skipped: list[tuple[str, str]] = []
    infos: list[inspect.ImageInfo] = []
    draft = folder / f".{shard.name}.part"
    columns = [column for column in shard.items.columns if column != "id"]
    # As plain lists: pandas would make a string of its own for each cell.
    names, *labels = (shard.items[column].to_numpy(object).tolist() for column in ("id", *columns))
    rows = zip(names, zip(*labels, strict=True), strict=True)
    try:
        with tf.io.TFRecordWriter(str(draft)) as writer:
            for name, values in _reported(rows, report):
                try:
                    image, info = _pack(read(name), packing)
                except inspect.BadImage as error:
                    if packing.strict:
                        raise UserError(
                            name,
                            expected="a whole image",
                            received=error,
                            remedy="Fix or remove it, or drop --strict.",
                        ) from error
                    skipped.append((name, str(error)))
                    continue
                labelled = dict(zip(columns, values, strict=True))
                writer.write(schema.serialize(image, name=name, orientation=info.orientation, labels=labelled))
                infos.append(info)
    except tf.errors.OpError as error:
        # TensorFlow's file system reports a full disk or a missing permission with exceptions of its own, which end in
        # the system's words.
        reason = error.message.rpartition("; ")[2]
        code = next((code for code in errno.errorcode if os.strerror(code) == reason), errno.EIO)
        raise OSError(code, reason, str(draft)) from error
    os.replace(draft, folder / shard.name)
    note = {
        "skipped": skipped,
        "format": Counter(info.format for info in infos),
        "orientation": Counter(str(info.orientation) for info in infos),
        "alpha": Counter(str(info.has_alpha).lower() for info in infos),
    }
    write_text(_note_path(folder, shard), json.dumps(note))


def _pack(data: bytes, packing: Packing) -> tuple[bytes, inspect.ImageInfo]:
    """Check one image and bring it into the form that is stored."""
    info = inspect.inspect(data, decode=packing.check)
    if packing.size is not None:
        resized = inspect.resize(data, packing.size, packing.fit, info)
        return resized, inspect.inspect(resized)
    if packing.strip_metadata:
        return inspect.strip_metadata(data, info), info
    return data, info


def _reported(rows: Iterable, report: Callable[[int], object]) -> Iterator:
    """Pass the rows on, reporting each bunch once it is done."""
    done = 0
    for row in rows:
        yield row
        done += 1
        if done == REPORT_EVERY:
            report(done)
            done = 0
    report(done)
