"""TFRecord files -> a `tf.data.Dataset` of decoded, resized images: the one reader that every stage uses."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from fashionprobe.errors import UserError
from fashionprobe.records import decode, schema
from fashionprobe.records.record_set import SPLITS, RecordSet, check_splits

SHUFFLED_TOGETHER = 2048
"""Records, still encoded, that are in memory to be shuffled: some 100 MB of photographs."""


def read(
    records: RecordSet,
    *,
    outputs: Sequence[str] = ("image", "id"),
    splits: Sequence[str] = SPLITS,
    size: tuple[int, int] = (224, 224),
    fit: Literal["pad", "stretch"] = "pad",
    batch_size: int = 32,
    skip: int = 0,
    numbers: Mapping[str, Mapping[str, int]] | None = None,
    passes: range | None = None,
    seed: int = 0,
) -> tf.data.Dataset:
    """Read a record set.

    Without `passes` the order is that of `items.csv`. With it the set is read several times, shuffled again in each
    pass; the order of pass 7 depends on the seed and on 7 alone, so training resumes after epoch 7 as if never stopped.

    Args:
        records: The artifact that `ingest` wrote.
        outputs: What each element holds, in this order: "image", "id", or the name of a label column. A label comes
            as the number of its class in the column (`RecordSet.classes`); a missing one as -1.
        splits: Which of train, val and test.
        size: (height, width) of the images in pixels.
        fit: Keep the aspect ratio and pad with white, or stretch.
        batch_size: Images a batch; the last batch may be smaller.
        skip: Records at the start that are not wanted; they are not decoded.
        numbers: For a label column the number of each class that is wanted, in place of the vocabulary's; records of
            other classes are left out.
        passes: Numbers of the passes, such as `range(10)`; an epoch is a pass.
        seed: Seed of the shuffling.

    Returns:
        A data set whose elements are tuples: image float32 (batch, height, width, 3), RGB in [0, 255]; id string
        (batch,); label int64 (batch,). A single output comes without the tuple.

    Raises:
        UserError: If an output is not there, or the splits hold no record.
    """
    columns = [output for output in outputs if output not in ("image", "id")]
    tables = {column: _lookup(_numbers(records, column, numbers)) for column in columns}
    features = schema.features(columns)
    kinds = _kinds(records)
    chosen = [column for column in columns if column in (numbers or {})]

    def is_wanted(record: tf.Tensor) -> tf.Tensor:
        found = tf.io.parse_single_example(record, schema.features(chosen))
        known = [tables[column].lookup(found[schema.LABEL_PREFIX + column]) >= 0 for column in chosen]
        return tf.reduce_all(known)

    def parse(record: tf.Tensor) -> Any:
        found = tf.io.parse_single_example(record, features)
        values = []
        for output in outputs:
            if output == "image":
                image = decode.decode(found[schema.IMAGE], found[schema.ORIENTATION], **kinds)
                values.append(decode.fit(image, size, fit))
            elif output == "id":
                values.append(found[schema.ID])
            else:
                values.append(tables[output].lookup(found[schema.LABEL_PREFIX + output]))
        return values[0] if len(values) == 1 else tuple(values)

    files = [str(path) for path in shard_paths(records, splits)]
    if not files:
        counts = records.facts["splits"]
        raise UserError(
            "split", expected=f"a split with images: {', '.join(name for name in SPLITS if counts[name])}",
            received=", ".join(splits),
        )  # fmt: skip

    def images(encoded: tf.data.Dataset) -> tf.data.Dataset:
        wanted = encoded.filter(is_wanted) if chosen else encoded
        rest = wanted.skip(skip) if skip else wanted
        return rest.map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).batch(batch_size)

    if passes is None:
        return images(tf.data.TFRecordDataset(files)).prefetch(tf.data.AUTOTUNE)
    epochs = tf.data.Dataset.range(passes.start, passes.stop, passes.step)
    return epochs.flat_map(lambda epoch: images(_shuffled(files, seed, epoch))).prefetch(tf.data.AUTOTUNE)


def _shuffled(files: list[str], seed: int, epoch: tf.Tensor) -> tf.data.Dataset:
    """Return the encoded records in an order that seed and epoch fix: files first, then records within reach.

    `Dataset.shuffle` would do, but its order depends on how often it was read before, and on TensorFlow's global seed.
    """
    order = tf.random.experimental.stateless_shuffle(tf.constant(files), seed=(seed, epoch))  # pyright: ignore[reportAttributeAccessIssue]
    encoded = tf.data.Dataset.from_tensor_slices(order).interleave(
        tf.data.TFRecordDataset, cycle_length=8, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )

    def shuffle(number: tf.Tensor, together: tf.Tensor) -> tf.Tensor:
        # The first number may not repeat that of the files, nor those of other parts of this epoch.
        return tf.random.experimental.stateless_shuffle(together, seed=(seed + (number + 1) * 2**32, epoch))  # pyright: ignore[reportAttributeAccessIssue]

    return encoded.batch(SHUFFLED_TOGETHER).enumerate().map(shuffle).unbatch()


def shard_paths(records: RecordSet, splits: Sequence[str] = SPLITS) -> list[Path]:
    """Return the paths of the TFRecord files of these splits, in the order of `items.csv`."""
    check_splits(splits)
    names = sorted(name for name in records.manifest["files"] if name.endswith(".tfrecord"))
    return [
        records.path / name for split in SPLITS if split in splits for name in names if name.startswith(f"{split}-")
    ]


def pictures(records: RecordSet, ids: Collection[str], paths: Sequence[Path]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (id, picture) of the named records, in the order in which they are stored, and stop after the last.

    Args:
        records: The artifact that `ingest` wrote.
        ids: The ids.
        paths: The TFRecord files to look through.

    Yields:
        The id and the upright picture in its own size, uint8 (height, width, 3), RGB.
    """
    wanted = sorted(set(ids))
    if not wanted:
        return
    features, kinds = schema.features([]), _kinds(records)
    keys, values = tf.constant(wanted), tf.range(len(wanted), dtype=tf.int64)
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), default_value=-1)
    # Left out inside the graph, what is not wanted costs a fifth of what it would in Python.
    found = (
        tf.data.TFRecordDataset([str(path) for path in paths])
        .map(lambda record: tf.io.parse_single_example(record, features))
        .filter(lambda record: table.lookup(record[schema.ID]) >= 0)
        .take(len(wanted))
    )
    for record in found:
        picture = decode.decode(record[schema.IMAGE], record[schema.ORIENTATION], **kinds)
        yield record[schema.ID].numpy().decode(), picture.numpy()


def picture_at(records: RecordSet, shard: str, place: int) -> np.ndarray:
    """Return one picture by where it is stored: upright, in its own size, uint8 (height, width, 3), RGB.

    Records before it are skipped unread, so that one of hundreds takes some hundredths of a second.

    Args:
        records: The artifact that `ingest` wrote.
        shard: Name of the TFRecord file, as in `items.csv`.
        place: Number of the record in it, from 0.

    Raises:
        UserError: If the file is damaged or holds fewer records.
    """
    with readable(records):
        for record in tf.data.TFRecordDataset(str(records.path / shard)).skip(place).take(1):
            found = tf.io.parse_single_example(record, schema.features([]))
            return decode.decode(found[schema.IMAGE], found[schema.ORIENTATION], **_kinds(records)).numpy()
    raise UserError(
        str(records.path / shard), expected=f"a TFRecord file of more than {place} records", received="fewer",
        remedy=f"Make it again: fashionprobe ingest --dataset {records.path.name} --overwrite ...",
    )  # fmt: skip


@contextmanager
def readable(records: RecordSet) -> Iterator[None]:
    """Turn TensorFlow's errors while reading into one that names the damaged file and the remedy."""
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError) as error:
        damaged = next((path for path in shard_paths(records) if not _is_whole(str(path))), None)
        if damaged is None and not isinstance(error, tf.errors.DataLossError):
            raise
        raise UserError(
            str(damaged or records.path), expected="a whole TFRecord file", received="a truncated or damaged one",
            remedy=f"Make it again: fashionprobe ingest --dataset {records.path.name} --overwrite ...",
        ) from error  # fmt: skip


def _is_whole(path: str) -> bool:
    try:
        for _ in tf.data.TFRecordDataset(path):
            pass
    except (tf.errors.DataLossError, tf.errors.NotFoundError):
        return False
    return True


def _kinds(records: RecordSet) -> dict[str, Any]:
    """Return the kinds of images that the set holds: the decoder leaves out of its graph what is not there."""
    counts = records.facts["images"]
    return {
        "formats": set(counts["format"]),
        "orientations": {int(orientation) for orientation in counts["orientation"]},
        "alpha": "true" in counts["alpha"],
    }


def _numbers(records: RecordSet, column: str, numbers: Mapping[str, Mapping[str, int]] | None) -> Mapping[str, int]:
    """Return the number of each class of a column."""
    classes = records.classes(column)
    return (numbers or {}).get(column) or {name: number for number, name in enumerate(classes)}


def _lookup(numbers: Mapping[str, int]) -> tf.lookup.StaticHashTable:
    # The missing label is a key of its own: a column without any label would make a table that TensorFlow refuses.
    keys = tf.constant(["", *numbers], tf.string)
    values = tf.constant([-1, *numbers.values()], tf.int64)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), default_value=-1)
