import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import KINDS, build
from tf_keras_vis.saliency import Saliency

from fashionprobe.errors import UserError
from fashionprobe.explain import backprop
from fashionprobe.explain.backprop import (
    deconvnet,
    gradient,
    guided_backpropagation,
    guided_grad_cam,
    integrated_gradients,
    saliency,
    smooth_grad,
)  # fmt: skip
from fashionprobe.explain.cam import grad_cam
from fashionprobe.explain.heatmaps import resize
from fashionprobe.explain.targets import Channel, Neuron

FACTORIES = {
    "gradient": gradient,
    "deconvnet": deconvnet,
    "guided_backpropagation": guided_backpropagation,
    "guided_grad_cam": guided_grad_cam,
    "smooth_grad": lambda model, **options: smooth_grad(model, samples=3, **options),
    "integrated_gradients": lambda model, **options: integrated_gradients(model, steps=4, **options),
}


@pytest.fixture(scope="module")
def signed() -> keras.Model:
    """Four convolutions with four kinds of ReLU, the last one saturated here and there; weights of both signs."""
    random = np.random.default_rng(4)
    image = keras.Input((7, 6, 2))
    x = keras.layers.Conv2D(5, 3, padding="same", activation="relu", name="c0")(image)
    x = keras.layers.ReLU()(keras.layers.Conv2D(4, 3, padding="same", name="c1")(x))
    x = keras.layers.Activation("relu")(keras.layers.Conv2D(6, 3, padding="same", name="c2")(x))
    x = keras.ops.relu6(keras.layers.Conv2D(5, 3, padding="same", name="c3")(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax", name="scores")(x))
    model.set_weights([random.normal(0, 0.4, weight.shape) for weight in model.get_weights()])
    kernel, _ = model.get_layer("scores").get_weights()
    # Each class is the top one somewhere.
    pooled = keras.Model(image, x)(random.normal(0, 3, (50, 7, 6, 2))).numpy()
    model.get_layer("scores").set_weights([kernel, -(pooled @ kernel).mean(axis=0)])
    return model


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(6).normal(0, 3, (4, 7, 6, 2)).astype(np.float32)


def convolve(x, kernel):
    """A convolution with a kernel of 3 x 3 and zeros around, as a loop."""
    wide = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    height, width = x.shape[1:3]
    return sum(wide[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3))


LIMITS = (np.inf, np.inf, np.inf, 6)


def forward(model, x):
    """Return the map after each ReLU, and the scores before the softmax, in plain NumPy and double precision."""
    weights = [np.float64(weight) for weight in model.get_weights()]
    x, maps = np.float64(x), []
    for kernel, bias, limit in zip(weights[0:8:2], weights[1:8:2], LIMITS, strict=True):
        x = np.clip(convolve(x, kernel) + bias, 0, limit)
        maps.append(x)
    return maps, x.mean(axis=(1, 2)) @ weights[8] + weights[9]


def propagate(model, x, number, rule):
    """Forward and back in plain NumPy: R comes to each ReLU, and the rule says what it hands down."""
    maps, _ = forward(model, x)
    assert (maps[-1] == 6).any() and all((f == 0).any() for f in maps)
    weights = [np.float64(weight) for weight in model.get_weights()]
    r = np.broadcast_to(weights[8][:, number] / (7 * 6), maps[-1].shape)
    for kernel, f, limit in zip(weights[0:8:2][::-1], maps[::-1], LIMITS[::-1], strict=True):
        passes = (f > 0) & (f < limit)
        r = {"gradient": passes * r, "deconvnet": (r > 0) * r, "guided": passes * (r > 0) * r}[rule]
        r = convolve(r, kernel[::-1, ::-1].swapaxes(2, 3))
    return r


@pytest.mark.parametrize(
    ("factory", "rule"), [(gradient, "gradient"), (deconvnet, "deconvnet"), (guided_backpropagation, "guided")]
)
def test_the_three_rules_equal_plain_numpy(signed, pixels, factory, rule):
    expected = propagate(signed, pixels, 1, rule)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(factory(signed)(pixels, 1), expected, rtol=1e-4, atol=1e-6)


def test_gradient_equals_finite_differences(signed, pixels):
    found, step = gradient(signed)(pixels, 1), 1e-6
    for row, column, channel in ((0, 0, 0), (3, 4, 1), (6, 5, 0), (5, 2, 1)):
        pushed, pulled = np.float64(pixels), np.float64(pixels)
        pushed[:, row, column, channel] += step
        pulled[:, row, column, channel] -= step
        difference = (forward(signed, pushed)[1] - forward(signed, pulled)[1])[:, 1] / (2 * step)
        assert np.abs(difference).max() > 1e-3
        np.testing.assert_allclose(found[:, row, column, channel], difference, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:(?s).*structure of `inputs`:UserWarning")
def test_saliency_equals_tf_keras_vis(logits, images):
    expected = Saliency(logits, clone=True)(
        lambda scores: [scores[place, number] for place, number in enumerate((0, 3, 2, 4))],
        images,
        keepdims=False,
        normalize_map=False,
    )
    np.testing.assert_allclose(saliency(gradient(logits)(images, [0, 3, 2, 4])), expected, rtol=1e-4, atol=1e-7)


def test_saliency_by_hand():
    gradients = np.zeros((1, 1, 2, 3))
    gradients[0, 0] = [[0.5, -2.0, 1.0], [0.0, 0.0, 3.0]]
    found = saliency(gradients)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[[2.0, 3.0]]])
    with pytest.raises(UserError, match=r"`gradients` must be of shape \(batch, height, width, channels\). .*\(1, 2"):
        saliency(gradients[0])


@pytest.mark.parametrize("factory", [guided_backpropagation, guided_grad_cam])
def test_every_kind_of_head_gives_the_same(factory, images):
    expected = factory(build("logits"))(images)
    assert np.abs(expected).max() > 1e-3
    for kind in ("dense", "sequential_layer", "nested"):
        np.testing.assert_allclose(factory(build(kind))(images), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_the_same_for_every_kind_of_head(kind, logits, images):
    expected = gradient(logits)(images)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(gradient(build(kind))(images), expected, rtol=1e-3, atol=1e-6)


def test_guided_grad_cam_is_the_product(signed, pixels):
    found = guided_grad_cam(signed, "c2")(pixels, 2)
    maps = resize(grad_cam(signed, "c2")(pixels, 2), (7, 6))
    expected = guided_backpropagation(signed)(pixels, 2) * maps[..., None]
    assert np.abs(expected).max() > 1e-4
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_smooth_grad_by_hand(network, images):
    scale = 0.3 * (images[0].max() - images[0].min())
    plain = gradient(network)
    top = int(network(images[:1]).numpy().argmax())
    noise = [tf.random.stateless_normal((16, 16, 3), [7, number]).numpy() for number in range(3)]
    expected = np.mean([plain(images[:1] + scale * each, top) for each in noise], axis=0)
    found = smooth_grad(network, samples=3, deviation=0.3, seed=7)(images)
    np.testing.assert_allclose(found[:1], expected, rtol=1e-3, atol=1e-6)
    assert np.abs(found - plain(images)).max() > 1e-3


def test_smooth_grad_is_the_seeds(network, images):
    tf.random.set_seed(1)
    first = smooth_grad(network, samples=5, seed=1)(images)
    tf.random.set_seed(2)
    np.testing.assert_array_equal(smooth_grad(network, samples=5, seed=1)(images), first)
    assert np.abs(smooth_grad(network, samples=5, seed=2)(images) - first).max() > 1e-4


@pytest.mark.parametrize(("factory", "options"), [(smooth_grad, {"samples": 5}), (integrated_gradients, {"steps": 5})])
def test_the_size_of_portions_changes_nothing(network, images, factory, options):
    expected = factory(network, batch_size=3, **options)(images[:1])
    for batch_size in (2, 100):
        found = factory(network, batch_size=batch_size, **options)(images[:1])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("kind", "count"), [("logits", 3), ("nested_layer", 1)])
def test_integrated_gradients_sum_to_the_difference_of_scores(kind, count, images):
    scores = build("logits")
    for number, baseline in ((None, 0.0), (1, 0.5), (4, images[3]))[:count]:
        black = scores(np.broadcast_to(np.float32(baseline), images.shape)).numpy()
        white = scores(images).numpy()
        chosen = white.argmax(axis=1) if number is None else np.full(4, number)
        expected = np.take_along_axis(white - black, chosen[:, None], axis=1)[:, 0]
        found = integrated_gradients(build(kind), baseline=baseline, batch_size=50)(images, number).sum(axis=(1, 2, 3))
        np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-5)


def test_integrated_gradients_by_hand(logits, images):
    plain, black = gradient(logits), np.float32([0.1, 0.2, 0.3])
    way = images - black
    expected = way * np.mean([plain(black + share * way, 2) for share in (0.125, 0.375, 0.625, 0.875)], axis=0)
    found = integrated_gradients(logits, steps=4, baseline=black)(images, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_the_points_are_doubled_where_they_do_not_sum_up():
    image = keras.Input((1, 1, 1))
    # The slope is 1 from 0.7 on, so the value is 0.3; by 1, 2, 4 and 8 points it is 0, 0.5, 0.25 and 0.25.
    x = keras.layers.ReLU()(keras.layers.Flatten()(image) - 0.7)
    model = keras.Model(image, keras.layers.Dense(1, kernel_initializer="ones", use_bias=False)(x))
    for steps, expected in ((1, 2 / 8), (2, 5 / 16), (3, 7 / 24), (5, 3 / 10)):
        found = integrated_gradients(model, steps=steps)(np.ones((1, 1, 1, 1)))
        np.testing.assert_allclose(found, [[[[expected]]]], rtol=1e-5)


def test_integrated_gradients_keep_the_class_of_the_image(signed, pixels):
    # On the way from black the top class is another one.
    tops = signed(pixels).numpy().argmax(axis=1)
    assert len({*signed(pixels * 0.01).numpy().argmax(axis=1), *tops}) > 1
    method = integrated_gradients(signed, batch_size=50)
    np.testing.assert_array_equal(method(pixels), method(pixels, tops))


def test_smooth_grad_keeps_the_class_of_the_image(signed, pixels):
    method = smooth_grad(signed, deviation=2.0)
    np.testing.assert_array_equal(method(pixels), method(pixels, signed(pixels).numpy().argmax(axis=1)))
    noisy = [pixels + 2 * np.ptp(pixels) * np.random.default_rng(seed).normal(size=pixels.shape) for seed in range(9)]
    assert len({tuple(signed(each).numpy().argmax(axis=1)) for each in noisy}) > 1


@pytest.mark.parametrize("name", FACTORIES)
def test_an_image_does_not_depend_on_its_batch_mates(name, network, images):
    method = FACTORIES[name](network)
    whole = method(images)
    assert whole.shape == images.shape and whole.dtype == np.float32
    loud = np.concatenate([images[2:3], 1000 * images[:1]])
    np.testing.assert_allclose(method(loud)[0], whole[2], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", FACTORIES)
def test_a_channel_and_a_neuron_as_target(name, images):
    model = build("nested_layer")
    for target in (Channel("second_relu", 3), Neuron("second_relu", 3, 4, 5)):
        options = {"layer": "first"} if name == "guided_grad_cam" else {}
        found = FACTORIES[name](model, target=target, **options)(images)
        assert np.isfinite(found).all() and np.abs(found).max() > 0
        if isinstance(target, Neuron) and name != "guided_grad_cam":
            # The neuron sees rows 2 * (4 - 1) - 1 to 2 * (5 + 1) of the image, and nothing else of it.
            assert not found[:, : 7 - 2].any() and not found[:, 13:].any()
    with pytest.raises(UserError, match="`classes` cannot be combined with a target that is not a class"):
        FACTORIES[name](model, target=target, **options)(images, 1)


@pytest.mark.parametrize("name", FACTORIES)
def test_large_logits_stay_finite(name, images):
    model = build("dense")
    last = model.get_layer("scores")
    last.set_weights([weight * 1000 for weight in last.get_weights()])
    assert np.abs(keras.Model(model.input, last.input)(images).numpy() @ last.get_weights()[0]).max() > 1000
    found = FACTORIES[name](model)(images)
    assert np.isfinite(found).all() and np.abs(found).max() > 0


@pytest.mark.parametrize("name", FACTORIES)
def test_the_users_model_is_not_changed(name, images):
    model = build("layer")
    layers = [(each, len(each._inbound_nodes), getattr(each, "activation", None)) for each in model.layers]
    weights = model.get_weights()
    FACTORIES[name](model)(images)
    assert layers == [(each, len(each._inbound_nodes), getattr(each, "activation", None)) for each in model.layers]
    assert all(np.array_equal(*pair) for pair in zip(weights, model.get_weights(), strict=True))


@pytest.mark.parametrize("name", ["gradient", "smooth_grad", "integrated_gradients"])
def test_compiled_once(name, network, images, monkeypatch):
    calls = []
    traced = backprop._gradient
    monkeypatch.setattr(backprop, "_gradient", lambda *given: calls.append(1) or traced(*given))
    method = FACTORIES[name](network)
    method(images)
    first = len(calls)
    for classes in (1, [0, 1, 2, 3], None):
        method(images, classes)
    assert len(calls) == first > 0


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
def test_portions_give_the_same(network, images, batch, monkeypatch):
    expected = gradient(network)(images[:batch], [0, 1, 2, 3][:batch])
    monkeypatch.setattr(backprop, "PORTION", 2 * 16 * 16)
    sizes = []
    traced = backprop._gradient
    monkeypatch.setattr(
        backprop, "_gradient", lambda net, some, *rest: sizes.append(some.shape[0]) or traced(net, some, *rest)
    )
    found = gradient(network)(images[:batch], [0, 1, 2, 3][:batch])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    assert sizes == [batch if batch < 3 else None]


@pytest.mark.parametrize("factory", [deconvnet, guided_backpropagation, guided_grad_cam])
def test_a_model_without_relu_is_refused(factory):
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(3, 3, activation="gelu")(image)
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
    with pytest.raises(UserError, match=r"`model` must be a network with a ReLU.*Use `gradient`"):
        factory(model)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda model: smooth_grad(model, samples=0), "`samples` must be an int, 1 or more. Received: 0"),
        (lambda model: smooth_grad(model, batch_size=1.5), "`batch_size` must be an int, 1 or more. Received: 1.5"),
        (lambda model: smooth_grad(model, deviation=0), "`deviation` must be a number above 0. Received: 0"),
        (lambda model: smooth_grad(model, deviation=np.nan), "`deviation` must be a number above 0. Received: nan"),
        (lambda model: smooth_grad(model, seed=2**31), "`seed` must be an int from 0 to 2147483647. Received: 2147"),
        (lambda model: integrated_gradients(model, steps=-1), "`steps` must be an int, 1 or more. Received: -1"),
        (
            lambda model: integrated_gradients(model, baseline=np.zeros((8, 16, 3))),
            r"`baseline` must be a number, or an image that fits \(16, 16, 3\). Received: an array of shape \(8, 16, 3",
        ),
        (lambda model: integrated_gradients(model, baseline=np.inf), "`baseline` must be finite numbers"),
        (lambda model: guided_grad_cam(model, "secnd"), "`layer` must be a layer of"),
    ],
)
def test_wrong_arguments_are_refused(network, make, message):
    with pytest.raises(UserError, match=message):
        make(network)


@pytest.mark.parametrize("name", FACTORIES)
def test_wrong_images_and_classes_are_refused(name, network, images):
    method = FACTORIES[name](network)
    with pytest.raises(UserError, match="`images` must be a batch of shape"):
        method(images[0])
    with pytest.raises(UserError, match=r"`classes` must be in the range \[0, 5\)"):
        method(images, 5)


def test_a_target_that_does_not_depend_on_the_image(network, images):
    with pytest.raises(UserError, match="`target` must be a number that depends on the image"):
        gradient(network, target=lambda scores: tf.zeros(tf.shape(scores)[0]))(images)


def test_grey_images_of_any_size():
    image = keras.Input((None, None, 1))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 3, activation="relu")(image))
    model = keras.Model(image, keras.layers.Dense(2)(x))
    grey = np.random.default_rng(0).random((2, 9, 7, 1), dtype=np.float32)
    for factory in FACTORIES.values():
        assert factory(model)(grey).shape == grey.shape
