"""How many weights layers have, at most, computed from their configurations and the shape of their input."""

import itertools
import math
from collections.abc import Callable

from fashionprobe.kerasfile.shapes import Config, Shape, einsum_dense, number, rank, several


def weights(name: str, config: Config, shape: Shape) -> int:
    """Return how many weights a layer has, at most, when its input has this shape.

    Raises:
        ValueError, TypeError, KeyError, IndexError, ArithmeticError: If the configuration is not that of such a layer.
    """
    rule = _WEIGHTS.get(name)
    if rule is None:
        return 0
    count = int(rule(config, shape))
    if count < 0:
        raise ValueError("a negative number of weights")
    return count + _adapter(config, count)


def _adapter(config: Config, count: int) -> int:
    """Return the weights of a low-rank adapter (LoRA), two matrices beside the kernel."""
    low = config.get("lora_rank")
    if low is None:
        return 0
    widths = (config.get(name) for name in ("units", "filters", "output_dim"))
    target = config.get("output_shape") or 1
    sides = [target] if isinstance(target, int) else [side for side in target if side is not None]
    out = next((width for width in widths if isinstance(width, int)), math.prod(map(int, sides)))
    return max(number(config, "lora_rank"), 0) * (count // max(out, 1) + out + 1)


def has_weights(name: str) -> bool:
    """Tell whether layers of this class have weights, as far as is known here."""
    return name in _WEIGHTS


def _kernel(config: Config, shape: Shape, count: int) -> int:
    return math.prod(several(config["kernel_size"], count))


def _convolution_weights(config: Config, shape: Shape) -> int:
    count, channels = rank(config, shape)
    incoming = shape[channels] // max(number(config, "groups", 1), 1)
    return (_kernel(config, shape, count) * incoming + 1) * number(config, "filters")


def _depthwise_weights(config: Config, shape: Shape) -> int:
    count, channels = rank(config, shape)
    return (_kernel(config, shape, count) + 1) * shape[channels] * number(config, "depth_multiplier", 1)


def _separable_weights(config: Config, shape: Shape) -> int:
    count, channels = rank(config, shape)
    between = shape[channels] * number(config, "depth_multiplier", 1)
    return _kernel(config, shape, count) * between + (between + 1) * number(config, "filters")


def _per_axis(factor: int) -> Callable[[Config, Shape], int]:
    def count(config: Config, shape: Shape) -> int:
        axes = config.get("axis", -1)
        return factor * math.prod(shape[axis] for axis in ([axes] if isinstance(axes, int) else axes or []))

    return count


def _parametric_relu(config: Config, shape: Shape) -> int:
    shared = config.get("shared_axes") or []
    return math.prod(1 if axis in shared else side for axis, side in enumerate(shape) if axis)


def _einsum_weights(config: Config, shape: Shape) -> int:
    inputs, _, rest = config["equation"].partition(",")
    kernel, _, outputs = rest.partition("->")
    plain, result = inputs.replace("...", ""), einsum_dense(config, shape)
    sides = dict(zip(plain, shape[len(shape) - len(plain) :], strict=True))
    letters = outputs.replace("...", "")
    sides = dict(zip(letters, result[len(result) - len(letters) :], strict=True)) | sides
    return 2 * math.prod(sides[letter] for letter in kernel)


def _attention_weights(config: Config, shape: Shape) -> int:
    grouped = "num_query_heads" in config
    heads = number(config, "num_query_heads" if grouped else "num_heads")
    size = number(config, "head_dim" if grouped else "key_dim")
    value = size if config.get("value_dim") is None else number(config, "value_dim")
    return 4 * (shape[-1] + 1) * heads * max(size, value)


def _recurrent_weights(config: Config, shape: Shape) -> int:
    # A GRU has three gates, an LSTM four.
    if "cell" in config:
        cells = config["cell"]["config"].get("cells") or [config["cell"]]
        widths = [shape[-1], *(number(cell["config"], "units") for cell in cells)]
        return sum(4 * after * (before + after + 2) for before, after in itertools.pairwise(widths))
    return 4 * number(config, "units") * (shape[-1] + number(config, "units") + 2)


def _recurrent_convolution_weights(config: Config, shape: Shape) -> int:
    inner = (shape[0], *shape[2:])
    count, channels = rank(config, inner)
    return (
        4
        * number(config, "filters")
        * (_kernel(config, inner, count) * (inner[channels] + number(config, "filters")) + 1)
    )


_WEIGHTS: dict[str, Callable[[Config, Shape], int]] = {
    **{f"Conv{n}D": _convolution_weights for n in (1, 2, 3)},
    **{f"Conv{n}DTranspose": _convolution_weights for n in (1, 2, 3)},
    **{f"DepthwiseConv{n}D": _depthwise_weights for n in (1, 2)},
    **{f"SeparableConv{n}D": _separable_weights for n in (1, 2)},
    **{f"ConvLSTM{n}D": _recurrent_convolution_weights for n in (1, 2, 3)},
    **dict.fromkeys(("BatchNormalization",), _per_axis(4)),
    **dict.fromkeys(("LayerNormalization", "GroupNormalization", "RMSNormalization"), _per_axis(2)),
    # Mean and variance of each channel, and how many values they are of.
    "Normalization": lambda config, shape: _per_axis(2)(config, shape) + 1,
    **dict.fromkeys(("SimpleRNN", "GRU", "LSTM", "RNN"), _recurrent_weights),
    **dict.fromkeys(("SimpleRNNCell", "GRUCell", "LSTMCell"), _recurrent_weights),
    "AdditiveAttention": lambda config, shape: shape[-1],
    "Attention": lambda config, shape: 1,
    **dict.fromkeys(("MultiHeadAttention", "GroupQueryAttention"), _attention_weights),
    "Dense": lambda config, shape: (shape[-1] + 1) * number(config, "units"),
    "EinsumDense": _einsum_weights,
    "Embedding": lambda config, shape: number(config, "input_dim") * number(config, "output_dim"),
    "LayerScale": lambda config, shape: number(config, "projection_dim"),
    "PReLU": _parametric_relu,
}
