"""The network that is explained: its flat graph, the layers asked for, and the score before the softmax."""

import difflib
import functools
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from fashionprobe.backbones.graph import (
    CHANNELS_LAST,
    channels_first,
    flatten,
    holds_subclassed,
    origin,
    readers,
    twin,
    unshared,
    uses,
    with_channels_last,
)
from fashionprobe.errors import UserError, conflict
from fashionprobe.explain import functions
from fashionprobe.explain.inputs_outputs import functional, input_names
from fashionprobe.explain.targets import Channel, Neuron, Similarity, Target

log = logging.getLogger(__name__)

Classes = int | Sequence[int] | np.ndarray | None
"""Which class is explained: None for the top one of each image, one number for all images, or one per image."""

SQUASHING = ("softmax", "log_softmax", "sigmoid")
"""What may stand behind the scores of a classifier; it is taken off before anything is explained."""

PASSING = (keras.layers.Dropout, keras.layers.Identity)
"""Layers that change nothing when the network is used."""


class ExplainFunction(Protocol):
    """A method compiled for one network: images in, one map (or gradient, or curve) an image out."""

    def __call__(self, images: np.ndarray | tf.Tensor, classes: Classes = None) -> np.ndarray:
        """Explain images.

        Args:
            images: float (batch, height, width, channels), values as the model takes them.
            classes: Which class; only when the target is a class.

        Returns:
            What the method says, float32 (batch, ...).

        Raises:
            UserError: If the images or the classes do not fit the network.
        """
        ...


class Network:
    """A Keras model opened for explanation: layer outputs and the target's score in one forward pass.

    The user's model is not changed, and its layers are shared, so that further training shows; a model with models
    inside is copied with the weights it has now.

    Args:
        model: A functional, sequential or subclassed model, with models nested to any depth; one image input, one
            output. `inputs_outputs.functional` chooses one of several.
        layers: Names of layers, of inner models too, whose outputs are wanted.
        target: What is explained.

    Attributes:
        model: The flat model.
        target: What is explained.
        last: The tensor that the score is computed from: the target's layer, or what goes into `dense`.
        dense: The dense layer whose softmax was taken off; None where there is none.
        squashing: What was taken off, "softmax" or "sigmoid".

    Raises:
        UserError: If the model has no single input and output, a layer is not there, or the target does not fit.
    """

    def __init__(self, model: keras.Model, layers: Sequence[str] = (), target: Target = None) -> None:
        self.model = flat(model)
        self.target = target
        outputs = [find_layer(self.model, name).output for name in layers]
        self.dense: Any = None
        self.last: Any
        self.squashing = "softmax"
        if isinstance(target, Channel | Neuron):
            self.last = find_layer(self.model, target.layer, argument="target").output
            _check_unit(target, self.last.shape)
        elif isinstance(target, Similarity):
            self.last = self._embedding()
        else:
            self.last = self._scores()
        self._trunk: Any = keras.Model(self.model.input, [*outputs, self.last])
        if isinstance(target, Similarity):
            pixels = check_images(self.model, target.others)
            parts = [self(pixels[place : place + 1])[1] for place in range(len(pixels))]
            self._others = tf.constant(tf.concat(parts, axis=0).numpy())

    @property
    def classes(self) -> int | None:
        """How many classes, or images to be compared with, the target chooses from; None when it is neither."""
        if isinstance(self.target, Similarity):
            return len(self.target.others)
        head: Any = self.dense or self.model
        return None if self.target is not None else int(head.output.shape[-1])

    def __call__(self, images: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Run the network, in inference mode.

        Args:
            images: float32 (batch, height, width, channels).

        Returns:
            The outputs of the layers asked for, and what `score` needs: (batch, classes), or the target's layer.
        """
        *outputs, last = keras.tree.flatten(self._trunk(images, training=False))
        return outputs, logits(last, self.dense)

    def score(self, last: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        """Return the target's score of each image, before any softmax.

        Args:
            last: The second result of calling the network.
            classes: int32 (batch,), -1 for the top class.

        Returns:
            float32 (batch,).
        """
        if isinstance(self.target, Channel):
            channel = tf.gather(last, self.target.channel, axis=-1)
            return tf.reduce_mean(tf.reshape(channel, (tf.shape(channel)[0], -1)), axis=1)
        if isinstance(self.target, Neuron):
            return last[:, self.target.row, self.target.column, self.target.channel]
        if isinstance(self.target, Similarity):
            return self.target(last, tf.gather(self._others, classes))
        if self.target is not None:
            scores = tf.convert_to_tensor(self.target(last))
            if len(scores.shape) != 1:
                raise UserError(
                    "target", expected=f"a function of scores {last.shape} that returns one number per image, (batch,)",
                    received=f"one that returns {scores.shape}",
                )  # fmt: skip
            return scores
        return tf.gather(last, self.chosen(last, classes), axis=1, batch_dims=1)

    def probability(self, last: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        """Return the probability of the target's class, float32 (batch,); of other targets the score itself."""
        if self.target is not None:
            return self.score(last, classes)
        squash = tf.sigmoid if self.squashing == "sigmoid" else tf.nn.softmax
        return tf.gather(squash(last), self.chosen(last, classes), axis=1, batch_dims=1)

    def chosen(self, last: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        """Return the number of the class of each image, the top one where -1 stands: int32 (batch,)."""
        return tf.where(classes < 0, tf.argmax(last, axis=1, output_type=tf.int32), classes)

    def compile(self, function: Callable[[tf.Tensor, tf.Tensor], Any]) -> ExplainFunction:
        """Make a function of (images, classes) compile once a shape, and check what it is given.

        Args:
            function: Takes float32 images (batch, height, width, channels) and int32 classes (batch,), -1 for the top.
        """
        # AutoGraph would turn our errors into its own.
        compiled = tf.function(function, autograph=False)
        # By shape. Called through `compiled`, a few methods made one after another would pass for needless retracing,
        # of which TensorFlow warns.
        traced: dict[tuple[int | None, ...], Any] = {}

        def explain(images: np.ndarray | tf.Tensor, classes: Classes = None) -> np.ndarray:
            pixels = check_images(self.model, images)
            numbers = self.check_classes(classes, len(pixels))
            shape = tuple(pixels.shape)
            if shape not in traced:
                traced[shape] = compiled.get_concrete_function(pixels, numbers)
            return traced[shape](pixels, numbers).numpy()

        return explain

    def check_classes(self, classes: Classes, batch: int) -> tf.Tensor:
        """Return the class of each image, -1 for the top one: int32 (batch,).

        Raises:
            UserError: If a class is not there, their number is not that of the images, or the target is not a class.
        """
        most = self.classes
        if classes is None and isinstance(self.target, Similarity):
            if most not in (1, batch):
                raise UserError(
                    "classes", expected="the number of the other image for each image",
                    received=f"none, for {batch} images and {most} others",
                )  # fmt: skip
            return tf.range(batch) if most == batch else tf.zeros((batch,), tf.int32)
        if classes is None:
            return tf.fill((batch,), -1)
        if most is None:
            raise conflict("classes", "a target that is not a class", classes)
        numbers = np.asarray(classes)
        is_named = numbers.dtype.kind in "US"
        if numbers.ndim == 0:
            numbers = np.full(batch, numbers)
        if numbers.shape != (batch,) or numbers.dtype.kind not in "iu":
            raise UserError(
                "classes", expected=f"None, an int, or {batch} ints, one per image", received=classes,
                remedy=f"A network knows its classes by number, 0 to {most - 1}; for one that `train` made, the number "
                "is the place of the name in `facts.classes` of its manifest.json." if is_named else "",
            )  # fmt: skip
        if numbers.min() < 0 or numbers.max() >= most:
            raise UserError("classes", expected=f"in the range [0, {most})", received=classes)
        return tf.constant(numbers, tf.int32)

    def _embedding(self) -> Any:
        """Return the output, which must be one embedding per image."""
        tensor: Any = self.model.output
        if len(self.model.outputs) == 1 and len(tensor.shape) == 2:
            return tensor
        raise UserError(
            "model", expected="a network that embeds images, output (batch, dimension)",
            received=f"output {tensor.shape}" if len(self.model.outputs) == 1 else f"{len(self.model.outputs)} outputs",
            remedy="Pool a feature map first: keras.layers.GlobalAveragePooling2D.",
        )  # fmt: skip

    def _scores(self) -> Any:
        """Return the tensor that the scores are computed from, and note the dense layer between, if there is one."""
        if len(self.model.outputs) != 1:
            names = ", ".join(self.model.output_names)
            raise UserError(
                "model", expected="a model with one output", received=f"{len(self.model.outputs)}: {names}",
                remedy='Choose one: functional(model, output="NAME").',
            )  # fmt: skip
        tensor: Any = self.model.output
        if self.target is None and len(tensor.shape) != 2:
            raise UserError(
                "model", expected="a classifier, output (batch, classes)", received=f"output {tensor.shape}",
                remedy="Explain a Channel or a Neuron of it, or a function of its output.",
            )  # fmt: skip
        while True:
            layer = origin(tensor)
            if isinstance(layer, PASSING):
                tensor = layer.input
                continue
            squashing = functions.squashing(layer)
            if squashing not in SQUASHING:
                if squashing is None and functions.activation(layer) is not None:
                    _say_unknown(self.model.name, layer.name)
                return tensor
            self.squashing = squashing.removeprefix("log_")
            if isinstance(layer, keras.layers.Dense):
                self.dense = layer
                return layer.input
            if getattr(layer, "weights", None):
                raise UserError(
                    "model", expected="one whose softmax belongs to a Dense layer or is a layer of its own",
                    received=f"a softmax in {layer.name}, a {type(layer).__name__} layer",
                )  # fmt: skip
            tensor = layer.input


def check_images(model: keras.Model, images: np.ndarray | tf.Tensor) -> tf.Tensor:
    """Return the images as float32, when the model can take them.

    Raises:
        UserError: If their shape does not fit, or a value is not finite.
    """
    wanted = model.input_shape
    pixels = _pixels(images, wanted)
    fits = len(pixels.shape) == len(wanted) and pixels.shape[0] and all(
        side in (None, found) for side, found in zip(wanted[1:], pixels.shape[1:], strict=True)
    )  # fmt: skip
    if not fits:
        shape = ", ".join(["batch", *("any" if side is None else str(side) for side in wanted[1:])])
        received = list(pixels.shape)
        remedy = "Add the batch axis: images[None]." if len(received) == len(wanted) - 1 else ""
        raise UserError("images", expected=f"a batch of shape ({shape})", received=received, remedy=remedy)
    if not bool(tf.reduce_all(tf.math.is_finite(pixels))):
        bad = [number for number, image in enumerate(pixels.numpy()) if not np.isfinite(image).all()]
        raise UserError("images", expected="finite numbers", received=f"NaN or infinity in image {bad[0]}")
    return pixels


@functools.cache
def _say_unknown(model: str, layer: str) -> None:
    """Say once, not for each method that opens the network, that its head is not one of those that are known."""
    log.warning(
        "%s ends in %s with an activation that is neither softmax nor sigmoid: what it returns is explained as it is, "
        "and a softmax of that stands for the probability.", model, layer,
    )  # fmt: skip


def _pixels(images: Any, wanted: Sequence[int | None]) -> tf.Tensor:
    """Return images as float32 numbers, or say how to get such from what was given instead."""
    shape = ", ".join(["batch", *("any" if side is None else str(side) for side in wanted[1:])])
    expected = f"an array or a tensor of numbers, shape ({shape})"
    first = images[0] if isinstance(images, list | tuple) and images else images
    if isinstance(first, str | os.PathLike):
        raise UserError(
            "images", expected=expected, received=repr(first),
            remedy="Read files first: fashionprobe.records.image_files.read.read_files([path, ...], (height, width)).",
        )  # fmt: skip
    if isinstance(images, tf.data.Dataset):
        raise UserError(
            "images", expected=expected, received="a tf.data.Dataset",
            remedy="Call this for each of its batches: for batch in dataset: explain(batch).",
        )  # fmt: skip
    try:
        return tf.cast(tf.convert_to_tensor(images), tf.float32)
    except (TypeError, ValueError, tf.errors.OpError) as error:
        raise UserError("images", expected=expected, received=f"{type(images).__name__} of other things") from error


def probabilities(model: keras.Model) -> ExplainFunction:
    """Make the function that returns the probability of every class, float32 (batch, classes), softmaxed once.

    Args:
        model: A classifier, with or without a softmax of its own.

    Raises:
        UserError: If the model is not a classifier.
    """
    network = Network(model)
    squash = tf.sigmoid if network.squashing == "sigmoid" else tf.nn.softmax
    return network.compile(lambda images, classes: squash(network(images)[1]))


def logits(last: tf.Tensor, dense: Any) -> tf.Tensor:
    """Return what a dense layer computes before its activation, float32; the tensor itself where there is no layer."""
    last = tf.cast(last, tf.float32)
    if dense is None:
        return last
    if getattr(dense, "quantization_mode", None):
        return _without_activation(dense, last)
    last = tf.matmul(last, tf.cast(dense.kernel, tf.float32))
    return last if dense.bias is None else last + tf.cast(dense.bias, tf.float32)


def kernel(dense: Any) -> tf.Tensor:
    """Return the weights of a dense layer, float32 (channels, classes); of a quantized one what they amount to."""
    if not getattr(dense, "quantization_mode", None):
        return tf.cast(dense.kernel, tf.float32)
    channels = dense.input.shape[-1]
    units = tf.concat([tf.zeros((1, channels)), tf.eye(channels)], axis=0)
    answers = _without_activation(dense, units)
    return answers[1:] - answers[:1]


def _without_activation(dense: Any, last: tf.Tensor) -> tf.Tensor:
    """Return what a dense layer itself computes before its activation: quantized weights are not a matrix."""
    linear = twin(dense)
    linear.activation = keras.activations.linear
    return tf.cast(linear(last), tf.float32)


def flat(model: keras.Model) -> keras.Model:
    """Return a functional model without inner models; the given one, or a model of its layers, where it is flat.

    A layer NAME that is used again is a layer NAME_2 of its own there, with the same variables.

    Raises:
        UserError: If this is no model, it was never called, or it has several inputs.
    """
    if not isinstance(model, keras.Model):
        raise UserError(
            "model", expected="a functional or sequential Keras model, or a subclassed one that was called before",
            received=type(model).__name__, remedy="Wrap a layer: keras.Model(image, layer(image)).",
        )  # fmt: skip
    if holds_subclassed(model) and len(getattr(model, "inputs", None) or [0]) == 1:
        model = functional(model)
    if len(model.inputs) != 1:
        raise UserError(
            "model", expected="a model with one input", received=f"{len(model.inputs)}: {input_names(model)}",
            remedy='Hold the others: functional(model, input="NAME", inputs={"OTHER": VALUE}).',
        )  # fmt: skip
    # A chain of layers needs no copy to be a graph; and Keras' own way in may be a list of one.
    if not any(isinstance(layer, keras.Model) for layer in model.layers):
        outputs = model.outputs[0] if len(model.outputs) == 1 else model.outputs
        model = keras.Model(model.inputs[0], outputs, name=model.name)
    model = flatten(model)
    first = channels_first(model)
    if any(reader.name in first for tensor in model.inputs for reader in readers(origin(tensor))):
        raise UserError(
            "model", expected="one that takes images (batch, height, width, channels)", received="channels first",
            remedy="Put keras.layers.Permute((3, 1, 2)) in front of it.",
        )  # fmt: skip
    model = with_channels_last(model)
    return unshared(model) if any(uses(layer) > 1 for layer in model.layers) else model


def find_layer(model: keras.Model, name: str | keras.Layer, *, argument: str = "layer") -> Any:
    """Return the `keras.Layer` of a name; a layer stands for its name.

    Raises:
        UserError: If there is none of that name; the near ones are listed.
    """
    layers = {layer.name: layer for layer in model.layers}
    # A layer of the model stands for its name: the flat copy of a nested model holds another of the same.
    name = name.name if isinstance(name, keras.Layer) else name
    if isinstance(name, str) and name in layers:
        return layers.get(name + CHANNELS_LAST, layers[name])
    if not isinstance(name, str):
        raise UserError(
            argument, expected=f"a layer of {model.name} or its name", received=f"{type(name).__name__}",
            remedy="Images come second: GradCAM(model)(images)." if hasattr(name, "shape") else "",
        )  # fmt: skip
    near = difflib.get_close_matches(str(name), layers, n=5, cutoff=0.3) or list(layers)[-5:]
    raise UserError(argument, expected=f"a layer of {model.name}, such as {', '.join(near)}", received=name)


def find_map(model: keras.Model, name: str | keras.Layer) -> Any:
    """Return the `keras.Layer` of a name, which has a feature map.

    Raises:
        UserError: If there is no such layer, or its output is not (batch, height, width, channels).
    """
    layer = find_layer(model, name)
    if len(layer.output.shape) != 4:
        maps = [each.name for each in model.layers if len(getattr(each.output, "shape", ())) == 4]
        raise UserError(
            "layer", expected="one with a feature map (batch, height, width, channels)",
            received=f"{layer.name}, output {layer.output.shape}",
            remedy=f"The last one that has is {maps[-1]}." if maps else "",
        )  # fmt: skip
    return layer


def _check_unit(target: Channel | Neuron, shape: Sequence[int | None]) -> None:
    """Check that a channel, and for a neuron its place, is inside a layer's output."""
    if isinstance(target, Neuron) and len(shape) != 4:
        raise UserError("target", expected="a neuron of a feature map", received=f"{target.layer}, output {shape}")
    wanted = {"channel": (target.channel, shape[-1])}
    if isinstance(target, Neuron):
        wanted |= {"row": (target.row, shape[1]), "column": (target.column, shape[2])}
    for name, (value, most) in wanted.items():
        if value < 0 or (most is not None and value >= most):
            raise UserError(name, expected=f"in the range [0, {most}) for {target.layer}", received=value)
