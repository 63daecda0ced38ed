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
    example = tf.train.Example()
    # Filled in place: messages built one inside the other would be copied at each level, four times slower.
    feature = example.features.feature
    feature[IMAGE].bytes_list.value.append(image)
    feature[ID].bytes_list.value.append(name.encode())
    feature[ORIENTATION].int64_list.value.append(orientation)
    for column, value in labels.items():
        feature[LABEL_PREFIX + column].bytes_list.value.append(value.encode())
    return example.SerializeToString(deterministic=True)


def features(columns: Sequence[str]) -> dict[str, tf.io.FixedLenFeature]:
    """Return the parsing specification for image, id, orientation and these label columns."""
    scalar = tf.io.FixedLenFeature([], tf.string)
    named = {IMAGE: scalar, ID: scalar, ORIENTATION: tf.io.FixedLenFeature([], tf.int64)}
    return named | {LABEL_PREFIX + column: scalar for column in columns}
