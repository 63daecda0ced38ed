"""Backbones of KerasHub, by the name of a preset or the folder of one: the extra `hub`."""

import warnings
from pathlib import Path
from typing import Any

import keras

from fashionprobe.backbones import architectures
from fashionprobe.backbones.preprocessing import Preprocessing
from fashionprobe.errors import UserError, require


def load(name: str, *, pretrained: bool) -> tuple[keras.Model, Preprocessing | None, tuple[int, int] | None]:
    """Load the backbone of a preset.

    Args:
        name: "hub:" and the name of a preset of KerasHub, such as "hub:resnet_18_imagenet", or a folder that
            `save_to_preset` made.
        pretrained: Whether it gets the weights of the preset; else those it is made with.

    Returns:
        The model; what its weights expect of the pixels and the (height, width) of their images in pixels, where the
        preset has an image converter.

    Raises:
        UserError: If there is no such preset, or it cannot be fetched or is no image network.
    """
    keras_hub = require("keras_hub", extra="hub", purpose=f"the backbone {name}")
    preset = architectures.hub_preset(name)
    try:
        found: Any = keras_hub.models.Backbone.from_preset(preset, load_weights=pretrained)
    except Exception as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            "backbone", expected="a preset of KerasHub that can be fetched from its hub, or the folder of one",
            received=f"{name!r} ({told[0][:150]})",
            remedy="Where the hub is out of reach, fetch it elsewhere, backbone.save_to_preset(FOLDER), and pass "
            "--backbone hub:./FOLDER --trust.",
        ) from error  # fmt: skip
    if not isinstance(found.output, keras.KerasTensor):
        raise UserError(
            "backbone", expected="a preset of a network of images with one output",
            received=f"{name!r}, a {type(found).__name__}",
        )  # fmt: skip
    return keras.Model(found.input, found.output, name=found.name), *_converter(keras_hub, preset)


def _converter(keras_hub: Any, preset: str) -> tuple[Preprocessing | None, tuple[int, int] | None]:
    """Return how a preset scales pixels, and the size of its images; None where it does not say."""
    if Path(preset).is_dir() and not (Path(preset) / "image_converter.json").is_file():
        return None, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = keras_hub.layers.ImageConverter.from_preset(preset).get_config()
    except Exception:
        # A preset without a converter is refused in many ways; then --preprocessing says what pixels are wanted.
        return None, None
    scale = _three(config.get("scale"), 1.0)
    mean = [-offset / factor + 0.0 for offset, factor in zip(_three(config.get("offset"), 0.0), scale, strict=True)]
    size = config.get("image_size")
    return Preprocessing((mean[0], mean[1], mean[2]), (scale[0], scale[1], scale[2])), tuple(size) if size else None


def _three(value: Any, default: float) -> list[float]:
    """Return one number for each colour."""
    if value is None:
        return [default] * 3
    return [float(value)] * 3 if isinstance(value, int | float) else [float(each) for each in value]
