import keras
import numpy as np
import pytest
import tensorflow as tf

from fashionprobe import backbones
from fashionprobe.backbones.blocks import choose_taps
from fashionprobe.backbones.graph import copy_model
from fashionprobe.channels.receptive_field import receptive_fields
from fashionprobe.errors import UserError


def seen(model, layer, row, column, size):
    """The pixels with a gradient: (top, left, bottom, right), found by asking TensorFlow."""
    # In float64 no small gradient at the border is lost, and none appears where there is none.
    part = copy_model(keras.Model(model.input, model.get_layer(layer).output), dtype="float64")
    image = tf.Variable(np.random.default_rng(0).random((1, *size, 3)))
    with tf.GradientTape() as tape:
        score = tf.reduce_sum(part(image, training=False)[0, row, column])
    there = np.abs(tape.gradient(score, image).numpy()[0]).sum(-1) > 0
    rows, columns = np.nonzero(there.any(1))[0], np.nonzero(there.any(0))[0]
    return rows[0], columns[0], rows[-1] + 1, columns[-1] + 1


def assert_right(model, layer, size):
    """The predicted box, clipped to the image, is exactly where the gradient is, at all corners and in the middle."""
    field = receptive_fields(model, [layer], size=size)[layer]
    spec = keras.Model(model.input, model.get_layer(layer).output).compute_output_spec(keras.KerasTensor((1, *size, 3)))
    height, width = spec.shape[1:3]
    for row, column in {(0, 0), (0, width - 1), (height - 1, 0), (height // 2, width // 2), (height - 1, width - 1)}:
        top, left, bottom, right = field.box(row, column)
        expected = (max(top, 0), max(left, 0), min(bottom, size[0]), min(right, size[1]))
        assert seen(model, layer, row, column, size) == expected, (layer, size, row, column)


def linear(model):
    """The same graph with positive weights and no dead ReLU: every pixel in reach has a gradient that is not 0."""
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.ReLU):
            layer.negative_slope = 1.0
        elif hasattr(layer, "activation"):
            layer.activation = keras.activations.linear
        layer.set_weights([random.uniform(0.5, 1.0, weight.shape) for weight in layer.get_weights()])
    return model


def chain(*parts, size=(None, None)):
    image = x = keras.Input((*size, 3))
    for part in parts:
        x = part(x)
    return linear(keras.Model(image, x))


C, L = keras.layers.Conv2D, keras.layers


def average(**options):
    """Average pooling, because only the greatest value of a max pooling window has a gradient."""
    return L.AveragePooling2D(**options)


def vgg(padding):
    return chain(
        C(4, 3, padding=padding), C(4, 3, padding=padding, name="block1"), average(pool_size=2, padding=padding),
        C(4, 3, padding=padding, dilation_rate=2), C(4, (5, 3), padding=padding, name="block2"),
        average(pool_size=3, strides=2, padding=padding), C(4, 3, strides=(2, 1), padding=padding, name="block3"),
    )  # fmt: skip


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("layer", ["block1", "block2", "block3"])
@pytest.mark.parametrize("size", [(48, 48), (47, 50)])
def test_a_chain_of_convolutions_and_poolings(padding, layer, size):
    assert_right(vgg(padding), layer, size)


@pytest.mark.parametrize("size", [(33, 33), (32, 37), (40, 34)])
@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("kind", [L.DepthwiseConv2D, lambda *args, **options: L.SeparableConv2D(4, *args, **options)])
def test_padding_depends_on_the_size_of_the_image(kind, strides, size):
    same = {"strides": strides, "padding": "same"}
    assert_right(chain(kind(4, **same), kind(4, **same), kind(3, name="last", **same)), "last", size)


def residual(image_size=(None, None)):
    image = keras.Input((*image_size, 3))
    x = L.ZeroPadding2D(((3, 2), (1, 4)))(image)
    x = L.Activation("linear")(L.BatchNormalization()(C(4, 7, strides=2)(x)))
    shortcut = C(4, 1, strides=2)(x)
    x = C(4, 3, strides=2, padding="same")(x)
    x = L.Add(name="sum")([C(4, 3, padding="same")(x), shortcut])
    y = L.Concatenate(name="joined")([L.Cropping2D(((1, 1), (1, 1)))(x), C(4, 3)(x)])
    return linear(keras.Model(image, y + 1.0))


@pytest.mark.parametrize("size", [(40, 44), (41, 39)])
@pytest.mark.parametrize("layer", ["sum", "joined"])
def test_branches_take_the_box_around_both(layer, size):
    assert_right(residual(), layer, size)


@pytest.mark.slow
def test_mini():
    loaded = backbones.load("mini")
    model = linear(loaded.model)
    for tap in loaded.taps[:4]:
        assert_right(model, tap, (77, 61))


def test_values_worked_out_by_hand():
    # VGG16, as Araujo et al. list it: block5_conv3 has a field of 196 pixels and a stride of 16.
    model = keras.applications.VGG16(weights=None, include_top=False, input_shape=(224, 224, 3))
    fields = receptive_fields(model, ["block1_conv2", "block2_conv2", "block5_conv3"])
    assert [field.size[0] for field in fields.values()] == [5, 14, 196]
    assert [field.stride for field in fields.values()] == [(1, 1), (2, 2), (16, 16)]
    assert fields["block1_conv2"].start == (-2, -2)
    assert fields["block1_conv2"].box(10, 20) == (8, 18, 13, 23)
    tops, *_, rights = fields["block2_conv2"].box(np.array([0, 1]), np.array([2, 3]))
    np.testing.assert_array_equal(tops, [-6, -4])
    np.testing.assert_array_equal(rights, [12, 14])


def test_resnet50_has_the_fields_of_the_paper():
    model = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(224, 224, 3))
    layers = ["conv1_relu", "conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out"]
    # The last is the one that Araujo et al. list for ResNet-v1-50.
    sizes = [field.size[0] for field in receptive_fields(model, layers).values()]
    assert sizes == [7, 35, 99, 291, 483]


def squeezed():
    image = keras.Input((32, 32, 3))
    x = C(4, 3, name="before")(image)
    gate = L.Dense(4)(L.Reshape((1, 1, 4))(L.GlobalAveragePooling2D()(x)))
    return keras.Model(image, C(2, 3, name="after")(L.Multiply(name="gated")([x, gate])))


def test_behind_squeeze_and_excite_every_value_sees_the_whole_image():
    fields = receptive_fields(squeezed(), ["before", "gated", "after"])
    assert fields["before"].size == (3, 3)
    assert fields["gated"].box(3, 4) == fields["after"].box(0, 9) == (0, 0, 32, 32)
    assert fields["after"].stride == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV3Small", "EfficientNetB0", "InceptionV3", "ConvNeXtTiny"])
def test_the_backbones_of_keras_are_understood(name):
    model = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(128, 128, 3))
    last = choose_taps(model, None, (128, 128))[-1]
    assert receptive_fields(model, [last])[last].size[0] >= 128


def test_nested_and_sequential_models():
    inner = keras.Sequential([keras.Input((None, None, 3)), C(4, 3, name="inner_map")])
    model = keras.Sequential([keras.Input((20, 20, 3)), C(3, 5), inner, C(2, 3, name="outer_map")])
    fields = receptive_fields(model, ["inner_map", "outer_map"])
    assert [field.size for field in fields.values()] == [(7, 7), (9, 9)]


class Odd(keras.layers.Layer):
    def call(self, inputs):
        return inputs[:, ::-1]


@pytest.mark.parametrize(
    ("layer", "kind"), [(Odd(name="odd"), "Odd"), (L.Conv2DTranspose(2, 3, name="odd"), "Conv2DTranspose")]
)
def test_a_layer_of_unknown_reach_is_named(layer, kind):
    image = keras.Input((16, 16, 3))
    model = keras.Model(image, C(2, 3, name="after")(layer(C(2, 3, name="before")(image))))
    assert receptive_fields(model, ["before"])["before"].size == (3, 3)
    with pytest.raises(UserError, match=rf"layers whose reach is known. Received: odd, a {kind} layer. Ask for a"):
        receptive_fields(model, ["after"])


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (None, "`size` must be .height, width. for a model without an input size"),
        ((2, 2), "`size` must be large enough"),
        ((0, 9), r"`size` must be .height, width. that fit the input \(None, None, None, 3\). Received: \(0, 9\)"),
    ],
)
def test_sizes_that_do_not_fit(size, message):
    with pytest.raises(UserError, match=message):
        receptive_fields(vgg("valid"), ["block3"], size=size)


def test_a_layer_that_is_not_there(network):
    with pytest.raises(UserError, match="`layer` must be a layer of"):
        receptive_fields(network, ["fist"])
    with pytest.raises(UserError, match="`layer` must be one with a feature map"):
        receptive_fields(network, ["descriptor"])
