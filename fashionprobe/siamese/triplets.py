"""Which triplets of a batch count, and by how much each fails: online mining without a loop over the batch.

A triplet is an anchor, a positive of its class and a negative of another. Each miner takes the distances between all
members of a batch and their classes, and returns the differences d(anchor, positive) - d(anchor, negative) that the
loss is made of. `batch_all` sums over all of them by sorting, in O(batch^2 log batch) instead of O(batch^3).
"""

from typing import Literal, NamedTuple

import tensorflow as tf


class Triplets(NamedTuple):
    """Differences d(a, p) - d(a, n), and which of them are of triplets.

    Attributes:
        differences: float32, any shape.
        valid: bool, the same shape; the others count for nothing.
    """

    differences: tf.Tensor
    valid: tf.Tensor


def batch_hard(distances: tf.Tensor, labels: tf.Tensor) -> Triplets:
    """For each anchor take the farthest positive and the nearest negative of the batch.

    Args:
        distances: float32 (batch, batch).
        labels: Class number of each member, int (batch,).

    Returns:
        One difference an anchor, (batch,).

    Reference:
        Hermans, Beyer and Leibe, In Defense of the Triplet Loss for Person Re-Identification, 2017,
        https://arxiv.org/abs/1703.07737, eq. 5.
    """
    positive, negative = _pairs(labels)
    farthest = tf.reduce_max(tf.where(positive, distances, -1.0), axis=1)
    nearest = tf.reduce_min(tf.where(negative, distances, distances.dtype.max), axis=1)
    return Triplets(farthest - nearest, tf.reduce_any(positive, axis=1) & tf.reduce_any(negative, axis=1))


def semi_hard(distances: tf.Tensor, labels: tf.Tensor) -> Triplets:
    """For each pair of one class take the nearest negative that is farther than the positive, else the farthest one.

    Args:
        distances: float32 (batch, batch).
        labels: Class number of each member, int (batch,).

    Returns:
        One difference for each anchor (row) and positive (column), (batch, batch).

    Reference:
        Schroff, Kalenichenko and Philbin, FaceNet, CVPR 2015, https://arxiv.org/abs/1503.03832, section 3.2.
    """
    positive, negative = _pairs(labels)
    order, ascending = _sorted_negatives(distances, negative)
    farther = tf.searchsorted(ascending, tf.stop_gradient(distances), side="right")
    last = tf.reduce_sum(tf.cast(negative, tf.int32), axis=1, keepdims=True) - 1
    chosen = tf.gather(order, tf.maximum(tf.minimum(farther, last), 0), batch_dims=1)
    return Triplets(distances - tf.gather(distances, chosen, batch_dims=1), positive & (last >= 0))


def batch_weighted(distances: tf.Tensor, labels: tf.Tensor) -> Triplets:
    """For each anchor weigh all positives, the farther the more, and all negatives, the nearer the more.

    The weights are a softmax of the distance over the positives, and of minus the distance over the negatives.

    Args:
        distances: float32 (batch, batch).
        labels: Class number of each member, int (batch,).

    Returns:
        One difference of weighted means an anchor, (batch,).

    Reference:
        Ristani and Tomasi, Features for Multi-Target Multi-Camera Tracking and Re-Identification, CVPR 2018,
        https://arxiv.org/abs/1803.10859, eq. 4.
    """
    positive, negative = _pairs(labels)
    near = tf.reduce_sum(_softmax(distances, positive) * distances, axis=1)
    far = tf.reduce_sum(_softmax(-distances, negative) * distances, axis=1)
    return Triplets(near - far, tf.reduce_any(positive, axis=1) & tf.reduce_any(negative, axis=1))


def in_thirds(distances_of: tf.Tensor) -> Triplets:
    """Take triplets as they were drawn beforehand: a batch of anchors, then their positives, then their negatives.

    Args:
        distances_of: Distances of each anchor to its positive and to its negative, float32 (triplets, 2).
    """
    differences = distances_of[:, 0] - distances_of[:, 1]
    return Triplets(differences, tf.ones_like(differences, tf.bool))


def batch_all(distances: tf.Tensor, labels: tf.Tensor, margin: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Sum max(d(a, p) - d(a, n) + margin, 0) over all triplets of a batch.

    With the negatives of an anchor in ascending order, those that fail for a positive are the first ones: their number
    is found by bisection, the sum of their distances in the cumulative sum.

    Args:
        distances: float32 (batch, batch).
        labels: Class number of each member, int (batch,).
        margin: What the difference should be, float32 ().

    Returns:
        The sum, float32 (), and for each pair of one class (anchor, positive) the number of negatives that fail, int32
        (batch, batch).

    Reference:
        The loss: Hermans, Beyer and Leibe, 2017, https://arxiv.org/abs/1703.07737, eq. 6.
    """
    positive, negative = _pairs(labels)
    order, ascending = _sorted_negatives(distances, negative)
    reached = distances + margin
    failing = tf.where(positive, tf.searchsorted(ascending, tf.stop_gradient(reached), side="left"), 0)
    values = tf.where(tf.math.is_inf(ascending), 0.0, tf.gather(distances, order, batch_dims=1))
    sums = tf.pad(tf.cumsum(values, axis=1), [[0, 0], [1, 0]])
    return tf.reduce_sum(tf.cast(failing, distances.dtype) * reached - tf.gather(sums, failing, batch_dims=1)), failing


def batch_all_soft(distances: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Sum log(1 + exp(d(a, p) - d(a, n))) over all triplets of a batch, an anchor at a time.

    Args:
        distances: float32 (batch, batch).
        labels: Class number of each member, int (batch,).

    Returns:
        The sum, float32 (), and the number of triplets whose negative is nearer than the positive, float32 ().
    """
    positive, negative = _pairs(labels)

    # Computed again for the gradient: all anchors together would need batch^3 numbers.
    @tf.recompute_grad
    def softened(row: tf.Tensor, pairs: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(pairs * tf.math.softplus(row[:, None] - row[None, :]))

    def of_anchor(anchor: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        row, same, other = anchor
        pairs = same[:, None] * other[None, :]
        nearer = tf.cast(row[:, None] > row[None, :], row.dtype)
        return softened(row, pairs), tf.reduce_sum(pairs * nearer)

    # Floats, not booleans: tf.while_loop has no gradient through bool tensors.
    kinds = (distances.dtype, distances.dtype)
    masks = [tf.cast(pairs, distances.dtype) for pairs in (positive, negative)]
    sums, wrong = tf.map_fn(of_anchor, (distances, *masks), fn_output_signature=kinds)
    return tf.reduce_sum(sums), tf.reduce_sum(wrong)


def triplet_count(labels: tf.Tensor) -> tf.Tensor:
    """Return the number of triplets in a batch, float32 ()."""
    positive, negative = _pairs(labels)
    each = [tf.reduce_sum(tf.cast(pairs, tf.float32), axis=1) for pairs in (positive, negative)]
    return tf.reduce_sum(each[0] * each[1])


def _pairs(labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return which members are positives, and which are negatives, of each anchor; both bool (batch, batch)."""
    same = labels[:, None] == labels[None, :]
    return tf.linalg.set_diag(same, tf.zeros_like(labels, tf.bool)), tf.logical_not(same)


def _sorted_negatives(distances: tf.Tensor, negative: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return for each anchor the order of its negatives, nearest first, and their distances, infinite behind the last.

    No gradient flows through the order.
    """
    only = tf.where(negative, tf.stop_gradient(distances), float("inf"))
    order = tf.argsort(only, axis=1)
    return order, tf.gather(only, order, batch_dims=1)


def _softmax(values: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """Return the softmax of each row over the places in `where`, 0 elsewhere."""
    kept = tf.where(where, values, values.dtype.min)
    return tf.where(where, tf.nn.softmax(kept, axis=1), 0.0)


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
    """Return the mean distance between two different members of a batch; 0 when all are on one point."""
    count = tf.cast(tf.shape(distances)[0], distances.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(distances), count * (count - 1))
