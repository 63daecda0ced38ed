"""`mini`: a small residual network with five blocks, trained on product photographs, that comes with the package.

`MODEL_CARD.md` beside this file says how it was trained and what its blocks know; it was trained by
`pipelines/pretrain_mini.py`.
"""

import hashlib
from importlib import resources

import keras
import numpy as np

NAME = "mini"
SIZE = (96, 96)
"""(height, width) in pixels it takes when no size is asked for."""

WIDTHS = (32, 64, 128, 160, 224)
"""Channels of the blocks."""

SHA256 = "508087379712cf5403af6202f89e22ee567a73c4800a6e13a81bd8c77558e5f7"
"""Of `weights.npz`."""


def build() -> keras.Model:
    """Build the network without weights: one convolution, then four residual blocks of two, each at half the size.

    Returns:
        A model from RGB images in [0, 255], float32 (batch, height, width, 3) of any size, to the feature map of
        block 5; block k ends in the layer `block{k}_out`.

    Reference:
        He et al., Deep Residual Learning, CVPR 2016, https://arxiv.org/abs/1512.03385; average pooling in the
        shortcuts: He et al., Bag of Tricks, CVPR 2019, https://arxiv.org/abs/1812.01187.
    """
    image = keras.Input((None, None, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, -1.0, name="rescaling")(image)
    x = _convolution(x, WIDTHS[0], 2, "block1")
    x = keras.layers.ReLU(name="block1_out")(x)
    for number, width in enumerate(WIDTHS[1:], start=2):
        x = _residual(x, width, f"block{number}")
    return keras.Model(image, x, name=NAME)


def load_weights(model: keras.Model) -> None:
    """Put the shipped weights, stored as float16, into a model that `build` made.

    Raises:
        ValueError: If the file is not the one that belongs to this version.
    """
    file = resources.files("fashionprobe.backbones.mini") / "weights.npz"
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise ValueError("fashionprobe/mini/weights.npz is damaged: install the package again.")
    with resources.as_file(file) as path, np.load(path, allow_pickle=False) as arrays:
        model.set_weights([arrays[f"{place:03d}"].astype(np.float32) for place in range(len(model.weights))])


def _residual(x: keras.KerasTensor, width: int, name: str) -> keras.KerasTensor:
    y = _convolution(x, width, 2, f"{name}_a")
    y = keras.layers.ReLU(name=f"{name}_a_relu")(y)
    y = _convolution(y, width, 1, f"{name}_b")
    shortcut = keras.layers.AveragePooling2D(2, padding="same", name=f"{name}_pool")(x)
    shortcut = _convolution(shortcut, width, 1, f"{name}_shortcut", kernel=1)
    return keras.layers.ReLU(name=f"{name}_out")(keras.layers.Add(name=f"{name}_add")([shortcut, y]))


def _convolution(x: keras.KerasTensor, width: int, stride: int, name: str, kernel: int = 3) -> keras.KerasTensor:
    x = keras.layers.Conv2D(width, kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_conv")(x)
    return keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
