"""Batches for a head that is trained on descriptors computed once."""

import numpy as np
import tensorflow as tf


def batches(
    features: np.ndarray,
    numbers: np.ndarray,
    classes: int,
    *,
    rows: np.ndarray,
    batch_size: int,
    epochs: range | None = None,
    seed: int = 0,
) -> tf.data.Dataset:
    """Return batches of descriptors and one-hot targets.

    Args:
        features: float32 (all, channels); a memory map is read a batch at a time.
        numbers: Class number of each row, int (all,).
        classes: Number of classes.
        rows: The rows to use, int (rows,).
        batch_size: Rows a batch; the last of an epoch may be smaller.
        epochs: Numbers of the epochs, each in an order that seed and number fix. None: once, in order.
        seed: Seed of the order.

    Returns:
        A data set of float32 (batch, channels) and float32 (batch, classes).
    """
    width = features.shape[1]

    def gather(chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found = tf.numpy_function(lambda places: features[places], [chosen], tf.float32, stateful=False)
        targets = tf.one_hot(tf.gather(tf.constant(numbers, tf.int64), chosen), classes)
        return tf.ensure_shape(found, (None, width)), targets

    def epoch_of(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(tf.constant(rows, tf.int64), seed=(seed, epoch))
        return tf.data.Dataset.from_tensor_slices(order).batch(batch_size)

    if epochs is None:
        chosen = tf.data.Dataset.from_tensor_slices(rows.astype(np.int64)).batch(batch_size)
    else:
        chosen = tf.data.Dataset.range(epochs.start, epochs.stop, epochs.step).flat_map(epoch_of)
    return chosen.map(gather).prefetch(tf.data.AUTOTUNE)
