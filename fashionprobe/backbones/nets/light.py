"""Light nets for pictures of 28 pixels: four 3x3 convolutions of 4, 8, 16 and 32 filters.

`light_model` is the net of the siamese report; `light` and `light_bn` are smaller ones of our own, with a pooling after
each convolution.
"""

from typing import Any

import keras

FILTERS = (4, 8, 16, 32)


def light_model() -> keras.Model:
    """Build the LightModel of the siamese report: four convolutions without padding, and one 2x2 maximum pooling.

    28 x 28 pixels become 20 x 20 x 32 and, pooled, 10 x 10 x 32: flattened 3,200 values, and with the dense layer of an
    embedding in 2 dimensions 12,546 parameters. Colour is taken out first, for the net was made for grey pictures.

    Returns:
        A model from RGB images in [0, 255], float32 (batch, height, width, 3), 10 pixels or more, to the map of
        block 4; block k ends in the layer `block{k}_out`, the ReLU, in block 4 the pooling.

    Reference:
        The siamese report (2022), table 4. It does not say how pixels are scaled; here they are brought to [0, 1].
    """
    image, x = _grey()
    for number, width in enumerate(FILTERS, start=1):
        last = number == len(FILTERS)
        x = keras.layers.Conv2D(width, 3, name=f"block{number}_conv")(x)
        x = keras.layers.ReLU(name=f"block{number}_{'relu' if last else 'out'}")(x)
    return keras.Model(image, keras.layers.MaxPooling2D(2, name=f"block{len(FILTERS)}_out")(x), name="light_model")


def light() -> keras.Model:
    """Build a net that pools four times: padded convolution, ReLU, 2x2 maximum pooling.

    It has the filters of `light_model`, but of 28 x 28 pixels one cell of 32 values is left: half the parameters, and a
    fourteenth of the multiplications. Colour is taken out first.

    Returns:
        A model from RGB images in [0, 255], float32 (batch, height, width, 3), 16 pixels or more, to the map of
        block 4; block k ends in the layer `block{k}_out`, after its pooling.
    """
    return _pooled("light", normalized=False)


def light_bn() -> keras.Model:
    """Build `light` with batch normalisation between each convolution and its ReLU.

    Returns:
        A model as that of `light`.
    """
    return _pooled("light_bn", normalized=True)


def _pooled(name: str, *, normalized: bool) -> keras.Model:
    image, x = _grey()
    for number, width in enumerate(FILTERS, start=1):
        block = f"block{number}"
        x = keras.layers.Conv2D(width, 3, padding="same", use_bias=not normalized, name=f"{block}_conv")(x)
        if normalized:
            # Keras' 0.99 is far behind the weights of a training of some hundred batches.
            x = keras.layers.BatchNormalization(momentum=0.9, name=f"{block}_bn")(x)
        x = keras.layers.ReLU(name=f"{block}_relu")(x)
        x = keras.layers.MaxPooling2D(2, name=f"{block}_out")(x)
    return keras.Model(image, x, name=name)


def _grey() -> tuple[Any, Any]:
    """Return the input, RGB in [0, 255], and its luminance in [0, 1]."""
    image = keras.Input((None, None, 3), name="image")
    return image, keras.ops.image.rgb_to_grayscale(keras.layers.Rescaling(1 / 255, name="rescaling")(image))
