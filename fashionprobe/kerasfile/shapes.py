"""Shapes of what layers and operations return, computed from their configurations.

A shape is a tuple of whole numbers, of one image: its first number, the batch, is 1. Keras computes the same, but
importing it takes seconds, and building a layer takes the memory that is to be found out.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Shape = tuple[int, ...]
Config = Mapping[str, Any]


def output(name: str, config: Config, arguments: Sequence[Any], *, is_operation: bool) -> Any:
    """Return the shape of what a layer or an operation returns; a list of shapes where it returns several tensors.

    Args:
        name: Its class.
        config: Its configuration.
        arguments: What it is called with: shapes in place of tensors, and plain values.
        is_operation: Whether it is an operation, not a layer.

    Raises:
        ValueError, TypeError, KeyError, IndexError, ArithmeticError: If the configuration or the arguments are not
            those of such a layer.
    """
    rules = OPERATIONS if is_operation else LAYERS
    result = rules[name](config, *arguments) if name in rules else broadcast(*tensors(arguments))
    for shape in result if isinstance(result, list) else [result]:
        if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape):
            raise TypeError(f"a shape of other things than whole numbers, 0 or more: {shape!r:.60}")
    return result


def tensors(arguments: Any) -> list[Shape]:
    """Return the shapes among the arguments of a call."""
    if isinstance(arguments, tuple):
        return [arguments]
    inner = arguments.values() if isinstance(arguments, Mapping) else arguments if isinstance(arguments, list) else ()
    return [shape for each in inner for shape in tensors(each)]


def broadcast(*shapes: Shape) -> Shape:
    """Return the shape of the sum of tensors."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(max(sides) for sides in zip(*padded, strict=True))


def number(config: Config, name: str, default: int | None = None) -> int:
    """Return a whole number of the configuration: a list in its place would be repeated, not multiplied."""
    value = config.get(name, default)
    if type(value) is not int:
        raise TypeError(f"`{name}` must be a whole number")
    return value


def several(value: Any, count: int) -> list[int]:
    """Return one number for each axis; one alone stands for all."""
    values = [value] * count if isinstance(value, int) else [int(each) for each in value]
    return values * count if len(values) == 1 else values


def rank(config: Config, shape: Shape) -> tuple[int, int]:
    """Return (number of axes of space, place of the channels)."""
    return len(shape) - 2, 1 if config.get("data_format") == "channels_first" else len(shape) - 1


def _space(config: Config, shape: Shape) -> list[int]:
    _, channels = rank(config, shape)
    return [side for axis, side in enumerate(shape) if axis not in (0, channels)]


def _with(config: Config, shape: Shape, space: Sequence[int], channels: int | None = None) -> Shape:
    """Return the shape with other sides, and other channels where such are given."""
    _, place = rank(config, shape)
    count = shape[place] if channels is None else channels
    sides = [max(side, 0) for side in space]
    return (shape[0], count, *sides) if place == 1 else (shape[0], *sides, count)


def _slide(config: Config, shape: Shape, window: Any, strides: Any, dilation: Any = 1) -> list[int]:
    """Return the sides after a window has slid over the map."""
    count = len(shape) - 2
    sides = zip(
        _space(config, shape), several(window, count), several(strides, count), several(dilation, count), strict=True
    )
    if config.get("padding", "valid") == "valid":
        return [(side - (size - 1) * spread - 1) // stride + 1 for side, size, stride, spread in sides]
    return [-(-side // stride) for side, _, stride, _ in sides]


def _convolution(config: Config, shape: Shape, *_: Any) -> Shape:
    space = _slide(config, shape, config["kernel_size"], config.get("strides", 1), config.get("dilation_rate", 1))
    return _with(config, shape, space, number(config, "filters"))


def _depthwise(config: Config, shape: Shape, *_: Any) -> Shape:
    space = _slide(config, shape, config["kernel_size"], config.get("strides", 1), config.get("dilation_rate", 1))
    return _with(config, shape, space, shape[rank(config, shape)[1]] * number(config, "depth_multiplier", 1))


def _transposed(config: Config, shape: Shape, *_: Any) -> Shape:
    count = len(shape) - 2
    kernel, strides = several(config["kernel_size"], count), several(config.get("strides", 1), count)
    more = [0] * count if config.get("output_padding") is None else several(config["output_padding"], count)
    dilation = several(config.get("dilation_rate", 1), count)
    space = [
        side * stride + (max((size - 1) * spread + 1 - stride, 0) if config.get("padding") == "valid" else 0) + extra
        for side, size, stride, spread, extra in zip(
            _space(config, shape), kernel, strides, dilation, more, strict=True
        )
    ]
    return _with(config, shape, space, number(config, "filters"))


def _pooled(config: Config, shape: Shape, *_: Any) -> Shape:
    window = config["pool_size"]
    return _with(config, shape, _slide(config, shape, window, config.get("strides") or window))


def _adapted(config: Config, shape: Shape, *_: Any) -> Shape:
    return _with(config, shape, several(config["output_size"], len(shape) - 2))


def _globally_pooled(config: Config, shape: Shape, *_: Any) -> Shape:
    channels = shape[rank(config, shape)[1]]
    return _with(config, shape, [1] * (len(shape) - 2)) if config.get("keepdims") else (shape[0], channels)


def _upsampled(config: Config, shape: Shape, *_: Any) -> Shape:
    factors = several(config["size"], len(shape) - 2)
    space = _space(config, shape)
    return _with(config, shape, [side * factor for side, factor in zip(space, factors, strict=True)])


def _margins(value: Any, count: int) -> list[int]:
    """Return what is added, or cut, along each axis, both ends together."""
    if count == 1 and isinstance(value, list) and len(value) == 2:
        return [sum(value)]
    values = [value] * count if isinstance(value, int) else value
    return [2 * each if isinstance(each, int) else sum(each) for each in values]


def _padded(config: Config, shape: Shape, *_: Any) -> Shape:
    margins = _margins(config["padding"], len(shape) - 2)
    return _with(config, shape, [side + more for side, more in zip(_space(config, shape), margins, strict=True)])


def _cropped(config: Config, shape: Shape, *_: Any) -> Shape:
    margins = _margins(config["cropping"], len(shape) - 2)
    return _with(config, shape, [side - less for side, less in zip(_space(config, shape), margins, strict=True)])


def _resized(config: Config, shape: Shape, *_: Any) -> Shape:
    return _with(config, shape, [number(config, "height"), number(config, "width")])


def _dense(config: Config, shape: Shape, *_: Any) -> Shape:
    return (*shape[:-1], number(config, "units"))


def _flat(config: Config, shape: Shape, *_: Any) -> Shape:
    return (shape[0], math.prod(shape[1:]))


def _filled(target: Sequence[int | None], shape: Shape) -> Shape:
    """Return the target of a reshape, with the side that is left open (-1) worked out."""
    sides = [-1 if side is None else int(side) for side in target]
    known = math.prod(side for side in sides if side != -1)
    return tuple(math.prod(shape) // max(known, 1) if side == -1 else side for side in sides)


def _reshaped(config: Config, shape: Shape, *_: Any) -> Shape:
    return _filled([shape[0], *config["target_shape"]], shape)


def _permuted(config: Config, shape: Shape, *_: Any) -> Shape:
    return (shape[0], *(shape[axis] for axis in config["dims"]))


def _repeated(config: Config, shape: Shape, *_: Any) -> Shape:
    return (shape[0], number(config, "n"), *shape[1:])


def _concatenated(config: Config, inputs: Any, *_: Any) -> Shape:
    shapes = tensors(inputs)
    axis = config.get("axis", -1) % len(shapes[0])
    together = sum(shape[axis] for shape in shapes)
    return (*shapes[0][:axis], together, *shapes[0][axis + 1 :])


def _dotted(config: Config, inputs: Any, *_: Any) -> Shape:
    first, second = tensors(inputs)
    axes = several(config["axes"], 2)
    rest = [side for axis, side in enumerate(first) if axis != axes[0] % len(first)]
    return (*rest, *(side for axis, side in enumerate(second) if axis not in (0, axes[1] % len(second))))


def _embedded(config: Config, shape: Shape, *_: Any) -> Shape:
    return (*shape, number(config, "output_dim"))


def _recurrent(config: Config, shape: Shape, *_: Any) -> Any:
    units = _cell_units(config["cell"]) if "cell" in config else number(config, "units")
    result = (*shape[:2], units) if config.get("return_sequences") else (shape[0], units)
    # The state of an LSTM is two tensors.
    return [result, (shape[0], units), (shape[0], units)] if config.get("return_state") else result


def _cell_units(cell: Any) -> int:
    cells = cell["config"].get("cells") or [cell]
    return number(cells[-1]["config"], "units")


def _cell(config: Config, shape: Shape, *_: Any) -> list[Shape]:
    state = (shape[0], number(config, "units"))
    return [state, state, state]


def _recurrent_convolution(config: Config, shape: Shape, *_: Any) -> Shape:
    inner = _convolution(config, (shape[0], *shape[2:]))
    return (inner[0], shape[1], *inner[1:]) if config.get("return_sequences") else inner


def einsum_dense(config: Config, shape: Shape, *_: Any) -> Shape:
    """Return the shape of what an `EinsumDense` layer returns."""
    target = config["output_shape"]
    sides = [target] if isinstance(target, int) else target
    inputs, outputs = config["equation"].partition(",")[0], config["equation"].partition("->")[2]
    known = dict(zip(inputs.replace("...", ""), shape[len(shape) - len(inputs.replace("...", "")) :], strict=True))
    letters = outputs.replace("...", "")[-len(sides) :]
    last = [known[letter] if side is None else side for letter, side in zip(letters, sides, strict=True)]
    rest = len(outputs.replace("...", "")) - len(sides)
    return (*shape[: max(rest, 1)], *last)


def _attended(config: Config, query: Any, *others: Any) -> Shape:
    shapes = tensors([query, *others])
    value = shapes[1] if len(shapes) > 1 else shapes[0]
    return (*shapes[0][:-1], value[-1])


def _multi_head(config: Config, query: Shape, *_: Any) -> Shape:
    target = config.get("output_shape")
    if target is None:
        return query
    return (*query[:-1], *([target] if isinstance(target, int) else target))


LAYERS: dict[str, Callable[..., Any]] = {
    **{f"Conv{n}D": _convolution for n in (1, 2, 3)},
    **{f"SeparableConv{n}D": _convolution for n in (1, 2)},
    **{f"DepthwiseConv{n}D": _depthwise for n in (1, 2)},
    **{f"Conv{n}DTranspose": _transposed for n in (1, 2, 3)},
    **{f"{kind}Pooling{n}D": _pooled for kind in ("Max", "Average") for n in (1, 2, 3)},
    **{f"Adaptive{kind}Pooling{n}D": _adapted for kind in ("Max", "Average") for n in (1, 2, 3)},
    **{f"Global{kind}Pooling{n}D": _globally_pooled for kind in ("Max", "Average") for n in (1, 2, 3)},
    **{f"UpSampling{n}D": _upsampled for n in (1, 2, 3)},
    **{f"ZeroPadding{n}D": _padded for n in (1, 2, 3)},
    **{f"Cropping{n}D": _cropped for n in (1, 2, 3)},
    **{f"ConvLSTM{n}D": _recurrent_convolution for n in (1, 2, 3)},
    **dict.fromkeys(("Resizing", "RandomCrop", "CenterCrop"), _resized),
    **dict.fromkeys(("SimpleRNN", "GRU", "LSTM", "RNN"), _recurrent),
    **dict.fromkeys(("SimpleRNNCell", "GRUCell", "LSTMCell"), _cell),
    **dict.fromkeys(("Attention", "AdditiveAttention"), _attended),
    **dict.fromkeys(("MultiHeadAttention", "GroupQueryAttention"), _multi_head),
    "Dense": _dense, "Flatten": _flat, "Reshape": _reshaped, "Permute": _permuted, "RepeatVector": _repeated,
    "Concatenate": _concatenated, "Dot": _dotted, "Embedding": _embedded, "EinsumDense": einsum_dense,
}  # fmt: skip
"""The layers that change the shape; all others return the shape of their inputs, broadcast."""


def _reduced(config: Config, shape: Shape, axis: Any = None, keepdims: Any = None, *_: Any) -> Shape:
    axis = config.get("axis", axis)
    axes = range(len(shape)) if axis is None else [axis] if isinstance(axis, int) else axis
    gone = {each % len(shape) for each in axes}
    if config.get("keepdims", keepdims):
        return tuple(1 if place in gone else side for place, side in enumerate(shape))
    return tuple(side for place, side in enumerate(shape) if place not in gone)


def _op_reshaped(config: Config, shape: Shape, *_: Any) -> Shape:
    return _filled(config["newshape"], shape)


def _transposed_axes(config: Config, shape: Shape, *_: Any) -> Shape:
    axes = config.get("axes") or range(len(shape))[::-1]
    return tuple(shape[axis] for axis in axes)


def _swapped(config: Config, shape: Shape, *_: Any) -> Shape:
    sides = list(shape)
    first, second = config["axis1"], config["axis2"]
    sides[first], sides[second] = sides[second], sides[first]
    return tuple(sides)


def _moved(config: Config, shape: Shape, *_: Any) -> Shape:
    sources = [axis % len(shape) for axis in several(config["source"], 1)]
    targets = [axis % len(shape) for axis in several(config["destination"], 1)]
    order = [axis for axis in range(len(shape)) if axis not in sources]
    for target, source in sorted(zip(targets, sources, strict=True)):
        order.insert(target, source)
    return tuple(shape[axis] for axis in order)


def _expanded(config: Config, shape: Shape, *_: Any) -> Shape:
    axes = [config["axis"]] if isinstance(config["axis"], int) else config["axis"]
    rank = len(shape) + len(axes)
    places, sides = {axis % rank for axis in axes}, iter(shape)
    return tuple(1 if place in places else next(sides) for place in range(rank))


def _squeezed(config: Config, shape: Shape, *_: Any) -> Shape:
    axis = config.get("axis")
    axes = range(1, len(shape)) if axis is None else [axis] if isinstance(axis, int) else axis
    gone = {each % len(shape) for each in axes if shape[each] == 1}
    return tuple(side for place, side in enumerate(shape) if place not in gone)


def _stacked(config: Config, inputs: Any, *_: Any) -> Shape:
    shapes = tensors(inputs)
    axis = config.get("axis", 0) % (len(shapes[0]) + 1)
    return (*shapes[0][:axis], len(shapes), *shapes[0][axis:])


def _split(config: Config, shape: Shape, *_: Any) -> list[Shape]:
    axis, parts = config.get("axis", 0) % len(shape), config["indices_or_sections"]
    if isinstance(parts, int):
        sides = [shape[axis] // parts] * min(parts, shape[axis])
    else:
        edges = [0, *(min(edge, shape[axis]) for edge in parts), shape[axis]]
        sides = [end - start for start, end in itertools.pairwise(edges)]
    return [(*shape[:axis], side, *shape[axis + 1 :]) for side in sides]


def _item(config: Config, shape: Shape, key: Any, *_: Any) -> Shape:
    keys = key if isinstance(key, list) else [key]
    real = sum(each is not None and each is not Ellipsis for each in keys)
    sides, rest = [], list(shape)
    for each in [*keys, *([] if Ellipsis in keys else [Ellipsis])]:
        if each is None:
            sides.append(1)
        elif each is Ellipsis:
            count = len(shape) - real
            sides, rest = [*sides, *rest[:count]], rest[count:]
        elif isinstance(each, slice):
            sides.append(len(range(*each.indices(rest.pop(0)))))
        elif isinstance(each, int):
            rest.pop(0)
        else:
            raise TypeError(f"an index of type {type(each).__name__}")
    return tuple(sides)


def _op_padded(config: Config, shape: Shape, *_: Any) -> Shape:
    widths = config["pad_width"]
    widths = [[widths, widths]] if isinstance(widths, int) else [[widths] * 2] if isinstance(widths[0], int) else widths
    pairs = [tuple(each) if isinstance(each, list) else (each, each) for each in widths]
    pairs = pairs * len(shape) if len(pairs) == 1 else pairs
    return tuple(side + before + after for side, (before, after) in zip(shape, pairs, strict=True))


def _op_resized(config: Config, shape: Shape, *_: Any) -> Shape:
    batch = shape if len(shape) == 4 else (1, *shape)
    result = _with(config, batch, list(config["size"]))
    return result if len(shape) == 4 else result[1:]


def _framed(config: Config, shape: Shape, *_: Any) -> Shape:
    """`PadImages` and `CropImages`: the sides that are asked for; nothing grows where they are not."""
    batch = shape if len(shape) == 4 else (1, *shape)
    height, width = _space(config, batch)
    margins = [config.get(name) or 0 for name in ("top_padding", "bottom_padding", "left_padding", "right_padding")]
    sides = [
        config.get("target_height") or height + margins[0] + margins[1],
        config.get("target_width") or width + margins[2] + margins[3],
    ]
    result = _with(config, batch, sides)
    return result if len(shape) == 4 else result[1:]


def _tiled(config: Config, shape: Shape, *_: Any) -> Shape:
    repeats = several(config["repeats"], 1)
    rank = max(len(shape), len(repeats))
    sides = (1,) * (rank - len(shape)) + shape
    return tuple(side * times for side, times in zip(sides, [1] * (rank - len(repeats)) + repeats, strict=True))


def _op_repeated(config: Config, shape: Shape, *_: Any) -> Shape:
    axis, repeats = config.get("axis"), config["repeats"]
    flat = (math.prod(shape),) if axis is None else shape
    place = 0 if axis is None else axis % len(shape)
    times = flat[place] * repeats if isinstance(repeats, int) else sum(repeats)
    return (*flat[:place], times, *flat[place + 1 :])


def _multiplied(config: Config, first: Shape, second: Shape, *_: Any) -> Shape:
    return (*broadcast(first[:-2] or (1,), second[:-2] or (1,)), *first[-2:-1], second[-1])


def _einsum(config: Config, *operands: Any) -> Shape:
    shapes = tensors(list(operands))
    inputs, _, result = config["subscripts"].replace(" ", "").partition("->")
    sides: dict[str, int] = {}
    for letters, shape in zip(inputs.split(","), shapes, strict=True):
        sides |= dict(zip(letters, shape, strict=True))
    return tuple(sides[letter] for letter in result)


def _op_pooled(config: Config, shape: Shape, *_: Any) -> Shape:
    window = config["pool_size"]
    return _with(config, shape, _slide(config, shape, window, config.get("strides") or window))


def _op_convolution(config: Config, shape: Shape, kernel: Shape, *_: Any) -> Shape:
    space = _slide(config, shape, list(kernel[:-2]), config.get("strides", 1), config.get("dilation_rate", 1))
    return _with(config, shape, space, kernel[-1])


def _op_depthwise(config: Config, shape: Shape, kernel: Shape, *_: Any) -> Shape:
    space = _slide(config, shape, list(kernel[:-2]), config.get("strides", 1), config.get("dilation_rate", 1))
    return _with(config, shape, space, kernel[-1] * kernel[-2])


def _to_space(config: Config, shape: Shape, *_: Any) -> Shape:
    size = number(config, "block_size")
    return _with(config, shape, [side * size for side in _space(config, shape)],
                 shape[rank(config, shape)[1]] // size**2)  # fmt: skip


def _to_depth(config: Config, shape: Shape, *_: Any) -> Shape:
    size = number(config, "block_size")
    return _with(config, shape, [side // size for side in _space(config, shape)],
                 shape[rank(config, shape)[1]] * size**2)  # fmt: skip


def _broadcast_to(config: Config, shape: Shape, *_: Any) -> Shape:
    return tuple(1 if side in (None, -1) else int(side) for side in config["shape"])


def _grey(config: Config, shape: Shape, *_: Any) -> Shape:
    batch = shape if len(shape) == 4 else (1, *shape)
    result = _with(config, batch, _space(config, batch), 1)
    return result if len(shape) == 4 else result[1:]


OPERATIONS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(
        ("Amax", "Amin", "Average", "Logsumexp", "Max", "Mean", "Min", "Norm", "Prod", "Std", "Sum", "Var"), _reduced
    ),
    **dict.fromkeys(("MaxPool", "AveragePool"), _op_pooled),
    **dict.fromkeys(("AdaptiveMaxPool", "AdaptiveAveragePool"), _adapted),
    **dict.fromkeys(("PadImages", "CropImages"), _framed),
    **dict.fromkeys(("Matmul", "Dot"), _multiplied),
    "Reshape": _op_reshaped, "Transpose": _transposed_axes, "Swapaxes": _swapped, "Moveaxis": _moved,
    "ExpandDims": _expanded, "Squeeze": _squeezed, "Concatenate": _concatenated, "Stack": _stacked, "Split": _split,
    "GetItem": _item, "Pad": _op_padded, "Resize": _op_resized, "Tile": _tiled, "Repeat": _op_repeated,
    "Einsum": _einsum, "Conv": _op_convolution, "DepthwiseConv": _op_depthwise, "DepthToSpace": _to_space,
    "SpaceToDepth": _to_depth, "BroadcastTo": _broadcast_to, "RGBToGrayscale": _grey,
    "Ravel": lambda config, shape, *_: (math.prod(shape),),
    "Glu": lambda config, shape, *_: (*shape[:-1], shape[-1] // 2),
}  # fmt: skip
"""The operations that change the shape; all others return the shape of their arguments, broadcast."""
