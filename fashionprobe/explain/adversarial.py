"""Adversarial examples: a change that nobody sees, after which a classifier sees another class."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fashionprobe.errors import UserError
from fashionprobe.explain.explained_model import ExplainFunction, Network


def fast_gradient_sign(
    model: keras.Model, *, epsilon: float = 1.0, value_range: tuple[float, float] = (0.0, 255.0)
) -> ExplainFunction:
    """Make the fast gradient sign method: x + epsilon sign(dJ/dx), J the cross-entropy of a class.

    Args:
        model: The classifier.
        epsilon: The change of each value, in the units of the images; values outside the range are clipped to it.
        value_range: Least and greatest value of images as the model takes them.

    Returns:
        A function of images (batch, height, width, channels) and the class of each, the top one by default, that
        returns the changed images, float32.

    Raises:
        UserError: If an option is out of range, or the model is not a classifier.

    Reference:
        Goodfellow, Shlens, Szegedy, Explaining and Harnessing Adversarial Examples, ICLR 2015,
        https://arxiv.org/abs/1412.6572.
    """
    low, high = value_range
    if not low < high:
        raise UserError("value_range", expected="(low, high) with low < high", received=value_range)
    if not 0 < epsilon < np.inf:
        raise UserError("epsilon", expected="a number in the range (0, inf)", received=epsilon)
    network = Network(model)

    def changed(images: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(images)
            _, last = network(images)
            numbers = network.chosen(last, classes)
            if network.squashing == "sigmoid":
                loss = tf.math.softplus(-tf.gather(last, numbers, axis=1, batch_dims=1))
            else:
                loss = tf.nn.sparse_softmax_cross_entropy_with_logits(numbers, last)
        gradient: Any = tape.gradient(loss, images)
        return tf.clip_by_value(images + epsilon * tf.sign(gradient), low, high)

    return network.compile(changed)
