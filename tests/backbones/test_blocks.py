"""The layers that end the blocks, of known backbones and of small models made by hand."""

import keras
import pytest
from keras import layers

from fashionprobe.backbones.blocks import TAPS, choose_taps, find_taps, smallest_size
from fashionprobe.backbones.graph import flatten
from fashionprobe.errors import UserError


def conv(name, filters=4, **options):
    return layers.Conv2D(filters, 3, name=name, **({"padding": "same"} | options))


def chain(*parts):
    inputs = x = keras.Input((None, None, 3))
    for part in parts:
        x = part(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize("name", ["ResNet50", "VGG16", "MobileNet"])
def test_the_table_is_what_the_rule_finds(name):
    options = {"input_shape": (224, 224, 3)} if name == "MobileNet" else {}
    model = getattr(keras.applications, name)(include_top=False, weights=None, **options)
    assert find_taps(model) == TAPS[name.lower()]


def test_deeper_kin_of_a_known_backbone_has_taps_of_its_own():
    taps = choose_taps(keras.applications.VGG19(include_top=False, weights=None), None, (224, 224))
    assert taps == ("block1_conv2", "block2_conv2", "block3_conv4", "block4_conv4", "block5_conv4")


def test_pooling_and_strides_end_blocks():
    model = chain(conv("a"), conv("b"), layers.MaxPooling2D(name="pool"), conv("c"), conv("d", strides=2), conv("e"))
    assert find_taps(model) == ("b", "c", "e")


def test_last_level_of_pooling_alone_is_no_block():
    assert find_taps(chain(conv("a"), layers.MaxPooling2D())) == ("a",)
    assert find_taps(chain(conv("a"), layers.MaxPooling2D(), layers.ReLU(name="b"))) == ("a", "b")


def test_valid_padding_is_no_reduction():
    parts = [conv("a", padding="valid"), layers.MaxPooling2D(), conv("b", padding="valid"), conv("c", padding="valid")]
    assert find_taps(chain(*parts), (32, 32)) == ("a", "c")
    assert find_taps(chain(conv("a", padding="valid")), (32, 32)) == ("a",)


def test_a_convolution_of_stride_three_quarters_at_small_size():
    # 8 -> 6 is three quarters, still none; 7 -> 5 is less.
    model = chain(conv("a"), conv("b", padding="valid"))
    assert find_taps(model, (8, 8)) == ("b",)
    assert find_taps(model, (7, 7)) == ("a", "b")


@pytest.mark.parametrize(
    "between",
    [layers.ZeroPadding2D(), layers.Cropping2D(1), layers.Rescaling(2.0), layers.Normalization(mean=0, variance=1)],
)
def test_what_computes_nothing_before_a_reduction_is_passed_over(between):
    model = chain(conv("a"), between, conv("b", strides=2, padding="valid"))
    assert find_taps(model, (32, 32)) == ("a", "b")


def test_reduction_of_the_input_itself_ends_no_block():
    assert find_taps(chain(layers.Rescaling(1 / 255), layers.ZeroPadding2D(), conv("a", strides=2))) == ("a",)


def test_squeeze_and_excite_is_passed_by():
    inputs = keras.Input((None, None, 3))
    x = conv("a")(inputs)
    for keep, name in ((True, "kept"), (False, "flat")):
        gate = layers.GlobalAveragePooling2D(keepdims=keep)(x)
        if not keep:
            gate = layers.Reshape((1, 1, 4))(gate)
        gate = layers.Conv2D(4, 1, activation="sigmoid", name=f"gate_{name}")(gate)
        x = layers.Multiply(name=name)([x, gate])
    model = keras.Model(inputs, conv("c")(conv("b", strides=2)(x)))
    assert find_taps(model) == ("flat", "c")


def test_global_pooling_ends_the_maps():
    model = chain(conv("a"), layers.MaxPooling2D(), conv("b"), layers.GlobalAveragePooling2D(), layers.Dense(3))
    assert find_taps(model) == ("a", "b")


@pytest.mark.parametrize(("behind", "tap"), [("short", "c"), ("long", "a")])
def test_of_branches_the_one_reduced_last_gives_the_tap(behind, tap):
    inputs = keras.Input((None, None, 3))
    x = conv("a")(inputs)
    branches = {"long": conv("d", strides=2)(conv("c")(conv("b")(x))), "short": conv("e", strides=2)(x)}
    branches[behind] = conv("f")(branches[behind])
    model = keras.Model(inputs, layers.Add(name="sum")(list(branches.values())))
    assert find_taps(model) == (tap, "sum")


def test_plain_operations_pass_the_map_on():
    inputs = keras.Input((None, None, 3))
    x = conv("a")(inputs)
    x = layers.LayerNormalization(name="norm")(x * 2 + conv("b")(x))
    model = keras.Model(inputs, conv("d")(conv("c", strides=2)(x) + 1))
    assert find_taps(model) == ("norm", "d")


def test_sequential_and_nested_models():
    inner = keras.Sequential([keras.Input((None, None, 4)), conv("c"), conv("d", strides=2)], name="inner")
    model = keras.Sequential([keras.Input((32, 32, 3)), conv("a"), layers.MaxPooling2D(), inner, conv("e")])
    assert find_taps(flatten(model), (32, 32)) == ("a", "c", "e")


def test_named_taps_are_taken_as_they_are():
    model = chain(conv("a"), conv("b"), conv("c"))
    assert choose_taps(model, ["c", "a"], (32, 32)) == ("c", "a")


def error(call, *arguments):
    with pytest.raises(UserError) as caught:
        call(*arguments)
    return str(caught.value)


def test_unknown_tap():
    model = keras.Sequential([keras.Input((32, 32, 3)), conv("conv_a"), conv("conv_b")], name="small")
    text = error(choose_taps, flatten(model), ["conv_c"], (32, 32))
    assert text == "`taps` must be layer names of small, such as conv_b, conv_a. Received: conv_c."


def test_tap_without_a_map():
    model = chain(conv("a"), layers.GlobalAveragePooling2D(name="pooled"))
    text = error(choose_taps, model, ["a", "pooled"], (32, 32))
    assert text == (
        "`taps` must be layers with a feature map (batch, height, width, channels), or tokens (batch, tokens, "
        "channels). Received: pooled."
    )


def test_size_too_small():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, conv("b", padding="valid")(conv("a", padding="valid")(inputs)), name="small")
    text = error(find_taps, model, (4, 4))
    assert text == "`size` must be large enough for small. Received: [4, 4]. Use a larger --size."


def test_model_without_maps():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(inputs), name="flat")
    assert error(find_taps, model) == "`backbone` must be a model with feature maps. Received: flat, which has none."


def test_the_smallest_size_is_the_product_of_the_reductions():
    model = chain(conv("a", strides=2), layers.MaxPooling2D(name="b"), conv("c"), conv("d", strides=2))
    assert [smallest_size(model, tap) for tap in "abcd"] == [2, 4, 4, 8]
    fixed = keras.Sequential([keras.Input((9, 9, 3)), conv("a", strides=2)])
    assert smallest_size(flatten(fixed), "a") == 1


@pytest.mark.parametrize("plain", [False, True])
def test_a_vision_transformer_has_a_block_for_each_attention(plain):
    import keras
    from keras import layers

    image = keras.Input((16, 16, 3))
    x = layers.Reshape((-1, 8))(layers.Conv2D(8, 4, strides=4, name="patches")(image))
    for number in (1, 2):
        y = layers.LayerNormalization(name=f"before{number}")(x)
        y = layers.MultiHeadAttention(1, 8)(y, y)
        x = x + y if plain else layers.Add(name=f"out{number}")([x, y])
    model = keras.Model(image, layers.GlobalAveragePooling1D()(layers.LayerNormalization(name="last")(x)))
    # A plain sum has no name to ask for: what it is normalised to is the block.
    assert find_taps(model, (16, 16)) == (("before2", "last") if plain else ("out1", "out2"))
    assert choose_taps(model, ["patches", "before1"], (16, 16)) == ("patches", "before1")
