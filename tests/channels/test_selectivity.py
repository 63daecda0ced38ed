import keras
import numpy as np
import pytest

from fashionprobe.channels.selectivity import class_selectivity, colour_selectivity, grey_version, selectivity, table
from fashionprobe.errors import UserError

L = keras.layers


@pytest.fixture(scope="module")
def many():
    return np.random.default_rng(5).random((23, 16, 16, 3), dtype=np.float32)


def stream(images, size=7):
    return lambda: (images[start : start + size] for start in range(0, len(images), size))


def test_class_index_worked_out_by_hand():
    labels, activations = ["a", "b", "a", "c", "b"], [4.0, 3.0, 2.0, 1.0, 0.0]
    # Shares: a 6/10, b 3/10, c 1/10; N = 5.
    index, classes = class_selectivity(labels, np.array(activations))
    assert index == pytest.approx((5 - 3) / 4)
    assert [name for name, _ in classes] == ["a", "b", "c"]
    np.testing.assert_allclose([share for _, share in classes], [0.6, 0.3, 0.1])
    for coverage, least in ((0.6, 1), (0.61, 2), (0.9, 2), (0.95, 3)):
        assert class_selectivity(labels, np.array(activations), coverage=coverage)[0] == pytest.approx((5 - least) / 4)


def test_class_index_is_one_for_one_class_and_zero_for_all_different():
    assert class_selectivity(["a"] * 100, np.linspace(1, 0.5, 100)) == (1.0, (("a", pytest.approx(1.0)),))
    assert class_selectivity([str(number) for number in range(100)], np.linspace(1, 0.5, 100))[0] == 0


def test_classes_without_activation_and_images_without_label_do_not_count():
    assert class_selectivity(["a", "b", "c"], np.array([2.0, 0.0, -3.0])) == (1.0, (("a", 1.0),))
    index, classes = class_selectivity(["", "b", "c", "b"], np.array([9.0, 2.0, 1.0, 1.0]))
    assert index == pytest.approx((3 - 2) / 2)
    assert classes == (("b", 0.75), ("c", 0.25))
    for labels, activations in ((["a", "b"], [0.0, 0.0]), (["a", ""], [1.0, 1.0]), ([], [1.0, 1.0])):
        index, classes = class_selectivity(labels, np.array(activations))
        assert np.isnan(index) and classes == ()


def test_colour_index_worked_out_by_hand():
    activations = np.array([[4.0, 1.0], [2.0, 2.0], [2.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    grey = np.array([[1.0, 0.0], [2.0, 2.0], [-5.0, 7.0], [3.0, 3.0], [2.0, 1.0]])
    np.testing.assert_allclose(colour_selectivity(activations, grey), [0.8, 0.0, 1.0, np.nan, -0.5])


def test_the_grey_version_is_the_luminance():
    np.testing.assert_allclose(grey_version(np.array([[100.0, 50.0, 200.0]])), np.full((1, 3), 82.05), rtol=1e-6)
    grey = np.full((2, 3), 0.3, np.float32)
    np.testing.assert_allclose(grey_version(grey), grey, rtol=1e-6)


def painted():
    """Nine images in three colours, on a network whose channels are: red, luminance, nothing."""
    images = np.zeros((9, 6, 6, 3), np.float32)
    for number in range(9):
        images[number, number % 5 : number % 5 + 2, 1:3, number % 3] = 10 - number
    image = keras.Input((6, 6, 3))
    x = L.Conv2D(3, 1, name="colour", use_bias=False)(image)
    x = L.Conv2D(3, 3, padding="same", name="tops", use_bias=False)(L.ReLU(name="relu")(x))
    model = keras.Model(image, x)
    kernel = np.array([[1, 0.299, -1], [-1, 0.587, -1], [-1, 0.114, -1]], np.float32)
    model.get_layer("colour").set_weights([kernel[None, None]])
    return model, images, np.array(["red", "green", "blue"] * 3)


def test_a_red_channel_a_grey_one_and_a_dead_one():
    model, images, labels = painted()
    [found] = selectivity(model, ["relu"], stream(images, 4), labels, images=3)
    assert found.alive.tolist() == [True, True, False]
    # Grey, the red filter gets luminance * (1 - 1 - 1) < 0: silent. The luminance filter sees no difference.
    np.testing.assert_allclose(found.colour_index, [1, 0, np.nan], atol=1e-6)
    assert found.top.images[0].tolist() == [0, 3, 6]
    assert found.class_index[0] == 1 and found.classes[0][0][0] == "red"
    # Luminances: 5.87 of image 1, 4.11 of 4, 2.99 of 0.
    assert found.top.images[1].tolist() == [1, 4, 0]
    assert found.class_index[1] == pytest.approx((3 - 2) / 2)
    np.testing.assert_allclose(
        [share for _, share in found.classes[1]], [(5.283 + 3.522) / 11.795, 2.99 / 11.795], rtol=1e-3
    )
    assert np.isnan(found.class_index[2]) and found.classes[2] == ()
    assert found.features.shape == (3, 1, 1, 3)
    # Weighted mean of the red values 10, 7 and 4, weighted by themselves.
    np.testing.assert_allclose(found.features[0, 0, 0], [(100 + 49 + 16) / 21, 0, 0], rtol=1e-5)
    assert not found.features[2].any()


def twin(model, layer, images, count):
    """Neuron features and grey activations in plain NumPy, for a layer with a field of 3x3 and a stride of 1."""
    part = keras.Model(model.input, model.get_layer(layer).output)
    maps, grey_maps = part(images).numpy(), part(grey_version(images)).numpy()
    padded = np.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)])
    features, grey = [], []
    for channel in range(maps.shape[-1]):
        peaks = maps[..., channel].reshape(len(maps), -1)
        best = np.argsort(-peaks.max(1), kind="stable")[:count]
        total, weighted, left = 0.0, 0.0, []
        for number in best:
            row, column = np.unravel_index(peaks[number].argmax(), maps.shape[1:3])
            value = max(peaks[number].max(), 0)
            total += value
            weighted = weighted + value * padded[number, row : row + 3, column : column + 3]
            left.append(grey_maps[number, row, column, channel] if value > 0 else 0)
        features.append(weighted / total if total else 0 * weighted)
        grey.append(left)
    return np.array(features), np.array(grey)


def test_features_and_colour_index_equal_numpy(network, many):
    [found] = selectivity(network, ["first"], stream(many), images=6)
    features, grey = twin(network, "first", many, 6)
    np.testing.assert_allclose(found.features, features, atol=1e-4)
    np.testing.assert_allclose(found.colour_index, colour_selectivity(found.top.values, grey), atol=1e-4)
    assert np.isnan(found.class_index).all()


def test_nothing_depends_on_the_size_of_the_batches(network, many):
    labels = np.array(list("abcde"))[np.arange(23) % 5]
    options = {"model": network, "layers": ["first", "third_relu"], "labels": labels, "images": 5, "side": 8}
    for one, other in zip(
        selectivity(batches=stream(many, 1), **options), selectivity(batches=stream(many, 23), **options), strict=True
    ):
        np.testing.assert_array_equal(one.top.images, other.top.images)
        np.testing.assert_allclose(one.features, other.features, atol=1e-5)
        np.testing.assert_allclose(one.colour_index, other.colour_index, atol=1e-5)
        np.testing.assert_allclose(one.class_index, other.class_index)
    # The field of the last layer is 18 pixels wide, larger than the image: the image is shrunk to 8 pixels.
    assert one.features.shape[1:] == (8, 8, 3)


def test_a_grey_data_set_has_no_colour_index_but_zero(network, many):
    [found] = selectivity(network, ["first"], stream(grey_version(many)), images=4)
    np.testing.assert_allclose(found.colour_index[found.alive], 0, atol=1e-5)


def test_the_table():
    model, images, labels = painted()
    found = table(selectivity(model, ["relu", "tops"], stream(images), labels, images=3))
    assert found["layer"].tolist() == ["relu"] * 3 + ["tops"] * 3
    first = found.iloc[0]
    assert (first["top_class"], first["classes"], first["max_activation"]) == ("red", "red 1.00", 10)
    assert found.iloc[1]["classes"] == "green 0.75; red 0.25"
    assert (found.iloc[2]["classes"], found.iloc[2]["alive"]) == ("", False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": 1}, r"`images` must be an int in the range \[2, inf\). Received: 1"),
        ({"side": 0}, "`side` must be an int"),
        ({"coverage": 0.0, "labels": ["a"] * 23}, r"`coverage` must be a number in \(0, 1\]"),
        ({"labels": ["a", "b"]}, "`labels` must be 23 labels, one per image. Received: 2"),
        ({"batches": lambda: []}, "`batches` must be batches of images"),
        ({"batches": lambda: [np.zeros((1, 16, 16, 3))]}, "`batches` must be two images or more. Received: 1"),
        ({"batches": lambda: [np.zeros((1, 16, 16, 1))]}, "`batches` must be RGB images"),
        ({"batches": lambda: [np.zeros((1, s, s, 3)) for s in (16, 9)]}, "`batches` must be images of one size"),
        ({"layers": ["descriptor"]}, "`layer` must be one with a feature map"),
    ],
)
def test_bad_input(network, many, options, message):
    with pytest.raises(UserError, match=message):
        selectivity(**{"model": network, "layers": ["first"], "batches": stream(many), **options})
