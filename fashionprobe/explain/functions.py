"""What an activation computes, found by calling it: one function has many names, in Keras, TensorFlow and user code."""

import math
import warnings
from typing import Any

import keras
import numpy as np

_SCORES = np.array([[-2.0, 0.5, 3.0, 1.25, -0.75], [4.0, -1.0, 0.25, -3.0, 0.0], [1.5] * 5], np.float32)
"""Scores of three images; the same score five times tells a softmax from functions that look at one score alone."""

_LINE = np.array([[-1e4, -20.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.5, 5.0, 7.0, 20.0, 1e4]], np.float32)
"""Where a rectifier is looked at."""


def squashing(operation: Any) -> str | None:
    """Return what a layer, an operation or a function makes of the scores of classes, over the last axis.

    A layer is asked for the activation that it ends with.

    Args:
        operation: A layer with or without weights, a plain operation, or a function.

    Returns:
        "linear", "softmax", "log_softmax" or "sigmoid"; None for anything else.
    """
    if isinstance(operation, keras.layers.Softmax) or _is_operation(operation, "Softmax", "LogSoftmax"):
        name = "log_softmax" if type(operation).__name__ == "LogSoftmax" else "softmax"
        # Over any other axis than the last it is not a head: scores are (batch, classes).
        return name if operation.axis in (-1, 1) else None
    if _is_operation(operation, "Sigmoid"):
        return "sigmoid"
    found = _called(activation(operation), _SCORES)
    if found is None:
        return None
    powers = np.exp(_SCORES - _SCORES.max(axis=1, keepdims=True))
    shares = powers / powers.sum(axis=1, keepdims=True)
    known = {
        "linear": _SCORES, "softmax": shares, "log_softmax": np.log(shares), "sigmoid": 1 / (1 + np.exp(-_SCORES)),
    }  # fmt: skip
    return next((name for name, values in known.items() if np.allclose(found, values, rtol=1e-4, atol=1e-5)), None)


def activation(operation: Any) -> Any:
    """Return the function that a layer ends with; the function itself; None for a layer or operation without one."""
    if isinstance(operation, keras.layers.Lambda):
        return operation.function
    if isinstance(operation, keras.Operation):
        return getattr(operation, "activation", None)
    return operation


def saturation(function: Any) -> float | None:
    """Return the value at which a rectifier saturates, infinity for the plain ReLU.

    Args:
        function: A `ReLU` layer, a plain operation, or a function. Of other layers the `activation` is to be given.

    Returns:
        The value; None for anything else, and for what lets a part of negative values through.
    """
    if isinstance(function, keras.Operation) and not isinstance(function, keras.layers.ReLU):
        limits = {"Relu": math.inf, "ReLU": math.inf, "Relu6": 6.0}
        is_plain = not isinstance(function, keras.Layer) and not getattr(function, "negative_slope", 0)
        limit = limits.get(type(function).__name__) if is_plain else None
        greatest = getattr(function, "max_value", None)
        return limit if limit is None or greatest is None else float(greatest)
    found, upright = _called(function, _LINE), _called(function, _LINE.T)
    # A rectifier looks at each value alone; a softmax, all but one of whose values may be 0, does not.
    if found is None or upright is None or found.max() <= 0 or not np.array_equal(found, upright.T):
        return None
    greatest = float(found.max())
    limit = math.inf if greatest == _LINE.max() else greatest
    # A threshold above 0 is a rectifier, too: what it lets through it leaves as it is.
    passed = found != 0
    rectified = np.where(passed, np.minimum(_LINE, limit), 0)
    return limit if np.allclose(found, rectified) and not passed[_LINE <= 0].any() else None


def _is_operation(operation: Any, *names: str) -> bool:
    """Tell whether this is a plain operation of one of these classes, for which Keras has no public names."""
    is_plain = isinstance(operation, keras.Operation) and not isinstance(operation, keras.Layer)
    return is_plain and type(operation).__name__ in names


def _called(function: Any, values: np.ndarray) -> np.ndarray | None:
    """Return what a function makes of values, or None where it is not a function of one tensor of this shape."""
    if not callable(function) or getattr(function, "weights", None):
        return None
    try:
        with warnings.catch_warnings():
            # Keras warns of a softmax over one value, which is how a softmax is found out here.
            warnings.simplefilter("ignore")
            found = np.asarray(keras.ops.convert_to_numpy(function(keras.ops.convert_to_tensor(values))))
    except Exception:
        # A stranger's function may raise anything; it is not one of those that are known.
        return None
    return found if found.shape == values.shape else None
