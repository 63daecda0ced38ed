"""Score-CAM: the feature map of a layer, each channel weighted by the score of the image seen through it."""

from typing import Any, Literal, get_args

import keras
import numpy as np
import tensorflow as tf

from fashionprobe import progress
from fashionprobe.errors import UserError, unknown_name
from fashionprobe.explain.cam import open_at
from fashionprobe.explain.explained_model import Classes, ExplainFunction, Network, check_images, find_map, flat
from fashionprobe.explain.targets import Target

Weights = Literal["probability", "softmax"]


def score_cam(
    model: keras.Model,
    layer: str | keras.Layer | None = None,
    *,
    target: Target = None,
    channels: int | None = None,
    weights: Weights = "probability",
    batch_size: int = 16,
) -> ExplainFunction:
    """Make Score-CAM: channels weighted by the probability that is left when the image is seen through them.

    Each channel is brought to the size of the image, bilinearly, and to [0, 1], by its own least and greatest value in
    this image; the image times that is scored. The map is ReLU(sum_d w_d A_d), with A_d as the layer gives it. A
    channel that is constant over an image says nothing about it: it is not scored, and weighs 0.

    Args:
        model: The classifier, or any network for a target that is not a class.
        layer: Name of a layer with a feature map; the last one that leads to the target by default.
        target: What is explained; the probability of a class by default, for all others the score itself.
        channels: How many channels of each image are used, those of the greatest variance ("Faster Score-CAM"); all by
            default.
        weights: "probability": w_d is the probability of the class, from one softmax over the classes, as in section
            3.2 of the paper and the code of its authors. "softmax": the exponentials of these probabilities, divided
            by their sum over the channels, as in its algorithm 1; they differ by a factor of e at most, so that the
            maps of all classes look much alike. What the algorithm subtracts, the score of a black image, is not: it
            cancels in the second, and the authors leave it out of the first.
        batch_size: Images that go through the network at once; more of them take more memory, nothing else.

    Returns:
        A function of images (batch, height, width, channels) that returns the raw maps, float32 (batch, rows, columns)
        at the resolution of the layer, never negative.

    Raises:
        UserError: If there is no such layer, it has no space, or an option is out of range.

    Reference:
        Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks", 2020.
    """
    if weights not in get_args(Weights):
        raise unknown_name("weights", weights, get_args(Weights))
    _check_count("batch_size", batch_size)
    network, _, depth = open_any(model, layer, target)
    if channels is not None:
        _check_count("channels", channels, depth)
    whole = _whole(network, channels)
    part = _part(network, batch_size)

    def explain(images: np.ndarray | tf.Tensor, classes: Classes = None) -> np.ndarray:
        pixels = check_images(network.model, images)
        chosen, maps = (found.numpy() for found in whole(pixels, network.check_classes(classes, len(pixels))))
        owners, places = np.nonzero(maps.max(axis=(2, 3)) > maps.min(axis=(2, 3)))
        shown = [tf.constant(each) for each in (chosen[owners], owners.astype(np.int32), maps[owners, places])]
        scores = np.zeros(len(owners), np.float32)
        with progress.bar(total=len(owners), unit="image", description="Score-CAM") as bar:
            for start in range(0, len(owners), batch_size):
                found = part(pixels, *shown, tf.constant(start)).numpy()
                scores[start : start + batch_size] = found
                bar.update(len(found))
        weight = np.full(maps.shape[:2], 0.0 if weights == "probability" else -np.inf, np.float32)
        weight[owners, places] = scores
        weight = weight if weights == "probability" else _softmax(weight)
        return np.maximum(np.einsum("bdhw,bd->bhw", maps, weight), 0)

    return explain


def _check_count(name: str, count: int, most: int | None = None) -> None:
    """Check that an option is a positive int, and at most `most`.

    Raises:
        UserError: If it is not.
    """
    fits = isinstance(count, int) and not isinstance(count, bool) and count >= 1 and (most is None or count <= most)
    if not fits:
        expected = f"an int in the range [1, {'inf)' if most is None else f'{most}]'}"
        raise UserError(name, expected=expected, received=count)


def open_any(model: keras.Model, layer: str | keras.Layer | None, target: Target) -> tuple[Network, str, int]:
    """Open a network at a layer; return it, the name of the layer and its number of channels.

    No gradient is needed here: a layer that is named may be any.
    """
    if layer is None:
        network, name = open_at(model, None, target)
    else:
        opened = flat(model)
        name = find_map(opened, layer).name
        network = Network(opened, [name], target)
    return network, name, find_map(network.model, name).output.shape[-1]


def _whole(network: Network, channels: int | None) -> Any:
    """Compile the class of whole images, and their channels of the greatest variance: (batch, channels, rows, cols)."""

    # Any number of images is one trace.
    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec((None, *network.model.input_shape[1:]), tf.float32),
            tf.TensorSpec((None,), tf.int32),
        ],
    )
    def whole(images: tf.Tensor, classes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        (maps,), last = network(images)
        maps = tf.transpose(tf.cast(maps, tf.float32), (0, 3, 1, 2))
        if channels is not None:
            best = tf.math.top_k(tf.math.reduce_variance(maps, axis=(2, 3)), channels).indices
            maps = tf.gather(maps, best, batch_dims=1)
        return (network.chosen(last, classes) if network.target is None else classes), maps

    return whole


def _part(network: Network, batch_size: int) -> Any:
    """Compile the scores of one batch of images seen through a channel each."""
    size = network.model.input_shape[1:]

    # No number of images is fixed: neither the last batch nor the number of constant channels needs another trace.
    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec((None, *size), tf.float32),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None, None, None), tf.float32),
            tf.TensorSpec((), tf.int32),
        ],
    )
    def part(images: tf.Tensor, classes: tf.Tensor, owners: tf.Tensor, maps: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
        stop = start + batch_size
        wide = tf.image.resize(maps[start:stop, :, :, None], tf.shape(images)[1:3], method="bilinear")
        low = tf.reduce_min(wide, axis=(1, 2), keepdims=True)
        spread = tf.reduce_max(wide, axis=(1, 2), keepdims=True) - low
        masks = tf.math.divide_no_nan(wide - low, spread)
        _, last = network(masks * tf.gather(images, owners[start:stop]))
        return network.probability(last, classes[start:stop])

    return part


def _softmax(scores: np.ndarray) -> np.ndarray:
    """Return the softmax over channels of scores (images, channels), 0 where -inf stands."""
    highest = scores.max(axis=1, keepdims=True)
    powers = np.exp(scores - np.where(np.isfinite(highest), highest, 0))
    total = powers.sum(axis=1, keepdims=True)
    return powers / np.where(total > 0, total, 1)
