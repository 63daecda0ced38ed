"""The triplet loss with any mining, and what is watched beside it."""

from typing import Any, Literal

import keras
import tensorflow as tf

from fashionprobe.errors import UserError, unknown_name
from fashionprobe.siamese import triplets
from fashionprobe.siamese.triplets import METRICS, Metric, distances, spread

Mining = Literal["random", "batch_hard", "semi_hard", "batch_all", "batch_weighted"]
MININGS = ("random", "batch_hard", "semi_hard", "batch_all", "batch_weighted")
SOFT = "soft"
"""In place of a margin: log(1 + exp(x)) instead of max(x + margin, 0)."""


@keras.saving.register_keras_serializable("fashionprobe")
class TripletLoss(keras.losses.Loss):
    """max(d(a, p) - d(a, n) + margin, 0) over the triplets that a miner finds in a batch.

    The mean is over the triplets that the miner looks at; for `batch_all` over those that are not 0 already, as most
    soon are. `random` takes triplets drawn beforehand: a batch of anchors, then positives, then negatives.

    The targets are class numbers, int (batch,) or (batch, 1), the predictions embeddings, float32 (batch, dimensions).

    Args:
        mining: "random", "batch_hard", "semi_hard", "batch_all" or "batch_weighted".
        metric: "euclidean", squared, or "cosine".
        margin: What the two distances should differ by, above 0; or "soft" for softplus without a margin.
        name: Name of the loss.

    Attributes:
        mining: As given; `start_easy` changes what is computed, not this.

    Raises:
        UserError: If an argument is none of these.

    Reference:
        Schroff et al., FaceNet, CVPR 2015, https://arxiv.org/abs/1503.03832; Hermans et al., 2017,
        https://arxiv.org/abs/1703.07737.
    """

    def __init__(
        self,
        mining: Mining = "semi_hard",
        *,
        metric: Metric = "euclidean",
        margin: float | Literal["soft"] = 1.0,
        name: str = "triplet_loss",
    ) -> None:
        super().__init__(name=name)
        if mining not in MININGS:
            raise unknown_name("mining", mining, MININGS)
        if metric not in METRICS:
            raise unknown_name("metric", metric, METRICS)
        if margin != SOFT and not (isinstance(margin, int | float) and 0 < margin < float("inf")):
            raise UserError("margin", expected="a number above 0, or soft", received=margin)
        self.mining: Mining = mining
        self.metric: Metric = metric
        self._given = margin
        self._margin = tf.Variable(tf.constant(0.0 if margin == SOFT else float(margin)), trainable=False)
        self._easy = tf.Variable(tf.constant(False), trainable=False)

    @property
    def soft(self) -> bool:
        """Whether there is no margin."""
        return self._given == SOFT

    @property
    def margin(self) -> float:
        """The margin as it is now; 0 for a soft one."""
        return float(self._margin.numpy())

    @margin.setter
    def margin(self, value: float) -> None:
        self._margin.assign(value)

    def start_easy(self, on: bool) -> None:
        """Mine semi-hard triplets in place of what was asked for, or stop doing so; also in a compiled graph."""
        self._easy.assign(on)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Return the loss of a batch, float32 ()."""
        return self._chosen(y_true, y_pred)[0]

    def active(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Return the share of the triplets looked at that still fail, float32 ().

        With a soft margin those fail whose negative is nearer than the positive.
        """
        return self._chosen(y_true, y_pred)[1]

    def spread(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Return the mean distance between two members of the batch, float32 (); near 0 the embedding has collapsed."""
        return spread(distances(y_pred, self.metric))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"mining": self.mining, "metric": self.metric, "margin": self._given, "name": self.name}

    def _chosen(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        labels, embeddings = tf.reshape(tf.cast(y_true, tf.int32), [-1]), tf.cast(y_pred, tf.float32)
        if self.mining == "random":
            return self._of_mined(triplets.in_thirds(_in_thirds(embeddings, self.metric)))
        found = distances(embeddings, self.metric)
        if self.mining == "semi_hard":
            return self._of_mined(triplets.semi_hard(found, labels))
        return tf.cond(
            self._easy,
            lambda: self._of_mined(triplets.semi_hard(found, labels)),
            lambda: self._of_batch(found, labels),
        )

    def _of_batch(self, found: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if self.mining == "batch_hard":
            return self._of_mined(triplets.batch_hard(found, labels))
        if self.mining == "batch_weighted":
            return self._of_mined(triplets.batch_weighted(found, labels))
        count = triplets.triplet_count(labels)
        if self.soft:
            total, wrong = triplets.batch_all_soft(found, labels)
            return tf.math.divide_no_nan(total, count), tf.math.divide_no_nan(wrong, count)
        total, failing = triplets.batch_all(found, labels, self._margin)
        failed = tf.reduce_sum(tf.cast(failing, tf.float32))
        return tf.math.divide_no_nan(total, failed), tf.math.divide_no_nan(failed, count)

    def _of_mined(self, mined: triplets.Triplets) -> tuple[tf.Tensor, tf.Tensor]:
        short = mined.differences + self._margin
        losses = tf.math.softplus(mined.differences) if self.soft else tf.nn.relu(short)
        valid = tf.cast(mined.valid, tf.float32)
        count = tf.reduce_sum(valid)
        # A place that is not a triplet may hold infinity, and 0 times infinity is NaN.
        total = tf.reduce_sum(tf.where(mined.valid, losses, 0.0))
        failed = tf.reduce_sum(valid * tf.cast(short > 0, tf.float32))
        return tf.math.divide_no_nan(total, count), tf.math.divide_no_nan(failed, count)


def _in_thirds(embeddings: tf.Tensor, metric: Metric) -> tf.Tensor:
    """Return distances of anchors to their positives and to their negatives, float32 (triplets, 2)."""
    if metric == "cosine":
        embeddings = tf.math.l2_normalize(embeddings, axis=1)
    anchors, positives, negatives = tf.split(embeddings, 3)
    scale = 0.5 if metric == "cosine" else 1.0
    found = [tf.reduce_sum(tf.square(anchors - others), axis=1) for others in (positives, negatives)]
    return scale * tf.stack(found, axis=1)
