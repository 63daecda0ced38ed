"""Blocks: which layer of a model ends each of them, by table, by name or found."""

import difflib
from collections.abc import Sequence

import keras

from fashionprobe.errors import UserError

DEFAULT_SIZE = (224, 224)

TAPS = {
    "resnet50": (
        "conv1_relu",
        "conv2_block3_out",
        "conv3_block4_out",
        "conv4_block6_out",
        "conv5_block3_out",
    ),
    "vgg16": ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3"),
    "mobilenet": ("conv_pw_1_relu", "conv_pw_3_relu", "conv_pw_5_relu", "conv_pw_11_relu", "conv_pw_13_relu"),
}
"""The layer that ends each block, for the backbones whose blocks are named in the literature."""

POOLING = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)
GLOBAL_POOLING = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)
# Layers before a reduction that compute nothing of their own: the tap is the layer before them.
TRANSPARENT = (keras.layers.ZeroPadding2D, keras.layers.Rescaling, keras.layers.Normalization)


def find_taps(model: keras.Model, size: tuple[int, int] = DEFAULT_SIZE) -> tuple[str, ...]:
    """Find the layer that ends each block: the last one before each spatial reduction, and the last feature map.

    A reduction is a layer whose map is less than three quarters as high or as wide as its input's; global pooling is
    none. Zero padding and rescaling before it count as part of it. Branches that reduce maps of one size give one
    tap, the deepest. A last level that holds nothing but a pooling layer is no block.

    Args:
        model: A functional model; input (batch, height, width, 3).
        size: (height, width) at which the shapes are computed.

    Returns:
        Layer names from the input to the output; the input itself is never one.
    """
    shapes = _shapes(model, size)
    taps: dict[tuple[int, int], str] = {}
    smallest = size
    for layer in model.layers:
        after = shapes.get(layer.name)
        if after is None or isinstance(layer, GLOBAL_POOLING):
            continue
        for source in _sources(layer):
            before = shapes.get(source.name)
            if before is None or min(after[0] / before[0], after[1] / before[1]) >= 0.75:
                continue
            smallest = min(smallest, after)
            while isinstance(source, TRANSPARENT):
                source = _sources(source)[0]
            if not isinstance(source, keras.layers.InputLayer):
                taps[shapes[source.name]] = source.name
    last = [layer for layer in model.layers if shapes.get(layer.name) == smallest][-1]
    if not isinstance(last, POOLING):
        taps[smallest] = last.name
    return tuple(taps[shape] for shape in sorted(taps, reverse=True))


def choose_taps(model: keras.Model, taps: Sequence[str] | None, size: tuple[int, int]) -> tuple[str, ...]:
    """Return the taps named, else those that `TAPS` has for this architecture, else those that are found.

    Args:
        model: A functional model; input (batch, height, width, 3).
        taps: Layer names, or None.
        size: (height, width) of the input in pixels.

    Raises:
        UserError: If a layer is not there or has no feature map.
    """
    names = [layer.name for layer in model.layers]
    if taps is None:
        for known in TAPS.values():
            if set(known) <= set(names):
                return known
        return find_taps(model, size)
    shapes = _shapes(model, size)
    for tap in taps:
        if tap not in names:
            near = difflib.get_close_matches(tap, names, n=5, cutoff=0.3) or names[:5]
            raise UserError("taps", expected=f"layer names of {model.name}, such as {', '.join(near)}", received=tap)
        if shapes.get(tap) is None:
            raise UserError("taps", expected="layers with a feature map (batch, height, width, channels)", received=tap)
    return tuple(taps)


def _shapes(model: keras.Model, size: tuple[int, int]) -> dict[str, tuple[int, int]]:
    """Return (height, width) of every layer that has a feature map, at this input size."""
    layers = [layer for layer in model.layers if isinstance(layer.output, keras.KerasTensor)]
    probe = keras.Model(model.input, [layer.output for layer in layers])
    try:
        specs = probe.compute_output_spec(keras.KerasTensor((1, *size, 3)))
    except ValueError as error:
        raise UserError(
            "size",
            expected=f"large enough for {model.name}",
            received=list(size),
            remedy="Use a larger --size.",
        ) from error
    named = zip(layers, keras.tree.flatten(specs), strict=True)
    return {layer.name: spec.shape[1:3] for layer, spec in named if len(spec.shape) == 4}


def _sources(layer: keras.Layer) -> list[keras.Layer]:
    """Return the layers whose outputs a layer takes."""
    if isinstance(layer, keras.layers.InputLayer):
        return []
    return [tensor._keras_history.operation for tensor in keras.tree.flatten(layer.input)]
