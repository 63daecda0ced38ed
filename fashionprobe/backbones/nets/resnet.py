"""ResNet-18 and ResNet-34, which keras.applications has not.

Reference:
    He et al., Deep Residual Learning for Image Recognition, CVPR 2016, https://arxiv.org/abs/1512.03385, table 1.
"""

from collections.abc import Sequence

import keras

FILTERS = (64, 128, 256, 512)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the pixels of ImageNet in [0, 1], which published weights of these nets expect to be taken out."""


def resnet18() -> keras.Model:
    """Build ResNet-18 without its dense layer: two blocks a stage, 11,186,112 parameters.

    Returns:
        A model from RGB images in [0, 255], float32 (batch, height, width, 3), to the map of the last stage, 1/32 of
        the image's size. It ends block 1 in `conv1_relu` and block k in `stage{k-1}_out`.
    """
    return _build((2, 2, 2, 2), "resnet18")


def resnet34() -> keras.Model:
    """Build ResNet-34 without its dense layer: 3, 4, 6 and 3 blocks a stage, 21,301,696 parameters.

    Returns:
        A model as that of `resnet18`.
    """
    return _build((3, 4, 6, 3), "resnet34")


def _build(depths: Sequence[int], name: str) -> keras.Model:
    image = keras.Input((None, None, 3), name="image")
    scale = [1 / (255 * deviation) for deviation in DEVIATION]
    offset = [-mean / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True)]
    x = keras.layers.Rescaling(scale, offset, name="rescaling")(image)  # pyright: ignore[reportArgumentType]
    x = keras.layers.ReLU(name="conv1_relu")(_convolution(x, 64, 7, "conv1", stride=2))
    # Padded by hand: Keras' own "same" would pad on the right alone, and published weights be half a pixel off.
    x = keras.layers.ZeroPadding2D(1, name="pool_pad")(x)
    x = keras.layers.MaxPooling2D(3, strides=2, name="pool")(x)
    for stage, (depth, width) in enumerate(zip(depths, FILTERS, strict=True), start=1):
        for number in range(1, depth + 1):
            block = f"stage{stage}_{number}"
            last = f"stage{stage}_out" if number == depth else f"{block}_out"
            x = _basic_block(x, width, block, last, stride=2 if stage > 1 and number == 1 else 1)
    return keras.Model(image, x, name=name)


def _basic_block(x: keras.KerasTensor, width: int, name: str, out: str, *, stride: int) -> keras.KerasTensor:
    """Add two 3x3 convolutions and the input, which a 1x1 convolution brings to shape where that changes."""
    y = keras.layers.ReLU(name=f"{name}_relu")(_convolution(x, width, 3, f"{name}_a", stride=stride))
    y = _convolution(y, width, 3, f"{name}_b")
    if stride > 1:
        x = _convolution(x, width, 1, f"{name}_shortcut", stride=stride)
    return keras.layers.ReLU(name=out)(keras.layers.Add(name=f"{name}_add")([x, y]))


def _convolution(x: keras.KerasTensor, width: int, kernel: int, name: str, *, stride: int = 1) -> keras.KerasTensor:
    if kernel > 1:
        x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    x = keras.layers.Conv2D(width, kernel, strides=stride, use_bias=False, name=f"{name}_conv")(x)
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
