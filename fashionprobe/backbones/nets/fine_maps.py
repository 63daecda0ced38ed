"""Nets for masked training: fine last maps, all blocks of few filters, no weights.

A net whose last map is fine can be told where not to look. `vgg_residual` and `vgg_plain` are those of the visual
feedback thesis, for photographs of 224 pixels and drawings of 72. Ours: `residual` for photographs of 224 pixels,
`sketch` for drawings of 128, `symbol` for drawings of 72; the last trains on two processor cores.
"""

from typing import Any

import keras

KERNELS = (3, 4, 5)
FILTERS = 64

VGG_RESIDUAL_WIDTHS, VGG_PLAIN_WIDTHS = (16, 24, 32, 48, 64), (16, 32, 64)
"""Filters by block. The thesis says that there are more with depth, and 64 at the end; the other numbers are ours."""


def vgg_residual() -> keras.Model:
    """Build the net of the feedback thesis for animals and sketches: five blocks, the last map 14 x 14 x 64.

    Each block has two convolutions of 3x3, each with batch normalisation, and adds its input before the last ReLU;
    maximum pooling halves the map after each block but the last.

    Returns:
        A model from RGB images in [0, 255], float32 (batch, height, width, 3) of any size, made for 224 pixels, to the
        feature map of block 5; block k ends in the layer `block{k}_out`.
    """
    return _vgg("vgg_residual", VGG_RESIDUAL_WIDTHS, plain=False)


def vgg_plain() -> keras.Model:
    """Build the net of the feedback thesis for symbols: three blocks, the last map 18 x 18 x 64 for 72 pixels.

    Each block has two convolutions of 3x3 with ReLU, without batch normalisation and without residual sums; maximum
    pooling halves the map after each block but the last.

    Returns:
        A model as that of `vgg_residual`, made for 72 pixels; block k ends in the layer `block{k}_out`.
    """
    return _vgg("vgg_plain", VGG_PLAIN_WIDTHS, plain=True)


def residual() -> keras.Model:
    """Build the residual net for photographs of 224 pixels: five blocks, the last map 14 x 14 x 64.

    Each block convolves with 64 filters of 3x3, 4x4 and 5x5 pixels, each followed by batch normalisation and ReLU,
    and adds its input before the last ReLU; maximum pooling halves the map after each block but the last.

    Returns:
        A model from RGB images in [0, 255], float32 (batch, height, width, 3) of any size, to the feature map of
        block 5; block k ends in the layer `block{k}_out`.

    Reference:
        He et al., Deep Residual Learning, CVPR 2016, https://arxiv.org/abs/1512.03385.
    """
    image = keras.Input((None, None, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, -1.0, name="rescaling")(image)
    return keras.Model(image, _large_blocks(x, poolings=4), name="residual")


def sketch() -> keras.Model:
    """Build the residual net for drawings of 128 pixels: as `residual`, but the last map is 16 x 16 x 64.

    There is pooling after the first three blocks only. White paper is 0 inside, so that the padding looks like paper.

    Returns:
        A model as that of `residual`.
    """
    image = keras.Input((None, None, 3), name="image")
    return keras.Model(image, _large_blocks(_ink(image), poolings=3), name="sketch")


def symbol() -> keras.Model:
    """Build the small net for drawings of 72 pixels: four blocks of 16, 32, 48 and 64 filters, the last map 18 x 18.

    Each block has one 3x3 convolution; from block 2 on a 1x1 convolution follows, and the block's input is added.
    Pooling halves the map after blocks 1 and 2 only. So one cell of the last map sees 26 x 26 pixels and no more, and a
    mark in a corner shows in the cells near that corner alone. An image takes 27 million multiplications.

    Returns:
        A model from RGB images in [0, 255], float32 (batch, height, width, 3) of any size, to the feature map of
        block 4; block k ends in the layer `block{k}_out`. White paper is 0 inside, so that the padding looks like it.
    """
    image = keras.Input((None, None, 3), name="image")
    x = keras.layers.ReLU(name="block1_out")(_convolution(_ink(image), 16, 3, "block1"))
    for number, width in ((2, 32), (3, 48), (4, 64)):
        name = f"block{number}"
        if number <= 3:
            x = keras.layers.MaxPooling2D(2, padding="same", name=f"{name}_pool")(x)
        y = keras.layers.ReLU(name=f"{name}_a_relu")(_convolution(x, width, 3, f"{name}_a"))
        y = _convolution(y, width, 1, f"{name}_b")
        shortcut = _convolution(x, width, 1, f"{name}_shortcut")
        x = keras.layers.ReLU(name=f"{name}_out")(keras.layers.Add(name=f"{name}_add")([shortcut, y]))
    return keras.Model(image, x, name="symbol")


def _vgg(name: str, widths: tuple[int, ...], *, plain: bool) -> keras.Model:
    """Build blocks of two convolutions, with pooling between them."""
    image = keras.Input((None, None, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, -1.0, name="rescaling")(image)
    for number, width in enumerate(widths, 1):
        block = f"block{number}"
        if number > 1:
            x = keras.layers.MaxPooling2D(2, padding="same", name=f"{block}_pool")(x)
        if plain:
            x = keras.layers.Conv2D(width, 3, padding="same", activation="relu", name=f"{block}_a")(x)
            x = keras.layers.Conv2D(width, 3, padding="same", activation="relu", name=f"{block}_out")(x)
            continue
        shortcut = _convolution(x, width, 1, f"{block}_shortcut")
        x = keras.layers.ReLU(name=f"{block}_a_relu")(_convolution(x, width, 3, f"{block}_a"))
        x = keras.layers.Add(name=f"{block}_add")([shortcut, _convolution(x, width, 3, f"{block}_b")])
        x = keras.layers.ReLU(name=f"{block}_out")(x)
    return keras.Model(image, x, name=name)


def _ink(image: Any) -> Any:
    """Map white to 0 and black to 1."""
    return keras.layers.Rescaling(-1 / 255, 1.0, name="rescaling")(image)


def _large_blocks(x: keras.KerasTensor, *, poolings: int) -> keras.KerasTensor:
    """Add five residual blocks with convolutions of three sizes, pooling after the first ones."""
    for number in range(1, 6):
        name = f"block{number}"
        # The first block's input has three channels and needs a convolution to be added.
        shortcut = _convolution(x, FILTERS, 1, f"{name}_shortcut") if number == 1 else x
        for kernel in KERNELS:
            x = _convolution(x, FILTERS, kernel, f"{name}_{kernel}x{kernel}")
            if kernel != KERNELS[-1]:
                x = keras.layers.ReLU(name=f"{name}_{kernel}x{kernel}_relu")(x)
        x = keras.layers.ReLU(name=f"{name}_out")(keras.layers.Add(name=f"{name}_add")([shortcut, x]))
        if number <= poolings:
            x = keras.layers.MaxPooling2D(2, padding="same", name=f"{name}_pool")(x)
    return x


def _convolution(x: keras.KerasTensor, width: int, kernel: int, name: str) -> keras.KerasTensor:
    x = keras.layers.Conv2D(width, kernel, padding="same", use_bias=False, name=f"{name}_conv")(x)
    return keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
