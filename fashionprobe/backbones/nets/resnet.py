"""ResNet-18, -34 and -50 as torchvision has them: keras.applications lacks two and strides elsewhere in the third.

Reference:
    He et al., Deep Residual Learning for Image Recognition, CVPR 2016, https://arxiv.org/abs/1512.03385, table 1.
"""

from collections.abc import Sequence

import keras

FILTERS = (64, 128, 256, 512)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the pixels of ImageNet in [0, 1], which published weights of these nets expect to be taken out."""


def resnet18(classes: int | None = None) -> keras.Model:
    """Build ResNet-18: two blocks a stage, 11,186,112 parameters without its dense layer.

    Args:
        classes: Number of classes, whose probabilities it returns; None for the last feature map.

    Returns:
        A model from RGB images in [0, 255], float32 (batch, height, width, 3), to the map of the last stage, 1/32 of
        the image's size. It ends block 1 in `conv1_relu` and block k in `stage{k-1}_out`.
    """
    return build("resnet18", (2, 2, 2, 2), classes)


def resnet34(classes: int | None = None) -> keras.Model:
    """Build ResNet-34: 3, 4, 6 and 3 blocks a stage, 21,301,696 parameters without its dense layer.

    Args:
        classes: As for `resnet18`.

    Returns:
        A model as that of `resnet18`.
    """
    return build("resnet34", (3, 4, 6, 3), classes)


def resnet50(classes: int | None = None) -> keras.Model:
    """Build ResNet-50 as torchvision does: the 3x3 convolution of a block strides, where Keras strides one earlier.

    Args:
        classes: As for `resnet18`.

    Returns:
        A model as that of `resnet18`, with maps four times as deep.
    """
    return build("resnet50", (3, 4, 6, 3), classes, bottleneck=True)


def build(
    name: str, depths: Sequence[int], classes: int | None = None, *, bottleneck: bool = False,
    filters: Sequence[int] = FILTERS,
) -> keras.Model:  # fmt: skip
    """Build a residual network of four stages or fewer.

    Args:
        name: Its name.
        depths: Residual blocks of each stage.
        classes: As for `resnet18`.
        bottleneck: Whether a block has three convolutions and returns four times as many channels, or two.
        filters: Filters of the 3x3 convolutions of each stage.
    """
    image = keras.Input((None, None, 3), name="image")
    scale = [1 / (255 * deviation) for deviation in DEVIATION]
    offset = [-mean / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True)]
    x = keras.layers.Rescaling(scale, offset, name="rescaling")(image)  # pyright: ignore[reportArgumentType]
    x = keras.layers.ReLU(name="conv1_relu")(_convolution(x, filters[0], 7, "conv1", stride=2))
    # Padded by hand: Keras' own "same" would pad on the right alone, and published weights be half a pixel off.
    x = keras.layers.ZeroPadding2D(1, name="pool_pad")(x)
    x = keras.layers.MaxPooling2D(3, strides=2, name="pool")(x)
    for stage, (depth, width) in enumerate(zip(depths, filters, strict=False), start=1):
        for number in range(1, depth + 1):
            block = f"stage{stage}_{number}"
            last = f"stage{stage}_out" if number == depth else f"{block}_out"
            x = _block(x, width, block, last, stride=2 if stage > 1 and number == 1 else 1, bottleneck=bottleneck)
    if classes is not None:
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = keras.layers.Dense(classes, activation="softmax", name="predictions")(x)
    return keras.Model(image, x, name=name)


def torch_name(layer: str) -> str:
    """Return what torchvision calls a layer.

    Example:
        >>> torch_name("stage2_1_shortcut_bn")
        'layer2.0.downsample.1'
    """
    if not layer.startswith("stage"):
        return {"conv1_conv": "conv1", "conv1_bn": "bn1", "predictions": "fc"}.get(layer, layer)
    stage, number, part, kind = layer.removeprefix("stage").split("_")
    place = "abc".find(part) + 1
    kinds = {"conv": f"conv{place}", "bn": f"bn{place}"} if place else {"conv": "downsample.0", "bn": "downsample.1"}
    return f"layer{stage}.{int(number) - 1}.{kinds[kind]}"


def _block(
    x: keras.KerasTensor, width: int, name: str, out: str, *, stride: int, bottleneck: bool
) -> keras.KerasTensor:
    """Add convolutions and the input, which a 1x1 convolution brings to shape where that changes."""
    parts = (
        [(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)] if bottleneck else [(width, 3, stride), (width, 3, 1)]
    )
    y = x
    for part, (channels, kernel, step) in zip("abc", parts, strict=False):
        y = _convolution(y, channels, kernel, f"{name}_{part}", stride=step)
        if part != "abc"[len(parts) - 1]:
            y = keras.layers.ReLU(name=f"{name}_relu" if part == "a" else f"{name}_{part}_relu")(y)
    if stride > 1 or x.shape[-1] != y.shape[-1]:
        x = _convolution(x, y.shape[-1], 1, f"{name}_shortcut", stride=stride)
    return keras.layers.ReLU(name=out)(keras.layers.Add(name=f"{name}_add")([x, y]))


def _convolution(x: keras.KerasTensor, width: int, kernel: int, name: str, *, stride: int = 1) -> keras.KerasTensor:
    if kernel > 1:
        x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    x = keras.layers.Conv2D(width, kernel, strides=stride, use_bias=False, name=f"{name}_conv")(x)
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
