import keras
import numpy as np
import pytest

from fashionprobe.channels.top_images import channel_mask, top_images
from fashionprobe.errors import UserError
from fashionprobe.explain.activations import activations


@pytest.fixture(scope="module")
def many():
    return np.random.default_rng(5).random((23, 16, 16, 3), dtype=np.float32)


def batched(images, size):
    return (images[start : start + size] for start in range(0, len(images), size))


def maps_of(model, layer, images):
    return keras.Model(model.input, model.get_layer(layer).output)(images).numpy()


def plain(height=2, width=3, channels=2):
    """A network whose only layer passes the image on: feature map and image are the same."""
    image = keras.Input((height, width, channels))
    return keras.Model(image, keras.layers.Activation("linear", name="map")(image))


def test_ranks_values_and_places_worked_out_by_hand():
    images = np.zeros((4, 2, 3, 2), np.float32)
    images[0, 1, 2, 0], images[1, 0, 1, 0], images[2, 1, 0, 0] = 5, 7, 6
    images[:, 0, 0, 1] = [1, 2, 2, 0]
    found = top_images(plain(), ["map"], [images], count=3)["map"]
    assert found.images.tolist() == [[1, 2, 0], [1, 2, 0]]
    assert found.values.tolist() == [[7, 6, 5], [2, 2, 1]]
    assert found.rows.tolist() == [[0, 1, 1], [0, 0, 0]]
    assert found.columns.tolist() == [[1, 0, 2], [0, 0, 0]]


def test_of_images_that_reach_the_same_peak_the_fuller_one_comes_first():
    images = np.zeros((4, 2, 3, 2), np.float32)
    images[:, 0, 2, 0] = [6, 6, 6, 5]
    images[1, 1, :, 0], images[2, 1, 1, 0] = 6, 6
    for size in (1, 2, 4):
        found = top_images(plain(), ["map"], batched(images, size), count=3)["map"]
        assert found.images[0].tolist() == [1, 2, 0]
        np.testing.assert_allclose(found.means[0], [4, 2, 1])


def test_the_mean_ranks_otherwise_than_the_peak():
    images = np.zeros((2, 2, 3, 2), np.float32)
    images[0, 1, 1, 0] = 5
    images[1, ..., 0] = 1
    found = top_images(plain(), ["map"], [images], count=1, statistic="mean")["map"]
    assert (found.images[0, 0], found.values[0, 0]) == (1, 1)
    assert top_images(plain(), ["map"], [images], count=1)["map"].images[0, 0] == 0


@pytest.mark.parametrize("statistic", ["max", "mean"])
def test_equals_numpy_for_several_layers_and_any_batch_size(network, many, statistic):
    layers = ["first", "third_relu"]
    results = [top_images(network, layers, batched(many, size), count=5, statistic=statistic) for size in (1, 7, 8, 23)]
    for layer in layers:
        maps = maps_of(network, layer, many)
        places = maps.reshape(len(maps), -1, maps.shape[-1])
        value = (places.max(1) if statistic == "max" else places.mean(1)).T
        order = np.argsort(-value, axis=1, kind="stable")[:, :5]
        peak = np.take_along_axis(places.argmax(1).T, order, axis=1)
        for result in results:
            found = result[layer]
            np.testing.assert_array_equal(found.images, order)
            np.testing.assert_allclose(found.values, np.take_along_axis(value, order, axis=1), rtol=1e-5)
            np.testing.assert_array_equal(found.rows * maps.shape[2] + found.columns, peak)


def test_the_stream_is_read_once_and_never_as_a_whole(network, many):
    alive = []

    def stream():
        for batch in batched(many, 5):
            alive.append(len(batch))
            yield batch

    assert top_images(network, ["first"], stream(), count=50)["first"].images.shape == (6, 23)
    assert alive == [5, 5, 5, 5, 3]


def test_feature_maps_of_a_nested_network(many):
    from networks import build

    nested = build("nested")
    [found] = activations(nested, ["second_relu"])(many[:2])
    np.testing.assert_allclose(found, maps_of(build("logits"), "second_relu", many[:2]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "`count` must be an int in the range"),
        ({"statistic": "median"}, "`statistic` must be one of: max, mean. Received: median"),
        ({"layers": []}, "`layers` must be the name"),
        ({"layers": ["descriptor"]}, "`layer` must be one with a feature map"),
        ({"layers": ["fist"]}, "`layer` must be a layer of"),
        ({"batches": []}, "`batches` must be batches of images. Received: none"),
        ({"batches": [np.full((1, 16, 16, 3), np.nan)]}, "NaN or infinity in image 0"),
        ({"batches": [np.zeros((1, 16, 16, 1))]}, "`images` must be a batch"),
    ],
)
def test_bad_input_of_top_images(network, many, options, message):
    with pytest.raises(UserError, match=message):
        top_images(**{"model": network, "layers": ["first"], "batches": [many], **options})


def test_a_mask_worked_out_by_hand():
    # The feature map is the mean of 2x2 pixels, brought back to 4x4: corners keep the values of the cells.
    image = keras.Input((4, 4, 1))
    model = keras.Model(image, keras.layers.AveragePooling2D(2, name="map")(image))
    pixels = np.kron([[1.0, 2.0], [3.0, 4.0]], np.ones((2, 2)))[None, ..., None]
    found = channel_mask(model, "map", 0, pixels, threshold=3.0)[0, ..., 0]
    # Bilinearly from [[1, 2], [3, 4]]: the second row starts with 1.5, the third with 2.5, and so on.
    wide = [[1, 1.25, 1.75, 2], [1.5, 1.75, 2.25, 2.5], [2.5, 2.75, 3.25, 3.5], [3, 3.25, 3.75, 4]]
    np.testing.assert_array_equal(found, np.where(np.array(wide) >= 3, pixels[0, ..., 0], 0))
    found = channel_mask(model, "map", 0, pixels, quantile=0.75)[0, ..., 0]
    # Sorted, the twelfth and the thirteenth of the 16 values are 3.25.
    np.testing.assert_array_equal(found, np.where(np.array(wide) >= 3.25, pixels[0, ..., 0], 0))


def test_the_quantile_is_that_of_each_image_and_the_threshold_of_all(network, many):
    maps = maps_of(network, "first", many)[..., 2]
    pixels = many + 1
    kept = (channel_mask(network, "first", 2, many, quantile=0.9) > 0).any(-1)
    np.testing.assert_array_equal(kept, maps >= np.quantile(maps, 0.9, axis=(1, 2), keepdims=True))
    assert channel_mask(network, "first", 2, pixels, quantile=0.0).tobytes() == pixels.tobytes()
    limit = float(np.median(maps))
    np.testing.assert_array_equal((channel_mask(network, "first", 2, many, threshold=limit) > 0).any(-1), maps >= limit)
    assert not channel_mask(network, "first", 2, many, threshold=1e9).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "`threshold` or `quantile` must be given, and only one of them. Received: none of them"),
        ({"threshold": 1.0, "quantile": 0.5}, "Received: threshold and quantile"),
        ({"quantile": 1.5}, r"`quantile` must be a number in \[0, 1\]. Received: 1.5"),
        ({"threshold": 1.0, "channel": 6}, r"`channel` must be in the range \[0, 6\) for first. Received: 6"),
        ({"threshold": 1.0, "channel": -1}, "`channel` must be in the range"),
    ],
)
def test_bad_input_of_a_mask(network, many, options, message):
    with pytest.raises(UserError, match=message):
        channel_mask(network, "first", images=many, **{"channel": 0, **options})


def test_receptive_fields_uncovered_by_hand():
    # One convolution of 3 x 3 pixels, stride 2, without padding: the place (r, c) sees the pixels from (2r, 2c) on.
    image = keras.Input((5, 7, 1))
    model = keras.Model(image, keras.layers.Conv2D(1, 3, strides=2, use_bias=False, name="map")(image))
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[1, 1] = 1
    model.set_weights([kernel])
    images = np.full((2, 5, 7, 1), 0.5, np.float32)
    images[0, 1, 1] = images[0, 3, 5] = images[1, 3, 3] = 2
    found = channel_mask(model, "map", 0, images, threshold=1.0, how="receptive_field")
    expected = np.zeros_like(images)
    expected[0, 0:3, 0:3], expected[0, 2:5, 4:7] = images[0, 0:3, 0:3], images[0, 2:5, 4:7]
    expected[1, 2:5, 2:5] = images[1, 2:5, 2:5]
    np.testing.assert_array_equal(found, expected)
    # Nothing is active: all black.
    assert not channel_mask(model, "map", 0, images, threshold=3.0, how="receptive_field").any()
    with pytest.raises(UserError, match=r"`how` must be one of: bilinear, receptive_field. Received: field"):
        channel_mask(model, "map", 0, images, threshold=1.0, how="field")  # pyright: ignore[reportArgumentType]


def test_a_field_in_the_padding_is_cut_at_the_border(network, many):
    maps = maps_of(network, "first", many[:2])
    limit = float(np.quantile(maps[..., 1], 0.9))
    found = channel_mask(network, "first", 1, many[:2], threshold=limit, how="receptive_field") > 0
    expected = np.zeros((2, 16, 16), bool)
    for number, row, column in np.argwhere(maps[..., 1] >= limit):
        scale = 16 // maps.shape[1]
        top, left = row * scale - 1, column * scale - 1
        expected[number, max(top, 0) : top + 3, max(left, 0) : left + 3] = True
    np.testing.assert_array_equal(found.all(axis=-1), expected)
