"""The graph of a Keras model: what feeds what, and changes to it: flatten, copy, fold, absorb preprocessing.

Keras has no public names for the edges of a graph; the private ones that stand for them are used in this file alone.
"""

import inspect
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np


def origin(tensor: Any) -> Any:
    """Return the layer or plain operation that gives a tensor of a graph."""
    return tensor._keras_history.operation


def origins(operation: Any) -> list[Any]:
    """Return the layers and plain operations whose outputs one takes, in the order of its arguments."""
    return [origin(tensor) for tensor in keras.tree.flatten(operation.input)]


def readers(operation: Any) -> list[Any]:
    """Return the layers and plain operations that take the output of one, in all graphs that it is part of."""
    return [node.operation for node in operation._outbound_nodes]


def uses(operation: Any) -> int:
    """Return how often a layer is called, in all graphs that it is part of."""
    return len(operation._inbound_nodes)


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Leave Python's random numbers as they are: Keras draws a default seed from them for every layer it makes."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


def flatten(model: keras.Model) -> keras.Model:
    """Return a functional model that computes the same as `model` and has no model inside it.

    Args:
        model: Any functional or sequential model, with models nested to any depth.

    Returns:
        A copy, or `model` itself when there is nothing to flatten.
    """
    if is_flat(model):
        return model
    # Layers note each graph that uses them: without a copy, the user's own would no longer know their one output.
    flat = keras.models.clone_model(model, clone_function=_cloned)
    flat.set_weights(model.get_weights())
    if isinstance(flat, keras.Sequential):
        inputs = keras.Input(model.input_shape[1:], name="image")
        flat = keras.Model(inputs, flat.call(inputs), name=model.name)
    # Inlined layers now serve two graphs, so `layer.output` would be ambiguous: give the flat one its own.
    return copy_model(_inlined(flat))


def _inlined(model: keras.Model) -> keras.Model:
    """Return a functional model without models inside it; its layers serve this graph beside those of the model.

    Where a layer of an inner model is called like one that came before, it is called INNER_NAME.
    """
    inner: dict[int, keras.Model] = {}

    def inline(layer: keras.Layer, *args, **kwargs):
        if _is_seam(layer):
            return args[0]
        if not isinstance(layer, keras.Model):
            return layer(*args, **kwargs)
        if id(layer) not in inner:
            inner[id(layer)] = _with_other_names(layer, taken)
        # `call` runs the inner model's layers on our tensor one by one; calling it would add it as one node.
        return inner[id(layer)].call(*args)

    while not is_flat(model):
        taken: set[Any] = {operation.name for operation in model.operations if not isinstance(operation, keras.Model)}
        model = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=inline)
    return model


def _with_other_names(model: keras.Model, taken: set[Any]) -> keras.Model:
    """Return a model in which no layer is called like one that came before; note the names of its layers."""
    inner = [
        operation for operation in getattr(model, "operations", ()) or model.layers
        if not isinstance(operation, keras.layers.InputLayer)
    ]  # fmt: skip
    others = {each.name: f"{model.name}_{each.name}" for each in inner if each.name in taken}
    taken |= {others.get(each.name, each.name) for each in inner}
    if not others or holds_subclassed(model):
        return model

    def rename(operation: Any) -> Any:
        if isinstance(operation, keras.Model) or operation.name not in others:
            return operation
        copy = twin(operation)
        copy.name = others[operation.name]
        return copy

    return keras.models.clone_model(model, clone_function=rename)


def is_flat(model: keras.Model) -> bool:
    """Tell whether a model is functional and holds no model, nor the seam of one that was taken out."""
    if isinstance(model, keras.Sequential):
        return False
    return not any(isinstance(operation, keras.Model) or _is_seam(operation) for operation in model.operations)


def holds_subclassed(model: keras.Model) -> bool:
    """Tell whether a model, or one inside it, is no graph but a class with a `call` of its own."""
    models = [layer for layer in model._flatten_layers() if isinstance(layer, keras.Model)]
    return any(not getattr(each, "inputs", None) for each in models)


def _is_seam(operation: keras.Operation) -> bool:
    """Tell whether this is the conversion that an inner model does first, and that changes nothing here."""
    return type(operation).__name__ == "ConvertToTensor"


def copy_model(
    model: keras.Model,
    *,
    dtype: str | None = None,
    image: keras.KerasTensor | None = None,
    rename: Callable[[str], str] | None = None,
) -> keras.Model:
    """Copy a functional model, layers and weights.

    Args:
        model: The model.
        dtype: Name of a Keras dtype policy for all layers, such as "mixed_bfloat16"; None keeps each layer's own.
        image: The input of the copy, which may have another size; None for one like the model's.
        rename: Returns the name of a layer's copy; None keeps the names.
    """
    name = rename or str

    def copy(layer: keras.Layer) -> keras.Layer:
        config = _config(layer)
        if "name" in config:
            config["name"] = name(config["name"])
        # Plain operations, such as the `a + b` of ConvNeXt, have no precision of their own.
        if dtype is not None and isinstance(layer, keras.Layer) and not isinstance(layer, keras.layers.InputLayer):
            config["dtype"] = dtype
        return layer.__class__.from_config(config)

    copied = keras.models.clone_model(model, input_tensors=image, clone_function=copy)
    for layer in model.layers:
        if layer.weights:
            copy_weights(layer, copied.get_layer(name(layer.name)))
    return copied


CHANNELS_LAST, CHANNELS_FIRST = "_channels_last", "_channels_first"
"""Ends of the names of the layers that `with_channels_last` adds behind a layer."""


def channels_first(model: keras.Model) -> set[str]:
    """Return the names of the layers and operations whose feature map is (batch, channels, height, width).

    Args:
        model: A flat functional model.
    """
    found: set[str] = set()
    moving = (keras.layers.Permute, keras.layers.Reshape, keras.layers.InputLayer)
    for operation in model.operations:
        rank = len(getattr(operation.output, "shape", ()))
        if rank != 4 or isinstance(operation, moving) or type(operation).__name__ in ("Transpose", "Reshape"):
            continue
        layout = getattr(operation, "data_format", None)
        sources = [source.name for source in origins(operation)]
        if layout == "channels_first" or (
            layout is None and any(name in found or name.endswith(CHANNELS_FIRST) for name in sources)
        ):
            found.add(operation.name)
    return found


def with_channels_last(model: keras.Model) -> keras.Model:
    """Return a model in which each feature map with channels first stands with channels last, too, on the way on.

    Behind a layer NAME of `channels_first` comes a layer NAME_channels_last, whose output is (batch, height, width,
    channels), and one that turns it back: what is asked of the first and its gradient is what other networks give.

    Args:
        model: A flat functional model.

    Returns:
        A copy that computes the same; the model itself where there is nothing to do.
    """
    names = {operation.name for operation in model.operations}
    first = {name for name in channels_first(model) if name + CHANNELS_LAST not in names}
    if not first:
        return model

    def call(layer: Any, *args, **kwargs):
        result = layer(*args, **kwargs)
        if layer.name not in first:
            return result
        last = keras.layers.Permute((2, 3, 1), name=layer.name + CHANNELS_LAST)(result)
        return keras.layers.Permute((3, 1, 2), name=layer.name + CHANNELS_FIRST)(last)

    with kept_random_state():
        copied = keras.models.clone_model(model, clone_function=_cloned, call_function=call)
    for layer in model.layers:
        if layer.weights:
            copy_weights(layer, copied.get_layer(layer.name))
    return copied


def _cloned(layer: keras.Layer) -> keras.Layer:
    """Copy a layer, or a model inside a model, without its weights."""
    if isinstance(layer, keras.Model):
        return keras.models.clone_model(layer, clone_function=_cloned)
    return layer.__class__.from_config(_config(layer))


def _config(layer: keras.Layer) -> dict[str, Any]:
    """Return what a copy of a layer is made from.

    A function that is not one of Keras' own, such as `tf.nn.softmax`, is given as it is: Keras would write its name
    down and not find it again.
    """
    config = layer.get_config()
    for name in ("activation", "recurrent_activation"):
        if inspect.isfunction(own := getattr(layer, name, None)):
            config[name] = own
    return config


def copy_weights(source: keras.Layer, target: keras.Layer) -> None:
    """Copy all weights of a layer to its twin."""
    target.set_weights(source.get_weights())
    if isinstance(target, keras.layers.Normalization):
        # Without this it goes on with the mean and variance it was made with.
        target.finalize_state()


def fold(model: keras.Model) -> keras.Model:
    """Fold each batch normalisation that follows a convolution into the kernel and bias of that convolution.

    TensorFlow's own optimiser does so only where the convolution has no bias and the normalisation no shift.

    Args:
        model: A functional model whose layers serve no other.

    Returns:
        A copy that computes the same.
    """
    folded = {}
    for layer in model.layers:
        if type(layer) is keras.layers.BatchNormalization and layer.axis in (-1, 3):
            source = origin(layer.input)
            if _is_foldable(source) and all(output is not source.output for output in model.outputs):
                folded[source.name] = layer
    dropped = {layer.name for layer in folded.values()}

    def copy(layer: keras.Layer) -> keras.Layer:
        config = _config(layer)
        if layer.name in folded:
            config["use_bias"] = True
        return layer.__class__.from_config(config)

    def call(layer: keras.Layer, *args, **kwargs):
        return args[0] if layer.name in dropped else layer(*args, **kwargs)

    copied = keras.models.clone_model(model, clone_function=copy, call_function=call)
    for layer in model.layers:
        if layer.name in folded:
            copied.get_layer(layer.name).set_weights(_folded_weights(layer, folded[layer.name]))
        elif layer.weights and layer.name not in dropped:
            copy_weights(layer, copied.get_layer(layer.name))
    return copied


def _is_foldable(layer: keras.Layer) -> bool:
    """Return whether a layer is a plain convolution that only one other layer reads."""
    return (
        type(layer) in (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
        and layer.activation is keras.activations.linear
        and uses(layer) == len(readers(layer)) == 1
    )


def _folded_weights(convolution: keras.Layer, normalization: keras.Layer) -> list[np.ndarray]:
    """Return the kernel and bias of a convolution that does the work of the normalisation after it."""
    kernel, *bias = (weight.astype(np.float64) for weight in convolution.get_weights())
    factor = 1 / np.sqrt(np.asarray(normalization.moving_variance, np.float64) + normalization.epsilon)
    if normalization.gamma is not None:
        factor *= np.asarray(normalization.gamma, np.float64)
    shift = ((bias[0] if bias else 0) - np.asarray(normalization.moving_mean, np.float64)) * factor
    if normalization.beta is not None:
        shift += np.asarray(normalization.beta, np.float64)
    # A depthwise kernel ends in (channels, multiplier), which number the output channels together.
    depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
    return [kernel * (factor.reshape(kernel.shape[2:]) if depthwise else factor), shift]


def absorb_scale(model: keras.Model, scale: Sequence[float], *, bgr: bool) -> bool:
    """Make the one convolution that reads the pixels do their scaling and reordering, in place, if there is one.

    Doing this to each image costs up to several times the input pipeline; doing it once to a kernel costs nothing.
    (A mean cannot be absorbed: it would show where zeros are padded.)

    Args:
        model: A functional model whose layers serve no other.
        scale: Factor for red, green and blue.
        bgr: Whether the model wants blue first; afterwards it takes red first.

    Returns:
        Whether there is one; if not, nothing has changed.
    """
    consumers = [
        operation
        for operation in model.operations
        if not isinstance(operation, keras.layers.InputLayer | keras.layers.ZeroPadding2D)
        and any(_reads_pixels(tensor) for tensor in keras.tree.flatten(operation.input))
    ]
    # A padded image that is itself asked for must come preprocessed, too.
    if len(consumers) != 1 or any(_reads_pixels(tensor) for tensor in model.outputs):
        return False
    first = consumers[0]
    if type(first) is not keras.layers.Conv2D or first.groups != 1:
        return False
    kernel = np.asarray(first.kernel)
    scaled = (kernel[:, :, ::-1] if bgr else kernel) * np.asarray(scale, kernel.dtype)[:, None]
    first.kernel.assign(scaled)  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]
    return True


def _reads_pixels(tensor: keras.KerasTensor) -> bool:
    source = origin(tensor)
    while isinstance(source, keras.layers.ZeroPadding2D):
        source = origin(source.input)
    return isinstance(source, keras.layers.InputLayer)


class Held(keras.layers.Layer):
    """An input that is kept at one value for all images; its weight is the value, float or int (*shape).

    Args:
        shape: Shape of the value, without a batch axis.
        options: Name and dtype, as for any layer.
    """

    def __init__(self, shape: Sequence[int], **options: Any) -> None:
        super().__init__(**{**options, "trainable": False})
        self.shape = tuple(shape)
        self.value = self.add_weight(shape=self.shape, initializer="zeros", dtype=self.variable_dtype, name="value")

    def call(self, image: Any) -> Any:
        """Return the value as often as there are images."""
        sides: Any = keras.ops.shape(image)
        return keras.ops.broadcast_to(self.value, (sides[0], *self.shape))

    def compute_output_spec(self, image: Any) -> keras.KerasTensor:
        """Return what `call` does, without computing."""
        return keras.KerasTensor((None, *self.shape), dtype=self.variable_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return what a copy of the layer is made from; the value is a weight."""
        return {**super().get_config(), "shape": self.shape}


class Opaque(keras.layers.Layer):
    """A model as one layer of a graph: what it does inside cannot be seen.

    Args:
        model: The model.
        function: What is computed, from the image and the inputs that are held, by name.
    """

    def __init__(self, model: keras.Model, function: Callable[[Any, Any], Any]) -> None:
        super().__init__(name=model.name)
        self.model, self.function = model, function

    def call(self, image: Any, held: Any) -> Any:
        """Run the model."""
        return self.function(image, held)


def traced(model: keras.Model, image: keras.KerasTensor, call: Callable[[Any], Any]) -> keras.Model:
    """Return the graph of what a function that calls a model makes of the image.

    Its layers are twins, which share the variables of the model's: the model does not note that it was called.

    Args:
        model: The model, subclassed or functional.
        image: The input of the graph.
        call: Takes the image and returns one tensor.

    Raises:
        Exception: Whatever the model raises when it is given a `KerasTensor`.
    """
    layers = list(model._flatten_layers())
    operations = {*layers, *(each for layer in layers for each in getattr(layer, "operations", ()))}
    noted = [(each, len(each._inbound_nodes), len(each._outbound_nodes)) for each in operations]
    try:
        return unshared(_inlined(keras.Model(image, call(image), name=model.name)))
    finally:
        for operation, inbound, outbound in noted:
            del operation._inbound_nodes[inbound:], operation._outbound_nodes[outbound:]


HELD = "_held"
"""End of the name of a layer where it is used once more, and not for the image that is explained."""


def unshared(model: keras.Model) -> keras.Model:
    """Return a functional model in which each layer is used once: the second use of a layer NAME is a layer NAME_2.

    What a layer does for a `Held` input and not for the image is a layer NAME_held.

    Args:
        model: A functional model.

    Returns:
        A model of twins, which share the variables of the model's layers.
    """
    count: dict[str, int] = {}
    seen: set[int] = set()

    def call(layer: Any, *args, **kwargs) -> Any:
        sources = [origin(each) for each in keras.tree.flatten((args, kwargs)) if isinstance(each, keras.KerasTensor)]
        depends = not isinstance(layer, Held) and any(
            isinstance(source, keras.layers.InputLayer) or id(source) in seen for source in sources
        )
        name = layer.name if depends or isinstance(layer, Held) else layer.name + HELD
        count[name] = count.get(name, 0) + 1
        if layer._inbound_nodes or name != layer.name:
            layer = twin(layer)
            layer.name = name if count[name] == 1 else f"{name}_{count[name]}"
        if depends:
            seen.add(id(layer))
        return layer(*args, **kwargs)

    with kept_random_state():
        # The bare graph, without the loss and the optimizer of a compiled model.
        plain = keras.Model(model.inputs, model.outputs, name=model.name)
        copied = keras.models.clone_model(plain, clone_function=twin, call_function=call)
    outputs = copied.outputs[0] if len(copied.outputs) == 1 else copied.outputs
    return keras.Model(copied.inputs[0] if len(copied.inputs) == 1 else copied.inputs, outputs, name=model.name)


def of_image(model: keras.Model) -> set[Any]:
    """Return the layers and plain operations whose output depends on the image, and not on `Held` inputs alone."""
    found: set[Any] = set()
    for operation in model.operations:
        is_input = isinstance(operation, keras.layers.InputLayer)
        if is_input or (not isinstance(operation, Held) and any(each in found for each in origins(operation))):
            found.add(operation)
    return found


ATTENTION = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)
"""Layers in which tokens attend to tokens."""


def attention_layers(layer: keras.Layer) -> list[Any]:
    """Return the attention layers of a model or a layer, those inside other layers too."""
    return list(dict.fromkeys(each for each in layer._flatten_layers() if isinstance(each, ATTENTION)))


@contextmanager
def recorded_attention(model: keras.Model) -> Iterator[list[Any]]:
    """Note the attention of each layer while the model is called: tensors (batch, heads, tokens, tokens), in order."""
    recorded: list[Any] = []

    def recording(own: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args, return_attention_scores: bool = False, **kwargs) -> Any:
            output, scores = own(*args, return_attention_scores=True, **kwargs)
            recorded.append(scores)
            return (output, scores) if return_attention_scores else output

        return call

    layers = attention_layers(model)
    for layer in layers:
        layer.call = recording(layer.call)
    try:
        yield recorded
    finally:
        for layer in layers:
            del layer.call


def twin(operation: Any) -> Any:
    """Return a second object for a layer, with the same variables and a place of its own in a graph."""
    # `copy.copy` would copy the variables: Keras pickles by saving.
    copy = object.__new__(type(operation))
    vars(copy).update(vars(operation), _inbound_nodes=[], _outbound_nodes=[])
    return copy
