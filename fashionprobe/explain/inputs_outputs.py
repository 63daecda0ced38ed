"""Any Keras model as one that is explained: functional, one image in, one output."""

import functools
import inspect
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from fashionprobe.backbones.graph import Held, Opaque, kept_random_state, origin, traced
from fashionprobe.errors import UserError, missing

log = logging.getLogger(__name__)

Name = str | int | None
"""An input or an output: its name, its position from 0, or None for the only one there is."""


@kept_random_state()
def functional(
    model: keras.Model, *, input: Name = None, output: Name = None, inputs: Mapping[str, Any] | None = None
) -> keras.Model:
    """Return a functional model of one image and one output, which all methods take, from any Keras model.

    Its layers share the variables of the model's, so that further training shows. A subclassed model becomes the graph
    of what its `call` does; one whose `call` uses functions of TensorFlow becomes a single layer, which the methods
    that need no layer explain.

    Args:
        model: A functional, sequential or subclassed model with any inputs and outputs. A subclassed one must have been
            called on a batch before: its shape is that of the images.
        input: The image that is explained, by name (the key of a dict, else the name of the input) or position; the
            only input with the shape of images by default.
        output: The output that is explained, by name (the key of a dict, else the name of the layer) or position; the
            only one by default.
        inputs: A value for each of the other inputs, by name, the same for all images: numbers of the input's shape,
            with or without a batch axis of 1, or what broadcasts to it. It is the weight of a layer with the input's
            name: `result.get_layer("age").value.assign(value)` changes it, and no method is made or compiled again.

    Returns:
        The model; input (batch, height, width, channels).

    Raises:
        UserError: If an input or an output is not there or is not chosen, a value is missing or does not fit, or the
            model was never called.

    Example:
        GradCAM(functional(model, input="photo", output="colour", inputs={"age": 30.0})).heatmap(photos)
    """
    if not isinstance(model, keras.Model):
        raise UserError("model", expected="a Keras model", received=type(model).__name__)
    known = _inputs(model)
    explained = _image(known, input)
    values = _held(model, known, explained, dict(inputs or {}))
    image: Any = keras.Input(known[explained].shape[1:], dtype=known[explained].dtype, name=_layer_name(explained))
    layers = {name: Held(value.shape, name=_layer_name(name), dtype=str(value.dtype)) for name, value in values.items()}
    for name, layer in layers.items():
        layer.set_weights([values[name]])

    def run(image: Any, held: Mapping[str, Any]) -> Any:
        return _chosen(_called(model, {explained: image, **held}, list(known)), output)

    def held(image: Any) -> dict[str, Any]:
        return {name: layer(image) for name, layer in layers.items()}

    try:
        return traced(model, image, lambda image: run(image, held(image)))
    except UserError:
        raise
    except Exception as error:
        if _is_graph(model):
            raise
        why = error
    # Functions of TensorFlow take no placeholder of Keras; and `if x > 0:` of one is an error, too.
    try:
        whole = keras.Model(image, Opaque(model, run)(image, held(image)), name=model.name)
    except Exception as error:
        raise UserError(
            "model", expected="a model that can be called with a batch of the shape of its first one",
            received=f"{model.name}, which fails: {_line(error)}",
        ) from error  # fmt: skip
    _say_opaque(model.name, _line(why))
    return whole


def input_names(model: keras.Model) -> str:
    """Return the inputs of a model as a person is told them, such as "photo (batch, 224, 224, 3), age (batch, 1)"."""
    return ", ".join(f"{name} {_shape(spec.shape)}" for name, spec in _inputs(model).items())


def _is_graph(model: Any) -> bool:
    return bool(getattr(model, "inputs", None))


def _inputs(model: Any) -> dict[str, Any]:
    """Return the shape and dtype of each input by its name, in the order of the model."""
    if _is_graph(model):
        return _named(model.inputs if isinstance(model, keras.Sequential) else model.input)
    config = (model.get_build_config() or {}) if model.built else {}
    shapes = config.get("input_shape", config.get("shapes_dict"))
    if shapes is None:
        raise UserError(
            "model", expected="a functional or sequential Keras model, or a subclassed one that was called before",
            received=type(model).__name__,
            remedy="Call it once on a batch, model(images), or model.build(input_shape); then its shape is known.",
        )  # fmt: skip
    first = _arguments(model)[0]
    if _is_shape(shapes):
        return {first: _spec(shapes)}
    if isinstance(shapes, Mapping):
        # Of a `call` with several arguments Keras notes them as NAME_shape.
        return {str(name).removesuffix("_shape"): _spec(shape) for name, shape in shapes.items()}
    return {str(place): _spec(shape) for place, shape in enumerate(shapes)}


def _named(tensors: Any) -> dict[str, Any]:
    """Return tensors of a structure by their names: the keys of a dict, else the names of the layers that give them."""
    found: dict[str, Any] = {}
    for path, tensor in keras.tree.flatten_with_path(tensors):
        keys = [str(key) for key in path if isinstance(key, str)]
        name = ".".join(keys) or (origin(tensor).name if isinstance(tensor, keras.KerasTensor) else str(len(found)))
        found[name if name not in found else str(len(found))] = tensor
    return found


def _is_shape(value: Any) -> bool:
    return isinstance(value, Sequence) and all(side is None or isinstance(side, int) for side in value)


def _spec(shape: Sequence[int | None]) -> keras.KerasTensor:
    return keras.KerasTensor((None, *shape[1:]), dtype="float32")


def _shape(shape: Sequence[int | None]) -> str:
    return f"({', '.join(['batch', *('any' if side is None else str(side) for side in shape[1:])])})"


def _arguments(model: Any) -> list[str]:
    """Return the names of what `call` takes."""
    return [name for name in inspect.signature(model.call).parameters if name not in ("training", "mask")]


def _image(known: Mapping[str, Any], chosen: Name) -> str:
    """Return the name of the input that is explained."""
    listed = ", ".join(f"{name} {_shape(spec.shape)}" for name, spec in known.items())
    if chosen is None:
        images = list(known) if len(known) == 1 else [name for name, spec in known.items() if len(spec.shape) == 4]
        if len(images) == 1:
            return images[0]
        raise missing("input", f"the model has {len(known)} inputs: {listed}", 'Choose the image: input="NAME".')
    return _pick("input", known, chosen, listed)


def _pick(argument: str, known: Mapping[str, Any], chosen: Name, listed: str) -> str:
    by_place = isinstance(chosen, int) and not isinstance(chosen, bool) and 0 <= chosen < len(known)
    name = list(known)[chosen] if by_place else chosen  # pyright: ignore[reportArgumentType, reportCallIssue]
    if name not in known:
        raise UserError(argument, expected=f"one of the model's, {listed}, or its position", received=repr(chosen))
    return str(name)


def _held(model: Any, known: Mapping[str, Any], explained: str, values: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the value of each input that is not explained, of its shape and dtype, without a batch axis."""
    others = {name: spec for name, spec in known.items() if name != explained}
    # Keras notes the shape of the first argument of `call` alone: what a model takes beside it has that of its value.
    further = {name: None for name in _arguments(model)[1:] if name not in known and not _is_graph(model)}
    wrong = [name for name in values if name not in {**others, **further}]
    if wrong:
        listed = ", ".join({**others, **further}) or "no input, for the image is the only one"
        raise UserError("inputs", expected=f"values for {listed}", received=wrong[0])
    required = [*others, *(name for name in further if _is_required(model, name))]
    lacking = [name for name in required if name not in values]
    if lacking:
        listed = ", ".join(f"{name} {_shape(others[name].shape)}" if name in others else name for name in lacking)
        shown = ", ".join(f'"{name}": VALUE' for name in lacking)
        raise missing("inputs", f"{explained} is explained, and the model also takes {listed}",
                      f"Hold them: functional(model, inputs={{{shown}}}).")  # fmt: skip
    return {name: _value(name, value, others.get(name)) for name, value in values.items()}


def _is_required(model: Any, argument: str) -> bool:
    parameter = inspect.signature(model.call).parameters[argument]
    return parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD


def _value(name: str, value: Any, spec: Any) -> np.ndarray:
    """Return a value as an array of the shape and dtype of its input, without a batch axis."""
    found = np.asarray(keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else value)
    if found.dtype.kind not in "iufb":
        raise UserError("inputs", expected=f"numbers for {name}", received=repr(value))
    if spec is None:
        found = found[0] if found.ndim and len(found) == 1 else found
        return found.astype(np.float32) if found.dtype.kind == "f" else found
    wanted = tuple(spec.shape[1:])
    one = found[0] if found.ndim == len(wanted) + 1 and len(found) == 1 else found
    of_any = one.shape if one.ndim == len(wanted) else (1,) * len(wanted)
    shape = [given if side is None else int(side) for side, given in zip(wanted, of_any, strict=True)]
    try:
        return np.broadcast_to(one, shape).astype(spec.dtype)
    except (TypeError, ValueError) as error:
        of_each = found.ndim == len(wanted) + 1 and found.shape[1:] == wanted
        raise UserError(
            "inputs", expected=f"one value for all images, of shape {list(wanted)}, for {name}",
            received=f"shape {list(found.shape)}",
            remedy=f'Image by image: explainer.model.get_layer("{name}").value.assign(value) before each call.'
            if of_each else "",
        ) from error  # fmt: skip


def _layer_name(name: str) -> str:
    """Return the name of the layer of an input; a position alone is none."""
    return f"input_{name}" if name.isdigit() else name


def _called(model: Any, given: Mapping[str, Any], known: Sequence[str]) -> Any:
    """Call a model with its inputs by their names, as the structure that it takes."""
    training = {"training": False} if "training" in inspect.signature(model.call).parameters else {}
    if _is_graph(model):
        order = [given[name] for name in known]
        return model.call(keras.tree.pack_sequence_as(model.input, order) if len(order) > 1 else order[0])
    first, *more = _arguments(model)
    if list(known) == [first]:
        return model.call(given[first], **{name: given[name] for name in more if name in given}, **training)
    if first in known:
        return model.call(**given, **training)
    structure = [given[name] for name in known] if known[0] == "0" else {name: given[name] for name in known}
    return model.call(structure, **{name: given[name] for name in more if name in given}, **training)


def _chosen(outputs: Any, chosen: Name) -> Any:
    """Return the tensor of one output."""
    known = _named(outputs)
    listed = ", ".join(known)
    if chosen is None:
        if len(known) > 1:
            raise missing("output", f"the model has {len(known)} outputs: {listed}", 'Choose one: output="NAME".')
        return next(iter(known.values()))
    return known[_pick("output", known, chosen, listed)]


def _line(error: Exception) -> str:
    """Return the beginning of what an error says, in one line."""
    told = str(error).partition("Error encountered:")[2] or str(error)
    return " ".join(told.replace("\x1b[0m", "").replace("\x1b[1m", "").split())[:100]


@functools.cache
def _say_opaque(model: str, why: str) -> None:
    """Say once that the layers of a model stay hidden."""
    log.warning(
        "The layers of %s cannot be seen, for its call computes with more than Keras (%s): explain it with gradient, "
        "smooth_grad, integrated_gradients or occlusion, or let its call use keras.ops in place of tf.", model, why,
    )  # fmt: skip
