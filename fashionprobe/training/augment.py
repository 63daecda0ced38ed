"""Random changes to training images, by name, made of Keras' own preprocessing layers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fashionprobe.errors import UserError, unknown_name

if TYPE_CHECKING:
    import keras

AUGMENTATIONS = ("flip", "shift", "zoom", "rotate", "brightness", "contrast", "hue", "saturation")
FILL = "nearest"
"""Where a picture was moved away its edge is extended: white for product photographs, black for those on black."""


def check(names: Sequence[str]) -> None:
    """Check the names of augmentations.

    Raises:
        UserError: If there is no such augmentation.
    """
    for name in names:
        if name not in AUGMENTATIONS:
            raise unknown_name("augment", name, AUGMENTATIONS)


def layers(names: Sequence[str], *, seed: int, xla: bool = False) -> "list[keras.Layer]":
    """Make the layers of the named augmentations, in the order given.

    Args:
        names: Of `AUGMENTATIONS`: flip (left to right), shift (up to 10 % of height and width), zoom (up to 20 %),
            rotate (up to 10 degrees), brightness and contrast (up to 20 %), hue (up to 20 % of half the circle) and
            saturation (up to 40 %).
        seed: Seed; each layer gets one of its own.
        xla: Whether they will be compiled with XLA.

    Returns:
        Layers for RGB images, float32 (batch, height, width, 3) in [0, 255].

    Raises:
        UserError: If there is no such augmentation, or XLA cannot compile one.
    """
    check(names)
    # Six, as many as there were at first: the same seed draws the same changes as ever.
    made = [_layer(name, seed * 6 + AUGMENTATIONS.index(name)) for name in names]
    blocked = [name for name, layer in zip(names, made, strict=True) if not layer.supports_jit]
    if xla and blocked:
        raise UserError(
            "augment", expected="without shift, zoom and rotate when --xla is set, which cannot compile them",
            received=", ".join(blocked), remedy="Leave out --xla, or those augmentations.",
        )  # fmt: skip
    return made


def _layer(name: str, seed: int) -> "keras.Layer":
    import keras

    # TensorFlow takes seeds of 31 bits.
    given = {"seed": seed % 2**31, "name": f"augment_{name}", "dtype": "float32"}
    moved = {"fill_mode": FILL, **given}
    match name:
        case "flip":
            return keras.layers.RandomFlip("horizontal", **given)
        case "shift":
            return keras.layers.RandomTranslation(0.1, 0.1, **moved)
        case "zoom":
            return keras.layers.RandomZoom(0.2, **moved)
        case "rotate":
            return keras.layers.RandomRotation(10 / 360, **moved)
        case "brightness":
            return keras.layers.RandomBrightness(0.2, value_range=(0, 255), **given)
        case "hue":
            return keras.layers.RandomHue(0.2, value_range=(0, 255), **given)
        case "saturation":
            return keras.layers.RandomSaturation(0.2, value_range=(0, 255), **given)
    return keras.layers.RandomContrast(0.2, value_range=(0, 255), **given)
