"""Refitting: some more iterations of training, in which a few masked images stand in every batch."""

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from fashionprobe.errors import UserError
from fashionprobe.feedback import losses
from fashionprobe.feedback.correctable import Correctable
from fashionprobe.feedback.methods import LOSSES, Loss

Batches = Iterator[tuple[np.ndarray, np.ndarray]]
"""Yields images, float32 (batch, height, width, 3) in [0, 255], and class numbers, int (batch,), without end."""

Scale = Literal["formula", "relative", "absolute"]

Check = Callable[[], dict[str, float]]
"""Measures the network as it is now; `score` decides which iteration is kept, the rest goes to the history."""


@dataclass(frozen=True)
class Plan:
    """How a network is refitted.

    Attributes:
        loss: Cross-entropy alone, or with one of the penalties; "dropout" is selective dropout.
        iterations: Batches.
        masked: Masked images in each batch, beside those that come from `batches`.
        optimizer: The family that trained the network.
        learning_rate: Its rate.
        decay: Keep the rate, or lower it to 0 along half a cosine.
        lam: Weight of the penalty, in the unit of `scale`.
        scale: What `lam` is multiplied with; see `unit`.
        b: Base of PASA.
        th: Threshold of PASA.
        dropped: Channels that selective dropout sets to 0.
        check_every: Iterations between two measurements.
        keep_best: Keep the measured iteration with the highest score (the last among equals; never the start, iteration
            0); else the last one.
    """

    loss: Loss = "pasa"
    iterations: int = 100
    masked: int = 5
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 1e-3
    decay: Literal["none", "cosine"] = "none"
    lam: float = 1.0
    scale: Scale = "formula"
    b: float = 0.4
    th: float = 0.7
    dropped: int = 20
    check_every: int = 5
    keep_best: bool = True


@dataclass(frozen=True)
class MaskedImages:
    """The images that the expert has masked.

    Attributes:
        ids: Their names, text (n,).
        images: uint8 or float32 (n, height, width, 3), RGB in [0, 255].
        labels: Class numbers, int (n,).
        masks: bool (n, height, width), True where the image is irrelevant.
        at_tap: float32 (n, rows, columns), the masks at the feature map, 0 or 1.
    """

    ids: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    at_tap: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: np.ndarray) -> "MaskedImages":
        """Return some of them."""
        return MaskedImages(self.ids[rows], self.images[rows], self.labels[rows], self.masks[rows], self.at_tap[rows])


@dataclass(frozen=True)
class Refit:
    """The outcome; the network holds the weights of the iteration that was kept.

    Attributes:
        history: iteration (from 0, before the first), loss, cross_entropy, penalty, and what `Check` measured.
        probabilities: iteration, id (of the masked image), probability (of its class), where it was measured.
        iteration: The one that was kept.
        strength: What the penalty was multiplied with.
    """

    history: pd.DataFrame
    probabilities: pd.DataFrame
    iteration: int
    strength: float


class Stepper:
    """One iteration of one loss, compiled once for one network; a new refit starts it afresh.

    Args:
        network: The network; what is frozen in it now stays frozen.
        loss: The loss.
        optimizer: The optimiser's family.

    Raises:
        UserError: If there is no such loss, or the network has not the head that it needs.
    """

    def __init__(self, network: Correctable, loss: Loss, optimizer: Literal["adam", "sgd"] = "adam") -> None:
        if loss not in LOSSES:
            raise UserError("loss", expected=f"one of: {', '.join(LOSSES)}", received=loss)
        if loss in ("rrr_g", "dropout"):
            network.need_head()
        self._network, self._loss = network, loss
        self._variables = network.model.trainable_variables
        kind = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}[optimizer]
        self._optimizer: Any = kind(**({"momentum": 0.9, "nesterov": True} if optimizer == "sgd" else {}))
        self._optimizer.build(self._variables)
        image, shape = network.model.input_shape[1:], network.shape
        self._setting = {name: tf.Variable(tf.constant(0.0)) for name in ("strength", "b", "th")}
        self._dropped = tf.Variable(tf.constant(0))
        signature = [
            tf.TensorSpec((None, *image), tf.float32), tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None, *shape[:2]), tf.float32), tf.TensorSpec((None, *image[:2]), tf.float32),
        ]  # fmt: skip
        self.step, self.terms = _compiled(self._step, signature), _compiled(self._means, signature)

    def start(self, plan: Plan) -> None:
        """Forget the last refit: momenta, rate, and the numbers of the loss.

        Raises:
            UserError: If a number of the plan is out of its range.
        """
        losses.check(b=plan.b, th=plan.th, lam=plan.lam)
        if plan.check_every < 1:
            raise UserError("check_every", expected="an int in the range [1, inf)", received=plan.check_every)
        channels = self._network.shape[-1]
        if self._loss == "dropout" and not 1 <= plan.dropped < channels:
            raise UserError("dropped", expected=f"in 1 to {channels - 1}, below the channels", received=plan.dropped)
        for variable in self._optimizer.variables:
            variable.assign(keras.ops.zeros_like(variable))
        self.rate(plan.learning_rate)
        self.strength(plan.lam)
        self._setting["b"].assign(plan.b)
        self._setting["th"].assign(plan.th)
        self._dropped.assign(plan.dropped)

    def rate(self, value: float) -> None:
        """Set the learning rate."""
        self._optimizer.learning_rate.assign(value)

    def strength(self, value: float) -> None:
        """Set what the penalty is multiplied with."""
        self._setting["strength"].assign(value)

    def _step(self, *batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Change the weights once; return the mean cross-entropy and the mean penalty, multiplied."""
        with tf.GradientTape() as tape:
            entropy, penalty = self._terms(*batch, training=True)
            entropy, penalty = tf.reduce_mean(entropy), self._setting["strength"] * tf.reduce_mean(penalty)
            loss = entropy + penalty
        gradients = tape.gradient(loss, self._variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        self._optimizer.apply(gradients, self._variables)
        return entropy, penalty

    def _means(self, *batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the mean cross-entropy and the mean penalty, not multiplied, without changing anything."""
        entropy, penalty = self._terms(*batch, training=False)
        return tf.reduce_mean(entropy), tf.reduce_mean(penalty)

    def _terms(
        self, images: tf.Tensor, labels: tf.Tensor, at_tap: tf.Tensor, masks: tf.Tensor, *, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return cross-entropy and penalty of each image, (batch,) each."""
        if self._loss == "rrr":
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(images)
                _, scores = self._network(images, training=training)
                certain = tf.reduce_sum(tf.nn.log_softmax(scores))
            penalty = losses.gradient_inside(tape.gradient(certain, images), masks)
            return losses.cross_entropy(labels, scores), penalty
        feature_map, scores = self._network(images, training=training)
        if self._loss == "dropout":
            scores = self._dropped_scores(feature_map, labels, at_tap, scores)
        entropy = losses.cross_entropy(labels, scores)
        if self._loss == "pas":
            return entropy, losses.activation_inside(feature_map, at_tap)
        if self._loss == "pasa":
            factor = losses.certainty(labels, scores, **self._certain())
            return entropy, losses.mean_inside(feature_map, at_tap) * factor
        if self._loss == "rrr_g":
            weights = tf.transpose(tf.gather(self._network.kernel(), labels, axis=1))
            return entropy, losses.cam_inside(feature_map, weights, at_tap)
        return entropy, tf.zeros_like(entropy)

    def _certain(self) -> dict[str, Any]:
        return {name: self._setting[name] for name in ("b", "th")}

    def _dropped_scores(
        self, feature_map: tf.Tensor, labels: tf.Tensor, at_tap: tf.Tensor, scores: tf.Tensor
    ) -> tf.Tensor:
        """Return the scores without the channels that vote for the class from inside the mask."""
        kernel = self._network.kernel()
        kept = kept_channels(feature_map, tf.transpose(tf.gather(kernel, labels, axis=1)), at_tap, self._dropped)
        bias = 0.0 if self._network.dense.bias is None else tf.cast(self._network.dense.bias, tf.float32)
        dropped = tf.matmul(tf.reduce_mean(feature_map, axis=(1, 2)) * kept, kernel) + bias
        return tf.where(tf.reduce_any(at_tap > 0, axis=(1, 2))[:, None], dropped, scores)


def unit(loss: Loss, scale: Scale, shape: tuple[int, ...], entropy: float, penalty: float) -> float:
    """Return what `lam` is multiplied with.

    Args:
        loss: The loss.
        scale: "formula": at lam 1 the penalty has the weight that its source gives it, 1 / (5 * rows * columns *
            channels) for PAS and 1 for PASA; RRR names none, but asks for a penalty of the order of the cross-entropy,
            so that it is taken as "relative". "relative": at lam 1 the penalty weighs as much as the cross-entropy at
            the start. "absolute": 1.
        shape: Of the feature map: rows, columns, channels.
        entropy: The mean cross-entropy of the first batch.
        penalty: The mean penalty of it, not multiplied.

    Reference:
        docs/formulas.md, "Correcting a network"; Ross et al. 2017, section 3, https://arxiv.org/abs/1703.03717.
    """
    if scale == "relative" or (scale == "formula" and loss in ("rrr", "rrr_g")):
        return entropy / penalty if penalty > 0 else 1.0
    return losses.LAMBDA / math.prod(shape) if scale == "formula" and loss == "pas" else 1.0


def kept_channels(feature_map: tf.Tensor, weights: tf.Tensor, at_tap: tf.Tensor, dropped: Any) -> tf.Tensor:
    """Choose the channels of selective dropout.

    The channels are ranked by their mean inside the mask times the weight with which they vote for the image's class;
    the first `dropped` become 0, the others are scaled by channels / (channels - dropped).

    Args:
        feature_map: float32 (batch, rows, columns, channels).
        weights: The class's column of the dense kernel for each image, float32 (batch, channels).
        at_tap: 0 or 1, float32 (batch, rows, columns).
        dropped: How many, int.

    Returns:
        Factors of the channels, float32 (batch, channels).

    Reference:
        docs/formulas.md, "Correcting a network".
    """
    cells = tf.maximum(tf.reduce_sum(at_tap, axis=(1, 2)), 1.0)
    inside = tf.einsum("bhwd,bhw->bd", feature_map, at_tap) / cells[:, None]
    place = tf.argsort(tf.argsort(inside * weights, axis=1, direction="DESCENDING", stable=True), axis=1)
    channels = tf.cast(tf.shape(weights)[1], tf.float32)
    scale = channels / (channels - tf.cast(dropped, tf.float32))
    return tf.stop_gradient(tf.where(place < dropped, 0.0, scale))


def refit(
    network: Correctable,
    stepper: Stepper,
    batches: Batches,
    masked: MaskedImages | None,
    plan: Plan,
    *,
    check: Check,
    seed: int = 0,
    report: Callable[[int], object] = lambda iterations: None,
    watch: Callable[[int], object] = lambda iteration: None,
) -> Refit:
    """Refit a network, and leave it with the weights of the iteration that was kept.

    Args:
        network: The network, with the weights to start from.
        stepper: The loss, for this network.
        batches: The random images of each iteration.
        masked: The masked images that join them; None for none.
        plan: How.
        check: Measures the network.
        seed: Seed of the order of the masked images, and of dropout in the network.
        report: Called with 1 after each iteration.
        watch: Called with the iteration before the first one, 0, and wherever the network is measured.

    Returns:
        What happened.

    Raises:
        UserError: If the loss is no longer a number, or a number of the plan is out of its range.
    """
    stepper.start(plan)
    network.reseed(seed)
    drawn = _endless(0 if masked is None else len(masked), plan.masked, np.random.default_rng(seed))
    first = _joined(network, *next(batches), masked, next(drawn))
    entropy, penalty = (float(term) for term in stepper.terms(*first))
    strength = plan.lam * unit(plan.loss, plan.scale, network.shape, entropy, penalty)
    stepper.strength(strength)
    rows = [{"iteration": 0, "cross_entropy": entropy, "penalty": strength * penalty, **check()}]
    probabilities = [_certainties(network, masked, 0)]
    watch(0)
    best, kept = -np.inf, (0, network.model.get_weights())
    batch = first
    for iteration in range(1, plan.iterations + 1):
        if plan.decay == "cosine":
            stepper.rate(plan.learning_rate * 0.5 * (1 + np.cos(np.pi * (iteration - 1) / plan.iterations)))
        entropy, penalty = (float(term) for term in stepper.step(*batch))
        if not np.isfinite(entropy + penalty):
            raise UserError(
                "learning_rate", expected="low enough for a finite loss",
                received=f"{plan.learning_rate}, with a loss of {entropy + penalty} in iteration {iteration}",
                remedy="Lower --learning-rate or --lam.",
            )  # fmt: skip
        row = {"iteration": iteration, "cross_entropy": entropy, "penalty": penalty}
        if iteration % plan.check_every == 0 or iteration == plan.iterations:
            row |= check()
            probabilities.append(_certainties(network, masked, iteration))
            watch(iteration)
            if not plan.keep_best or row["score"] >= best:
                best, kept = row["score"], (iteration, network.model.get_weights())
        rows.append(row)
        report(1)
        if iteration < plan.iterations:
            batch = _joined(network, *next(batches), masked, next(drawn))
    network.model.set_weights(kept[1])
    history = pd.DataFrame(rows)
    history.insert(1, "loss", history["cross_entropy"] + history["penalty"])
    return Refit(history, pd.concat(probabilities, ignore_index=True), kept[0], strength)


def _compiled(function: Callable, signature: list[tf.TensorSpec]) -> Callable:
    """Compile a function of tensors at its first call."""

    @functools.cache
    def concrete() -> Any:
        # AutoGraph would turn our errors into its own. Called through `tf.function`, the steps of several losses would
        # pass for needless retracing, of which TensorFlow warns.
        return tf.function(function, autograph=False).get_concrete_function(*signature)

    return lambda *batch: concrete()(*batch)


def _joined(
    network: Correctable, images: np.ndarray, labels: np.ndarray, masked: MaskedImages | None, rows: np.ndarray
) -> tuple[tf.Tensor, ...]:
    """Return one batch: random images, behind them the masked ones, with masks at the tap and in image size."""
    masks = np.zeros((len(images), *network.model.input_shape[1:3]), np.float32)
    at_tap = np.zeros((len(images), *network.shape[:2]), np.float32)
    if masked is not None and len(rows):
        part = masked.take(rows)
        images, labels = np.concatenate([images, part.images]), np.concatenate([labels, part.labels])
        masks, at_tap = np.concatenate([masks, part.masks]), np.concatenate([at_tap, part.at_tap])
    return (
        tf.constant(images, tf.float32), tf.constant(labels, tf.int32),
        tf.constant(at_tap, tf.float32), tf.constant(masks, tf.float32),
    )  # fmt: skip


def _endless(count: int, together: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield rows of the masked images, each as often as the others, in a random order."""
    together = min(together, count)
    waiting = np.zeros(0, int)
    while True:
        if len(waiting) < together:
            waiting = np.concatenate([waiting, random.permutation(count)])
        rows, waiting = waiting[:together], waiting[together:]
        yield rows


def _certainties(network: Correctable, masked: MaskedImages | None, iteration: int) -> pd.DataFrame:
    if masked is None:
        return pd.DataFrame({"iteration": [], "id": [], "probability": []})
    # Of an image with several fillings the first is followed.
    masked = masked.take(np.sort(np.unique(masked.ids, return_index=True)[1]))
    found = network.probabilities(masked.images)
    of_class = np.take_along_axis(found, masked.labels[:, None], axis=1)[:, 0]
    return pd.DataFrame({"iteration": iteration, "id": masked.ids, "probability": of_class})
