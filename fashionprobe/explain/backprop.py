"""Backpropagation to the image: gradient, deconvnet, guided ones, and averages over noise or along a path."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fashionprobe import progress
from fashionprobe.errors import UserError
from fashionprobe.explain.cam import grad_cam
from fashionprobe.explain.explained_model import Classes, ExplainFunction, Network, check_images
from fashionprobe.explain.heatmaps import resize
from fashionprobe.explain.relu_rules import with_relu_rule
from fashionprobe.explain.targets import Target

GREATEST_SEED = 2**31 - 1

PORTION = 8 * 224 * 224
"""Pixels whose feature maps are in memory at a time: 250 MB for ResNet50."""

MAX_DOUBLINGS = 3
"""How often `integrated_gradients` doubles its points for an image whose values do not sum up."""


def gradient(model: keras.Model, *, target: Target = None) -> ExplainFunction:
    """Make the gradient of the score with respect to the image.

    Args:
        model: The classifier, or any network for a target that is not a class.
        target: What is explained; the score of a class by default.

    Returns:
        A function of images (batch, height, width, channels) that returns a float32 array of the same shape: how much
        the score grows with each value, with its sign.

    Raises:
        UserError: If the model or the target cannot be explained.

    Reference:
        Simonyan et al., "Deep Inside Convolutional Networks: Visualising Image Classification Models", 2014.
    """
    return _backprop(with_relu_rule(model, "gradient"), target)


def deconvnet(model: keras.Model, *, target: Target = None) -> ExplainFunction:
    """Make deconvnet: like `gradient`, but each ReLU hands down what is positive in R, (R > 0) R.

    Args:
        model: A network with a ReLU.
        target: What is explained; the score of a class by default.

    Returns:
        A function of images (batch, height, width, channels) that returns a float32 array of the same shape.

    Raises:
        UserError: If the model has no ReLU, or it or the target cannot be explained.

    Reference:
        Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014.
    """
    return _backprop(with_relu_rule(model, "deconvnet"), target)


def guided_backpropagation(model: keras.Model, *, target: Target = None) -> ExplainFunction:
    """Make guided backpropagation: like `gradient`, but each ReLU with output f hands down (f > 0)(R > 0) R.

    Args:
        model: A network with a ReLU.
        target: What is explained; the score of a class by default.

    Returns:
        A function of images (batch, height, width, channels) that returns a float32 array of the same shape.

    Raises:
        UserError: If the model has no ReLU, or it or the target cannot be explained.

    Reference:
        Springenberg et al., "Striving for Simplicity: The All Convolutional Net", 2015.
    """
    return _backprop(with_relu_rule(model, "guided"), target)


def guided_grad_cam(
    model: keras.Model, layer: str | keras.Layer | None = None, *, target: Target = None
) -> ExplainFunction:
    """Make guided Grad-CAM: guided backpropagation times Grad-CAM, which is brought to the size of the image.

    Args:
        model: A network with a ReLU.
        layer: The layer of Grad-CAM; the last one with a feature map by default.
        target: What is explained; the score of a class by default.

    Returns:
        A function of images (batch, height, width, channels) that returns a float32 array of the same shape.

    Raises:
        UserError: If the model has no ReLU or no such layer, or it or the target cannot be explained.

    Reference:
        Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-Based Localization", 2017.
    """
    network = Network(with_relu_rule(model, "guided"), target=target)
    cam = grad_cam(model, layer, target=target)
    is_chosen = network.classes is not None

    @tf.function(autograph=False)
    def guided(images: tf.Tensor, classes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        classes = _fixed(network, images, classes)
        return _in_portions(network, images, classes), classes

    def explain(images: np.ndarray | tf.Tensor, classes: Classes = None) -> np.ndarray:
        pixels = check_images(network.model, images)
        gradients, chosen = guided(pixels, network.check_classes(classes, len(pixels)))
        maps = cam(pixels, chosen.numpy() if is_chosen else None)
        return gradients.numpy() * resize(maps, gradients.numpy().shape[1:3])[..., None]

    return explain


def smooth_grad(
    model: keras.Model,
    *,
    samples: int = 25,
    deviation: float = 0.15,
    seed: int = 0,
    batch_size: int = 4,
    target: Target = None,
) -> ExplainFunction:
    """Make SmoothGrad: the mean gradient over copies of the image with Gaussian noise.

    The noise belongs to the seed and the number of the sample: an image gets the same in whatever batch it comes. The
    top class is that of the image without noise.

    Args:
        model: The classifier, or any network for a target that is not a class.
        samples: Noisy copies of each image.
        deviation: Standard deviation of the noise, as a share of the image's own range, greatest minus least value.
        seed: Which noise, 0 to 2**31 - 1.
        batch_size: Copies that go through the network together; changes memory and time, not the result.
        target: What is explained; the score of a class by default.

    Returns:
        A function of images (batch, height, width, channels) that returns a float32 array of the same shape.

    Raises:
        UserError: If an argument is out of range, or the model or the target cannot be explained.

    Reference:
        Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017.
    """
    check_count("samples", samples)
    check_count("batch_size", batch_size)
    if not deviation > 0 or not np.isfinite(deviation):
        raise UserError("deviation", expected="a number above 0", received=deviation)
    if not 0 <= seed <= GREATEST_SEED:
        raise UserError("seed", expected=f"an int from 0 to {GREATEST_SEED}", received=seed)
    network = Network(model, target=target)

    def explain(images: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        classes = _fixed(network, images, classes)
        scale = deviation * (tf.reduce_max(images) - tf.reduce_min(images))

        def noise(number: tf.Tensor) -> tf.Tensor:
            return tf.random.stateless_normal(tf.shape(images)[1:], tf.stack([seed, number]))

        def part(numbers: tf.Tensor) -> tf.Tensor:
            noisy = images + scale * tf.map_fn(noise, numbers, fn_output_signature=tf.float32)
            return tf.reduce_sum(_gradient(network, noisy, _repeated(classes, numbers)), axis=0, keepdims=True)

        return _summed(part, tf.constant(samples), batch_size, tf.zeros_like(images)) / samples

    return one_by_one(network, explain, "smooth_grad")


def integrated_gradients(
    model: keras.Model,
    *,
    steps: int = 50,
    baseline: float | np.ndarray = 0.0,
    batch_size: int = 4,
    target: Target = None,
) -> ExplainFunction:
    """Make integrated gradients: (x - b) times the mean gradient on the straight line from a baseline b to the image x.

    The values of an image sum up to the score of the image less that of the baseline. Where they miss it by more than
    1 %, as they may where the two scores are alike, the points on the line are doubled, three times at most. The top
    class is that of the image.

    Args:
        model: The classifier, or any network for a target that is not a class.
        steps: Points on the line, in the middle of as many equal parts of it.
        baseline: An image without information, as the model takes it: one value for all pixels, such as 0 for black, or
            an array that broadcasts to (height, width, channels).
        batch_size: Points that go through the network together; changes memory and time, not the result.
        target: What is explained; the score of a class by default.

    Returns:
        A function of images (batch, height, width, channels) that returns a float32 array of the same shape.

    Raises:
        UserError: If an argument is out of range, or the model or the target cannot be explained.

    Reference:
        Sundararajan et al., "Axiomatic Attribution for Deep Networks", 2017.
    """
    check_count("steps", steps)
    check_count("batch_size", batch_size)
    network = Network(model, target=target)
    start = tf.constant(check_baseline(baseline, network.model.input_shape[1:]))

    def explain(images: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        classes = _fixed(network, images, classes)
        way = images - start
        scores = network.score(network(tf.concat([images - way, images], axis=0))[1], tf.repeat(classes, 2))
        # Rounding of the scores themselves is not a reason to continue.
        close = 0.01 * tf.abs(scores[1] - scores[0]) + 1e-6 * tf.reduce_max(tf.abs(scores))

        def values(count: tf.Tensor) -> tf.Tensor:
            def part(numbers: tf.Tensor) -> tf.Tensor:
                shares = (tf.cast(numbers, tf.float32) + 0.5) / tf.cast(count, tf.float32)
                points = start + tf.reshape(shares, (-1, 1, 1, 1)) * way
                return tf.reduce_sum(_gradient(network, points, _repeated(classes, numbers)), axis=0, keepdims=True)

            return way * _summed(part, count, batch_size, tf.zeros_like(images)) / tf.cast(count, tf.float32)

        def misses(count: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
            gap = tf.abs(tf.reduce_sum(found) - (scores[1] - scores[0]))
            return tf.logical_and(gap > close, count < steps * 2**MAX_DOUBLINGS)

        first = tf.constant(steps)
        _, found = tf.while_loop(misses, lambda count, _: (2 * count, values(2 * count)), (first, values(first)))
        return found

    return one_by_one(network, explain, "integrated_gradients")


def saliency(gradients: np.ndarray) -> np.ndarray:
    """Bring gradients, or any values per pixel and colour, to one map: the greatest absolute value of the channels.

    Args:
        gradients: float (batch, height, width, channels).

    Returns:
        float32 (batch, height, width), 0 or more.

    Raises:
        UserError: If there is no axis of channels.

    Reference:
        Simonyan et al., "Deep Inside Convolutional Networks: Visualising Image Classification Models", 2014.
    """
    gradients = np.asarray(gradients, np.float32)
    if gradients.ndim != 4:
        raise UserError("gradients", expected="of shape (batch, height, width, channels)", received=gradients.shape)
    return np.abs(gradients).max(axis=-1)


def one_by_one(network: Network, function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], name: str) -> ExplainFunction:
    """Compile a method that takes long for a batch of one image, and run it image after image with a progress bar.

    Args:
        network: The network that is explained.
        function: Takes float32 images (1, height, width, channels) and int32 classes (1,), -1 for the top.
        name: The name of the method, for the bar.
    """
    explain_one = network.compile(function)

    def explain(images: np.ndarray | tf.Tensor, classes: Classes = None) -> np.ndarray:
        pixels = check_images(network.model, images)
        numbers = network.check_classes(classes, len(pixels)).numpy()
        maps = []
        with progress.bar(total=len(pixels), unit="image", description=name) as bar:
            for place, number in enumerate(numbers):
                maps.append(explain_one(pixels[place : place + 1], None if number < 0 else number))
                bar.update(1)
        return np.concatenate(maps)

    return explain


def check_count(argument: str, value: int) -> None:
    """Check that a number of things is a whole number above 0.

    Raises:
        UserError: If it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise UserError(argument, expected="an int, 1 or more", received=value)


def check_baseline(baseline: float | np.ndarray, shape: tuple[int | None, ...]) -> np.ndarray:
    """Return a baseline as a float32 array that broadcasts to images of a shape (height, width, channels).

    Raises:
        UserError: If it does not fit, or a value is not finite.
    """
    image = np.asarray(baseline, np.float32)
    sides = zip(image.shape[::-1], shape[::-1], strict=False)
    if image.ndim > 3 or any(side != 1 and wanted not in (None, side) for side, wanted in sides):
        received = f"an array of shape {image.shape}"
        raise UserError("baseline", expected=f"a number, or an image that fits {shape}", received=received)
    if not np.isfinite(image).all():
        raise UserError("baseline", expected="finite numbers", received="NaN or infinity")
    return image


def _backprop(model: keras.Model, target: Target) -> ExplainFunction:
    """Compile the gradient of the score with respect to the image, as the ReLUs of this model hand it down."""
    network = Network(model, target=target)

    def explain(images: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        return _in_portions(network, images, classes)

    return network.compile(explain)


def _gradient(network: Network, images: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """Return the gradient of each image's score with respect to the image; images do not touch each other."""
    # Gradients of the weights would cost half as much again.
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        _, last = network(images)
        score = network.score(last, classes)
    gradients: Any = tape.gradient(score, images)
    if gradients is None:
        raise UserError("target", expected="a number that depends on the image", received=network.target)
    return gradients


def _in_portions(network: Network, images: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """Return `_gradient`, worked out for a few images at a time, which is as fast and saves memory."""
    shape: Any = images.shape
    batch, height, width, _ = shape
    count = -(-batch * height * width // PORTION)
    size = -(-batch // count)
    if size == batch:
        return _gradient(network, images, classes)
    count = -(-batch // size)
    element_shape = (None, *shape[1:])
    parts = tf.TensorArray(tf.float32, count, infer_shape=False, element_shape=element_shape)

    def step(number: tf.Tensor, parts: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        few = slice(number * size, (number + 1) * size)
        return number + 1, parts.write(number, _gradient(network, images[few], classes[few]))

    _, parts = tf.while_loop(lambda number, _: number < count, step, (0, parts), parallel_iterations=1)
    return tf.ensure_shape(parts.concat(), shape)


def _fixed(network: Network, images: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """Return the class of each image, the top one where -1 stands, for all changes of the image that follow."""
    return classes if network.target is not None else network.chosen(network(images)[1], classes)


def _repeated(classes: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """Return the class of the one image for each of its changed copies."""
    return tf.repeat(classes, tf.size(numbers))


def _summed(part: Callable[[tf.Tensor], tf.Tensor], count: tf.Tensor, batch_size: int, zero: tf.Tensor) -> tf.Tensor:
    """Sum what a function returns for the numbers 0 to count - 1, which it gets in portions of equal size."""
    size = -(-count // -(-count // batch_size))
    return tf.foldl(
        lambda total, first: total + part(tf.range(first, tf.minimum(first + size, count))),
        tf.range(0, count, size),
        initializer=zero,
        parallel_iterations=1,
    )
