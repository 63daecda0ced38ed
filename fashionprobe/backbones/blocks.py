"""Blocks: which layer of a model ends each of them, by table, by name or found."""

import difflib
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fashionprobe.errors import UserError
from fashionprobe.kerasfile.sizes import Node

if TYPE_CHECKING:
    import keras

DEFAULT_SIZE = (224, 224)

NETS = {
    **dict.fromkeys(("residual", "sketch", "vgg_residual"), tuple(f"block{number}_out" for number in range(1, 6))),
    **dict.fromkeys(
        ("symbol", "light_model", "light", "light_bn"), tuple(f"block{number}_out" for number in range(1, 5))
    ),
    "vgg_plain": tuple(f"block{number}_out" for number in range(1, 4)),
    **dict.fromkeys(("resnet18", "resnet34"), ("conv1_relu", *(f"stage{number}_out" for number in range(1, 5)))),
}
"""The layer that ends each block of the nets that are built here, in `backbones.nets`, and have no weights."""

TAPS = {
    "resnet50": (
        "conv1_relu",
        "conv2_block3_out",
        "conv3_block4_out",
        "conv4_block6_out",
        "conv5_block3_out",
    ),
    "vgg16": ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3"),
    "efficientnet_lite0": ("stem_relu", "block2b_add", "block3b_add", "block5c_add", "top_relu"),
    "mini": ("block1_out", "block2_out", "block3_out", "block4_out", "block5_out"),
    "mobilenet": ("conv_pw_1_relu", "conv_pw_3_relu", "conv_pw_5_relu", "conv_pw_11_relu", "conv_pw_13_relu"),
    **NETS,
}
"""The layer that ends each block, for the backbones whose blocks are named in the literature."""

EMBEDDING = "embedding"
"""Name of the layer that ends an embedding network: it is its last block, though it has no map."""

POOLING = ("MaxPooling2D", "AveragePooling2D")
GLOBAL_POOLING = ("GlobalAveragePooling2D", "GlobalMaxPooling2D")
# Layers before a reduction that compute nothing of their own: the tap is the layer before them.
NORMALIZATION = ("LayerNormalization", "RMSNormalization")
ATTENTION = ("MultiHeadAttention", "GroupQueryAttention")
TRANSPARENT = ("ZeroPadding2D", "Cropping2D", "Rescaling", "Normalization")


def find_taps(model: "keras.Model", size: tuple[int, int] = DEFAULT_SIZE) -> tuple[str, ...]:
    """Find the layer that ends each block: the last one before each spatial reduction, and the last feature map.

    A reduction is a layer whose map is less than three quarters as high or as wide as its input's; global pooling is
    none. Zero padding, cropping and rescaling before it count as part of it. Of branches that are reduced side by side
    the one with the fewest layers still to come gives the tap: of an Inception block the one that only pools. A last
    level that holds nothing but a pooling layer is not a block.

    A vision transformer, which has no map beside that of its patches, has a block for each attention: it ends with the
    last layer of tokens before the next attention.

    Args:
        model: A functional model; input (batch, height, width, 3).
        size: (height, width) at which the shapes are computed.

    Returns:
        Layer names from the input to the output; the input itself is never one.

    Raises:
        UserError: If the model has no feature map, or `size` is too small for it.
    """
    return taps_of(nodes_of(model, size), model.name)


def taps_of(nodes: Sequence[Node], name: str) -> tuple[str, ...]:
    """Find the layer that ends each block, as `find_taps`, in a graph whose shapes are known.

    Args:
        nodes: Layers and operations in the order of the graph.
        name: Name of the model, for the error.
    """
    # How often the map that each node returns has been reduced.
    levels: dict[str, int] = {}
    taps: dict[int, str] = {}
    for node in nodes:
        after = _map(node)
        if after is None or node.kind in GLOBAL_POOLING:
            continue
        sources = [source for source in node.sources if source.name in levels]
        reduced = [source for source in sources if _is_reduction(source.shape[1:3], after)]
        if sources or node.kind == "InputLayer":
            levels[node.name] = max((levels[source.name] + (source in reduced) for source in sources), default=0)
        for source in reduced:
            while source.kind in TRANSPARENT:
                source = source.sources[0]
            if source.is_layer and source.kind != "InputLayer":
                taps[levels[source.name]] = source.name
    deepest = max(levels.values(), default=0)
    last = [node for node in nodes if node.is_layer and levels.get(node.name) == deepest]
    if last and last[-1].kind not in (*POOLING, "InputLayer"):
        taps[deepest] = last[-1].name
    if len(taps) <= 1 and (found := _token_taps(nodes)):
        return found
    if not taps:
        raise UserError("backbone", expected="a model with feature maps", received=f"{name}, which has none")
    return tuple(taps[level] for level in sorted(taps))


def _token_taps(nodes: Sequence[Node]) -> tuple[str, ...]:
    """Return the last layer of tokens, (batch, tokens, channels), after each attention and before the next one."""
    taps: list[str] = []
    for node in nodes:
        is_tokens = isinstance(node.shape, tuple) and len(node.shape) == 3 and node.is_layer
        if node.kind in ATTENTION and is_tokens:
            taps.append(node.name)
        elif taps and is_tokens and not (node.kind in NORMALIZATION and node.sources[0].name == taps[-1]):
            # What only normalises for the next attention is no end of a block.
            taps[-1] = node.name
    return tuple(taps)


def _is_reduction(before: tuple[int, int], after: tuple[int, int]) -> bool:
    return min(after[0] / before[0], after[1] / before[1]) < 0.75


def choose_taps(model: "keras.Model", taps: Sequence[str] | None, size: tuple[int, int]) -> tuple[str, ...]:
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
        return named_taps(names) or (*find_taps(model, size), *((EMBEDDING,) if EMBEDDING in names else ()))
    check_names(taps, names, model.name)
    nodes = nodes_of(model, size)
    shapes = {node.name: _map(node) for node in nodes}
    tokens = {node.name for node in nodes if isinstance(node.shape, tuple) and len(node.shape) == 3}
    for tap in taps:
        if shapes.get(tap) is None and tap not in (EMBEDDING, *tokens):
            expected = "layers with a feature map (batch, height, width, channels), or tokens (batch, tokens, channels)"
            raise UserError("taps", expected=expected, received=tap)
    return tuple(taps)


def named_taps(names: Sequence[str]) -> tuple[str, ...]:
    """Return `block1_out`, `block2_out`, ..., as the nets of this package end their blocks, and what is embedded.

    Two of them may be between two reductions, so that `find_taps` would not do. Empty where there are none.
    """
    ends = tuple(itertools.takewhile(names.__contains__, map("block{}_out".format, itertools.count(1))))
    return (*ends, *((EMBEDDING,) if EMBEDDING in names else ())) if ends else ()


def check_names(wanted: Sequence[str], names: Sequence[str], model: str, *, argument: str = "taps") -> None:
    """Check that a model has layers of these names.

    Args:
        wanted: The names that are asked for.
        names: Those of its layers.
        model: Its own name, for the error.
        argument: Name of the argument, for the error.

    Raises:
        UserError: If one is not there; the near ones are listed.
    """
    for name in wanted:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=5, cutoff=0.3) or names[-5:]
            what = "a layer of" if argument == "layer" else "layer names of"
            raise UserError(argument, expected=f"{what} {model}, such as {', '.join(near)}", received=name)


def smallest_size(model: "keras.Model", tap: str) -> int:
    """Return the height and width in pixels below which some reduction before this tap has nothing left to reduce."""
    import keras

    if None not in model.input_shape[1:3]:
        return 1
    large = 512
    cut = keras.Model(model.input, model.get_layer(tap).output)
    return large // cut.compute_output_spec(keras.KerasTensor((1, large, large, 3))).shape[1]


def _map(node: Node) -> tuple[int, int] | None:
    """Return (height, width) of the feature map that a node returns; None where it returns something else."""
    return node.shape[1:3] if isinstance(node.shape, tuple) and len(node.shape) == 4 else None


def nodes_of(model: "keras.Model", size: tuple[int, int]) -> list[Node]:
    """Return every layer and plain operation of a model, with what it returns for an image of this size."""
    import keras

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
    nodes: dict[str, Node] = {}
    for operation, spec in zip(operations, keras.tree.flatten(specs), strict=True):
        nodes[operation.name] = Node(
            operation.name, type(operation).__name__, isinstance(operation, keras.Layer), {}, tuple(spec.shape),
            tuple(nodes[source] for source in _sources(operation) if source in nodes),
        )  # fmt: skip
    return list(nodes.values())


def _sources(operation: "keras.Operation") -> list[str]:
    """Return the names of the layers and plain operations whose outputs one takes."""
    import keras

    from fashionprobe.backbones.graph import origins

    if isinstance(operation, keras.layers.InputLayer):
        return []
    return [source.name for source in origins(operation)]
