"""How much memory a network would take, found out from its configuration, and what stands in its graph."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fashionprobe.errors import UserError
from fashionprobe.kerasfile import allowed, parameters, shapes
from fashionprobe.kerasfile.archive import Header
from fashionprobe.kerasfile.shapes import Shape

MAX_WEIGHTS = 1_000_000_000
"""Most weights of a network, 4 GB of float32; the largest of `keras.applications` has 350 million."""

MAX_VALUES = 2**26
"""Most numbers that a layer may return for one image, 256 MB: the first map of a VGG16 for 1,024 x 1,024 pixels."""

MAX_LAYERS = 5_000
"""Most layers and operations; the largest of `keras.applications` has 1,100."""

OPEN_SIDE = 224
"""Height and width in pixels at which a network that takes any size is measured."""

MALFORMED = (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError)
"""What a shape rule raises where a configuration is not that of the layer that it claims to be."""


@dataclass(frozen=True)
class Node:
    """A layer or operation of the flat graph.

    Attributes:
        name: Its name.
        kind: Its class.
        is_layer: Whether it is a layer, not a plain operation.
        config: Its configuration.
        shape: Shape of what it returns for one image; None where that cannot be told from the file.
        sources: The nodes whose outputs it takes.
    """

    name: str
    kind: str
    is_layer: bool
    config: Mapping[str, Any] = field(repr=False)
    shape: Any
    sources: tuple["Node", ...] = field(repr=False)


@dataclass(frozen=True)
class Graph:
    """What the header of a file tells about its network.

    Attributes:
        nodes: Layers and operations, those of inner networks in the place of these.
        weights: Number of weights, estimated from above.
    """

    nodes: tuple[Node, ...]
    weights: int

    @property
    def input_shape(self) -> Shape | None:
        """Shape of the first input for one image, a side that is left open as `OPEN_SIDE`; None where none is known."""
        return next((node.shape for node in self.nodes if node.kind == "InputLayer"), None)

    @property
    def is_measured(self) -> bool:
        """Whether the shapes of all outputs are known."""
        return all(node.shape is not None for node in self.nodes)


def measure(config: dict[str, Any], header: Header, *, argument: str = "backbone") -> Graph:
    """Estimate weights and feature maps of a network, without building it.

    Args:
        config: Its configuration, as `allowed.clean` returns it.
        header: The file, for the error and for the size of its weights.
        argument: Name of the argument, for the error.

    Returns:
        The graph.

    Raises:
        UserError: If it has too many layers, weights, or too large a feature map, or the size of a layer that has
            weights cannot be told.
    """
    walk = _Walk(header, argument)
    walk.network(config, None)
    # Optimizers keep two more numbers of each weight; the rest is how HDF5 lays things out.
    most = 3 * 8 * walk.weights + 2**20 + 2**14 * len(walk.nodes)
    if header.weights_bytes > most:
        raise walk.refuse(
            f"whose weights unpack to {header.weights_bytes:,} bytes, where its layers have {walk.weights:,} weights"
        )
    return Graph(tuple(walk.nodes), walk.weights)


@dataclass(frozen=True)
class _Tensor:
    """One output of a node."""

    node: Node
    shape: Shape | None


class _Walk:
    """Goes through the layers of a network in the order in which Keras would call them."""

    def __init__(self, header: Header, argument: str) -> None:
        self.header, self.argument = header, argument
        self.nodes: list[Node] = []
        self.weights = 0

    def refuse(self, what: str) -> UserError:
        return UserError(
            self.argument,
            expected=f"a network of at most {MAX_WEIGHTS:,} weights, {MAX_LAYERS:,} layers and {MAX_VALUES:,} numbers "
            "in a feature map",
            received=f"{str(self.header.path)!r}, {what}", remedy=allowed.TRUST,
        )  # fmt: skip

    def network(self, entry: dict[str, Any], inputs: list[_Tensor] | None) -> list[_Tensor]:
        """Walk a network; `inputs` are those of an inner one. Returns its outputs."""
        config = entry["config"]
        if not isinstance(config.get("layers"), list):
            # A network whose class builds its own layers.
            return self.call(entry, inputs or [], [])
        if "input_layers" in config:
            return self.functional(config, inputs)
        return self.sequential(entry, inputs)

    def sequential(self, entry: dict[str, Any], inputs: list[_Tensor] | None) -> list[_Tensor]:
        tensors = inputs
        layers = entry["config"]["layers"]
        if tensors is None and not (layers and layers[0]["class_name"] == "InputLayer"):
            shape = entry["config"].get("build_input_shape") or next(iter(_build_shapes(entry)), [None])
            first = {"class_name": "InputLayer", "module": "keras.layers", "config": {"batch_shape": shape}}
            tensors = self.call(first, [], [])
        for layer in layers:
            if layer["class_name"] == "InputLayer" and tensors is not None:
                continue
            tensors = self.inside(layer, tensors or [], [each.shape for each in tensors or []])
        return tensors or []

    def functional(self, config: Mapping[str, Any], inputs: list[_Tensor] | None) -> list[_Tensor]:
        made: dict[str, list[list[_Tensor]]] = {}
        # The outermost network is given none; a malformed one may be given more than it names.
        given = {_name(place): each for place, each in zip(_places(config["input_layers"]), inputs or [], strict=False)}
        waiting = [(layer, call) for layer in config["layers"] for call in layer.get("inbound_nodes") or [None]]
        while waiting:
            later = []
            for layer, call in waiting:
                name = _name([layer.get("name", layer["config"].get("name"))])
                if name in given:
                    made[name] = [[given[name]]]
                    continue
                needed = [] if call is None else list(_histories([call["args"], call["kwargs"]]))
                if not all(_name(place) in made for place in needed):
                    later.append((layer, call))
                    continue
                sources = [_taken(made, place) for place in needed]
                arguments = [] if call is None else _arguments(call["args"], made)
                made.setdefault(name, []).append(self.inside(layer, sources, arguments))
            if len(later) == len(waiting):
                raise self.refuse(f"whose layer {_name([later[0][0].get('name')])} is connected with none before it")
            waiting = later
        return [_taken(made, place) for place in _places(config["output_layers"]) if _name(place) in made]

    def inside(self, entry: dict[str, Any], sources: list[_Tensor], arguments: list[Any]) -> list[_Tensor]:
        """Walk a member of a network, which may be a network itself."""
        return self.network(entry, sources) if allowed.is_model(entry) else self.call(entry, sources, arguments)

    def call(self, entry: dict[str, Any], sources: list[_Tensor], arguments: list[Any]) -> list[_Tensor]:
        """Note one call of a layer or operation, and return its outputs."""
        kind, config = entry["class_name"], entry["config"]
        name = str(entry.get("name", config.get("name", kind)))
        is_layer = not allowed.is_operation(entry)
        if is_layer:
            self.count(entry, name, arguments)
        try:
            result = self.output(entry, arguments)
        except UserError:
            raise
        except MALFORMED:
            # An argument that no rule covers; the network is measured again once it is built.
            result = None
        outputs = result if isinstance(result, list) else [result]
        for shape in outputs:
            if shape is not None and math.prod(shape) > MAX_VALUES:
                sides = " x ".join(f"{side:,}" for side in shape[1:])
                raise self.refuse(f"whose layer {name} returns {sides} numbers for one image")
        self.nodes.append(
            Node(name, kind, is_layer, config, outputs[0] if outputs else None, tuple(each.node for each in sources))
        )
        if len(self.nodes) > MAX_LAYERS:
            raise self.refuse("which has more")
        return [_Tensor(self.nodes[-1], shape) for shape in outputs]

    def output(self, entry: dict[str, Any], arguments: list[Any]) -> Any:
        """Return the shapes of what a layer or operation returns; layers inside it are measured with it."""
        kind, config = entry["class_name"], entry["config"]
        if kind == "InputLayer":
            return _input_shape(config)
        if allowed.is_operation(entry):
            return shapes.output(kind, config, arguments, is_operation=True)
        shape = next(iter(shapes.tensors(arguments)), None)
        if kind == "TimeDistributed" and shape is not None:
            # Time is part of the batch then: all maps inside are as many.
            shape = (shape[0] * shape[1], *shape[2:])
        before = self.weights
        found = [self.inside_of(inner, shape) for inner in _layers_of(config)]
        if kind not in WRAPPERS:
            return shapes.output(kind, config, arguments, is_operation=False)
        if kind != "TimeDistributed":
            # The way back is a copy of the way there; a spectral norm keeps vectors beside the kernel.
            self.add(self.weights - before, str(config.get("name", kind)))
        result = found[0]
        if kind == "Bidirectional" and result is not None and config.get("merge_mode", "concat") == "concat":
            result = (*result[:-1], 2 * result[-1])
        if kind == "TimeDistributed" and result is not None:
            whole = shapes.tensors(arguments)[0]
            result = (*whole[:2], *result[1:])
        return result

    def inside_of(self, entry: dict[str, Any], shape: Shape | None) -> Shape | None:
        """Measure a layer or network inside a layer; it is not a node of the graph. Returns the shape of its output."""
        nodes, self.nodes = self.nodes, []
        source = _Tensor(Node("", "", True, {}, shape, ()), shape)
        made = self.inside(entry, [source], [] if shape is None else [shape])
        self.nodes = nodes
        return made[0].shape if made else None

    def count(self, entry: dict[str, Any], name: str, arguments: list[Any]) -> None:
        """Add the weights of a layer, for the largest of the inputs that it is announced and that it gets."""
        kind, config = entry["class_name"], entry["config"]
        found = []
        for shape in (*_build_shapes(entry), *shapes.tensors(arguments)):
            try:
                found.append(parameters.weights(kind, config, tuple(1 if side is None else side for side in shape)))
            except MALFORMED:
                continue
        if not found and parameters.has_weights(kind):
            raise self.refuse(f"whose layer {name} does not say how large it is")
        self.add(max(found, default=0), name)

    def add(self, weights: int, name: str) -> None:
        """Add the weights of a layer to those of the network."""
        self.weights += weights
        if self.weights > MAX_WEIGHTS:
            raise self.refuse(f"which has more: with its layer {name} {self.weights:,} weights")


WRAPPERS = ("Bidirectional", "SpectralNormalization", "TimeDistributed")
"""Layers that return what the layer inside them returns, in their own way."""


def _layers_of(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the layers and networks among the arguments of a layer, at any depth; a wrapper's own comes first.

    Cells of a recurrent layer are left to the rule for that layer, which knows how they are stacked.
    """
    if isinstance(value, dict) and allowed.is_layer(value):
        yield value
        return
    if isinstance(value, dict):
        keys = sorted(value.keys() - {"cell", "cells"}, key=lambda key: key != "layer")
        inner = [value[key] for key in keys]
    else:
        inner = value if isinstance(value, list) else []
    for each in inner:
        yield from _layers_of(each)


def _input_shape(config: Mapping[str, Any]) -> Shape | None:
    shape = config.get("batch_shape") or [None, *config["shape"]]
    return (1, *(OPEN_SIDE if side is None else side for side in shape[1:]))


def _build_shapes(entry: Mapping[str, Any]) -> list[list[int | None]]:
    """Return the inputs that the file says a layer was built for."""
    build = entry.get("build_config")
    return list(_shapes_in(build)) if isinstance(build, dict) else []


def _shapes_in(value: Any) -> Iterator[list[int | None]]:
    """Yield the lists of sides in nested lists and dictionaries."""
    if isinstance(value, list) and value and all(side is None or type(side) is int for side in value):
        yield value
        return
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    for each in inner:
        yield from _shapes_in(each)


def _name(place: Any) -> str:
    return str(place[0]) if place else ""


def _places(tensors: Any) -> list[list[Any]]:
    """Return the [layer, call, output] triples of a structure of tensors."""
    if isinstance(tensors, list) and len(tensors) == 3 and isinstance(tensors[0], str):
        return [tensors]
    inner = tensors.values() if isinstance(tensors, dict) else tensors if isinstance(tensors, list) else []
    return [place for each in inner for place in _places(each)]


def _histories(value: Any) -> Iterator[list[Any]]:
    """Yield where the tensors among the arguments of a call come from."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        history = value["config"].get("keras_history")
        if isinstance(history, list) and len(history) == 3:
            yield history
        return
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    for each in inner:
        yield from _histories(each)


def _taken(made: dict[str, list[list[_Tensor]]], place: list[Any]) -> _Tensor:
    """Return an output of a layer; where the file counts calls otherwise, that of the last call."""
    calls = made[_name(place)]
    call, number = (each if isinstance(each, int) else 0 for each in place[1:])
    outputs = calls[min(max(call, 0), len(calls) - 1)]
    return outputs[min(max(number, 0), len(outputs) - 1)]


def _arguments(value: Any, made: dict[str, list[list[_Tensor]]]) -> Any:
    """Return the arguments of a call with shapes in place of tensors, and Python's values in place of Keras' words."""
    if isinstance(value, list):
        return [_arguments(each, made) for each in value]
    if not isinstance(value, dict):
        return value
    kind, config = value.get("class_name"), value.get("config", {})
    if kind == "__keras_tensor__":
        place = next(_histories(value), None)
        return None if place is None else _taken(made, place).shape
    if kind == "__ellipsis__":
        return Ellipsis
    if kind == "__slice__":
        return slice(*(_arguments(config.get(end), made) for end in ("start", "stop", "step")))
    if kind in ("__tensor__", "__numpy__"):
        return _sides(config.get("value"))
    return {name: _arguments(each, made) for name, each in value.items()}


def _sides(value: Any) -> Shape:
    """Return the shape of nested lists of numbers."""
    sides = []
    while isinstance(value, list):
        sides.append(len(value))
        value = value[0] if value else None
    return tuple(sides)
