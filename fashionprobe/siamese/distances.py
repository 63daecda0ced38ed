"""Distances between all embeddings of a batch."""

from typing import Literal

import tensorflow as tf

Metric = Literal["euclidean", "cosine"]
METRICS = ("euclidean", "cosine")


def distances(embeddings: tf.Tensor, metric: Metric = "euclidean") -> tf.Tensor:
    """Return the distance of each embedding to each other.

    Args:
        embeddings: float32 (batch, dimensions).
        metric: "euclidean" for its square, in [0, inf); "cosine" for 1 - cosine, in [0, 2].

    Returns:
        float32 (batch, batch), symmetric up to rounding, 0 on the diagonal.
    """
    if metric == "cosine":
        embeddings = tf.math.l2_normalize(embeddings, axis=1)
    squares = tf.reduce_sum(tf.square(embeddings), axis=1)
    products = tf.matmul(embeddings, embeddings, transpose_b=True)
    # Rounding makes the distance of near neighbours negative, and that of each to itself none.
    found = tf.nn.relu(squares[:, None] + squares[None, :] - 2 * products)
    found = tf.linalg.set_diag(found, tf.zeros_like(squares))
    return found / 2 if metric == "cosine" else found


def spread(distances: tf.Tensor) -> tf.Tensor:
    """Return the mean distance between two different members of a batch; 0 when all lie on one point."""
    count = tf.cast(tf.shape(distances)[0], distances.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(distances), count * (count - 1))
