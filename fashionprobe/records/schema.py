"""What one record holds: a `tf.train.Example` with the image's bytes, its id and its labels."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

IMAGE, ID, ORIENTATION = "image", "id", "orientation"
LABEL_PREFIX = "label/"


def serialize(image: bytes, *, name: str, orientation: int, labels: Mapping[str, str]) -> bytes:
    """Return one record as the bytes of a `tf.train.Example`.

    Args:
        image: Encoded image.
        name: The id.
        orientation: EXIF orientation, 1 to 8; 1 is upright.
        labels: Label by column; `split` is one of them.
    """
    feature = {
        IMAGE: _text(image),
        ID: _text(name.encode()),
        ORIENTATION: tf.train.Feature(int64_list=tf.train.Int64List(value=[orientation])),
    }
    for column, value in labels.items():
        feature[LABEL_PREFIX + column] = _text(value.encode())
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(deterministic=True)


def features(columns: Sequence[str]) -> dict[str, tf.io.FixedLenFeature]:
    """Return the parsing specification for image, id, orientation and these label columns."""
    scalar = tf.io.FixedLenFeature([], tf.string)
    named = {IMAGE: scalar, ID: scalar, ORIENTATION: tf.io.FixedLenFeature([], tf.int64)}
    return named | {LABEL_PREFIX + column: scalar for column in columns}


def _text(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
