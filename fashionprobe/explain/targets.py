"""Targets: the number that an explanation explains, one per image."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import tensorflow as tf

from fashionprobe.errors import UserError, unknown_name

Metric = Literal["cosine", "dot", "euclidean"]
"""How alike two embeddings are: (a . b) / (|a| |b|), a . b, or -|a - b|^2."""


@dataclass(frozen=True)
class Channel:
    """The mean of one channel of a layer over space.

    Attributes:
        layer: Name of a layer, of an inner model too; given a layer, its name.
        channel: Number of the channel, from 0.
    """

    layer: str
    channel: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "layer", getattr(self.layer, "name", self.layer))


@dataclass(frozen=True)
class Neuron:
    """One value of a feature map.

    Attributes:
        layer: Name of a layer with a feature map, of an inner model too; given a layer, its name.
        channel: Number of the channel, from 0.
        row: Row of the feature map, from 0 at the top.
        column: Column of the feature map, from 0 at the left.
    """

    layer: str
    channel: int
    row: int
    column: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "layer", getattr(self.layer, "name", self.layer))


@dataclass(frozen=True, eq=False)
class Similarity:
    """How alike the embedding of the explained image is to that of another image, for a network that embeds images.

    The embedding of the other image is held: it is worked out once, when the method is made. Where the feature map is
    pooled by its mean into the embedding, the map of Grad-CAM without ReLU has the sum of the dot product for "dot", so
    that each place has its share of it (the decomposition of Stylianou et al.); for "cosine" the sum is 0, since the
    cosine does not know how long an embedding is: bright is what draws the two nearer.

    Attributes:
        others: The other images, float (count, height, width, channels), values as the model takes them; or a single
            one, (height, width, channels). `classes` of a call says which of them each image is compared with, from 0;
            without it the only one, or the one of the same place.
        metric: "cosine", "dot", or "euclidean" for the squared distance with a minus sign.

    Raises:
        UserError: If there is no such metric, or the others are not images.

    Reference:
        Chen et al., "Adapting Grad-CAM for Embedding Networks", WACV 2020, where the gradient is that of a triplet's
        loss. Stylianou et al., "Visualizing Deep Similarity Networks", WACV 2019.
    """

    others: np.ndarray
    metric: Metric = "cosine"

    def __post_init__(self) -> None:
        """Check the arguments."""
        if self.metric not in get_args(Metric):
            raise unknown_name("metric", self.metric, get_args(Metric))
        images = np.asarray(self.others)
        if images.ndim not in (3, 4) or images.dtype.kind not in "iufb" or not images.size:
            raise UserError(
                "others", expected="images (count, height, width, channels), or one of them",
                received=f"shape {list(images.shape)}" if images.dtype.kind in "iufb" else type(self.others).__name__,
            )  # fmt: skip
        object.__setattr__(self, "others", images[None] if images.ndim == 3 else images)

    def __call__(self, embeddings: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
        """Return how alike embeddings (batch, dimension) are, row by row: float32 (batch,)."""
        if self.metric == "euclidean":
            return -tf.reduce_sum(tf.square(embeddings - others), axis=1)
        product = tf.reduce_sum(embeddings * others, axis=1)
        if self.metric == "dot":
            return product
        # An embedding of zeros is like nothing: 0, and not NaN, for it and its gradient.
        length = tf.sqrt(tf.maximum(tf.reduce_sum(tf.square(embeddings), axis=1), 1e-24))
        return product / (length * tf.sqrt(tf.maximum(tf.reduce_sum(tf.square(others), axis=1), 1e-24)))


Target = Channel | Neuron | Similarity | Callable[[tf.Tensor], tf.Tensor] | None
"""What is explained. None is the score of a class before the softmax, which the call names: the top one by default. A
function gets the scores of all classes, (batch, classes), and returns one number per image, (batch,)."""
