"""Targets: the number that an explanation explains, one per image."""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class Channel:
    """The mean of one channel of a layer over space.

    Attributes:
        layer: Name of a layer, of an inner model too.
        channel: Number of the channel, from 0.
    """

    layer: str
    channel: int


@dataclass(frozen=True)
class Neuron:
    """One value of a feature map.

    Attributes:
        layer: Name of a layer with a feature map, of an inner model too.
        channel: Number of the channel, from 0.
        row: Row of the feature map, from 0 at the top.
        column: Column of the feature map, from 0 at the left.
    """

    layer: str
    channel: int
    row: int
    column: int


Target = Channel | Neuron | Callable[[tf.Tensor], tf.Tensor] | None
"""What is explained. None is the score of a class before the softmax, which the call names: the top one by default. A
function gets the scores of all classes, (batch, classes), and returns one number per image, (batch,)."""
