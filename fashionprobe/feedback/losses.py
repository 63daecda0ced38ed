"""The losses of correcting: cross-entropy plus a penalty on what the network sees inside an expert's masks.

Every function returns one value per image, so that any reduction may follow. They are written in `keras.ops`.
"""

from typing import Any

import keras

from fashionprobe.feedback.ranges import check

ops: Any = keras.ops
"""Typed Any: the stubs of keras.ops return None."""

LAMBDA = 1 / 5
"""Lambda of PAS, divided by the number of values of the feature map."""


def cross_entropy(labels: Any, scores: Any, *, from_logits: bool = True) -> Any:
    """Return the cross-entropy of each image, float (batch,).

    Args:
        labels: Class numbers, int (batch,) or (batch, 1), or targets, float (batch, classes).
        scores: Logits, float (batch, classes); probabilities when `from_logits` is off.
        from_logits: Which of the two.
    """
    targets = _targets(labels, scores)
    return ops.categorical_crossentropy(targets, scores, from_logits=from_logits)


def activation_inside(feature_map: Any, mask: Any) -> Any:
    """Return sum |M A| over rows, columns and channels, float (batch,).

    Args:
        feature_map: The tap's output A, float (batch, rows, columns, channels).
        mask: The mask M at the tap (`masks.at_tap`), 0 or 1, float (batch, rows, columns).
    """
    return ops.sum(ops.abs(feature_map) * _mask_of(feature_map, mask), axis=(1, 2, 3))


def mean_inside(feature_map: Any, mask: Any) -> Any:
    """Return Act of PASA: the mean over channels of |A| summed in the mask, divided by the mask's cells + 1.

    Args:
        feature_map: Float (batch, rows, columns, channels).
        mask: 0 or 1, float (batch, rows, columns). An image without a mask has 0 everywhere, and so Act = 0.

    Returns:
        Float (batch,).
    """
    cells = ops.sum(ops.cast(mask, feature_map.dtype), axis=(1, 2))
    return activation_inside(feature_map, mask) / (ops.cast(feature_map.shape[-1], feature_map.dtype) * (cells + 1))


def certainty(labels: Any, scores: Any, *, b: Any, th: Any, from_logits: bool = True) -> Any:
    """Return the factor b^(p / th) of PASA, with p the probability of the true class, float (batch,).

    With b < 1 the penalty fades as the network gets sure of the true class, with b > 1 it grows.

    Args:
        labels: Class numbers, int (batch,) or (batch, 1), or targets, float (batch, classes).
        scores: Logits, float (batch, classes); probabilities when `from_logits` is off.
        b: Base of the power, above 0.
        th: Probability at which the factor is b, above 0.
        from_logits: Which of the two `scores` are.
    """
    probabilities = ops.softmax(scores) if from_logits else scores
    of_true = ops.sum(_targets(labels, scores) * probabilities, axis=-1)
    return ops.exp(ops.log(ops.cast(b, of_true.dtype)) * of_true / th)


def pas(labels: Any, scores: Any, feature_map: Any, mask: Any, *, lam: Any = None, from_logits: bool = True) -> Any:
    """Compute PAS: cross-entropy + lam * sum |M A|, float (batch,).

    Args:
        labels: Class numbers, int (batch,) or (batch, 1), or targets, float (batch, classes).
        scores: Logits, float (batch, classes); probabilities when `from_logits` is off.
        feature_map: Float (batch, rows, columns, channels).
        mask: 0 or 1, float (batch, rows, columns).
        lam: Weight of the penalty; None for 1 / (5 * rows * columns * channels).
        from_logits: Which of the two `scores` are.

    Reference:
        docs/formulas.md, "Correcting a network".
    """
    if lam is None:
        rows, columns, channels = ops.shape(feature_map)[1:]
        lam = LAMBDA / ops.cast(rows * columns * channels, feature_map.dtype)
    return cross_entropy(labels, scores, from_logits=from_logits) + lam * activation_inside(feature_map, mask)


def pasa(
    labels: Any, scores: Any, feature_map: Any, mask: Any,
    *, b: Any = 0.4, th: Any = 0.7, lam: Any = 1.0, stop_gradient: bool = False, from_logits: bool = True,
) -> Any:  # fmt: skip
    """Compute PASA: cross-entropy + lam * Act * b^(p / th), float (batch,).

    The gradient also flows through p, the probability of the true class: with b > 1 the network can lower the penalty
    by being less sure of images that it is sure of for the wrong reason, with b < 1 by being surer.

    Args:
        labels: Class numbers, int (batch,) or (batch, 1), or targets, float (batch, classes).
        scores: Logits, float (batch, classes); probabilities when `from_logits` is off.
        feature_map: Float (batch, rows, columns, channels).
        mask: 0 or 1, float (batch, rows, columns).
        b: Base of the power, above 0. Settings of the source: 0.4 for animals, 0.8 for symbols, 5 for X-rays.
        th: Probability at which the factor is b, above 0. Settings of the source: 0.7, 2 and 0.8.
        lam: Weight of the penalty.
        stop_gradient: Whether p counts as a constant.
        from_logits: Which of the two `scores` are.

    Reference:
        docs/formulas.md, "Correcting a network".
    """
    factor = certainty(labels, scores, b=b, th=th, from_logits=from_logits)
    if stop_gradient:
        factor = ops.stop_gradient(factor)
    penalty = mean_inside(feature_map, mask) * factor
    return cross_entropy(labels, scores, from_logits=from_logits) + lam * penalty


def gradient_inside(gradient: Any, mask: Any) -> Any:
    """Return the penalty of RRR: sum (m * gradient)^2 over the image, float (batch,).

    Args:
        gradient: Of the sum over classes of log p with respect to the image, float (batch, height, width, channels).
        mask: The mask in image size, 0 or 1, float (batch, height, width).

    Reference:
        Ross, Hughes and Doshi-Velez, "Right for the Right Reasons", IJCAI 2017, https://arxiv.org/abs/1703.03717.
    """
    return ops.sum(ops.square(gradient * _mask_of(gradient, mask)), axis=(1, 2, 3))


def cam_inside(feature_map: Any, weights: Any, mask: Any) -> Any:
    """Return the penalty of RRR-G: the mean inside the mask of the CAM, brought to [0, 1] by its min and max.

    Args:
        feature_map: Float (batch, rows, columns, channels).
        weights: The true class's column of the dense kernel for each image, float (batch, channels).
        mask: 0 or 1, float (batch, rows, columns).

    Returns:
        Float (batch,); 0 for an image without a mask or with a constant map.

    Reference:
        After Schramowski et al., "Making deep neural networks right for the right scientific reasons by interacting
        with their explanations", 2020, https://doi.org/10.1038/s42256-020-0212-3 (RRR with Grad-CAM as explanation).
    """
    cam = ops.einsum("bhwd,bd->bhw", feature_map, weights)
    low = ops.min(cam, axis=(1, 2), keepdims=True)
    spread = ops.max(cam, axis=(1, 2), keepdims=True) - low
    scaled = (cam - low) / ops.where(spread > 0, spread, ops.ones_like(spread))
    mask = ops.cast(mask, scaled.dtype)
    return ops.sum(scaled * mask, axis=(1, 2)) / ops.maximum(ops.sum(mask, axis=(1, 2)), 1)


class _Masked(keras.losses.Loss):
    """A loss of (labels, mask) and (scores, feature map)."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        labels, mask = y_true
        scores, feature_map = y_pred
        return self.of(labels, scores, feature_map, mask)

    def of(self, labels: Any, scores: Any, feature_map: Any, mask: Any) -> Any:
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="fashionprobe")
class PAS(_Masked):
    """PAS as a Keras loss of `(labels, mask)` and `(scores, feature_map)`; see `pas`.

    Keras computes one loss for each output, and this one needs two outputs together; to train with `fit`, let the model
    hand both over:

        class Corrected(keras.Model):
            def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                return self.loss(y, y_pred, sample_weight)

        model = Corrected(image, [logits, feature_map])
        model.compile("adam", loss=PAS())
        model.fit(images, (labels, at_tap(masks, feature_map.shape[1:3])))

    Args:
        lam: Weight of the penalty; None for 1 / (5 * rows * columns * channels).
        from_logits: Whether scores are logits or probabilities.
        reduction: As in every Keras loss.
        name: Its name.
        dtype: Type of the computation.

    Raises:
        UserError: If `lam` is negative.
    """

    def __init__(
        self, lam: float | None = None, *, from_logits: bool = True, reduction: str = "sum_over_batch_size",
        name: str = "pas", dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        check(lam=0.0 if lam is None else lam)
        self.lam, self.from_logits = lam, from_logits

    def of(self, labels: Any, scores: Any, feature_map: Any, mask: Any) -> Any:
        """Compute the loss of each image, float (batch,)."""
        return pas(labels, scores, feature_map, mask, lam=self.lam, from_logits=self.from_logits)

    def get_config(self) -> dict[str, Any]:
        """Return what makes this loss again."""
        return {**super().get_config(), "lam": self.lam, "from_logits": self.from_logits}


@keras.saving.register_keras_serializable(package="fashionprobe")
class PASA(_Masked):
    """PASA as a Keras loss of `(labels, mask)` and `(scores, feature_map)`; see `pasa`.

    Keras computes one loss for each output, and this one needs two outputs together; to train with `fit`, let the model
    hand both over:

        class Corrected(keras.Model):
            def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                return self.loss(y, y_pred, sample_weight)

        model = Corrected(image, [logits, feature_map])
        model.compile("adam", loss=PASA())
        model.fit(images, (labels, at_tap(masks, feature_map.shape[1:3])))

    Args:
        b: Base of the power, above 0.
        th: Probability at which the factor is b, above 0.
        lam: Weight of the penalty.
        stop_gradient: Whether the probability of the true class counts as a constant.
        from_logits: Whether scores are logits or probabilities.
        reduction: As in every Keras loss.
        name: Its name.
        dtype: Type of the computation.

    Raises:
        UserError: If `b` or `th` is not above 0, or `lam` is negative.
    """

    def __init__(
        self, b: float = 0.4, th: float = 0.7, lam: float = 1.0, *, stop_gradient: bool = False,
        from_logits: bool = True, reduction: str = "sum_over_batch_size", name: str = "pasa", dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        check(b=b, th=th, lam=lam)
        self.b, self.th, self.lam = b, th, lam
        self.stop_gradient, self.from_logits = stop_gradient, from_logits

    def of(self, labels: Any, scores: Any, feature_map: Any, mask: Any) -> Any:
        """Compute the loss of each image, float (batch,)."""
        return pasa(
            labels, scores, feature_map, mask, b=self.b, th=self.th, lam=self.lam,
            stop_gradient=self.stop_gradient, from_logits=self.from_logits,
        )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        """Return what makes this loss again."""
        own = {"b": self.b, "th": self.th, "lam": self.lam}
        own |= {"stop_gradient": self.stop_gradient, "from_logits": self.from_logits}
        return {**super().get_config(), **own}


def _targets(labels: Any, scores: Any) -> Any:
    labels, classes = ops.convert_to_tensor(labels), scores.shape[-1]
    if len(labels.shape) == len(scores.shape) and labels.shape[-1] == 1 < classes:
        # Class numbers in a column, as Keras takes them too.
        labels = ops.squeeze(labels, -1)
    if len(labels.shape) == len(scores.shape):
        return ops.cast(labels, scores.dtype)
    return ops.one_hot(ops.cast(labels, "int32"), classes, dtype=scores.dtype)


def _mask_of(tensor: Any, mask: Any) -> Any:
    return ops.expand_dims(ops.cast(mask, tensor.dtype), -1)
