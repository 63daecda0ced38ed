"""The light net for pictures of 28 pixels: four 3x3 convolutions of 4, 8, 16 and 32 filters, each halved by pooling."""

import keras

FILTERS = (4, 8, 16, 32)


def light() -> keras.Model:
    """Build the light net as it is described: convolution, ReLU, 2x2 maximum pooling, four times.

    Of 28 x 28 pixels one cell of 32 values is left. Colour is taken out first, for the net was made for grey pictures.

    Returns:
        A model from RGB images in [0, 255], float32 (batch, height, width, 3), 16 pixels or more, to the map of
        block 4; block k ends in the layer `block{k}_out`, after its pooling.
    """
    return _build("light", normalized=False)


def light_bn() -> keras.Model:
    """Build the light net with batch normalisation between each convolution and its ReLU.

    Returns:
        A model as that of `light`.
    """
    return _build("light_bn", normalized=True)


def _build(name: str, *, normalized: bool) -> keras.Model:
    image = keras.Input((None, None, 3), name="image")
    x = keras.layers.Rescaling(1 / 255, name="rescaling")(image)
    x = keras.ops.image.rgb_to_grayscale(x)
    for number, width in enumerate(FILTERS, start=1):
        block = f"block{number}"
        x = keras.layers.Conv2D(width, 3, padding="same", use_bias=not normalized, name=f"{block}_conv")(x)
        if normalized:
            # Keras' 0.99 is far behind the weights of a training of some hundred batches.
            x = keras.layers.BatchNormalization(momentum=0.9, name=f"{block}_bn")(x)
        x = keras.layers.ReLU(name=f"{block}_relu")(x)
        x = keras.layers.MaxPooling2D(2, name=f"{block}_out")(x)
    return keras.Model(image, x, name=name)
