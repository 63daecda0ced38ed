"""The classifier: backbone, global average pooling of one block or several, one dense layer."""

from collections.abc import Sequence
from typing import Any

import keras

from fashionprobe.backbones import Backbone, preprocessed
from fashionprobe.backbones.blocks import smallest_size
from fashionprobe.backbones.graph import copy_model, flatten, kept_random_state
from fashionprobe.errors import UserError

LOGITS = "logits"
"""Name of the dense layer, whose kernel is the W of class activation mapping."""


@kept_random_state()
def classifier(
    backbone: Backbone,
    classes: int,
    *,
    blocks: Sequence[int],
    freeze: int = 0,
    dropout: float = 0.0,
    augment: Sequence[keras.Layer] = (),
    dtype: str = "float32",
    bias: bool = True,
    seed: int = 0,
) -> keras.Model:
    """Build the network to train.

    Args:
        backbone: Where it starts from; its own model is not touched.
        classes: Number of classes.
        blocks: The head reads the descriptors (global average pooling) of these blocks, joined in this order.
        freeze: The layers of blocks 1 to `freeze` keep their weights; batch normalisation in them its statistics, too.
        dropout: Share of the descriptor's values set to 0 in training.
        augment: Layers that change the images in training.
        dtype: Name of a Keras dtype policy for the backbone, such as "mixed_bfloat16".
        bias: Whether the dense layer has a bias.
        seed: Seed of the dense layer's first weights and of the dropout.

    Returns:
        A flat functional model from RGB images, float32 (batch, height, width, 3) in [0, 255], of the backbone's size,
        to float32 logits (batch, classes).

    Raises:
        UserError: If a block is not there, or `freeze` is not a block.
    """
    _check(backbone, blocks, freeze)
    image, maps = trunk(backbone, [backbone.taps[block - 1] for block in blocks], freeze, augment, dtype)
    descriptors = [
        keras.layers.GlobalAveragePooling2D(name=f"descriptor_{block}", dtype="float32")(feature_map)
        for block, feature_map in zip(blocks, maps, strict=True)
    ]
    joined = keras.layers.Concatenate(name="descriptor")(descriptors) if len(blocks) > 1 else descriptors[0]
    logits = head(joined.shape[-1], classes, dropout=dropout, bias=bias, seed=seed)(joined)
    return flatten(keras.Model(image, logits, name="classifier"))


def trunk(
    backbone: Backbone, layers: Sequence[str], freeze: int, augment: Sequence[keras.Layer], dtype: str | None = None
) -> tuple[Any, list[Any]]:
    """Copy a backbone as the lower part of a network to train, augmentation and preprocessing in front.

    Args:
        backbone: The backbone; its own model is not touched.
        layers: Names of the layers whose maps are wanted.
        freeze: The layers of blocks 1 to this one keep their weights; batch normalisation in them its statistics, too.
        augment: Layers that change the images in training.
        dtype: Name of a Keras dtype policy; None for the backbone's own.

    Returns:
        The input, RGB images in [0, 255], and the map of each layer, both symbolic.
    """
    outputs = [backbone.model.get_layer(name).output for name in layers]
    copy = copy_model(keras.Model(backbone.model.input, outputs), dtype=dtype)
    for layer in copy.layers:
        layer.trainable = True
    if freeze:
        for layer in keras.Model(copy.input, copy.get_layer(backbone.taps[freeze - 1]).output).layers:
            layer.trainable = False
    image = keras.Input((*backbone.size, 3), name="image")
    pixels = image
    for layer in augment:
        pixels = layer(pixels)
    return image, keras.tree.flatten(copy(preprocessed(pixels, backbone.preprocessing)))


@kept_random_state()
def head(width: int, classes: int, *, dropout: float = 0.0, bias: bool = True, seed: int = 0) -> keras.Model:
    """Build the part that is trained when the whole backbone is frozen: dropout and a dense layer.

    Args:
        width: Channels of the descriptor.
        classes: Number of classes.
        dropout: Share of the descriptor's values set to 0 in training.
        bias: Whether the dense layer has a bias.
        seed: Seed of the first weights and of the dropout.

    Returns:
        A model from float32 (batch, width) to float32 logits (batch, classes).
    """
    descriptor = keras.Input((width,), name="descriptor_in")
    # TensorFlow takes seeds of 31 bits.
    dropped = keras.layers.Dropout(dropout, seed=(seed + 1) % 2**31, name="dropout", dtype="float32")(descriptor)
    start = keras.initializers.GlorotUniform(seed=seed % 2**31)
    dense = keras.layers.Dense(
        classes,
        use_bias=bias,
        kernel_initializer=start,  # pyright: ignore[reportArgumentType]
        name=LOGITS,
        dtype="float32",
    )
    return keras.Model(descriptor, dense(dropped), name="head")


def finished(model: keras.Model) -> keras.Model:
    """Return the network to use: a float32 copy without augmentation, from the same images to class probabilities.

    Its last two layers are the dense one, `logits`, and a softmax. Nothing in it is frozen.
    """
    plain = without_augmentation(model)
    probabilities = keras.layers.Softmax(name="probabilities")(plain.output)
    return keras.Model(plain.input, probabilities, name="classifier")


@kept_random_state()
def without_augmentation(model: keras.Model) -> keras.Model:
    """Return a float32 copy without the layers of `augment.layers`, not compiled. Nothing in it is frozen."""

    def call(layer: keras.Layer, *args, **kwargs):
        return args[0] if layer.name.startswith("augment_") else layer(*args, **kwargs)

    def copy(layer: keras.Layer) -> keras.Layer:
        config = {**layer.get_config()}
        if isinstance(layer, keras.Layer) and not isinstance(layer, keras.layers.InputLayer):
            config |= {"dtype": "float32", "trainable": True}
        return layer.__class__.from_config(config)

    # A clone would also be compiled as the model is, and not every loss and metric can be read back.
    bare = keras.Model(model.input, model.output, name=model.name)
    plain = keras.models.clone_model(bare, clone_function=copy, call_function=call)
    for layer in plain.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    return plain


def _check(backbone: Backbone, blocks: Sequence[int], freeze: int) -> None:
    backbone.choose_blocks(blocks, remedy="Leave --block out for the last one.")
    smallest = smallest_size(backbone.model, backbone.taps[max(blocks) - 1])
    if min(backbone.size) < smallest:
        raise UserError(
            "size", expected=f"{smallest} pixels or more for block {max(blocks)} of {backbone.name}",
            received=list(backbone.size), remedy="Use a larger --size, or a --block before it.",
        )  # fmt: skip
    if not 0 <= freeze <= max(blocks):
        raise UserError(
            "freeze", expected=f"in 0 to {max(blocks)}, the deepest block in use", received=freeze,
            remedy="0 trains all of the network, the deepest block trains the head alone.",
        )  # fmt: skip
