import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import KINDS, build

from fashionprobe.errors import UserError
from fashionprobe.explain.explained_model import Network, check_images, find_map, flat
from fashionprobe.explain.targets import Channel, Neuron


def run(network: Network, images, classes=None):
    (*_,), last = network(tf.constant(images))
    return network.score(last, network.check_classes(classes, len(images))).numpy()


def picture(model: keras.Model):
    """All that a call might change about a model, of inner models too."""
    found = []
    for layer in model._flatten_layers():
        nodes = (len(layer._inbound_nodes), len(layer._outbound_nodes))
        found.append((layer.name, id(layer), nodes, getattr(layer, "activation", None), layer.trainable))
    return found, [weight.copy() for weight in model.get_weights()]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_head_is_explained_at_the_logit(kind, images):
    expected = build("logits")(images).numpy()
    network = Network(build(kind), ["third_relu"])
    [feature_map], last = network(tf.constant(images))
    np.testing.assert_allclose(last, expected, rtol=1e-5, atol=1e-6)
    assert feature_map.shape == (4, 8, 8, 7)
    np.testing.assert_allclose(run(network, images), expected.max(axis=1), rtol=1e-5)
    np.testing.assert_allclose(run(network, images, 2), expected[:, 2], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        run(network, images, [0, 1, 4, 2]), expected[range(4), [0, 1, 4, 2]], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_users_model_is_not_changed(kind, images):
    model = build(kind)
    before, weights = picture(model)
    run(Network(model, ["first"]), images)
    after, weights_after = picture(model)
    assert before == after
    assert all(np.array_equal(*pair) for pair in zip(weights, weights_after, strict=True))


def test_probabilities_are_softmaxed_once(images):
    model = build("dense")
    network = Network(model)
    _, last = network(tf.constant(images))
    found = network.probability(last, network.check_classes(3, 4))
    np.testing.assert_allclose(found, model(images)[:, 3], rtol=1e-5)


def test_a_sigmoid_is_taken_off_and_put_back(images):
    image = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(image)
    model = keras.Model(image, keras.layers.Dense(2, activation="sigmoid")(x))
    network = Network(model)
    _, last = network(tf.constant(images))
    odds = model(images).numpy()
    np.testing.assert_allclose(last, np.log(odds / (1 - odds)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(network.probability(last, network.check_classes(1, 4)), odds[:, 1], rtol=1e-5)


def test_training_after_the_fact_shows(images):
    model = build("dense")
    network = Network(model)
    model.set_weights([weight * 0 + 0.25 for weight in model.get_weights()])
    np.testing.assert_allclose(run(network, images), keras.Model(model.input, model.layers[-1].input)(images).numpy() @
                               np.full((7, 5), 0.25)[:, 0] + 0.25, rtol=1e-5)  # fmt: skip


def test_a_channel_a_neuron_and_a_function_as_target(network, logits, images):
    maps = keras.Model(network.input, network.get_layer("second_relu").output)(images).numpy()
    np.testing.assert_allclose(
        run(Network(network, target=Channel("second_relu", 3)), images), maps[..., 3].mean((1, 2)), rtol=1e-5
    )
    np.testing.assert_allclose(
        run(Network(network, target=Neuron("second_relu", 3, 1, 5)), images), maps[:, 1, 5, 3], rtol=1e-5
    )
    scores = logits(images).numpy()
    found = run(Network(network, target=lambda scores: scores[:, 0] - scores[:, 1]), images)
    np.testing.assert_allclose(found, scores[:, 0] - scores[:, 1], rtol=1e-5, atol=1e-6)


def test_a_channel_of_a_network_without_classes(images):
    image = keras.Input((None, None, 3))
    model = keras.Model(image, keras.layers.Conv2D(4, 3, name="map")(image))
    assert run(Network(model, target=Channel("map", 0)), images).shape == (4,)
    with pytest.raises(
        UserError, match=r"`model` must be a classifier.*Received: output \(None, None, None, 4\).*Channel"
    ):
        Network(model)


def test_compiled_once_a_shape(network, images):
    opened, traces = Network(network), []

    def scores(pixels, classes):
        traces.append(pixels.shape)
        return opened.score(opened(pixels)[1], classes)

    explain = opened.compile(scores)
    for classes in (None, 1, [1, 2, 3, 4], None):
        explain(images, classes)
    assert len(traces) == 1
    explain(images[:2])
    assert len(traces) == 2


def test_nothing_is_kept_of_a_network_that_is_gone(images):
    model = build("layer")
    opened = Network(model)

    def scores(pixels, classes, opened=opened):
        return opened.score(opened(pixels)[1], classes)

    explain = opened.compile(scores)
    explain(images)
    gone = weakref.ref(opened)
    del opened, explain, scores
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("secnd", r"`layer` must be a layer of .*, such as second.*Received: secnd"),
        ("descriptor", r"`layer` must be one with a feature map.*Received: descriptor, output \(None, 7\).*third_relu"),
    ],
)
def test_a_layer_that_is_not_there_or_has_no_space(network, layer, message):
    with pytest.raises(UserError, match=message):
        find_map(flat(network), layer)


def two_outputs():
    image = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(image)
    return keras.Model(image, [keras.layers.Dense(2, name="a")(x), keras.layers.Dense(3, name="b")(x)])


def softmax_in_a_convolution():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 8, activation="softmax", name="odd")(image)
    return keras.Model(image, keras.layers.Softmax()(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (two_outputs, "`model` must be a model with one output. Received: 2: a, b."),
        (lambda: keras.layers.Dense(2), "`model` must be a functional or sequential Keras model.*Received: Dense"),
        (lambda: keras.Sequential([keras.layers.Dense(2)]), "`model` must be a functional or sequential.*build"),
    ],
)
def test_models_that_cannot_be_explained(make, message):
    with pytest.raises(UserError, match=message):
        Network(make())


def test_a_softmax_that_cannot_be_taken_off():
    with pytest.raises(UserError, match="Received: a softmax in odd, a Conv2D layer"):
        Network(softmax_in_a_convolution(), target=lambda scores: scores[:, 0, 0, 0])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            np.zeros((16, 16, 3)),
            r"`images` must be a batch of shape \(batch, 16, 16, 3\). Received: \[16, 16, 3\]. Add the",
        ),
        (np.zeros((1, 16, 16, 1)), r"`images` must be a batch.*Received: \[1, 16, 16, 1\]"),
        (np.zeros((0, 16, 16, 3)), r"`images` must be a batch.*Received: \[0, 16, 16, 3\]"),
        (np.stack([np.zeros((16, 16, 3)), np.full((16, 16, 3), np.nan)]), "NaN or infinity in image 1"),
    ],
)
def test_images_that_do_not_fit(network, images, message):
    with pytest.raises(UserError, match=message):
        check_images(network, images)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            "photos/Heels",
            "Received: 'photos/Heels'. Read files first: fashionprobe.records.image_files.read.read_files",
        ),
        (["a.png", "b.png"], "Received: 'a.png'. Read files first"),
        (tf.data.Dataset.from_tensors(np.zeros((1, 16, 16, 3))), "Received: a tf.data.Dataset. Call this for each"),
        ([np.zeros((16, 16, 3)), np.zeros((16, 9, 3))], "Received: list of other things"),
        (None, "Received: NoneType of other things"),
    ],
)
def test_what_is_not_an_array_of_images(network, images, message):
    with pytest.raises(UserError, match=message) as caught:
        check_images(network, images)
    assert "`images` must be an array or a tensor of numbers, shape (batch, 16, 16, 3)" in str(caught.value)


def test_a_class_by_name_is_told_how_to_find_its_number(network):
    with pytest.raises(UserError, match=r"ints, one per image. Received: Heels. A network knows .* 0 to 4"):
        Network(network).check_classes("Heels", 4)


def test_a_layer_stands_for_its_name(network, images):
    by_name, by_layer = Network(network, ["first"]), Network(network, [network.get_layer("first")])
    np.testing.assert_array_equal(by_name(images)[0][0], by_layer(images)[0][0])
    with pytest.raises(UserError, match=r"`layer` must be a layer of .* or its name. Received: ndarray. Images come"):
        Network(network, [images])


def test_channels_first_in_front_is_refused():
    image = keras.Input((3, 16, 16))
    model = keras.Model(image, keras.layers.Conv2D(2, 3, data_format="channels_first")(image))
    with pytest.raises(UserError, match=r"Received: channels first. Put keras.layers.Permute\(\(3, 1, 2\)\) in fro"):
        Network(model, target=lambda scores: scores[:, 0, 0, 0])


@pytest.mark.parametrize("classes", [5, -1, [0, 1], [0.5, 1.0, 2.0, 3.0], "shirt"])
def test_classes_that_do_not_fit(network, classes):
    with pytest.raises(UserError, match=r"`classes` must be .*Received: "):
        Network(network).check_classes(classes, 4)


def test_classes_for_a_channel(network):
    with pytest.raises(UserError, match="`classes` cannot be combined with a target that is not a class"):
        Network(network, target=Channel("first", 0)).check_classes(1, 4)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Channel("first", 6), r"`channel` must be in the range \[0, 6\) for first. Received: 6"),
        (Neuron("first", 0, 16, 0), r"`row` must be in the range \[0, 16\) for first. Received: 16"),
        (Neuron("descriptor", 0, 0, 0), "`target` must be a neuron of a feature map"),
        (Channel("fist", 0), "`target` must be a layer of .* such as first"),
    ],
)
def test_targets_that_are_not_there(network, target, message):
    with pytest.raises(UserError, match=message):
        Network(network, target=target)


def test_grey_images_work():
    image = keras.Input((8, 8, 1))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 3)(image))
    model = keras.Model(image, keras.layers.Dense(2)(x))
    assert run(Network(model), np.zeros((2, 8, 8, 1), np.float32)).shape == (2,)
