"""Nets that are built here and have no weights of their own: to be trained from scratch, or given a weights file."""

from collections.abc import Callable

import keras

from fashionprobe.backbones.nets import fine_maps, light, resnet

NETS: dict[str, tuple[Callable[[], keras.Model], tuple[int, int]]] = {
    "residual": (fine_maps.residual, (224, 224)),
    "sketch": (fine_maps.sketch, (128, 128)),
    "symbol": (fine_maps.symbol, (72, 72)),
    "vgg_residual": (fine_maps.vgg_residual, (224, 224)),
    "vgg_plain": (fine_maps.vgg_plain, (72, 72)),
    "light_model": (light.light_model, (28, 28)),
    "light": (light.light, (28, 28)),
    "light_bn": (light.light_bn, (28, 28)),
    "resnet18": (resnet.resnet18, (224, 224)),
    "resnet34": (resnet.resnet34, (224, 224)),
}
"""By name: how each is built, and the (height, width) in pixels it takes when no size is asked for."""
