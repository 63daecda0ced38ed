"""The embedding network: a backbone, its last map as a vector, a projection head."""

from collections.abc import Sequence
from typing import Any, Literal

import keras

from fashionprobe.backbones import Backbone
from fashionprobe.backbones.blocks import EMBEDDING
from fashionprobe.backbones.graph import flatten, kept_random_state
from fashionprobe.errors import UserError
from fashionprobe.training.classifier import trunk

DIMENSIONS = (2, 512)
"""Least and most dimensions of an embedding."""


@kept_random_state()
def embedder(
    backbone: Backbone,
    dimension: int,
    *,
    pooling: Literal["average", "flatten"] = "average",
    hidden: int = 0,
    unit_norm: bool = False,
    freeze: int = 0,
    augment: Sequence[keras.Layer] = (),
    seed: int = 0,
) -> keras.Model:
    """Build the network to train.

    Args:
        backbone: Where it starts from; its own model is not touched.
        dimension: Dimensions of the embedding.
        pooling: How the map that ends the last block becomes a vector: its mean over space, or all of it.
        hidden: Units of a dense layer with ReLU before the embedding; 0 for none.
        unit_norm: Bring each embedding to length 1.
        freeze: The layers of blocks 1 to this one keep their weights; batch normalisation in them its statistics, too.
        augment: Layers that change the images in training.
        seed: Seed of the first weights of the dense layers.

    Returns:
        A flat functional model from RGB images, float32 (batch, height, width, 3) in [0, 255], of the backbone's size,
        to embeddings, float32 (batch, dimension). Its last layer is called `embedding`: `backbones.load` takes it as
        the last block.

    Raises:
        UserError: If the dimension is out of range, `freeze` is not a block, or the images are too small.
    """
    low, high = DIMENSIONS
    if not low <= dimension <= high:
        raise UserError("dimension", expected=f"an int in the range [{low}, {high}]", received=dimension)
    if not 0 <= freeze <= len(backbone.taps):
        raise UserError(
            "freeze", expected=f"in 0 to {len(backbone.taps)}, the blocks of {backbone.name}", received=freeze,
            remedy="0 trains all of the network, the last block trains the head alone.",
        )  # fmt: skip
    image, [feature_map] = trunk(backbone, [backbone.taps[-1]], freeze, augment)
    if 0 in feature_map.shape[1:3]:
        raise UserError("size", expected=f"large enough for {backbone.name}", received=list(backbone.size))
    if pooling == "flatten":
        vector = keras.layers.Flatten(name="flat")(feature_map)
    else:
        vector = keras.layers.GlobalAveragePooling2D(name="descriptor")(feature_map)
    if hidden:
        vector = keras.layers.Dense(hidden, "relu", kernel_initializer=_start(seed, 1), name="hidden")(vector)
    name = "unscaled" if unit_norm else EMBEDDING
    embedding = keras.layers.Dense(dimension, kernel_initializer=_start(seed, 0), name=name)(vector)
    if unit_norm:
        embedding = keras.layers.UnitNormalization(name=EMBEDDING)(embedding)
    return flatten(keras.Model(image, embedding, name="embedder"))


def _start(seed: int, layer: int) -> Any:
    # TensorFlow takes seeds of 31 bits.
    return keras.initializers.GlorotUniform(seed=(seed * 2 + layer) % 2**31)
