"""Batches of pictures that lie decoded on disk, in any order."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf


def batches(
    pictures: np.ndarray, numbers: np.ndarray, draw: Callable[[int], np.ndarray], epochs: range
) -> tf.data.Dataset:
    """Return batches of images and their classes, in the order that a draw gives.

    Args:
        pictures: uint8 (all, height, width, 3); a memory map is read a batch at a time.
        numbers: Class number of each, int (all,).
        draw: Returns the batches of an epoch as places in `pictures`, int64 (steps, batch).
        epochs: Numbers of the epochs.

    Returns:
        A data set of float32 (batch, height, width, 3) in [0, 255] and int32 (batch,).
    """
    shape = (None, *pictures.shape[1:])
    of_class = numbers.astype(np.int32)

    def order(epoch: tf.Tensor) -> tf.data.Dataset:
        drawn = tf.numpy_function(lambda number: draw(int(number)), [epoch], tf.int64)
        return tf.data.Dataset.from_tensor_slices(tf.ensure_shape(drawn, (None, None)))

    def gather(places: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found, classes = tf.numpy_function(
            lambda rows: (pictures[rows], of_class[rows]), [places], [tf.uint8, tf.int32], stateful=False
        )
        return tf.cast(tf.ensure_shape(found, shape), tf.float32), tf.ensure_shape(classes, (None,))

    chosen = tf.data.Dataset.range(epochs.start, epochs.stop, epochs.step).flat_map(order)
    return chosen.map(gather, num_parallel_calls=2, deterministic=True).prefetch(tf.data.AUTOTUNE)
