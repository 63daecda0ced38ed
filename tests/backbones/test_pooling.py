"""Poolings and regions against NumPy, one place of a map at a time."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from fashionprobe.backbones import Backbone
from fashionprobe.backbones.descriptors import extractor, foreground, pooled
from fashionprobe.backbones.pooling import Pooling, Source, poolings, sources
from fashionprobe.backbones.preprocessing import PREPROCESSING
from fashionprobe.errors import UserError

RNG = np.random.default_rng(0)


def by_hand(feature_map, pool, weights=None):
    """Summarise one map (rows, columns, channels) as the definitions say."""
    places = feature_map.reshape(-1, feature_map.shape[-1]).astype(np.float64)
    shares = np.full(len(places), 1 / len(places)) if weights is None else weights.ravel() / weights.sum()
    if pool == "max":
        return places[shares > 0].max(axis=0)
    if pool == "gem":
        return (shares @ np.maximum(places, 1e-6) ** 3) ** (1 / 3)
    mean = shares @ places
    return mean if pool == "mean" else np.concatenate([mean, np.sqrt(shares @ (places - mean) ** 2)])


@pytest.mark.parametrize("pool", ["mean", "mean_std", "max", "gem"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_map_is_summarised_as_by_hand(pool, weighted):
    maps = RNG.normal(1, 2, (3, 4, 5, 6)).astype(np.float32)
    weights = RNG.integers(0, 2, (3, 4, 5, 1)).astype(np.float32) if weighted else None
    found = pooled(tf.constant(maps), pool, None if weights is None else tf.constant(weights))
    for place in range(3):
        expected = by_hand(maps[place], pool, None if weights is None else weights[place])
        np.testing.assert_allclose(found[place], expected, rtol=2e-5, atol=1e-5)


def test_weights_of_the_image_are_averaged_over_each_place_of_the_map():
    maps = RNG.normal(size=(1, 2, 2, 3)).astype(np.float32)
    weights = np.zeros((1, 4, 4, 1), np.float32)
    weights[0, :2, :2], weights[0, 3, 3] = 1, 1
    found = pooled(tf.constant(maps), "mean", tf.constant(weights))[0]
    # One place counts whole, the opposite one by a quarter.
    np.testing.assert_allclose(found, (maps[0, 0, 0] + maps[0, 1, 1] / 4) / 1.25, rtol=1e-5)


def photo(ground, box=(slice(6, 14), slice(5, 12)), garment=(180, 20, 30)):
    picture = np.full((20, 16, 3), ground, np.float32)
    picture[box] = garment
    return picture


def test_the_foreground_is_what_differs_from_a_plain_ground():
    grounds = [(255, 255, 255), (0, 0, 0), (240, 230, 250), (60, 120, 60)]
    found = foreground(tf.constant(np.stack([photo(ground) for ground in grounds])))[..., 0].numpy()
    expected = np.zeros((20, 16))
    expected[6:14, 5:12] = 1
    for mask in found:
        np.testing.assert_array_equal(mask, expected)


def test_a_garment_may_reach_the_border_and_the_ground_may_be_uneven():
    picture = photo((250, 250, 250), box=(slice(10, 20), slice(4, 12))) + RNG.uniform(-6, 6, (20, 16, 3))
    mask = foreground(tf.constant(picture[None].astype(np.float32)))[0, ..., 0].numpy()
    assert mask[10:, 4:12].all() and mask.sum() == 80


@pytest.mark.parametrize("axes", [(), (0, 1)], ids=["at the sides", "above and below"])
def test_white_padding_is_not_part_of_a_coloured_ground(axes):
    picture = np.full((20, 16, 3), 255, np.float32)
    picture[:, 2:14] = (90, 140, 200)
    picture[6:14, 5:9] = (30, 30, 30)
    expected = np.zeros((20, 16))
    expected[6:14, 5:9] = 1
    if axes:
        picture, expected = picture.swapaxes(*axes), expected.swapaxes(*axes)
    np.testing.assert_array_equal(foreground(tf.constant(picture[None]))[0, ..., 0], expected)


@pytest.mark.parametrize("picture", [
    RNG.uniform(0, 255, (20, 16, 3)),
    np.full((20, 16, 3), 255.0),
    photo((200, 200, 200), box=(slice(0, 20), slice(0, 8))),
    np.concatenate([np.full((10, 16, 3), 200.0), np.full((10, 16, 3), 90.0)]),
    np.full((20, 16, 3), 90.0),
], ids=["noise", "nothing before it", "half of the border", "a horizon", "one colour"])  # fmt: skip
def test_without_a_plain_ground_the_whole_image_counts(picture):
    assert foreground(tf.constant(picture[None].astype(np.float32))).numpy().all()


@pytest.fixture(scope="module")
def backbone():
    keras.utils.set_random_seed(0)
    image = keras.Input((20, 16, 3))
    first = layers.Conv2D(5, 3, padding="same", activation="relu", name="first")(image)
    second = layers.Conv2D(4, 3, padding="same", name="second")(layers.MaxPooling2D(2)(first))
    return Backbone(
        "tiny", keras.Model(image, second), ("first", "second"), PREPROCESSING["none"], (20, 16), "of the test", ""
    )


def test_one_pass_gives_every_pooling_of_every_block_in_the_order_asked(backbone):
    ways = poolings(["mean", "max"], ["whole", "foreground", "centre"])
    images = np.stack([photo((255, 255, 255)), RNG.uniform(0, 255, (20, 16, 3))]).astype(np.float32)
    *found, share = extractor(backbone, [1, 2], poolings=ways)(tf.constant(images))
    assert len(found) == 12
    masks = np.ones((2, 20, 16))
    masks[0] = 0
    masks[0, 6:14, 5:12] = 1
    np.testing.assert_allclose(share[:, 0], [56 / 320, 1], rtol=1e-6)
    centre = np.zeros((20, 16))
    centre[5:15, 4:12] = 1
    model = keras.Model(backbone.model.input, [backbone.model.get_layer(tap).output for tap in backbone.taps])
    maps = [each.numpy() for each in model(images)]
    place = 0
    for each, step in zip(maps, (1, 2), strict=True):
        for region in ("whole", "foreground", "centre"):
            for pool in ("mean", "max"):
                for image in range(2):
                    mask = {"whole": np.ones((20, 16)), "foreground": masks[image], "centre": centre}[region]
                    small = mask.reshape(20 // step, step, 16 // step, step).mean(axis=(1, 3))
                    expected = by_hand(each[image], pool, small)
                    np.testing.assert_allclose(found[place][image], expected, rtol=1e-4, atol=1e-4)
                place += 1


def test_the_default_is_the_mean_over_the_whole(backbone):
    images = tf.constant(RNG.uniform(0, 255, (2, 20, 16, 3)).astype(np.float32))
    alone = extractor(backbone, [1, 2])(images)
    among = extractor(backbone, [1, 2], poolings=poolings(["mean", "gem"], ["whole"]))(images)
    for one, other in zip(alone, among[::2], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("text", "key"), [
    (4, 4), ("4", 4), ("3+4", "3+4"), ("3+3", 3), ("4/max", "4/max"), ("1+2/gem@foreground", "1+2/gem@foreground"),
])  # fmt: skip
def test_a_source_is_read_and_written(text, key):
    assert Source.of(text).key == key
    assert Source.of(Source.of(text).key) == Source.of(text)


@pytest.mark.parametrize(("text", "message"), [
    ("x", "`block` must be a block such as 4, 3.4.5 or 4/mean_std@foreground. Received: 'x'"),
    ("3-4", "Received: '3-4'"),
    ("4/men", "`block` must be one of: mean, mean_std, max, gem. Received: men. Did you mean 'mean'"),
    ("4/mean@front", "`block` must be one of: whole, foreground, centre. Received: front"),
])  # fmt: skip
def test_a_wrong_source_is_refused(text, message):
    with pytest.raises(UserError, match=message.replace("3.4.5", r"3\+4\+5")):
        Source.of(text)


def test_the_first_pooling_goes_without_saying():
    assert sources([1, "2+3"], [Pooling("max"), Pooling("mean", "centre")]) == [
        1, "2+3", "1/mean@centre", "2+3/mean@centre",
    ]  # fmt: skip
