"""Blocks: which layer of a model ends each of them, by table, by name or found."""

import difflib
import itertools
from collections.abc import Sequence

import keras

from fashionprobe import nets
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
    "mini": ("block1_out", "block2_out", "block3_out", "block4_out", "block5_out"),
    "mobilenet": ("conv_pw_1_relu", "conv_pw_3_relu", "conv_pw_5_relu", "conv_pw_11_relu", "conv_pw_13_relu"),
    **nets.TAPS,
}
"""The layer that ends each block, for the backbones whose blocks are named in the literature."""

EMBEDDING = "embedding"
"""Name of the layer that ends an embedding network: it is its last block, though it has no map."""

POOLING = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)
GLOBAL_POOLING = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)
# Layers before a reduction that compute nothing of their own: the tap is the layer before them.
TRANSPARENT = (
    keras.layers.ZeroPadding2D,
    keras.layers.Cropping2D,
    keras.layers.Rescaling,
    keras.layers.Normalization,
)


def find_taps(model: keras.Model, size: tuple[int, int] = DEFAULT_SIZE) -> tuple[str, ...]:
    """Find the layer that ends each block: the last one before each spatial reduction, and the last feature map.

    A reduction is a layer whose map is less than three quarters as high or as wide as its input's; global pooling is
    none. Zero padding, cropping and rescaling before it count as part of it. Of branches that are reduced side by side
    the one with the fewest layers still to come gives the tap: of an Inception block the one that only pools. A last
    level that holds nothing but a pooling layer is no block.

    Args:
        model: A functional model; input (batch, height, width, 3).
        size: (height, width) at which the shapes are computed.

    Returns:
        Layer names from the input to the output; the input itself is never one.

    Raises:
        UserError: If the model has no feature map, or `size` is too small for it.
    """
    shapes = _shapes(model, size)
    # How often the map that each operation returns has been reduced.
    levels: dict[str, int] = {}
    taps: dict[int, str] = {}
    for operation in model.operations:
        after = shapes.get(operation.name)
        if after is None or isinstance(operation, GLOBAL_POOLING):
            continue
        sources = [source for source in _sources(operation) if source.name in levels]
        reduced = [source for source in sources if _is_reduction(shapes[source.name], after)]
        if sources or isinstance(operation, keras.layers.InputLayer):
            levels[operation.name] = max((levels[source.name] + (source in reduced) for source in sources), default=0)
        for source in reduced:
            while isinstance(source, TRANSPARENT):
                source = _sources(source)[0]
            if isinstance(source, keras.Layer) and not isinstance(source, keras.layers.InputLayer):
                taps[levels[source.name]] = source.name
    deepest = max(levels.values())
    last = [layer for layer in model.layers if levels.get(layer.name) == deepest][-1]
    if not isinstance(last, (*POOLING, keras.layers.InputLayer)):
        taps[deepest] = last.name
    if not taps:
        raise UserError("backbone", expected="a model with feature maps", received=f"{model.name}, which has none")
    return tuple(taps[level] for level in sorted(taps))


def _is_reduction(before: tuple[int, int], after: tuple[int, int]) -> bool:
    return min(after[0] / before[0], after[1] / before[1]) < 0.75


def choose_taps(model: keras.Model, taps: Sequence[str] | None, size: tuple[int, int]) -> tuple[str, ...]:
    """Return the taps named, if they are there, else layers called `block1_out`, `block2_out`, ..., else `find_taps`.

    What is found without names ends with the layer `embedding`, where there is one.

    Args:
        model: A functional model; input (batch, height, width, 3).
        taps: Layer names, or None.
        size: (height, width) of the input in pixels.

    Raises:
        UserError: If a layer is not there or has no feature map.
    """
    names = [layer.name for layer in model.layers]
    if taps is None:
        # As the nets of this package end their blocks: two of them may lie between two reductions.
        ends = tuple(itertools.takewhile(names.__contains__, map("block{}_out".format, itertools.count(1))))
        embedding = (EMBEDDING,) if EMBEDDING in names else ()
        return (*(ends or find_taps(model, size)), *embedding)
    shapes = _shapes(model, size)
    for tap in taps:
        if tap not in names:
            near = difflib.get_close_matches(tap, names, n=5, cutoff=0.3) or names[:5]
            raise UserError("taps", expected=f"layer names of {model.name}, such as {', '.join(near)}", received=tap)
        if shapes.get(tap) is None and tap != EMBEDDING:
            raise UserError("taps", expected="layers with a feature map (batch, height, width, channels)", received=tap)
    return tuple(taps)


def smallest_size(model: keras.Model, tap: str) -> int:
    """Return the height and width in pixels below which some reduction before this tap has nothing left to reduce."""
    if None not in model.input_shape[1:3]:
        return 1
    large = 512
    cut = keras.Model(model.input, model.get_layer(tap).output)
    return large // cut.compute_output_spec(keras.KerasTensor((1, large, large, 3))).shape[1]


def _shapes(model: keras.Model, size: tuple[int, int]) -> dict[str, tuple[int, int]]:
    """Return (height, width) of every layer and plain operation that has a feature map, at this input size."""
    operations = [operation for operation in model.operations if isinstance(operation.output, keras.KerasTensor)]
    probe = keras.Model(model.input, [operation.output for operation in operations])
    try:
        specs = probe.compute_output_spec(keras.KerasTensor((1, *size, 3)))
    except ValueError as error:
        raise UserError(
            "size",
            expected=f"large enough for {model.name}",
            received=list(size),
            remedy="Use a larger --size.",
        ) from error
    named = zip(operations, keras.tree.flatten(specs), strict=True)
    return {operation.name: spec.shape[1:3] for operation, spec in named if len(spec.shape) == 4}


def _sources(operation: keras.Operation) -> list[keras.Operation]:
    """Return the layers and plain operations whose outputs one takes."""
    if isinstance(operation, keras.layers.InputLayer):
        return []
    return [tensor._keras_history.operation for tensor in keras.tree.flatten(operation.input)]
