"""Another gradient for the ReLUs of a network: what deconvnet and guided backpropagation change."""

import math
from typing import Any, Literal, get_args

import keras
import tensorflow as tf

from fashionprobe.backbones.graph import kept_random_state, twin
from fashionprobe.errors import UserError, unknown_name
from fashionprobe.explain import functions
from fashionprobe.explain.explained_model import flat

Rule = Literal["deconvnet", "guided", "gradient"]
"""What a ReLU does to the gradient that comes back to it; the last is its own gradient, with less memory."""


def with_relu_rule(model: keras.Model, rule: Rule) -> keras.Model:
    """Make a twin of a model, with another gradient in each of its ReLUs; what it computes stays the same.

    A ReLU is a layer `ReLU`, also one with a greatest value or a threshold, a layer `Activation("relu")`, the
    `activation="relu"` of any other layer, or a plain operation such as `keras.ops.relu(x)`; "relu6" likewise. Leaky
    ones are no ReLU and keep their gradient, and so does what a layer of the user's own computes inside `call`.

    With R the gradient that comes from above and f the output of the ReLU, it hands down (R > 0) R by the rule
    "deconvnet" and (f > 0)(R > 0) R by "guided", where a saturated ReLU counts as f = 0. By "gradient" it is (f > 0) R
    as ever; but where TensorFlow keeps f for it, four bytes a value, a mask of one byte is kept.

    Args:
        model: A functional or sequential model; it is left as it is.
        rule: What each ReLU does to the gradient.

    Returns:
        A flat twin. It shares the variables of the model, so that further training shows (those of a copy, if the
        model had models inside).

    Raises:
        UserError: If the model has no ReLU and the rule is not "gradient", or the rule is not known.

    Reference:
        Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014.
        Springenberg et al., "Striving for Simplicity: The All Convolutional Net", 2015.
    """
    if rule not in get_args(Rule):
        raise unknown_name("rule", rule, get_args(Rule))
    model = flat(model)
    changed = []

    def twin_of(operation: Any) -> Any:
        limit = functions.saturation(operation)
        if limit is not None:
            changed.append(operation.name)
            # A plain operation has no policy: it goes by its input.
            dtype = getattr(operation, "dtype_policy", None) or operation.output.dtype
            return keras.layers.Activation(_ruled(operation.call, rule, limit), name=operation.name, dtype=dtype)
        copy = twin(operation)
        activation = functions.activation(operation)
        is_other = isinstance(operation, keras.layers.Lambda) or getattr(activation, "has_rule", False)
        limit = None if is_other else functions.saturation(activation)
        if limit is not None:
            changed.append(operation.name)
            copy.activation = _ruled(activation, rule, limit)
        return copy

    with kept_random_state():
        # The bare graph, without the loss and the optimizer of a compiled model.
        copied = keras.models.clone_model(keras.Model(model.input, model.output), clone_function=twin_of)
    if not changed and rule != "gradient":
        raise UserError(
            "model", expected="a network with a ReLU", received=f"{model.name}, which has none",
            remedy="Use `gradient`: without a ReLU this method is the same.",
        )  # fmt: skip
    return copied


def _ruled(function: Any, rule: Rule, limit: float) -> Any:
    """Give a ReLU the gradient of a rule."""

    @tf.custom_gradient
    def rectify(x: tf.Tensor) -> Any:
        y = function(x)
        if rule == "deconvnet":
            return y, tf.nn.relu
        # Kept for the way back in place of the map itself: a byte a value, not four.
        passes = y > 0 if limit == math.inf else (y > 0) & (y < limit)
        return y, lambda relevance: tf.where(passes, tf.nn.relu(relevance) if rule == "guided" else relevance, 0.0)

    # It still is a ReLU by what it computes; whoever opens the twin again must leave its gradient alone.
    rectify.has_rule = True  # pyright: ignore[reportFunctionMemberAccess]
    return rectify
