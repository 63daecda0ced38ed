"""Receptive fields: which pixels a value of a feature map can depend on, computed from the graph."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fashionprobe.backbones.graph import origins
from fashionprobe.errors import UserError
from fashionprobe.explain.explained_model import find_map, flat

Pair = tuple[int, int]

POINTWISE = (
    "Activation", "ActivityRegularization", "AlphaDropout", "BatchNormalization", "Dropout", "ELU", "GaussianDropout",
    "GaussianNoise", "Identity", "LayerScale", "LeakyReLU", "Normalization", "PReLU", "ReLU", "Rescaling",
    "SpatialDropout2D", "StochasticDepth",
    "Add", "Average", "Divide", "Maximum", "Minimum", "Multiply", "Subtract", "TrueDivide",
    "Abs", "Absolute", "Cast", "Clip", "ConvertToTensor", "Elu", "Exp", "Gelu", "HardSigmoid", "HardSwish", "HardSilu",
    "LeakyRelu", "Negative", "Power", "Relu", "Relu6", "Selu", "Sigmoid", "Silu", "Softplus", "Sqrt", "Square", "Tanh",
)  # fmt: skip
"""Layers and plain operations that read, at each place, that place of their inputs only."""

CHANNELWISE = ("Concatenate", "Flip", "LayerNormalization", "LogSoftmax", "Softmax", "UnitNormalization")
"""Those that do so as long as they work along the channels."""

SLIDING = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "AveragePooling2D", "MaxPooling2D")

WHOLE = ("GlobalAveragePooling2D", "GlobalMaxPooling2D", "GroupNormalization", "Mean", "Max", "Reshape", "Resizing")
"""Those that mix places without a window: whatever comes after them may depend on every pixel."""


@dataclass(frozen=True)
class ReceptiveField:
    """The pixels that the values of a feature map can depend on; all pairs are (height, width).

    Attributes:
        size: Its height and width in pixels; it may be larger than the image.
        stride: Pixels between the fields of two neighbours; 0 where every value sees the whole image.
        start: Row and column of the first pixel of the field of the value at (0, 0); negative in the padding.
    """

    size: Pair
    stride: Pair
    start: Pair

    def box(self, row: Any, column: Any) -> tuple[Any, Any, Any, Any]:
        """Return the field of the value at a place of the feature map: (top, left, bottom, right), in pixels.

        Bottom and right are the first row and column after it. The box is not clipped: parts of it may be in the
        padding around the image.

        Args:
            row: Row of the feature map; an int, or an array for many at once.
            column: Column of the feature map.
        """
        top = self.start[0] + row * self.stride[0]
        left = self.start[1] + column * self.stride[1]
        return top, left, top + self.size[0], left + self.size[1]


def receptive_fields(
    model: keras.Model, layers: Sequence[str], *, size: Pair | None = None
) -> dict[str, ReceptiveField]:
    """Compute the receptive fields of layers from kernels, strides, dilations and paddings.

    Where branches meet the field is the smallest box that holds those of all branches. Behind global pooling (also in
    a squeeze-and-excite branch) it is the whole image.

    Args:
        model: A functional or sequential model, with models nested to any depth; one image input.
        layers: Names of layers with a feature map.
        size: (height, width) of the images in pixels: TensorFlow's "same" padding depends on it. Default: the model's
            own input size.

    Returns:
        The field of each layer, by name.

    Raises:
        UserError: If a layer is not there or has no feature map, the size is not known or too small, or the way to a
            layer leads through one whose reach is not known.

    Reference:
        Araujo et al., Computing receptive fields of convolutional neural networks, Distill 2019,
        https://doi.org/10.23915/distill.00021.
    """
    model = flat(model)
    size = _image_size(model, size)
    wanted = [find_map(model, name).output for name in layers]
    part = keras.Model(model.input, wanted)
    shapes = _shapes(part, size)
    whole = ReceptiveField(size, (0, 0), (0, 0))
    found: dict[str, ReceptiveField] = {}
    for operation in part.operations:
        if isinstance(operation, keras.layers.InputLayer):
            found[operation.name] = ReceptiveField((1, 1), (1, 1), (0, 0))
            continue
        sources = [source.name for source in origins(operation)]
        joined = _union([found[name] for name in sources], whole)
        found[operation.name] = _after(operation, joined, shapes.get(sources[0]), whole)
    return {name: found[name] for name in layers}


def _image_size(model: keras.Model, size: Pair | None) -> Pair:
    own = tuple(model.input_shape[1:3])
    if len(model.input_shape) != 4:
        raise UserError("model", expected="one that takes images", received=f"input shape {model.input_shape}")
    if size is None:
        if None in own:
            raise UserError("size", expected="(height, width) for a model without an input size", received=None)
        return own
    if len(size) != 2 or any(fixed not in (None, side) or side < 1 for fixed, side in zip(own, size, strict=True)):
        raise UserError("size", expected=f"(height, width) that fit the input {model.input_shape}", received=size)
    return (int(size[0]), int(size[1]))


def _shapes(model: keras.Model, size: Pair) -> dict[str, Pair]:
    """Return (height, width) of every operation that has a feature map, at this size of the image."""
    operations = [operation for operation in model.operations if isinstance(operation.output, keras.KerasTensor)]
    probe = keras.Model(model.input, [operation.output for operation in operations])
    try:
        specs = probe.compute_output_spec(keras.KerasTensor((1, *size, model.input_shape[-1])))
    except ValueError as error:
        raise UserError("size", expected=f"large enough for {model.name}", received=size) from error
    named = zip(operations, keras.tree.flatten(specs), strict=True)
    return {operation.name: spec.shape[1:3] for operation, spec in named if len(spec.shape) == 4}


def _union(fields: Iterable[ReceptiveField], whole: ReceptiveField) -> ReceptiveField:
    """Return the smallest field that holds all; the whole image when they do not move in step."""
    first, *others = fields
    for other in others:
        if other.stride != first.stride:
            return whole
        start = (min(first.start[0], other.start[0]), min(first.start[1], other.start[1]))
        ends = [max(one.start[axis] + one.size[axis] for one in (first, other)) for axis in (0, 1)]
        first = ReceptiveField((ends[0] - start[0], ends[1] - start[1]), first.stride, start)
    return first


def _after(operation: Any, field: ReceptiveField, shape: Pair | None, whole: ReceptiveField) -> ReceptiveField:
    """Return the field behind a layer or plain operation, given that of its input and the size of that input."""
    kind = _kind(operation)
    flat_output = len(getattr(operation.output, "shape", ())) != 4
    if field == whole or flat_output or kind in WHOLE:
        return whole
    if kind in POINTWISE or kind == "Dense":
        return field
    if kind in CHANNELWISE:
        axes = getattr(operation, "axis", -1)
        axes = axes if isinstance(axes, list | tuple) else [axes]
        return field if all(axis in (-1, 3) for axis in axes) else whole
    if kind == "ZeroPadding2D":
        return _moved(field, [-before for before, _ in operation.padding])
    if kind == "Cropping2D":
        return _moved(field, [before for before, _ in operation.cropping])
    if kind in SLIDING and shape is not None and getattr(operation, "data_format", "") == "channels_last":
        return _slid(operation, field, shape)
    raise UserError(
        "model", expected="made of layers whose reach is known",
        received=f"{operation.name}, a {type(operation).__name__} layer",
        remedy="Ask for a layer before it.",
    )  # fmt: skip


def _kind(operation: Any) -> str:
    """Return the name of the Keras class; nothing for other code, which may read whatever it likes."""
    return type(operation).__name__ if type(operation).__module__.partition(".")[0] == "keras" else ""


def _moved(field: ReceptiveField, places: Sequence[int]) -> ReceptiveField:
    start = [start + place * stride for start, place, stride in zip(field.start, places, field.stride, strict=True)]
    return ReceptiveField(field.size, field.stride, (start[0], start[1]))


def _slid(layer: Any, field: ReceptiveField, shape: Pair) -> ReceptiveField:
    """Return the field behind a window that slides over a feature map of this shape."""
    windows = getattr(layer, "kernel_size", None) or layer.pool_size
    dilations = getattr(layer, "dilation_rate", (1, 1))
    size, stride, start = [], [], []
    for axis in (0, 1):
        reach, step = (windows[axis] - 1) * dilations[axis], layer.strides[axis]
        padding = 0
        if layer.padding == "same":
            # TensorFlow pads so that ceil(shape / step) windows fit, with the odd pixel at the end.
            steps = -(-shape[axis] // step)
            padding = max((steps - 1) * step + reach + 1 - shape[axis], 0) // 2
        size.append(field.size[axis] + reach * field.stride[axis])
        stride.append(field.stride[axis] * step)
        start.append(field.start[axis] - padding * field.stride[axis])
    return ReceptiveField((size[0], size[1]), (stride[0], stride[1]), (start[0], start[1]))


def windows(field: ReceptiveField, rows: np.ndarray, columns: np.ndarray, size: Pair) -> np.ndarray:
    """Return the windows (top, left, bottom, right) of places of a feature map, in pixels, int64 (places, 4).

    A window is the receptive field and may reach into the padding; along an axis on which the field is as large as the
    image or larger, it is the whole image.

    Args:
        field: The receptive field.
        rows: Rows of the places, int (places,).
        columns: Columns of the places, int (places,).
        size: (height, width) of the image in pixels.
    """
    boxes = np.stack([np.broadcast_to(side, np.shape(rows)) for side in field.box(rows, columns)], axis=1)
    for axis in (0, 1):
        if field.size[axis] >= size[axis]:
            boxes[:, axis], boxes[:, axis + 2] = 0, size[axis]
    return boxes


def crop(images: np.ndarray, numbers: np.ndarray, boxes: np.ndarray, size: Pair) -> np.ndarray:
    """Cut windows out of images; what is outside the image is black.

    Args:
        images: float (batch, height, width, channels).
        numbers: Which image each window belongs to, int (windows,).
        boxes: (top, left, bottom, right) in pixels, int (windows, 4), all of one height and width.
        size: (height, width) of the result; a window that is larger is shrunk by area, then bilinearly.

    Returns:
        float32 (windows, *size, channels).
    """
    pixels = tf.convert_to_tensor(images, tf.float32)
    before = np.array(pixels.shape[1:3])
    window = boxes[0, 2:] - boxes[0, :2]
    if tuple(window) != tuple(size):
        after = np.maximum(np.round(before * size / window), 1).astype(int)
        pixels = tf.image.resize(pixels, after, method="area")
    after = np.array(pixels.shape[1:3])
    # A black frame keeps the pixels at the edge: a sample slightly outside an image would be black all of it.
    pixels = tf.pad(pixels, [[0, 0], [1, 1], [1, 1], [0, 0]])
    step = window / size
    # The centres of the first and the last sample, in pixels of the framed image.
    first = (boxes[:, :2] + step / 2) * after / before + 0.5
    last = (boxes[:, 2:] - step / 2) * after / before + 0.5
    corners = np.concatenate([first, last], axis=1) / np.tile(after + 1, 2)
    return tf.image.crop_and_resize(pixels, corners.astype(np.float32), numbers.astype(np.int32), size).numpy()
