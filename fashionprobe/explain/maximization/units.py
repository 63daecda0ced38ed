"""Units: the channels, neurons and classes of one call, and the network cut behind the deepest of them."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fashionprobe.errors import UserError
from fashionprobe.explain import functions
from fashionprobe.explain.explained_model import Network, find_layer, flat
from fashionprobe.explain.targets import Channel, Neuron

Unit = Channel | Neuron | int
"""What a picture is made for; an int is a class, at its score before the softmax."""

SIZE = (128, 128)
"""(height, width) in pixels of the pictures for a network of any size."""

WITH_RELU = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.Dense,
)
"""Layers whose `activation` is the last thing that they do."""


class Units:
    """The units of one call, and the network cut behind the deepest of them.

    Attributes:
        shape: (height, width, channels) of the pictures.
        rows: int32 (units, 5): place among the readouts, layer, channel, row, column; the last two are -1 for the mean.
    """

    def __init__(self, model: keras.Model, targets: Sequence[Unit], size: int | Sequence[int] | None) -> None:
        self._model = flat(model)
        self.shape = _shape(self._model, size)
        self._layers = {unit.layer: find_layer(self._model, unit.layer, argument="targets")
                        for unit in targets if not isinstance(unit, int | np.integer)}  # fmt: skip
        self._logits = Network(self._model) if any(isinstance(unit, int | np.integer) for unit in targets) else None
        opened = [_readout(layer) for layer in self._layers.values()]
        self._readouts = [readout for _, readout in opened]
        self._trunk = keras.Model(self._model.input, [tensor for tensor, _ in opened]) if opened else None
        self.rows = np.array(self._rows(targets), np.int32)

    def __call__(self, images: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the activation of each image's own unit, and what to raise for it: float32 (batch,) both."""
        inputs = keras.tree.flatten(self._trunk(images, training=False)) if self._trunk else []
        pairs = [readout(each) for readout, each in zip(self._readouts, inputs, strict=True)]
        if self._logits:
            logits = self._logits(images)[1]
            pairs.append((logits, logits))
        activation = before_relu = tf.zeros(len(rows))
        for place, (after, before) in enumerate(pairs):
            mine = rows[:, 0] == place
            # Rows of other layers may name a channel that this one does not have.
            own = tf.where(mine[:, None], rows, 0)
            value = _pick(after, own)
            raised = value if before is after else _pick(before, own)
            activation = tf.where(mine, value, activation)
            before_relu = tf.where(mine, raised, before_relu)
        return activation, before_relu

    def _rows(self, targets: Sequence[Unit]) -> list[tuple[int, ...]]:
        """Number the units for `__call__`, and check that they are there at this size."""
        layers = [layer.name for layer in self._model.layers]
        shapes = self._shapes()
        rows = []
        for unit in targets:
            if isinstance(unit, int | np.integer):
                classes = self._logits.classes  # pyright: ignore[reportOptionalMemberAccess]
                _check_place("class", unit, classes, self._model.name)
                rows.append((len(self._readouts), -1, int(unit), -1, -1))
                continue
            shape = shapes[unit.layer]
            _check_place("channel", unit.channel, shape[-1], unit.layer)
            row, column = (unit.row, unit.column) if isinstance(unit, Neuron) else (-1, -1)
            if isinstance(unit, Neuron):
                if len(shape) != 4:
                    received = f"{unit.layer}, output {shape}"
                    raise UserError("targets", expected="neurons of a feature map", received=received)
                _check_place("row", row, shape[1], unit.layer)
                _check_place("column", column, shape[2], unit.layer)
            # The number of the layer, unlike its name, is the same whatever models Keras made before this one.
            rows.append((list(self._layers).index(unit.layer), layers.index(unit.layer), unit.channel, row, column))
        return rows

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each unit's layer for one picture."""
        if not self._layers:
            return {}
        probe = keras.Model(self._model.input, [layer.output for layer in self._layers.values()])
        names, size = ", ".join(self._layers), list(self.shape[:2])
        try:
            specs = keras.tree.flatten(probe.compute_output_spec(keras.KerasTensor((1, *self.shape))))
        except ValueError as error:
            raise UserError("size", expected=f"large enough for {names}", received=size) from error
        return {name: spec.shape for name, spec in zip(self._layers, specs, strict=True)}


def _readout(layer: Any) -> tuple[Any, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
    """Return a tensor of the graph and the way from it to the layer's output, and to what that was before its ReLU."""
    rectifies = functions.saturation(functions.activation(layer)) == math.inf
    if isinstance(layer, keras.layers.ReLU) or (isinstance(layer, keras.layers.Activation) and rectifies):
        return layer.input, lambda before: (layer(before), before)
    if type(layer) in WITH_RELU and rectifies:
        # A copy, because the user's layer keeps its activation; applied to tensors, not to the graph, which is theirs.
        linear: Any = type(layer).from_config({**layer.get_config(), "activation": "linear"})
        linear.build(layer.input.shape)  # pyright: ignore[reportAttributeAccessIssue]
        linear.set_weights(layer.get_weights())

        def apply(inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            before = linear(inputs)
            return tf.nn.relu(before), before

        return layer.input, apply
    return layer.output, lambda output: (output, output)


def _pick(output: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Return the mean of a channel, or one neuron, of each picture: float32 (batch,)."""
    output = tf.cast(output, tf.float32)
    channel = tf.gather(output, rows[:, 2], axis=-1, batch_dims=1)
    mean = tf.reduce_mean(tf.reshape(channel, (len(rows), -1)), axis=1)
    if len(output.shape) != 4:
        return mean
    neuron = tf.gather_nd(channel, tf.maximum(rows[:, 3:], 0), batch_dims=1)
    return tf.where(rows[:, 3] < 0, mean, neuron)


def _shape(model: keras.Model, size: int | Sequence[int] | None) -> tuple[int, int, int]:
    """Return (height, width, channels) of the pictures."""
    shape = model.input_shape
    if len(shape) != 4 or shape[-1] is None:
        raise UserError(
            "model", expected="a model of images (batch, height, width, channels)", received=f"input {shape}"
        )
    fixed = shape[1:3]
    given = (size, size) if isinstance(size, int) else size
    if given is None:
        given = tuple(own or default for own, default in zip(fixed, SIZE, strict=True))
    if len(given) != 2 or not all(isinstance(side, int) and side >= 1 for side in given):
        raise UserError("size", expected="a number of pixels, or (height, width), each 1 or more", received=size)
    if any(own not in (None, side) for own, side in zip(fixed, given, strict=True)):
        raise UserError("size", expected=f"{fixed}, the fixed input of {model.name}", received=size)
    return (int(given[0]), int(given[1]), int(shape[-1]))


def _check_place(name: str, value: int, most: int | None, where: str) -> None:
    if value < 0 or (most is not None and value >= most):
        raise UserError(name, expected=f"in the range [0, {most}) for {where}", received=value)
