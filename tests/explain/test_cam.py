import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import KINDS, build

from fashionprobe.errors import UserError
from fashionprobe.explain import cam, heatmaps
from fashionprobe.explain.targets import Channel, Neuron

GRADIENT = (cam.grad_cam, cam.percentile_cam, cam.grad_cam_plus_plus)
LAYERED = (*GRADIENT, cam.layer_cam)
ALL = (cam.cam, *LAYERED)

X = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)


def by_hand():
    """A_0 = x, A_1 = 5 - x; the scores are 2 mean(A_0) + mean(A_1) and -mean(A_0) + 3 mean(A_1), and a bias."""
    image = keras.Input((2, 2, 1))
    x = keras.layers.Conv2D(2, 1, name="map")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax")(x))
    model.set_weights([
        np.array([[[[1, -1]]]]), np.array([0, 5]), np.array([[2, -1], [1, 3]]), np.array([100, 0]),
    ])  # fmt: skip
    return model


def flattened(scale=1.0, channels=1):
    """A network whose gradient at `relu` is the dense layer's kernel, different at each place."""
    keras.utils.set_random_seed(5)
    image = keras.Input((6, 6, channels))
    x = keras.layers.Conv2D(4, 3, padding="same", name="conv")(image)
    x = keras.layers.ReLU(name="relu")(x)
    x = keras.layers.Flatten(name="flat")(x)
    model = keras.Model(image, keras.layers.Dense(3, name="scores")(x))
    model.layers[-1].kernel.assign(model.layers[-1].kernel * scale)
    return model


def taped(logits, layer, images, classes):
    """The feature map and the gradient of the logit, from the plainest code there is."""
    both = keras.Model(logits.input, [logits.get_layer(layer).output, logits.output])
    with tf.GradientTape() as tape:
        maps, scores = both(images)
        score = tf.reduce_sum(tf.gather(scores, classes, batch_dims=1))
    return maps.numpy().astype(np.float64), tape.gradient(score, maps).numpy().astype(np.float64)


def mean(maps, gradient):
    return gradient.mean((1, 2))


def median(maps, gradient):
    return np.percentile(gradient, 50, axis=(1, 2))


def plus_plus(maps, gradient):
    below = 2 * gradient**2 + maps.sum((1, 2), keepdims=True) * gradient**3
    alpha = np.divide(gradient**2, below, out=np.zeros_like(below), where=below != 0)
    return (alpha * np.maximum(gradient, 0)).sum((1, 2))


TWINS = {cam.grad_cam: mean, cam.percentile_cam: median, cam.grad_cam_plus_plus: plus_plus}


def twin(method, maps, gradient, relu=True):
    if method is cam.layer_cam:
        found = (np.maximum(gradient, 0) * maps).sum(-1)
    else:
        found = np.einsum("bhwd,bd->bhw", maps, TWINS[method](maps, gradient))
    return np.maximum(found, 0) if relu else found


def picture(model):
    """All that a call might change about a model, of inner models too."""
    found = []
    for layer in model._flatten_layers():
        nodes = (len(layer._inbound_nodes), len(layer._outbound_nodes))
        found.append((layer.name, id(layer), nodes, getattr(layer, "activation", None), layer.trainable))
    return found, [weight.copy() for weight in model.get_weights()]


@pytest.fixture(scope="module")
def vis_gradcam():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tf_keras_vis.gradcam import Gradcam
    return Gradcam


# Hand-worked values.


def test_cam_by_hand():
    images = X[None, :, :, None]
    explain = cam.cam(by_hand())
    np.testing.assert_allclose(explain(images, 0), [[[6, 7], [8, 9]]])
    np.testing.assert_allclose(explain(images, 1), [[[11, 7], [3, 0]]])
    np.testing.assert_allclose(cam.cam(by_hand(), relu=False)(images, 1), [[[11, 7], [3, -1]]])
    # The bias makes class 0 the top one.
    np.testing.assert_allclose(explain(images), [[[6, 7], [8, 9]]])


@pytest.mark.parametrize("method", [cam.grad_cam, cam.percentile_cam])
def test_gradient_maps_by_hand(method):
    explain = method(by_hand(), "map", relu=False)
    np.testing.assert_allclose(explain(X[None, :, :, None], 1), [np.array([[11, 7], [3, -1]]) / 4], rtol=1e-6)


def test_grad_cam_plus_plus_by_hand():
    # Class 0: g = 1/2 and 1/4 everywhere, both maps sum to 10, so alpha = 1 / 7 and 1 / 4.5.
    expected = 4 / 7 / 2 * X + 4 / 4.5 / 4 * (5 - X)
    np.testing.assert_allclose(cam.grad_cam_plus_plus(by_hand(), "map")(X[None, :, :, None], 0), [expected], rtol=1e-6)


def test_layer_cam_by_hand():
    # Class 1: the gradient is -1/4 and 3/4.
    found = cam.layer_cam(by_hand(), "map")(X[None, :, :, None], 1)
    np.testing.assert_allclose(found, [3 / 4 * (5 - X)], rtol=1e-6)


# NumPy twins.


@pytest.mark.parametrize("q", [0, 10, 37.5, 50, 90, 99.9, 100])
def test_percentiles_are_numpys(q):
    model, image = flattened(), np.random.default_rng(2).random((1, 6, 6, 1), np.float32)
    gradient = model.layers[-1].kernel.numpy()[:, 2].reshape(36, 4)
    maps = keras.Model(model.input, model.get_layer("relu").output)(image).numpy()
    expected = maps @ np.percentile(gradient, q, axis=0)
    found = cam.percentile_cam(model, "relu", q=q, relu=False)(image, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", LAYERED)
@pytest.mark.parametrize("layer", ["first", "second", "second_relu"])
def test_each_layer_gives_its_own_map(method, layer, network, logits, images):
    maps, gradient = taped(logits, layer, images, [0, 1, 4, 2])
    expected = twin(method, maps, gradient)
    found = method(network, layer)(images, [0, 1, 4, 2])
    assert found.shape == maps.shape[:3] and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5 * expected.max())


@pytest.mark.parametrize("method", LAYERED)
def test_a_relu_layer_is_not_its_convolution(method, network, images):
    before, after = (method(network, layer)(images, 1) for layer in ("second", "second_relu"))
    assert np.abs(before - after).max() > 1e-3 * after.max()


@pytest.mark.parametrize("method", LAYERED)
def test_places_with_different_gradients(method):
    model, images = flattened(), np.random.default_rng(2).random((3, 6, 6, 1), np.float32)
    expected = twin(method, *taped(model, "relu", images, [2, 0, 1]))
    assert expected.max() > 0
    found = method(model, "relu")(images, [2, 0, 1])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layer", ["first", "second_relu", "third", "third_relu"])
def test_grad_cam_is_that_of_tf_keras_vis(layer, network, logits, images, vis_gradcam):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = vis_gradcam(logits, clone=False)(
            lambda scores: scores[:, 3], images, layer, seek_penultimate_conv_layer=False,
            activation_modifier=None, expand_cam=False, normalize_cam=False,
        )  # fmt: skip
    expected = np.asarray(expected)
    assert np.abs(expected).max() > 0
    found = cam.grad_cam(network, layer, relu=False)(images, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


# The same for all shapes of networks.


@pytest.mark.parametrize("kind", KINDS)
def test_cam_is_grad_cam_times_the_number_of_cells(kind, images):
    model = build(kind)
    exact, graded = cam.cam(model, relu=False), cam.grad_cam(model, "third_relu", relu=False)
    for classes in (None, 2, [0, 1, 4, 2]):
        np.testing.assert_allclose(exact(images, classes), 64 * graded(images, classes), rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def plain_maps(logits, images):
    return {method: method(logits, *at(method))(images, 1) for method in ALL}


def at(method):
    return () if method is cam.cam else ("second_relu",)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_network_gives_the_same_maps_and_is_not_changed(kind, plain_maps, images):
    model = build(kind)
    before, weights = picture(model)
    # The three that share their gradient are one here.
    for method in (cam.cam, cam.grad_cam, cam.layer_cam):
        assert plain_maps[method].max() > 0
        np.testing.assert_allclose(
            method(model, *at(method))(images, 1), plain_maps[method], rtol=1e-4, atol=1e-6
        )  # fmt: skip
    after, weights_after = picture(model)
    assert before == after
    assert all(np.array_equal(*pair) for pair in zip(weights, weights_after, strict=True))


@pytest.mark.parametrize("method", ALL)
def test_the_top_class_by_default(method, network, logits, images):
    explain, top = method(network), logits(images).numpy().argmax(axis=1)
    np.testing.assert_array_equal(explain(images), explain(images, top))
    assert np.abs(explain(images) - explain(images, (top + 1) % 5)).max() > 0


@pytest.mark.parametrize("method", ALL)
def test_batch_mates_do_not_matter(method, network, images):
    explain = method(network)
    together = explain(images, [0, 1, 4, 2])
    alone = [explain(image[None], number)[0] for image, number in zip(images, [0, 1, 4, 2], strict=True)]
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6 * together.max())
    # A mate of another size of numbers would show.
    mates = np.concatenate([images[:1], images[1:] * 1000])
    np.testing.assert_allclose(explain(mates, [0, 1, 4, 2])[0], together[0], rtol=1e-5, atol=1e-6 * together.max())


@pytest.mark.parametrize("method", [cam.cam, cam.layer_cam])
def test_dropout_a_plain_softmax_and_no_bias(method, images):
    plain = build("logits")
    dense = keras.layers.Dense(5, use_bias=False)
    x = keras.layers.Dropout(0.5)(plain.layers[-2].output)
    model = keras.Model(plain.input, keras.ops.softmax(keras.layers.Dropout(0.5)(dense(x))))
    dense.kernel.assign(plain.layers[-1].kernel)  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(method(model)(images, 1), method(build("logits"))(images, 1), rtol=1e-5, atol=1e-6)


def test_a_sigmoid_head():
    image = keras.Input((4, 4, 1))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 1, name="map")(image))
    model = keras.Model(image, keras.layers.Dense(2, activation="sigmoid")(x))
    images = np.random.default_rng(0).random((2, 4, 4, 1), np.float32)
    maps = cam.cam(model, relu=False)(images, 1)
    np.testing.assert_allclose(maps, 16 * cam.grad_cam(model, "map", relu=False)(images, 1), rtol=1e-5, atol=1e-6)


def test_half_precision():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="map", dtype="mixed_bfloat16")(image)
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x)))
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    grad = cam.grad_cam(model, "map", relu=False)(images, 1)
    assert grad.dtype == np.float32
    np.testing.assert_allclose(cam.cam(model, relu=False)(images, 1), 36 * grad, rtol=0.05, atol=0.02)


def test_cam_reads_the_kernel_when_called(images):
    model = build("dense")
    explain = cam.cam(model, relu=False)
    before = explain(images, 2)
    model.layers[-1].kernel.assign(model.layers[-1].kernel * -2)
    np.testing.assert_allclose(explain(images, 2), -2 * before, rtol=1e-6)


# Numbers that break others.


@pytest.mark.parametrize("method", LAYERED)
def test_scores_of_thousands(method):
    model, images = flattened(scale=20_000), np.random.default_rng(2).random((3, 6, 6, 1), np.float32)
    assert model(images).numpy().max(axis=1).min() > 1000
    found = method(model, "relu")(images)
    expected = twin(method, *taped(model, "relu", images, model(images).numpy().argmax(axis=1)))
    assert (found.max(axis=(1, 2)) > 0).all()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * expected.max())


@pytest.mark.parametrize("scale", [1e-20, 1e-12])
def test_gradients_whose_cube_is_no_number_of_float32(scale):
    model, images = flattened(scale=scale), np.random.default_rng(2).random((3, 6, 6, 1), np.float32)
    found = cam.grad_cam_plus_plus(model, "relu")(images, 0)
    expected = twin(cam.grad_cam_plus_plus, *taped(model, "relu", images, [0, 0, 0]))
    assert expected.max() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * expected.max())


@pytest.mark.parametrize("method", LAYERED)
def test_no_gradient_at_all_is_a_map_of_zeros(method):
    images = np.random.default_rng(2).random((3, 6, 6, 1), np.float32)
    assert not method(flattened(scale=0), "relu")(images).any()


def test_a_zero_below_alpha_is_a_zero():
    # g = -1/2 x 4 and sum(A) = 4: 2 g^2 + sum(A) g^3 = 0.
    image = keras.Input((1, 2, 1))
    x = keras.layers.Conv2D(1, 1, use_bias=False, name="map")(image)
    model = keras.Model(image, keras.layers.Dense(1, use_bias=False)(keras.layers.Flatten()(x)))
    model.set_weights([np.ones((1, 1, 1, 1)), np.full((2, 1), 0.5)])
    found = cam.grad_cam_plus_plus(model, "map", relu=False)(np.full((1, 1, 2, 1), -2.0), 0)
    np.testing.assert_array_equal(found, np.zeros((1, 1, 2)))


@pytest.mark.parametrize("method", ALL)
def test_a_constant_image_gives_a_raw_map_and_no_heatmap(method):
    model, image = by_hand(), np.full((1, 2, 2, 1), 2.0)
    raw = method(model)(image, 0)
    assert raw.min() == raw.max() > 0
    assert not heatmaps.heatmap(raw, (8, 8)).any()


def test_raw_maps_keep_their_scores(network, images):
    raw = cam.cam(network)(images, 1)
    shown = heatmaps.heatmap(raw, (16, 16))
    assert raw.shape == (4, 8, 8) and shown.shape == (4, 16, 16)
    assert raw.max() != 1 and shown.max(axis=(1, 2)) == pytest.approx(1)
    np.testing.assert_allclose(cam.cam(network)(images * 10, 1).mean(), raw.mean() * 10, rtol=0.5)


@pytest.mark.parametrize("method", LAYERED)
def test_grey_images(method):
    images = np.random.default_rng(2).random((2, 6, 6, 1), np.float32)
    assert method(flattened())(images).shape == (2, 6, 6)


@pytest.mark.parametrize("method", GRADIENT)
def test_images_of_any_size(method):
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, name="map")(image)
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
    explain = method(model)
    assert explain(np.zeros((1, 8, 9, 3))).shape == (1, 6, 7)
    assert explain(np.zeros((2, 12, 5, 3))).shape == (2, 10, 3)


# Compiled, and for any target.


@pytest.mark.parametrize("method", GRADIENT)
def test_compiled_once_a_shape(method, network, images):
    traces = []

    def difference(scores):
        traces.append(scores.shape)
        return scores[:, 0] - scores[:, 1]

    explain = method(network, target=difference)
    for _ in range(3):
        explain(images)
    assert len(traces) == 1
    explain(images[:2])
    assert len(traces) == 2


def test_a_function_of_the_scores(network, images):
    first, second = (cam.grad_cam(network, "second_relu", relu=False)(images, number) for number in (0, 1))
    difference = cam.grad_cam(network, "second_relu", target=lambda scores: scores[:, 0] - scores[:, 1], relu=False)
    np.testing.assert_allclose(difference(images), first - second, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("target", [Channel("third_relu", 3), Neuron("third_relu", 3, 4, 5)])
def test_a_channel_and_a_neuron(target, network, images):
    both = keras.Model(network.input, [network.get_layer(name).output for name in ("second_relu", "third_relu")])
    with tf.GradientTape() as tape:
        maps, after = both(images)
        score = after[:, 4, 5, 3] if isinstance(target, Neuron) else tf.reduce_mean(after[..., 3], axis=(1, 2))
    gradient = tape.gradient(score, maps).numpy()
    expected = np.einsum("bhwd,bd->bhw", maps, gradient.mean((1, 2)))
    found = cam.grad_cam(network, "second_relu", target=target, relu=False)(images)
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def named(model, layer, target=None):
    return cam.open_at(model, layer, target)[1]


def test_the_last_layer_that_leads_to_the_target(network):
    assert named(network, None) == "third_relu"
    assert named(build("nested"), None) == "third_relu"
    assert named(network, None, Channel("third", 0)) == "second_relu"
    assert named(network, None, Channel("descriptor", 0)) == "third_relu"


def test_a_single_cell_is_no_default(network):
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="map")(image)
    x = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = keras.layers.Conv2D(5, 1, name="cell")(x)
    model = keras.Model(image, keras.layers.Softmax()(keras.layers.Flatten()(x)))
    assert named(model, None) == "map"
    assert named(model, "cell") == "cell"


def two_branches():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="asked")(image)
    y = keras.layers.Conv2D(4, 3, name="beside")(image)
    scores = keras.layers.Dense(2, name="a")(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, [scores, y])


@pytest.mark.parametrize("method", GRADIENT)
@pytest.mark.parametrize("layer", ["second_relu", "third"])
def test_a_layer_at_or_behind_the_target(method, layer, network):
    with pytest.raises(UserError, match=f"`layer` must be one that the target depends on.*Received: {layer}.*last one"):
        method(network, layer, target=Channel("second_relu", 0))


def test_a_layer_beside_the_target():
    with pytest.raises(UserError, match=r"depends on.*Received: beside. The last one is asked."):
        cam.grad_cam(two_branches(), "beside", target=Channel("a", 0))


@pytest.mark.parametrize("target", [lambda scores: tf.zeros(4), lambda scores: tf.round(scores[:, 0]) * 0 + 1])
def test_a_function_that_does_not_depend_on_the_scores(target, network, images):
    explain = cam.grad_cam(network, target=target)
    with pytest.raises(UserError, match="`target` must be a differentiable function that depends on third_relu"):
        explain(images)


@pytest.mark.parametrize("method", LAYERED)
@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("secnd", "such as second"),
        ("descriptor", "one with a feature map.*Received: descriptor"),
        ("scores", "feature map"),
    ],
)
def test_layers_that_are_not_there_or_have_no_space(method, layer, message, network):
    with pytest.raises(UserError, match=message):
        method(network, layer)


@pytest.mark.parametrize("q", [-1, 101, "50", None, True, float("nan")])
def test_percentiles_out_of_range(q, network):
    with pytest.raises(UserError, match=r"`q` must be a number in the range \[0, 100\]. Received: "):
        cam.percentile_cam(network, q=q)


def dense_only():
    image = keras.Input((8, 8, 3))
    return keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(image)))


def hidden_layer():
    image = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    return keras.Model(image, keras.layers.Dense(2)(keras.layers.Dense(4, activation="relu", name="hidden")(x)))


def bent():
    image = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    return keras.Model(image, keras.layers.Dense(2, activation="relu", name="bent")(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (flattened, "Received: Flatten flat, Dense scores. Use grad_cam"),
        (hidden_layer, "Received: Dense hidden, Dense dense.*. Use grad_cam"),
        (bent, "Received: Dense bent. Use grad_cam"),
    ],
)
def test_cam_of_a_network_that_ends_otherwise(make, message):
    with pytest.raises(UserError, match=f"`model` must be one that ends in GlobalAveragePooling2D and.*{message}"):
        cam.cam(make())


def test_a_network_without_feature_maps():
    with pytest.raises(UserError, match="`model` must be one with a feature map before the target"):
        cam.grad_cam(dense_only())


@pytest.mark.parametrize("method", ALL)
def test_images_and_classes_are_checked(method, network, images):
    explain = method(network)
    with pytest.raises(UserError, match="NaN or infinity in image 0"):
        explain(images * np.nan)
    with pytest.raises(UserError, match=r"`classes` must be in the range \[0, 5\)"):
        explain(images, 5)
