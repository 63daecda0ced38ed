"""Weights of torch put into a Keras model that computes the same."""

from collections.abc import Callable, Mapping

import keras
import numpy as np

from fashionprobe.errors import UserError

_AXES = {"Conv2D": (2, 3, 1, 0), "DepthwiseConv2D": (2, 3, 0, 1), "Dense": (1, 0)}
"""Where Keras has the axes of a kernel of torch: (output, input, height, width), or (output, input)."""

_PARTS = {
    **{kind: {"kernel": "weight", "bias": "bias"} for kind in _AXES},
    "BatchNormalization": {
        "gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var",
    },
}  # fmt: skip
"""What torch calls the weights of each kind of layer."""


def load_state_dict(
    model: keras.Model, arrays: Mapping[str, np.ndarray], torch_name: Callable[[str], str], *, shown: str
) -> None:
    """Put weights of torch into a model, each in its place, or none at all.

    Args:
        model: A model of convolutions, batch normalisations and dense layers.
        arrays: The arrays by their names in torch; those of a dense layer that the model lacks are left out.
        torch_name: Returns the name of a layer in torch, given that in Keras.
        shown: The file, for the error.

    Raises:
        UserError: If an array is missing, has another shape, or has no place in the model.
    """
    values, left = [], set(arrays)
    for layer in model.layers:
        kind = type(layer).__name__
        for weight in layer.weights:
            part = "kernel" if kind in _AXES and "kernel" in weight.name else weight.name
            name = f"{torch_name(layer.name)}.{_PARTS[kind][part]}"
            if name not in arrays:
                raise _unfit(model, f"{shown!r} without {name}")
            array = arrays[name].transpose(_AXES[kind]) if part == "kernel" else arrays[name]
            if array.shape != tuple(weight.shape):
                raise _unfit(model, f"{shown!r}, where {name} has the shape {list(arrays[name].shape)}")
            values.append((weight, array))
            left.discard(name)
    # A model without classes leaves those of the file out.
    ignored = ("\0",) if "predictions" in {layer.name for layer in model.layers} else (torch_name("predictions") + ".",)
    stray = [name for name in left if not name.endswith(".num_batches_tracked") and not name.startswith(ignored)]
    if stray:
        raise _unfit(model, f"{shown!r} with {min(stray)}")
    for weight, array in values:
        weight.assign(array)


def _unfit(model: keras.Model, received: str) -> UserError:
    return UserError(
        "weights", expected=f"the weights of {model.name} in torch", received=received,
        remedy="Check that file and --backbone belong together.",
    )  # fmt: skip
