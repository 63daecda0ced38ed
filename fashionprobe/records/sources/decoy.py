"""Any record set with marks in a corner that give the class away, in the training images nearly always.

Reference:
    Ross, Hughes and Doshi-Velez, Right for the right reasons, IJCAI 2017, https://arxiv.org/abs/1703.03717.
"""

import os
import struct
from pathlib import Path

import numpy as np
import pandas as pd

from fashionprobe.artifacts import load
from fashionprobe.errors import UserError, missing, unknown_name
from fashionprobe.records.image_files import inspect
from fashionprobe.records.image_files.info import BadImage
from fashionprobe.records.record_set import RecordSet
from fashionprobe.records.sources import Catalogue
from fashionprobe.records.sources.corner_marks import CORNER, MOST, check_rate, with_mark
from fashionprobe.records.sources.drawing import png


def catalogue(
    path: str | os.PathLike[str] | None,
    *,
    rate: float = 0.9,
    marks: str = "symbols",
    label: str | None = None,
    seed: int = 0,
) -> Catalogue:
    """Offer the images of a record set with marks in their lower left corner, within the box `marks.CORNER`.

    In train and val an image carries the mark of its class with probability `rate`, else one drawn from those of all
    classes; in test the mark is always drawn. Outside the box no pixel changes.

    Args:
        path: The folder of a record set, as `ingest` wrote it.
        rate: Share of train and val whose mark was chosen by class, in [0, 1]; 0 gives random marks.
        marks: Kind of the marks: "symbols", "patch" (a grey square) or "dots" (their number); "none" leaves them out.
        label: The column whose classes have marks; None for the one that the record set was split by.
        seed: Seed of the draw.

    Returns:
        The items of the record set, its columns and splits, with the columns mark (the class whose mark is drawn, or
        none) and marks ("by class", "random" or "without"); `read` returns PNG in the image's own size.

    Raises:
        UserError: If `path` is not a record set, the label is not there, or it has too many classes for the marks.
    """
    check_rate(rate)
    records = _open(path)
    label = _label(records, label)
    items = records.items
    taken = [column for column in ("mark", "marks") if column in items]
    if taken:
        raise UserError("path", expected="a record set without marks", received=f"{records.path}, which has them")
    classes = sorted(set(items[label]) - {""})
    if marks != "none" and not 1 < len(classes) <= MOST[marks]:
        raise UserError(
            "label", expected=f"a column with 2 to {MOST[marks]} classes for {marks}",
            received=f"{label}, with {len(classes)}",
            remedy=f"Keep fewer with --classes when {records.path.name} is made, or pass another --label or --marks.",
        )  # fmt: skip
    places = _places(records, items)
    items = _marked(items.drop(columns=["row", "shard"]), label, classes, rate, marks, seed)
    mark_of = dict(zip(items["id"], items["mark"], strict=True))
    number = {name: place for place, name in enumerate(classes)}

    def read(name: str) -> bytes:
        pixels = _picture(*places[name])
        if marks != "none":
            pixels = with_mark(pixels, marks, number[mark_of[name]], len(classes))
        return png(pixels)

    share = ", ".join(f"{value:g}" for value in CORNER)
    note = f"The marks lie in the lower left corner; top, left, bottom, right as shares of the sides: {share}."
    return Catalogue(
        items, read, stratify=label, split_is_fixed=True, fingerprint=records.fingerprint,
        notes=("No image has a mark.",) if marks == "none" else (note,),
    )  # fmt: skip


def _open(path: str | os.PathLike[str] | None) -> RecordSet:
    remedy = "Name the folder of a record set, such as tfrecords/garments, that fashionprobe ingest wrote."
    if path is None:
        raise missing("path", "pass the folder of a record set", remedy)
    made = load(Path(path), stage="ingest", remedy=remedy)
    return RecordSet(made.path, made.manifest)


def _label(records: RecordSet, label: str | None) -> str:
    """Return the column whose classes have marks."""
    columns = records.facts["columns"]
    named = label or records.facts.get("stratify")
    if named is None and len(columns) == 1:
        named = next(iter(columns))
    if named is None or named not in columns:
        raise unknown_name("label", str(named or "nothing"), columns, what=f"a label column of {records.path.name}")
    return named


def _marked(items: pd.DataFrame, label: str, classes: list[str], rate: float, marks: str, seed: int) -> pd.DataFrame:
    """Return the items with the columns mark and marks before the split."""
    # Both are drawn whatever the rate is, so that another rate changes no more marks than it must.
    rng = np.random.default_rng(seed)
    by_class, drawn = rng.random(len(items)) < rate, rng.choice(classes, len(items))
    # An image without this label has no mark of its own.
    by_class &= ((items["split"] != "test") & (items[label] != "")).to_numpy()
    if marks == "none":
        found = items.assign(mark="none", marks="without")
    else:
        mark = np.where(by_class, items[label], drawn)
        found = items.assign(mark=mark, marks=np.where(by_class, "by class", "random"))
    return found[[*found.columns.drop("split"), "split"]]


def _places(records: RecordSet, items: pd.DataFrame) -> dict[str, tuple[Path, int, int]]:
    """Return file, offset and length of each record: shards hold the rows of items.csv in order.

    Of each record a TFRecord file holds the length (8 bytes), a checksum of it (4), the record, and its checksum (4).
    """
    places = {}
    for shard, rows in items.groupby("shard", sort=False):
        path, offset = records.path / str(shard), 0
        with path.open("rb") as file:
            for name in rows["id"]:
                file.seek(offset)
                length = struct.unpack("<Q", file.read(8))[0]
                places[name] = (path, offset + 12, length)
                offset += length + 16
    return places


def _picture(path: Path, offset: int, length: int) -> np.ndarray:
    """Decode one record as every stage does: uint8 (height, width, 3), RGB, upright."""
    import tensorflow as tf

    from fashionprobe.records import decode, schema

    with path.open("rb") as file:
        file.seek(offset)
        feature = tf.train.Example.FromString(file.read(length)).features.feature
    data, orientation = feature[schema.IMAGE].bytes_list.value[0], feature[schema.ORIENTATION].int64_list.value[0]
    info = inspect.inspect(data)
    try:
        decoded = decode.decode(
            tf.constant(data), tf.constant(orientation), formats={info.format}, orientations={orientation},
            alpha=info.has_alpha,
        )  # fmt: skip
    except tf.errors.InvalidArgumentError as error:
        raise BadImage(f"TensorFlow cannot decode it ({error.message})") from error
    return decoded.numpy()
