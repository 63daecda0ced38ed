"""Class activation maps: the feature map of a layer, its channels weighted by what they do for the target."""

import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fashionprobe.backbones.graph import CHANNELS_FIRST, attention_layers, channels_first, of_image, origin
from fashionprobe.errors import UserError
from fashionprobe.explain import functions
from fashionprobe.explain.explained_model import (
    PASSING,
    SQUASHING,
    Classes,
    ExplainFunction,
    Network,
    check_images,
    find_map,
    kernel,
    logits,
)
from fashionprobe.explain.targets import Channel, Neuron, Target

Weigh = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""Takes the feature map and the gradient (batch, height, width, channels), gives the weights (batch, channels)."""


def cam(model: keras.Model, *, relu: bool = True) -> ExplainFunction:
    """Make CAM: the feature map before the pooling, weighted with the dense layer's kernel, sum_d W[d,c] A_d.

    Args:
        model: A classifier that ends in GlobalAveragePooling2D and one Dense layer; dropout between them and a softmax
            behind them may be there. The kernel is read at every call, so that further training shows.
        relu: Whether negative values become 0.

    Returns:
        A function of images (batch, height, width, channels) and classes that returns the raw maps, float32 (batch,
        rows, columns) at the resolution of the feature map.

    Raises:
        UserError: If the model ends in anything else.

    Reference:
        Zhou et al., "Learning Deep Features for Discriminative Localization", 2016.
    """
    network = Network(model)
    dense, pooled = pooled_map(network.model)
    trunk: Any = keras.Model(network.model.input, pooled)

    def explain(images: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        feature_map = tf.cast(trunk(images, training=False), tf.float32)
        chosen = network.chosen(logits(tf.reduce_mean(feature_map, axis=(1, 2)), dense), classes)
        weights = tf.gather(kernel(dense), chosen, axis=1)
        return _weighted(feature_map, tf.transpose(weights), relu)

    return network.compile(explain)


def grad_cam(
    model: keras.Model, layer: str | keras.Layer | None = None, *, target: Target = None, relu: bool = True
) -> ExplainFunction:
    """Make Grad-CAM: each channel is weighted with the mean over space of the score's gradient (a class: the logit's).

    Args:
        model: The classifier, or any network for a target that is not a class.
        layer: Name of a layer with a feature map that leads to the target; the last one by default.
        target: What is explained; the score of a class by default.
        relu: Whether negative values become 0.

    Returns:
        A function of images (batch, height, width, channels) that returns the raw maps, float32 (batch, rows, columns)
        at the resolution of the layer.

    Raises:
        UserError: If there is no such layer, it has no space, or the target does not depend on it.

    Reference:
        Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-Based Localization", 2017.
    """

    def mean(maps: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(gradient, axis=(1, 2))

    return _from_gradient(model, layer, target, relu, mean)


def percentile_cam(
    model: keras.Model,
    layer: str | keras.Layer | None = None,
    *,
    q: float = 50,
    target: Target = None,
    relu: bool = True,
) -> ExplainFunction:
    """Make percentile CAM: like Grad-CAM, but with a percentile over space of the gradient in place of its mean.

    Args:
        model: The classifier, or any network for a target that is not a class.
        layer: Name of a layer with a feature map that leads to the target; the last one by default.
        q: The percentile, from 0 to 100; 50 is the median, 90 is laxer. Between two values it is interpolated
            linearly, as NumPy does.
        target: What is explained; the score of a class by default.
        relu: Whether negative values become 0.

    Returns:
        A function of images (batch, height, width, channels) that returns the raw maps, float32 (batch, rows, columns)
        at the resolution of the layer.

    Raises:
        UserError: If `q` is out of range, there is no such layer, it has no space, or the target does not depend on it.
    """
    if isinstance(q, bool) or not isinstance(q, int | float) or not 0 <= q <= 100:
        raise UserError("q", expected="a number in the range [0, 100]", received=q)
    share = q / 100

    def percentile(maps: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
        batch, rows, columns, channels = tf.unstack(tf.shape(gradient))
        values = tf.reshape(gradient, (batch, rows * columns, channels))
        ordered = tf.sort(tf.transpose(values, (0, 2, 1)))
        place = share * tf.cast(rows * columns - 1, tf.float64)
        low, high = tf.cast(tf.floor(place), tf.int32), tf.cast(tf.math.ceil(place), tf.int32)
        below, above = ordered[..., low], ordered[..., high]
        return below + (above - below) * tf.cast(place - tf.floor(place), tf.float32)

    return _from_gradient(model, layer, target, relu, percentile)


def grad_cam_plus_plus(
    model: keras.Model, layer: str | keras.Layer | None = None, *, target: Target = None, relu: bool = True
) -> ExplainFunction:
    """Make Grad-CAM++: each place of a channel counts on its own, so that several objects of a class all show.

    The weight of a channel is the sum over space of alpha relu(g), with g the gradient of the score before the softmax
    and alpha = g^2 / (2 g^2 + sum(A) g^3), 0 where that is 0 / 0; without the paper's factor exp(score) for the image.

    Args:
        model: The classifier, or any network for a target that is not a class.
        layer: Name of a layer with a feature map that leads to the target; the last one by default.
        target: What is explained; the score of a class by default.
        relu: Whether negative values become 0.

    Returns:
        A function of images (batch, height, width, channels) that returns the raw maps, float32 (batch, rows, columns)
        at the resolution of the layer.

    Raises:
        UserError: If there is no such layer, it has no space, or the target does not depend on it.

    Reference:
        Chattopadhay et al., "Grad-CAM++: Generalized Gradient-Based Visual Explanations for Deep Convolutional
        Networks", 2018, equations 10 to 12.
    """

    def positive(maps: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
        # The paper explains Y = exp(s). Where the net is piecewise linear, d^n Y / dA^n = exp(s) g^n. In
        # alpha = Y'' / (2 Y'' + sum(A) Y''') the factor exp(s) cancels; in the weights, sum(alpha relu(Y')), it is the
        # same for all of an image, and scales its map only: left out, it cannot overflow. Divided by g^2, alpha is
        # 1 / (2 + sum(A) g), without powers of a small g that would underflow.
        denominator = 2 + tf.reduce_sum(maps, axis=(1, 2), keepdims=True) * gradient
        alpha = tf.math.divide_no_nan(tf.cast(gradient != 0, tf.float32), denominator)
        return tf.reduce_sum(alpha * tf.nn.relu(gradient), axis=(1, 2))

    return _from_gradient(model, layer, target, relu, positive)


def layer_cam(model: keras.Model, layer: str | keras.Layer | None = None) -> ExplainFunction:
    """Make Layer-CAM: each value of the feature map is weighted with its own positive gradient; works at early layers.

    Computed by tf-keras-vis, which is not compiled, and so slower than the other maps.

    Args:
        model: The classifier.
        layer: Name of a layer with a feature map that leads to the scores; the last one by default.

    Returns:
        A function of images (batch, height, width, channels) and classes that returns the raw maps, float32 (batch,
        rows, columns) at the resolution of the layer, never negative.

    Raises:
        UserError: If there is no such layer, it has no space, or the scores do not depend on it.

    Reference:
        Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", 2021.
    """
    network, name = open_at(model, layer)
    # A dense layer with a softmax inside stays out of the graph, or it would have to be changed or copied.
    trunk: Any = keras.Model(network.model.input, network.last)

    def explain(images: np.ndarray | tf.Tensor, classes: Classes = None) -> np.ndarray:
        pixels = check_images(network.model, images)
        numbers = network.check_classes(classes, len(pixels))

        def score(last: tf.Tensor) -> tf.Tensor:
            return network.score(logits(last, network.dense), numbers)

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Please import `zoom`", DeprecationWarning)
            warnings.filterwarnings("ignore", "The structure of `inputs` doesn't match", UserWarning)
            from tf_keras_vis.layercam import Layercam

            maps = Layercam(trunk, clone=False)(
                score, pixels, penultimate_layer=name, seek_penultimate_conv_layer=False,
                expand_cam=False, normalize_cam=False,
            )  # fmt: skip
        return np.asarray(maps, np.float32)

    return explain


def open_at(model: keras.Model, layer: str | keras.Layer | None, target: Target = None) -> tuple[Network, str]:
    """Open a network at a layer that leads to the target.

    Args:
        model: The model.
        layer: Name of the layer; None for the last one with a feature map of more than one cell.
        target: What is explained.

    Returns:
        The network, whose first output is the feature map, and the name of the layer.

    Raises:
        UserError: If there is no such layer, it has no space, or the target does not depend on it.
    """
    opened = Network(model, target=target)
    before = _upstream(opened.last)
    if isinstance(target, Channel | Neuron):
        # Its gradient at its own layer is 1 at one channel whatever the image shows.
        before.remove(origin(opened.last))
    first = channels_first(opened.model)
    # What is made of an input that is held, such as the second image of a pair, is no place of this image.
    before &= of_image(opened.model)
    candidates = [each.name for each in opened.model.layers if each in before and _has_space(each, first)]
    if not candidates and layer is None:
        raise UserError(
            "model", expected="one with a feature map before the target", received=opened.model.name,
            remedy="Methods that need none: gradient, smooth_grad, integrated_gradients and occlusion.",
        )  # fmt: skip
    name = candidates[-1] if layer is None else layer
    if layer is None and _is_of_patches(opened.model.get_layer(name), before):
        raise UserError(
            "model", expected="one with a feature map behind its attention",
            received=f"{opened.model.name}, a network of tokens, whose last one is {name}",
            remedy="Use attention_rollout, gradient, smooth_grad, integrated_gradients or occlusion.",
        )  # fmt: skip
    found = find_map(opened.model, name)
    if found not in before:
        raise UserError(
            "layer", expected="one that the target depends on, and not the target's own", received=found.name,
            remedy=f"The last one is {candidates[-1]}." if candidates else "",
        )  # fmt: skip
    return Network(opened.model, [found.name], target), found.name


def _has_space(layer: keras.Layer, first: set[str]) -> bool:
    """Return whether a layer has a feature map of more than one cell, and is not the input."""
    shape = getattr(layer.output, "shape", ())
    if layer.name.endswith(CHANNELS_FIRST) or layer.name in first:
        return False
    return len(shape) == 4 and tuple(shape[1:3]) != (1, 1) and not isinstance(layer, keras.layers.InputLayer)


def _is_of_patches(layer: Any, before: set[keras.Operation]) -> bool:
    """Return whether a map is that of the patches of a vision transformer, or of what comes before them."""
    attends = {each for each in before if isinstance(each, keras.Layer) and attention_layers(each)}
    own = _upstream(layer.output)
    convolved = [each for each in own if isinstance(each, keras.layers.Conv2D)]
    # A convolutional network may well end in one attention that pools its last map.
    return bool(attends) and not attends & own and len(convolved) <= 1


def _upstream(tensor: Any) -> set[keras.Operation]:
    """Return the layers and plain operations that a tensor of a graph is computed by."""
    found, waiting = set(), [tensor]
    while waiting:
        operation = origin(waiting.pop())
        if operation not in found:
            found.add(operation)
            waiting += [] if isinstance(operation, keras.layers.InputLayer) else keras.tree.flatten(operation.input)
    return found


def pooled_map(model: keras.Model) -> tuple[Any, Any]:
    """Find the head of class activation mapping: global average pooling and one dense layer.

    Args:
        model: A flat model; dropout between the two, and a softmax behind them, may be there.

    Returns:
        The Dense layer that gives the scores, and the tensor that goes through global average pooling into it.

    Raises:
        UserError: If the model ends in anything else.
    """
    operation = origin(model.output)
    while isinstance(operation, PASSING) or _is_squashing(operation):
        operation = origin(operation.input)
    dense, chain = operation, [operation]
    if isinstance(dense, keras.layers.Dense) and functions.squashing(dense) in ("linear", *SQUASHING):
        operation = origin(operation.input)
        while isinstance(operation, PASSING):
            operation = origin(operation.input)
        chain.insert(0, operation)
        if isinstance(operation, keras.layers.GlobalAveragePooling2D):
            pooled = operation.input
            if operation.data_format == "channels_first":
                # It was turned back for the pooling just before.
                pooled = origin(pooled).input
            return dense, pooled
    raise UserError(
        "model", expected="one that ends in GlobalAveragePooling2D and one Dense layer",
        received=", ".join(f"{type(each).__name__} {each.name}" for each in chain),
        remedy="Use grad_cam: it takes any network.",
    )  # fmt: skip


def _is_squashing(operation: Any) -> bool:
    """Return whether a layer without weights, or a plain operation, is a softmax or sigmoid and nothing else."""
    return not getattr(operation, "weights", None) and functions.squashing(operation) in SQUASHING


def _from_gradient(
    model: keras.Model, layer: str | keras.Layer | None, target: Target, relu: bool, weigh: Weigh
) -> ExplainFunction:
    """Make a method whose weights come from the gradient of the score with respect to the feature map."""
    network, name = open_at(model, layer, target)

    def explain(images: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            (maps,), last = network(images)
            score = network.score(last, classes)
        gradient: Any = tape.gradient(score, maps)
        if gradient is None:
            raise UserError("target", expected=f"a differentiable function that depends on {name}", received=target)
        maps = tf.cast(maps, tf.float32)
        return _weighted(maps, weigh(maps, tf.cast(gradient, tf.float32)), relu)

    return network.compile(explain)


def _weighted(maps: tf.Tensor, weights: tf.Tensor, relu: bool) -> tf.Tensor:
    """Sum the channels (batch, height, width, channels) with weights (batch, channels): (batch, height, width)."""
    total = tf.einsum("bhwd,bd->bhw", maps, weights)
    return tf.nn.relu(total) if relu else total
