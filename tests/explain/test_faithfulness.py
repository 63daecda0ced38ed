import keras
import numpy as np
import pytest
from networks import build

from fashionprobe.errors import UserError
from fashionprobe.explain.backprop import gradient, guided_backpropagation
from fashionprobe.explain.cam import grad_cam
from fashionprobe.explain.faithfulness import (
    BLUR,
    MAX_LAYERS,
    blurred,
    deletion,
    insertion,
    randomization,
    rank_correlation,
)  # fmt: skip
from fashionprobe.explain.targets import Channel

WEIGHTS = np.float32([[0.4, 0.1], [0.2, 0.3]])


@pytest.fixture(scope="module")
def linear() -> keras.Model:
    """Adds up four pixels, each with its weight, as the probability of class 1."""
    image = keras.Input((2, 2, 1))
    x = keras.layers.Flatten()(image)
    model = keras.Model(image, keras.layers.Dense(2, activation="sigmoid")(x))
    model.set_weights([np.stack([np.zeros(4), WEIGHTS.ravel()], axis=1), np.zeros(2)])
    return model


@pytest.fixture(scope="module")
def ones() -> np.ndarray:
    return np.ones((1, 2, 2, 1), np.float32)


def plain(scores):
    """Explain the sum itself, so that areas can be worked out by hand."""
    return scores[:, 1]


def test_deletion_and_its_area_by_hand(linear, ones):
    curve = deletion(linear, steps=4, baseline=0.0, target=plain)(ones, WEIGHTS[None])
    np.testing.assert_allclose(curve.fractions, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(curve.probabilities, [[1, 0.6, 0.3, 0.1, 0]], atol=1e-6)
    np.testing.assert_allclose(curve.auc, [(0.5 + 0.6 + 0.3 + 0.1) / 4], atol=1e-6)


def test_insertion_and_its_area_by_hand(linear, ones):
    curve = insertion(linear, steps=4, baseline=0.0, target=plain)(ones, WEIGHTS[None])
    np.testing.assert_allclose(curve.probabilities, [[0, 0.4, 0.7, 0.9, 1]], atol=1e-6)
    np.testing.assert_allclose(curve.auc, [(0.4 + 0.7 + 0.9 + 0.5) / 4], atol=1e-6)


def test_the_wrong_way_round_is_measured_as_worse(linear, ones):
    erase, put_in = (make(linear, steps=4, baseline=0.0, target=plain) for make in (deletion, insertion))
    assert erase(ones, -WEIGHTS[None]).auc[0] == pytest.approx((0.5 + 0.9 + 0.7 + 0.4) / 4)
    assert put_in(ones, -WEIGHTS[None]).auc[0] == pytest.approx((0.1 + 0.3 + 0.6 + 0.5) / 4)


def test_a_class_is_measured_by_its_probability(linear, ones):
    curve = deletion(linear, steps=4, baseline=0.0)(ones, WEIGHTS[None], 1)
    np.testing.assert_allclose(curve.probabilities[0], 1 / (1 + np.exp(-np.array([1, 0.6, 0.3, 0.1, 0]))), rtol=1e-5)


def test_equal_values_go_row_by_row(linear, ones):
    curve = deletion(linear, steps=4, baseline=0.0, target=plain)(ones, np.zeros((1, 2, 2)))
    np.testing.assert_allclose(curve.probabilities, [[1, 0.6, 0.5, 0.3, 0]], atol=1e-6)


@pytest.mark.parametrize(
    ("steps", "fractions", "values"),
    [(1, [0, 1], [1, 0]), (2, [0, 0.5, 1], [1, 0.3, 0]), (3, [0, 0.25, 0.75, 1], [1, 0.6, 0.1, 0])],
)
def test_fewer_steps_erase_more_at_once(linear, ones, steps, fractions, values):
    curve = deletion(linear, steps=steps, baseline=0.0, target=plain)(ones, WEIGHTS[None])
    np.testing.assert_allclose(curve.fractions, fractions)
    np.testing.assert_allclose(curve.probabilities, [values], atol=1e-6)


def test_what_stands_where_pixels_are_erased(linear):
    image = np.float32([[4, 0], [0, 8]]).reshape(1, 2, 2, 1)
    for baseline, empty in (
        ("mean", np.full((2, 2), 3.0)),
        (2.0, np.full((2, 2), 2.0)),
        ("blur", blurred(image)[0, ..., 0]),
        (np.float32([[[1], [2]], [[3], [4]]]), np.float32([[1, 2], [3, 4]])),
    ):
        for make, places in ((deletion, (0, -1)), (insertion, (-1, 0))):
            found = make(linear, steps=4, baseline=baseline, target=plain)(image, WEIGHTS[None]).probabilities[0]
            expected = [(image[0, ..., 0] * WEIGHTS).sum(), (empty * WEIGHTS).sum()]
            np.testing.assert_allclose(found[list(places)], expected, rtol=1e-5)


def test_the_usual_baselines(linear):
    image = np.float32([[4, 0], [0, 8]]).reshape(1, 2, 2, 1)
    heatmap = WEIGHTS[None]
    for make, usual in ((deletion, "mean"), (insertion, "blur")):
        found = make(linear, target=plain)(image, heatmap).probabilities
        np.testing.assert_array_equal(found, make(linear, baseline=usual, target=plain)(image, heatmap).probabilities)


def test_the_blur_is_a_gaussian():
    image = np.zeros((1, 448, 600, 2), np.float32)
    image[0, 200, 300] = [1, 2]
    found = blurred(image)
    distance = np.arange(-3, 4)
    deviation = BLUR * 448
    expected = np.exp(-((distance[:, None] ** 2 + distance**2) / (2 * deviation**2))) / (2 * np.pi * deviation**2)
    np.testing.assert_allclose(found[0, 197:204, 297:304], np.stack([expected, 2 * expected], axis=-1), rtol=1e-3)
    assert found.sum() == pytest.approx(3, rel=1e-4)


def test_the_blur_continues_the_edges():
    flat = np.full((2, 9, 5, 3), 7, np.float32)
    np.testing.assert_allclose(blurred(flat), flat, rtol=1e-6)


def test_the_class_is_that_of_the_whole_image(images):
    model = build("dense")
    kernel, bias = model.get_layer("scores").get_weights()
    scores = build("logits")
    black, whole = scores(np.zeros((1, 16, 16, 3))).numpy()[0], scores(images).numpy()
    # Half way between the two, class `other` gives way to class 1.
    other = int((whole[:, 1] - black[1] - whole.T + black[:, None]).mean(axis=1).argmax())
    bias[other] += (black[1] - black[other] + (whole[:, 1] - whole[:, other]).min()) / 2
    bias[[number for number in range(5) if number not in (1, other)]] -= 1000
    model.get_layer("scores").set_weights([kernel, bias])
    assert model(images).numpy().argmax(axis=1).tolist() == [1] * 4
    assert model(np.zeros((1, 16, 16, 3))).numpy().argmax() == other
    for make in (deletion, insertion):
        method, maps = make(model, steps=5, baseline=0.0), np.random.default_rng(1).random((4, 16, 16))
        np.testing.assert_array_equal(method(images, maps).probabilities, method(images, maps, 1).probabilities)


@pytest.mark.parametrize("make", [deletion, insertion])
def test_neither_batch_mates_nor_portions_matter(network, images, make):
    maps = np.random.default_rng(1).random((4, 16, 16))
    whole = make(network, steps=10)(images, maps).probabilities
    assert whole.shape == (4, 11) and whole.dtype == np.float32
    for batch_size in (1, 3, 11, 100):
        found = make(network, steps=10, batch_size=batch_size)(images[[2]], maps[[2]])
        np.testing.assert_allclose(found.probabilities, whole[[2]], rtol=1e-5)


def test_a_curve_can_show_a_channel(network, images):
    found = deletion(network, steps=3, target=Channel("second", 1))(images, np.zeros((4, 16, 16)))
    expected = keras.Model(network.input, network.get_layer("second").output)(images).numpy()[..., 1].mean((1, 2))
    np.testing.assert_allclose(found.probabilities[:, 0], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "`steps` must be an int, 1 or more. Received: 0"),
        ({"batch_size": 0}, "`batch_size` must be an int, 1 or more. Received: 0"),
        ({"baseline": "blurr"}, "`baseline` must be one of: mean, blur. Received: blurr. Did you mean 'blur'"),
        ({"baseline": np.zeros((3, 3))}, r"`baseline` must be a number, or an image that fits \(16, 16, 3\)"),
    ],
)
@pytest.mark.parametrize("make", [deletion, insertion])
def test_wrong_arguments_are_refused(network, make, options, message):
    with pytest.raises(UserError, match=message):
        make(network, **options)


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (
            np.zeros((4, 8, 8)),
            r"`heatmaps` must be one per image, of its size: \(4, 16, 16\). .*\(4, 8, 8\). Bring raw",
        ),
        (np.full((4, 16, 16), np.nan), "`heatmaps` must be finite numbers"),
    ],
)
def test_heatmaps_that_do_not_fit(network, images, maps, message):
    with pytest.raises(UserError, match=message):
        deletion(network)(images, maps)


def test_rank_correlation_by_hand():
    first = [[1.0, 2.0, 3.0, 4.0], [1, 2, 3, 4], [1, 2, 2, 4], [1, 2, 3, 4], [5, 5, 5, 5]]
    second = [[10, 20, 30, 900], [4, 3, 2, 1], [1, 3, 2, 4], [7, 7, 7, 7], [0, 0, 0, 0]]
    # Ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4: covariance 4.5, variances 4.5 and 5.
    expected = [1, -1, 4.5 / np.sqrt(4.5 * 5), 0, 1]
    np.testing.assert_allclose(rank_correlation(np.asarray(first), np.asarray(second)), expected)


@pytest.fixture(scope="module")
def trained() -> keras.Model:
    """A network whose maps have something to lose: weights of both signs."""
    model = build("layer")
    random = np.random.default_rng(7)
    model.set_weights(
        [
            random.normal(0, 0.3, each.shape) if each.ndim > 1 else np.abs(random.normal(0, 1, each.shape))
            for each in model.get_weights()
        ]
    )
    return model


def edges(model):
    """A method that looks only at the image."""
    return lambda images, classes=None: np.abs(np.diff(np.asarray(images), axis=1)).max(axis=-1)


def test_randomization_tells_methods_that_look_at_the_weights(trained):
    photos = np.random.default_rng(3).random((12, 16, 16, 3), dtype=np.float32)
    for factory in (gradient, lambda model: grad_cam(model, "second_relu", relu=False)):
        table = randomization(trained, factory, photos)
        assert abs(table["correlation_mean"].iloc[-1]) < 0.5
        assert table["correlation_std"].iloc[-1] > 0
    table = randomization(trained, edges, photos)
    np.testing.assert_allclose(table["correlation_mean"], 1.0)
    np.testing.assert_allclose(table["correlation_std"], 0.0, atol=1e-12)


def test_the_cascade_goes_from_the_output_down(trained, images):
    table = randomization(trained, gradient, images)
    assert table["layer"].tolist() == ["scores", "third", "normalized", "second", "first"]
    assert table["randomized"].tolist() == [1, 2, 3, 4, 5]
    assert table["images"].tolist() == [4] * 5
    chosen = randomization(trained, gradient, images, layers=["first", "normalized"])
    assert chosen["layer"].tolist() == ["normalized", "first"]
    # What is random at a layer does not depend on where else maps are compared.
    expected = table.loc[[2, 4], ["randomized", "correlation_mean"]].to_numpy()
    np.testing.assert_allclose(chosen[["randomized", "correlation_mean"]].to_numpy(), expected, rtol=1e-5)


def test_only_the_weights_from_the_output_down_are_shuffled(trained, images):
    seen = []

    def spy(model):
        seen.append({layer.name: [np.array(each) for each in layer.get_weights()] for layer in model.layers})
        return edges(model)

    randomization(trained, spy, images, layers=["third"])
    original, changed = seen
    for layer in (each for each in trained.layers if each.weights):
        for mine, first, last in zip(layer.get_weights(), original[layer.name], changed[layer.name], strict=True):
            np.testing.assert_array_equal(mine, first)
            np.testing.assert_array_equal(np.sort(mine.ravel()), np.sort(last.ravel()))
            assert np.array_equal(first, last) == (layer.name not in ("scores", "third")), layer.name


def test_randomization_is_the_seeds_and_leaves_the_model_alone(trained, images):
    weights = trained.get_weights()
    first = randomization(trained, guided_backpropagation, images, layers=["second"], seed=1)
    np.random.seed(5)  # noqa: NPY002
    second = randomization(trained, guided_backpropagation, images, layers=["second"], seed=1)
    other = randomization(trained, guided_backpropagation, images, layers=["second"], seed=2)
    assert first.equals(second) and not first.equals(other)
    assert all(np.array_equal(*pair) for pair in zip(weights, trained.get_weights(), strict=True))


def test_the_class_is_that_of_the_trained_network(trained, images):
    asked = []

    def spy(model):
        return lambda images, classes=None: asked.append(classes) or edges(model)(images)

    randomization(trained, spy, images, layers=["scores"])
    tops = trained(images).numpy().argmax(axis=1)
    np.testing.assert_array_equal(asked, [tops, tops])
    asked.clear()
    randomization(trained, spy, images, 3, layers=["scores"])
    np.testing.assert_array_equal(asked, [[3] * 4] * 2)


def test_randomization_of_a_channels_map(trained, images):
    target = Channel("second_relu", 2)
    table = randomization(trained, lambda model: gradient(model, target=target), images, target=target)
    # Nothing above the channel matters to it.
    np.testing.assert_allclose(table["correlation_mean"][:2], 1.0)
    assert table["correlation_mean"].iloc[-1] < 0.9


def test_a_deep_network_is_compared_at_some_layers_only(images):
    image = keras.Input((16, 16, 3))
    x = image
    for number in range(20):
        x = keras.layers.Conv2D(2, 1, name=f"c{number}")(x)
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))
    table = randomization(model, edges, images[:1])
    assert len(table) == MAX_LAYERS
    assert table["layer"].iloc[[0, -1]].tolist() == ["c19", "c0"]


def test_nested_models_can_be_randomized(images):
    table = randomization(build("nested"), gradient, images[:1], layers=["second"])
    assert table["randomized"].tolist() == [4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ["secnd"]}, "`layers` must be a layer of .*such as second.*Received: secnd"),
        ({"layers": ["second_relu"]}, "`layers` must be layers with weights. Received: second_relu"),
        ({"layers": []}, "`layers` must be one layer or more. Received: none"),
        ({"seed": -1}, "`seed` must be an int from 0 to 2147483647. Received: -1"),
        ({"classes": 9}, r"`classes` must be in the range \[0, 5\)"),
    ],
)
def test_wrong_arguments_of_randomization(network, images, options, message):
    with pytest.raises(UserError, match=message):
        randomization(network, edges, images, **options)


def test_a_model_without_weights():
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    with pytest.raises(UserError, match="`model` must be one with weights"):
        randomization(model, edges, np.zeros((1, 4, 4, 3)))
