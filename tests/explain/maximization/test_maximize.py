import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import build

from fashionprobe.errors import UserError
from fashionprobe.explain.maximization.maximize import maximize, unit_gradient
from fashionprobe.explain.maximization.regularizers import (
    L2,
    Blur,
    DropSmallContribution,
    DropSmallNorm,
    TotalVariation,
)
from fashionprobe.explain.targets import Channel, Neuron

UNITS = [Channel("first", 2), Channel("second_relu", 0), Neuron("third_relu", 5, 2, 3), 1, Channel("descriptor", 6)]
FEW = [Channel("second_relu", 0), Channel("second_relu", 4)]
QUICK = {"steps": 24, "value_range": (0.0, 1.0), "jitter": 2}


def linear(size=None):
    """A network without ReLU whose one kernel is easily undone."""
    image = keras.Input((size, size, 3))
    map_ = keras.layers.Conv2D(2, 1, use_bias=False, name="map")(image)
    model = keras.Model(image, map_)
    model.set_weights([np.array([[[[1.0, 0.0], [2.0, -1.0], [-3.0, 0.5]]]], np.float32)])
    return model


@pytest.mark.parametrize("options", [{}, {"fourier": True}, {"start": "grey"}])
def test_every_unit_answers_more(options, network):
    made = maximize(network, UNITS, **QUICK, **options)
    assert (made.images.shape, made.images.dtype) == ((5, 16, 16, 3), np.float32)
    assert (made.scores.shape, made.history.shape) == ((5,), (5, 24))
    assert (made.scores > made.history[:, 0] + 0.01).all()
    assert (made.images >= 0).all() and (made.images <= 1).all()


def test_scores_are_those_of_the_images(network, logits):
    made = maximize(network, UNITS, regularizers=[L2(0.5)], **QUICK)
    maps = {
        name: keras.Model(network.input, network.get_layer(name).output)(made.images).numpy()
        for name in ("first", "second_relu", "third_relu", "descriptor")
    }
    expected = [
        maps["first"][0, ..., 2].mean(), maps["second_relu"][1, ..., 0].mean(), maps["third_relu"][2, 2, 3, 5],
        logits(made.images)[3, 1], maps["descriptor"][4, 6],
    ]  # fmt: skip
    np.testing.assert_allclose(made.scores, expected, rtol=1e-4)


def test_one_step_by_hand():
    made = maximize(linear(), [Channel("map", 0), Channel("map", 1)], size=4, steps=1, start="grey", learning_rate=0.1)
    for image, kernel in zip(made.images, ([1.0, 2.0, -3.0], [0.0, -1.0, 0.5]), strict=True):
        kernel = np.array(kernel)
        expected = 0.1 * kernel / np.sqrt((kernel**2).mean())
        np.testing.assert_allclose(image, np.broadcast_to(127.5 + 127.5 * expected, (4, 4, 3)), rtol=1e-5)
    np.testing.assert_allclose(made.history[:, 0], [0, -0.5 * 127.5], atol=1e-4)


def numpy_ascent(kernel, start, steps, rate, weight, low, high):
    """Pixels of a 1 x 1 convolution under an L2 penalty, with the gradient worked out by hand."""
    x = start.astype(np.float64)
    cells, values = x.shape[0] * x.shape[1], x.size
    for _ in range(steps):
        gradient = np.broadcast_to(kernel * (high - low) / 2 / cells, x.shape) - weight * 2 * x / values
        x = np.clip(x + rate * gradient / np.sqrt((gradient**2).mean()), -1, 1)
    return low + (x + 1) * (high - low) / 2


def test_steps_and_penalty_as_in_numpy():
    options = {"size": (4, 6), "value_range": (-1.0, 3.0), "learning_rate": 0.03, "jitter": 0, "seed": 5}
    # A step that changes next to nothing shows the noise that all the steps start from.
    first = maximize(linear(), [Channel("map", 0)], steps=1, **{**options, "learning_rate": 1e-9}).images[0]
    made = maximize(linear(), [Channel("map", 0)], steps=12, regularizers=[L2(3.0)], **options)
    expected = numpy_ascent(np.array([1.0, 2.0, -3.0]), (first + 1) / 2 - 1, 12, 0.03, 3.0, -1.0, 3.0)
    np.testing.assert_allclose(made.images[0], expected, atol=1e-4)


@pytest.mark.parametrize("fourier", [False, True])
def test_a_seed_gives_the_same_pictures_bit_for_bit(network, fourier):
    once, again = (maximize(network, FEW, seed=7, fourier=fourier, **QUICK) for _ in range(2))
    np.testing.assert_array_equal(once.images, again.images)
    np.testing.assert_array_equal(once.history, again.history)
    other = maximize(network, FEW, seed=8, fourier=fourier, **QUICK)
    assert (np.abs(once.images - other.images).mean(axis=(1, 2, 3)) > 0.01).all()


def test_a_model_built_again_gives_the_same_pictures():
    def model():
        keras.utils.set_random_seed(0)
        return keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3), keras.layers.Conv2D(3, 3)])

    # Keras counts its names on: the second model's layers have others.
    first, second = model(), model()
    assert first.layers[-1].name != second.layers[-1].name
    made = [maximize(each, [Channel(each.layers[-1].name, 1)], **QUICK).images for each in (first, second)]
    np.testing.assert_array_equal(*made)


def test_random_numbers_of_the_user_are_left_alone(network):
    keras.utils.set_random_seed(1)
    expected = random.random(), np.random.random(), float(tf.random.uniform(()))  # noqa: NPY002
    keras.utils.set_random_seed(1)
    maximize(network, UNITS, fourier=True, **QUICK)
    assert (random.random(), np.random.random(), float(tf.random.uniform(()))) == expected  # noqa: NPY002


def test_the_users_model_is_not_changed(network):
    def picture():
        return [(layer.name, len(layer._inbound_nodes), len(layer._outbound_nodes), getattr(layer, "activation", None))
                for layer in network.layers]  # fmt: skip

    before, weights = picture(), [weight.copy() for weight in network.get_weights()]
    maximize(network, UNITS, **QUICK)
    assert picture() == before
    assert all(np.array_equal(*pair) for pair in zip(weights, network.get_weights(), strict=True))


@pytest.mark.parametrize("fourier", [False, True])
def test_a_picture_does_not_depend_on_the_others(network, fourier):
    units = [Channel("second_relu", channel) for channel in range(4)] + [0]
    together = maximize(network, units, fourier=fourier, **QUICK)
    for place in (1, 4):
        alone = maximize(network, [units[place]], fourier=fourier, **QUICK)
        np.testing.assert_allclose(alone.images[0], together.images[place], atol=1e-4)
    apart = maximize(network, units, fourier=fourier, batch_size=2, **QUICK)
    np.testing.assert_allclose(apart.images, together.images, atol=1e-4)
    np.testing.assert_allclose(apart.history, together.history, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("batch_size", [64, 24])
def test_64_channels_are_one_compiled_function(batch_size):
    image = keras.Input((12, 12, 3))
    model = keras.Model(image, keras.layers.Conv2D(64, 3, activation="relu", name="map")(image))
    traces = []

    def penalty(pictures):
        traces.append(pictures.shape)
        return tf.zeros(len(pictures))

    made = maximize(
        model, [Channel("map", i) for i in range(64)], regularizers=[penalty], batch_size=batch_size, **QUICK
    )
    assert made.images.shape == (64, 12, 12, 3)
    assert traces == [(batch_size, 12, 12, 3)]
    assert (made.scores > made.history[:, 0]).all()


@pytest.mark.parametrize("kind", ["dense", "sequential_layer", "nested_layer"])
def test_classes_are_raised_at_the_logit(kind):
    options = {"steps": 5, "value_range": (0.0, 1.0), "jitter": 0}
    expected = maximize(build("logits"), [0, np.int64(4)], **options)
    found = maximize(build(kind), [0, 4], **options)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4)


@pytest.mark.parametrize("factor", [1e5, 1e25])
def test_large_logits_give_numbers(factor):
    model = build("dense")
    *rest, kernel, bias = model.get_weights()
    model.set_weights([*rest, kernel * factor, bias])
    made = maximize(model, [0, 1], **QUICK)
    assert np.isfinite(made.images).all() and np.isfinite(made.scores).all()
    np.testing.assert_allclose(made.images, maximize(build("dense"), [0, 1], **QUICK).images, atol=0.2)


@pytest.mark.parametrize(
    "layer",
    [
        [keras.layers.Conv2D(1, 3, activation="relu", name="map")],
        [keras.layers.Conv2D(1, 3), keras.layers.ReLU(name="map")],
        [keras.layers.Conv2D(1, 3), keras.layers.Activation("relu", name="map")],
    ],
)
def test_a_unit_that_is_silent_at_the_start_wakes(layer):
    model = keras.Sequential([keras.Input((8, 8, 3)), *layer])
    kernel, _ = model.get_weights()
    model.set_weights([np.ones_like(kernel), np.array([-18.0], np.float32)])
    # Grey is 0.5, so the map is 27 * 0.5 - 18 < 0 everywhere; white gives 9.
    made = maximize(model, [Channel("map", 0)], steps=40, value_range=(0.0, 1.0), start="grey")
    assert (made.history[0, 0], made.scores[0]) == (0, pytest.approx(9, abs=0.01))


def test_a_unit_that_nothing_moves_stays_as_it_is():
    model = linear(4)
    model.set_weights([np.zeros((1, 1, 3, 2), np.float32)])
    made = maximize(model, [Channel("map", 0)], steps=3, start="grey")
    np.testing.assert_array_equal(made.images, 127.5)


def roughness(images):
    return np.abs(np.diff(images, axis=1)).mean() + np.abs(np.diff(images, axis=2)).mean()


@pytest.mark.parametrize("regularizer", [TotalVariation(20.0), Blur(1.0, 2)])
@pytest.mark.parametrize("fourier", [False, True])
def test_smoother_pictures(network, regularizer, fourier):
    plain = maximize(network, FEW, fourier=fourier, **QUICK).images
    smooth = maximize(network, FEW, fourier=fourier, regularizers=[regularizer], **QUICK).images
    assert roughness(smooth) < 0.8 * roughness(plain)


def test_l2_keeps_pictures_near_grey(network):
    plain, pale = (maximize(network, [0], regularizers=each, **QUICK).images for each in ([], [L2(100.0)]))
    assert np.abs(pale - 0.5).mean() < 0.5 * np.abs(plain - 0.5).mean()


@pytest.mark.parametrize("drop", [DropSmallNorm(0.5, 4), DropSmallContribution(0.5, 4)])
def test_dropped_pixels_are_grey_in_the_end(network, drop):
    images = maximize(network, FEW, regularizers=[drop], **QUICK).images
    grey = (np.abs(images - 0.5) < 1e-6).all(axis=-1).mean(axis=(1, 2))
    np.testing.assert_allclose(grey, 0.5, atol=0.02)


def test_every_counts_the_steps(network):
    calls = []

    class Count(Blur):
        def apply(self, pictures, gradients):
            tf.py_function(lambda: calls.append(1), [], [])
            return pictures

    maximize(network, [0], regularizers=[Count(1.0, 7)], **QUICK)
    assert len(calls) == 3


def test_jitter_changes_the_pictures_and_is_undone():
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 8, use_bias=False, name="map")])
    kernel = np.zeros((8, 8, 1, 1), np.float32)
    kernel[2, 3] = 1
    model.set_weights([kernel])
    still = maximize(model, [Channel("map", 0)], steps=8, start="grey", jitter=0, learning_rate=0.01).images[0, ..., 0]
    assert np.argwhere(still > 127.6).tolist() == [[2, 3]]
    moved = maximize(model, [Channel("map", 0)], steps=8, start="grey", jitter=1, learning_rate=0.01).images[0, ..., 0]
    bright = np.argwhere(moved > 127.6)
    assert len(bright) > 1
    assert (np.abs(bright - [2, 3]) <= 1).all()


def test_grey_models_and_free_sizes():
    image = keras.Input((None, None, 1))
    model = keras.Model(image, keras.layers.Conv2D(2, 3, name="map")(image))
    assert maximize(model, [Channel("map", 0)], steps=1).images.shape == (1, 128, 128, 1)
    made = maximize(model, [Channel("map", 0)], steps=1, size=(9, 7), fourier=True, decorrelate=False)
    assert made.images.shape == (1, 9, 7, 1)


def test_the_gradient_of_each_picture_has_length_one():
    gradient = tf.constant([[[[3.0]], [[4.0]]], [[[3e30]], [[4e30]]], [[[3e-30]], [[4e-30]]], [[[0.0]], [[0.0]]]])
    expected = np.array([3, 4]) / np.sqrt(12.5)
    np.testing.assert_allclose(unit_gradient(gradient)[..., 0, 0], [expected, expected, expected, [0, 0]], rtol=1e-5)


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        ([], {}, r"`targets` must be a list of Channel, Neuron and class numbers. Received: \[\]"),
        (["first"], {}, "`targets` must be a list of Channel"),
        ([Channel("fist", 0)], {}, "`targets` must be a layer of .* such as first.*Received: fist"),
        ([Channel("first", 6)], {}, r"`channel` must be in the range \[0, 6\) for first. Received: 6"),
        ([Channel("first", -1)], {}, r"`channel` must be in the range \[0, 6\)"),
        ([Channel("descriptor", 7)], {}, r"`channel` must be in the range \[0, 7\) for descriptor"),
        ([Neuron("first", 0, 16, 0)], {}, r"`row` must be in the range \[0, 16\) for first"),
        ([Neuron("first", 0, 0, 16)], {}, r"`column` must be in the range \[0, 16\) for first"),
        ([Neuron("descriptor", 0, 0, 0)], {}, "`targets` must be neurons of a feature map. Received: descriptor"),
        ([5], {}, r"`class` must be in the range \[0, 5\)"),
        ([0], {"steps": 0}, r"`steps` must be an int in the range \[1, inf\). Received: 0"),
        ([0], {"steps": -3}, "`steps` must be"),
        ([0], {"jitter": -1}, r"`jitter` must be an int in the range \[0, inf\)"),
        ([0], {"seed": -1}, "`seed` must be"),
        ([0], {"batch_size": 0}, "`batch_size` must be"),
        ([0], {"learning_rate": 0.0}, r"`learning_rate` must be a number in the range \(0, inf\)"),
        ([0], {"learning_rate": float("nan")}, "`learning_rate` must be"),
        ([0], {"start": "gray"}, "`start` must be one of: noise, grey. Received: gray. Did you mean 'grey'?"),
        ([0], {"value_range": (1.0, 0.0)}, "`value_range` must be two numbers, the lower first"),
        ([0], {"value_range": (0.0, float("inf"))}, "`value_range` must be"),
        ([0], {"size": 32}, r"`size` must be \(16, 16\), the fixed input of .*Received: 32"),
        ([0], {"size": 0}, "`size` must be a number of pixels"),
    ],
)
def test_bad_input(network, targets, options, message):
    with pytest.raises(UserError, match=message):
        maximize(network, targets, **options)


def test_a_picture_too_small_for_the_layer():
    image = keras.Input((None, None, 3))
    model = keras.Model(image, keras.layers.Conv2D(2, 7, name="map")(image))
    with pytest.raises(UserError, match=r"`size` must be large enough for map. Received: \[4, 4\]"):
        maximize(model, [Channel("map", 0)], size=4)
    with pytest.raises(UserError, match=r"`row` must be in the range \[0, 2\) for map"):
        maximize(model, [Neuron("map", 0, 2, 0)], size=8)
