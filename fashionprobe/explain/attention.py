"""Attention rollout: which patches of an image the tokens of a vision transformer have taken in."""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fashionprobe.backbones.graph import attention_layers, recorded_attention
from fashionprobe.errors import UserError
from fashionprobe.explain.explained_model import Classes, ExplainFunction, check_images, flat

MAX_EXTRA = 8
"""Most tokens that are no patches: a class token, one for distillation, registers."""


def attention_rollout(model: keras.Model) -> ExplainFunction:
    """Make attention rollout: the attention of all layers, followed back to the patches of the image.

    In each layer the attention of its heads is averaged, and half of it is kept for the token itself, which goes past
    the attention by the residual connection: a = (A + I) / 2. The product a_L ... a_1 says how much of each patch there
    is in each token. The map is the row of the first token, where there are more tokens than patches (a class token,
    perhaps registers, which come first); else the mean of all rows, as for a network that averages its tokens. It says
    what was looked at, and not what for: it is the same for all classes.

    Args:
        model: A network with `MultiHeadAttention` or `GroupQueryAttention` of all tokens to all tokens; these may be
            inside other layers. Patches are square and in the order of rows.

    Returns:
        A function of images (batch, height, width, channels) that returns the raw maps, float32 (batch, rows, columns),
        one value a patch, not negative; classes change nothing.

    Raises:
        UserError: If the model has no such attention, or its tokens are not patches in a grid.

    Reference:
        Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020.
    """
    opened: Any = flat(model)
    if not attention_layers(opened):
        raise UserError(
            "model", expected="a network with MultiHeadAttention layers", received=f"{opened.name}, which has none",
            remedy="Use grad_cam or gradient.",
        )  # fmt: skip

    @tf.function(autograph=False)
    def rolled(images: tf.Tensor) -> tf.Tensor:
        with recorded_attention(opened) as recorded:
            opened(images, training=False)
        sides: Any = images.shape[1:3]
        tokens = _tokens([each.shape for each in recorded], opened.name)
        rows, columns = _grid(tokens, sides)
        total: Any = tf.eye(tokens)
        for scores in recorded:
            heads = tf.reduce_mean(tf.cast(scores, tf.float32), axis=1)
            total = (heads + tf.eye(tokens)) @ total / 2
        extra = tokens - rows * columns
        taken = total[:, 0, extra:] if extra else tf.reduce_mean(total, axis=1)
        return tf.reshape(taken, (-1, rows, columns))

    def explain(images: np.ndarray | tf.Tensor, classes: Classes = None) -> np.ndarray:  # noqa: ARG001
        return rolled(check_images(opened, images)).numpy()

    return explain


def _tokens(shapes: list[Any], name: str) -> int:
    """Return how many tokens there are, from the shapes of attention, (batch, heads, to, from)."""
    sides = {side for shape in shapes for side in shape[2:]}
    if len(sides) != 1 or None in sides or any(len(shape) != 4 for shape in shapes):
        received = ", ".join(dict.fromkeys(" x ".join(map(str, shape[2:])) for shape in shapes))
        raise UserError(
            "model", expected="a network whose attention is of all its tokens to all of them, in each layer",
            received=f"{name}, with attention of {received or 'no token'}",
            remedy="Use gradient, smooth_grad, integrated_gradients or occlusion.",
        )  # fmt: skip
    return int(sides.pop())


def _grid(tokens: int, sides: tuple[int, int]) -> tuple[int, int]:
    """Return the rows and columns of the patches: the most that there are tokens for."""
    grids = {(sides[0] // side, sides[1] // side) for side in range(1, min(sides) + 1)}
    fitting = [grid for grid in grids if tokens - MAX_EXTRA <= math.prod(grid) <= tokens]
    if not fitting:
        raise UserError(
            "model", expected="a network whose tokens are square patches of the image, and a class token before them",
            received=f"{tokens} tokens for images of {sides[0]} x {sides[1]}",
        )  # fmt: skip
    return max(fitting, key=math.prod)
