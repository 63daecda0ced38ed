"""Is a heatmap faithful, or only pretty: deletion and insertion curves, and randomised weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from fashionprobe import progress
from fashionprobe.backbones.graph import copy_model, kept_random_state
from fashionprobe.errors import UserError, unknown_name
from fashionprobe.explain.backprop import GREATEST_SEED, check_baseline, check_count
from fashionprobe.explain.explained_model import Classes, ExplainFunction, Network, check_images, find_layer, flat
from fashionprobe.explain.targets import Target

Baseline = Literal["mean", "blur"] | float | np.ndarray
"""What stands where an image is erased: its own mean colour, the image itself blurred, one value, or an image."""

BLUR = 5 / 224
"""Standard deviation of the blur as a share of the image's shorter side: 5 pixels of 224, as in the paper."""

MAX_LAYERS = 16
"""Heatmaps an image that `randomization` works out when no layers are named."""


@dataclass(frozen=True, eq=False)
class Curve:
    """How the probability of a class changes while the pixels of an image are erased, or put in.

    Attributes:
        fractions: float64 (steps + 1,), share of the pixels that is erased, or put in: from 0 to 1.
        probabilities: float32 (batch, steps + 1), of the class (or the score of another target).
        auc: float64 (batch,), area under the curve by the trapezoid rule. Of two heatmaps the more faithful one has
            the smaller area of deletion and the greater of insertion.
    """

    fractions: np.ndarray
    probabilities: np.ndarray
    auc: np.ndarray


class Eraser(Protocol):
    """Deletion or insertion, compiled for one network."""

    def __call__(self, images: np.ndarray | tf.Tensor, heatmaps: np.ndarray, classes: Classes = None) -> Curve:
        """Measure heatmaps.

        Args:
            images: float (batch, height, width, channels), values as the model takes them.
            heatmaps: float (batch, height, width), any range; high is relevant. Of equal values the pixel that comes
                first, row by row, counts as more relevant.
            classes: Which class; the top one of each whole image by default.

        Returns:
            One curve per image.

        Raises:
            UserError: If the images, the heatmaps or the classes do not fit.
        """
        ...


def deletion(
    model: keras.Model,
    *,
    steps: int = 50,
    baseline: Baseline = "mean",
    batch_size: int = 8,
    target: Target = None,
) -> Eraser:
    """Make the deletion curve: pixels are erased, the most relevant ones first.

    Args:
        model: The classifier, or any network for a target that is not a class.
        steps: Steps from the whole image to nothing of it; each erases the same number of pixels.
        baseline: What stands where pixels are erased.
        batch_size: Changed images that go through the network together; changes memory and time, not the result.
        target: What is explained; the probability of a class by default.

    Returns:
        A function of images, heatmaps and classes that returns a `Curve`.

    Raises:
        UserError: If an argument is out of range, or the model or the target cannot be explained.

    Reference:
        Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of Black-box Models", 2018.
    """
    return _eraser(model, steps, baseline, batch_size, target, inserts=False)


def insertion(
    model: keras.Model,
    *,
    steps: int = 50,
    baseline: Baseline = "blur",
    batch_size: int = 8,
    target: Target = None,
) -> Eraser:
    """Make the insertion curve: pixels are put into the baseline, the most relevant ones first.

    Args:
        model: The classifier, or any network for a target that is not a class.
        steps: Steps from the baseline to the whole image; each puts in the same number of pixels.
        baseline: What stands where pixels are not yet put in.
        batch_size: Changed images that go through the network together; changes memory and time, not the result.
        target: What is explained; the probability of a class by default.

    Returns:
        A function of images, heatmaps and classes that returns a `Curve`.

    Raises:
        UserError: If an argument is out of range, or the model or the target cannot be explained.

    Reference:
        Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of Black-box Models", 2018.
    """
    return _eraser(model, steps, baseline, batch_size, target, inserts=True)


def randomization(
    model: keras.Model,
    explain_factory: Callable[[keras.Model], ExplainFunction],
    images: np.ndarray | tf.Tensor,
    classes: Classes = None,
    *,
    layers: Sequence[str] | None = None,
    seed: int = 0,
    target: Target = None,
) -> pd.DataFrame:
    """Randomise the weights layer by layer, from the output down, and compare each image's map with the first one.

    How to read it: the map of a faithful method shows what the network has learned, so its correlation falls to about
    0 as weights are randomised. A method that stays near 1 shows the image, like an edge detector, not the network.

    The weights of a layer are shuffled, which keeps their distribution. A map that has become constant has lost all
    and counts as 0.

    Args:
        model: The classifier, or any network for a target that is not a class; a copy of it is randomised.
        explain_factory: Makes the method for a model, such as `gradient` or `lambda model: grad_cam(model, "conv5")`.
        images: float (batch, height, width, channels), values as the model takes them.
        classes: Which class; the top one of the trained model by default.
        layers: Layers with weights at which maps are compared, in any order: at each, it and all weights nearer to the
            output are random. By default all, or 16 of them evenly spread.
        seed: How the weights are shuffled.
        target: What the method explains; a class by default.

    Returns:
        One row per layer, output first: layer, randomized (how many layers with weights are), images, correlation_mean
        and correlation_std: Spearman's rank correlation over all values of a map, its mean and standard deviation over
        the images.

    Raises:
        UserError: If a layer is not there or has no weights, the seed is out of range, or an image does not fit.

    Reference:
        Adebayo et al., "Sanity Checks for Saliency Maps", 2018.
    """
    if not 0 <= seed <= GREATEST_SEED:
        raise UserError("seed", expected=f"an int from 0 to {GREATEST_SEED}", received=seed)
    network = Network(model, target=target)
    pixels = check_images(network.model, images)
    chosen = _top(network, pixels, network.check_classes(classes, len(pixels)))
    with kept_random_state():
        copied = copy_model(flat(model))
    cascade = [layer for layer in reversed(copied.layers) if layer.weights]
    stops = _stops(copied, cascade, layers)
    first = explain_factory(copied)(pixels, chosen)
    rows = []
    with progress.bar(total=len(stops), unit="layer", description="randomization") as bar:
        for count, layer in enumerate(cascade, 1):
            _shuffle(layer, np.random.default_rng((seed, count)))
            if layer.name in stops:
                found = rank_correlation(first, explain_factory(copied)(pixels, chosen))
                rows.append((layer.name, count, len(found), found.mean(), found.std()))
                bar.update(1)
            if len(rows) == len(stops):
                break
    return pd.DataFrame(rows, columns=["layer", "randomized", "images", "correlation_mean", "correlation_std"])


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Spearman's rank correlation of each pair of maps; equal values share the mean of their ranks.

    Args:
        first: float (batch, ...).
        second: float (batch, ...), of the same shape.

    Returns:
        float64 (batch,) in [-1, 1]; 0 where one of two maps is constant, 1 where both are.
    """
    pairs = zip(np.reshape(first, (len(first), -1)), np.reshape(second, (len(second), -1)), strict=True)
    return np.asarray([_correlation(*pair) for pair in pairs])


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    ranks = pd.DataFrame({"first": first, "second": second}).rank().to_numpy()
    constant = np.ptp(ranks, axis=0) == 0
    if constant.any():
        return float(constant.all())
    return float(np.corrcoef(ranks, rowvar=False)[0, 1])


def _top(network: Network, pixels: tf.Tensor, classes: tf.Tensor) -> np.ndarray | None:
    """Return the class of each image, as the network sees it now; None for a target that is not a class."""
    if network.target is not None:
        return None
    return np.concatenate(
        [
            network.chosen(network(pixels[place : place + 1])[1], classes[place : place + 1]).numpy()
            for place in range(len(pixels))
        ]
    )


def _stops(model: keras.Model, cascade: Sequence[Any], layers: Sequence[str] | None) -> set[str]:
    """Return the names of the layers at which maps are compared."""
    names = [layer.name for layer in cascade]
    if not names:
        raise UserError("model", expected="one with weights", received=f"{model.name}, which has none")
    if layers is None:
        places = np.linspace(0, len(names) - 1, min(MAX_LAYERS, len(names))).round().astype(int)
        return {names[place] for place in places}
    if not layers:
        raise UserError("layers", expected="one layer or more", received="none")
    for name in layers:
        if not find_layer(model, name, argument="layers").weights:
            raise UserError("layers", expected="layers with weights", received=name)
    return set(layers)


def _shuffle(layer: Any, random: np.random.Generator) -> None:
    """Shuffle the values of each weight of a layer."""
    weights = [np.asarray(weight) for weight in layer.get_weights()]
    layer.set_weights([random.permutation(weight.ravel()).reshape(weight.shape) for weight in weights])


def _eraser(
    model: keras.Model, steps: int, baseline: Baseline, batch_size: int, target: Target, *, inserts: bool
) -> Eraser:
    """Make the function that measures images one after another, compiled for one image."""
    check_count("steps", steps)
    check_count("batch_size", batch_size)
    network = Network(model, target=target)
    if isinstance(baseline, str):
        if baseline not in ("mean", "blur"):
            raise unknown_name("baseline", baseline, ("mean", "blur"))
    else:
        baseline = check_baseline(baseline, network.model.input_shape[1:])

    @tf.function(autograph=False)
    def measure(image: tf.Tensor, empty: tf.Tensor, ranks: tf.Tensor, counts: tf.Tensor, classes: tf.Tensor) -> Any:
        classes = classes if target is not None else network.chosen(network(image)[1], classes)

        def portion(some: tf.Tensor) -> tf.Tensor:
            relevant = tf.expand_dims(ranks < tf.reshape(some, (-1, 1, 1)), -1)
            shown = tf.where(relevant, image, empty) if inserts else tf.where(relevant, empty, image)
            return network.probability(network(shown)[1], tf.repeat(classes, tf.size(some)))

        return tf.reshape(tf.map_fn(portion, counts, fn_output_signature=tf.float32, parallel_iterations=1), (-1,))

    def run(images: np.ndarray | tf.Tensor, heatmaps: np.ndarray, classes: Classes = None) -> Curve:
        pixels = check_images(network.model, images)
        numbers = network.check_classes(classes, len(pixels))
        places = _ranks(heatmaps, pixels)
        size = places[0].size
        counts = np.round(np.linspace(0, size, steps + 1)).astype(np.int32)
        portions = _portions(counts, batch_size)
        found = []
        with progress.bar(total=len(pixels), unit="image", description="insertion" if inserts else "deletion") as bar:
            for place in range(len(pixels)):
                one = slice(place, place + 1)
                empty = tf.constant(_empty(pixels[one].numpy(), baseline))
                probabilities = measure(pixels[one], empty, tf.constant(places[place]), portions, numbers[one])
                found.append(probabilities.numpy()[: steps + 1])
                bar.update(1)
        fractions, curves = counts / size, np.stack(found)
        middles = (curves[:, 1:] + curves[:, :-1]).astype(np.float64) / 2
        return Curve(fractions, curves, middles @ np.diff(fractions))

    return run


def _portions(counts: np.ndarray, batch_size: int) -> tf.Tensor:
    """Lay numbers out in rows of equal length, at most `batch_size`; the last number fills up the last row."""
    size = -(-len(counts) // -(-len(counts) // batch_size))
    return tf.constant(np.pad(counts, (0, -len(counts) % size), mode="edge").reshape(-1, size))


def _ranks(heatmaps: np.ndarray, pixels: tf.Tensor) -> np.ndarray:
    """Return the place of each pixel, most relevant first: int32 (batch, height, width)."""
    maps = np.asarray(heatmaps)
    if maps.shape != tuple(pixels.shape[:3]):
        raise UserError(
            "heatmaps", expected=f"one per image, of its size: {tuple(pixels.shape[:3])}", received=maps.shape,
            remedy="Bring raw maps to the size of the image: heatmaps.resize(maps, images.shape[1:3]).",
        )  # fmt: skip
    if not np.isfinite(maps).all():
        raise UserError("heatmaps", expected="finite numbers", received="NaN or infinity")
    order = np.argsort(-maps.reshape(len(maps), -1).astype(np.float64), axis=1, kind="stable")
    ranks = np.argsort(order, axis=1, kind="stable")
    return ranks.reshape(maps.shape).astype(np.int32)


def _empty(image: np.ndarray, baseline: Baseline) -> np.ndarray:
    """Return what stands where an image (1, height, width, channels) is erased, float32 of the same shape."""
    if isinstance(baseline, str):
        if baseline == "mean":
            return np.broadcast_to(image.mean(axis=(1, 2), keepdims=True), image.shape)
        return blurred(image)
    return np.broadcast_to(np.asarray(baseline, np.float32), image.shape)


def blurred(images: np.ndarray) -> np.ndarray:
    """Blur images with a Gaussian of a standard deviation of `BLUR` times the shorter side; edges are continued.

    Args:
        images: float (batch, height, width, channels).

    Returns:
        float32 of the same shape.
    """
    deviation = BLUR * min(images.shape[1:3])
    reach = int(np.ceil(4 * deviation))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    kernel /= kernel.sum()
    wide = np.asarray(images, np.float64)
    for axis in (1, 2):
        padding = [(reach, reach) if each == axis else (0, 0) for each in range(4)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(wide, padding, mode="edge"), len(kernel), axis=axis)
        wide = windows @ kernel
    return wide.astype(np.float32)
