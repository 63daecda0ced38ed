import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import KINDS, build

from fashionprobe.errors import UserError
from fashionprobe.explain import cam, heatmaps
from fashionprobe.explain.score_cam import score_cam
from fashionprobe.explain.targets import Channel

CLASSES = [0, 1, 4, 2]


def soft(kind):
    """The network of this kind, with logits so near each other that no probability is near 0 or 1."""
    model = build(kind)
    dense = model.get_layer("scores")
    dense.kernel.assign(dense.kernel / 20)
    return model


@pytest.fixture(scope="module")
def network():
    return soft("layer")


@pytest.fixture(scope="module")
def logits():
    return soft("logits")


def outputs(model, layer, images):
    both = keras.Model(model.input, [model.get_layer(layer).output, model.output])
    return [each.numpy().astype(np.float64) for each in both(images)]


def softmax(values):
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def twin(logits, layer, image, number, *, channels=None, weights="probability"):
    """One image, channel by channel, as the paper says it; NumPy but for the network and the resizing."""
    [maps], _ = outputs(logits, layer, image[None])
    order = np.argsort(-maps.var((0, 1)), kind="stable")[:channels]
    scores, shown = [], []
    for channel in order:
        one = maps[:, :, channel]
        if one.max() == one.min():
            continue
        wide = heatmaps.resize(one[None], image.shape[:2])[0]
        mask = (wide - wide.min()) / (wide.max() - wide.min())
        scores.append(softmax(logits((image * mask[:, :, None])[None]).numpy()[0])[number])
        shown.append(one)
    if weights == "softmax":
        scores = softmax(np.array(scores))
    return np.maximum(sum(score * one for score, one in zip(scores, shown, strict=True)), 0)


def constant(value=0.5):
    """Channel 0 is the image, channels 1 and 2 are the same everywhere."""
    image = keras.Input((4, 4, 1))
    x = keras.layers.Conv2D(3, 1, name="map")(image)
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
    dense = np.random.default_rng(0).normal(size=(3, 2))
    model.set_weights([np.array([[[[1, 0, 0]]]]), np.array([0, value, 0]), dense, np.zeros(2)])
    return model


def picture(model):
    found = []
    for layer in model._flatten_layers():
        nodes = (len(layer._inbound_nodes), len(layer._outbound_nodes))
        found.append((layer.name, id(layer), nodes, getattr(layer, "activation", None), layer.trainable))
    return found, [weight.copy() for weight in model.get_weights()]


def test_by_hand():
    # Both maps have 0 and 1 as least and greatest value, so they are the masks. The image through the first is 1 at
    # two pixels, through the second at the other one: its mean is 1/2 and 1/4, and the logits are that times ln 3.
    image = keras.Input((2, 2, 2))
    x = keras.layers.Conv2D(2, 1, use_bias=False, name="map")(image)
    y = keras.layers.GlobalAveragePooling2D()(x)
    y = keras.layers.Dense(2, use_bias=False)(y)
    model = keras.Model(image, keras.layers.Softmax()(y))
    model.set_weights([np.eye(2).reshape(1, 1, 2, 2), np.array([[2, 0], [4, 0]]) * np.log(3)])
    first, second = np.array([[1, 1], [0, 0]]), np.array([[0, 0], [0, 1]])
    # Through the first mask the second channel is empty, and the other way round: logits (ln 3, 0) both times.
    expected = 0.75 * first + 0.75 * second
    found = score_cam(model, "map")(np.stack([first, second], -1)[None], 0)
    np.testing.assert_allclose(found, [expected], rtol=1e-6)
    np.testing.assert_allclose(score_cam(model, "map", weights="softmax")(np.stack([first, second], -1)[None], 0),
                               [0.5 * first + 0.5 * second], rtol=1e-6)  # fmt: skip
    np.testing.assert_allclose(
        score_cam(model, "map")(np.stack([first, second], -1)[None], 1), [expected / 3], rtol=1e-6
    )


@pytest.mark.parametrize("weights", ["probability", "softmax"])
@pytest.mark.parametrize(("layer", "channels"), [("first", None), ("second", None), ("second_relu", 3), ("pool", 1)])
def test_each_layer_gives_its_own_map(layer, channels, weights, network, logits, images):
    found = score_cam(network, layer, channels=channels, weights=weights, batch_size=5)(images, CLASSES)
    for image, number, one in zip(images, CLASSES, found, strict=True):
        expected = twin(logits, layer, image, number, channels=channels, weights=weights)
        np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-5 * expected.max())


def test_the_softmax_over_classes_is_applied_once(network, logits, images):
    [found] = score_cam(network, "third_relu")(images[:1], 1)
    once = twin(logits, "third_relu", images[0], 1)
    wrong = twin(network, "third_relu", images[0], 1)
    np.testing.assert_allclose(found, once, rtol=1e-4, atol=1e-6)
    assert np.abs(wrong - once).max() > 0.05 * once.max()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_network_gives_the_same_map_and_is_not_changed(kind, logits, images):
    model = soft(kind)
    before, weights = picture(model)
    [found] = score_cam(model, "second_relu", channels=4)(images[:1], 1)
    after, weights_after = picture(model)
    expected = twin(logits, "second_relu", images[0], 1, channels=4)
    assert expected.max() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert before == after
    assert all(np.array_equal(*pair) for pair in zip(weights, weights_after, strict=True))


def test_the_top_class_and_the_last_layer_by_default(network, logits, images):
    top = logits(images).numpy().argmax(axis=1)
    named = score_cam(network, "third_relu")
    np.testing.assert_array_equal(score_cam(network)(images), named(images, top))
    assert not np.allclose(named(images, (top + 1) % 5), named(images, top), rtol=0.01)


def test_the_class_is_that_of_the_whole_image(logits):
    """Seen through a channel an image may have another top class; the weight is still that of the first one."""
    keras.utils.set_random_seed(2)
    model = build("logits")
    model.layers[-1].kernel.assign(model.layers[-1].kernel * 30)
    images = np.random.default_rng(3).random((2, 16, 16, 3), np.float32)
    top = model(images).numpy().argmax(axis=1)
    found = score_cam(model, "third_relu")(images)
    for image, number, one in zip(images, top, found, strict=True):
        np.testing.assert_allclose(one, twin(model, "third_relu", image, number), rtol=1e-3, atol=1e-4 * one.max())


@pytest.mark.parametrize("channels", [None, 3])
def test_neither_batch_mates_nor_the_batch_size_matter(channels, network, images):
    explain = score_cam(network, "second_relu", channels=channels)
    together = explain(images, CLASSES)
    alone = [explain(image[None], number)[0] for image, number in zip(images, CLASSES, strict=True)]
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)
    mates = np.concatenate([images[:1], images[1:] * 1000])
    np.testing.assert_allclose(explain(mates, CLASSES)[0], together[0], rtol=1e-5, atol=1e-6)
    for size in (1, 7, 1000):
        other = score_cam(network, "second_relu", channels=channels, batch_size=size)(images, CLASSES)
        np.testing.assert_allclose(other, together, rtol=1e-5, atol=1e-6)


def test_a_constant_channel_weighs_nothing():
    model, images = constant(), np.random.default_rng(0).random((2, 4, 4, 1), np.float32)
    scores = softmax(model((images - images.min((1, 2), keepdims=True)) /
                           np.ptp(images, axis=(1, 2), keepdims=True) * images).numpy())  # fmt: skip
    found = score_cam(model, "map")(images, 1)
    np.testing.assert_allclose(found, scores[:, 1, None, None] * images[..., 0], rtol=1e-5)
    np.testing.assert_allclose(score_cam(model, "map", weights="softmax")(images, 1), images[..., 0], rtol=1e-6)


@pytest.mark.parametrize("weights", ["probability", "softmax"])
def test_nothing_but_constant_channels(weights):
    images = np.concatenate([np.ones((1, 4, 4, 1)), np.random.default_rng(0).random((1, 4, 4, 1))])
    found = score_cam(constant(), "map", weights=weights)(images)
    assert not found[0].any() and found[1].any()
    assert not score_cam(constant(), "map", weights=weights)(images[:1]).any()
    assert not heatmaps.heatmap(found[:1], (8, 8)).any()


@pytest.mark.parametrize("weights", ["probability", "softmax"])
def test_scores_of_thousands(weights, images):
    model = build("logits")
    model.layers[-1].kernel.assign(model.layers[-1].kernel * 1e5)
    assert np.abs(model(images).numpy()).max() > 1000
    found = score_cam(model, "third_relu", weights=weights)(images)
    assert np.isfinite(found).all() and found.any()
    target = score_cam(model, "third_relu", weights=weights, target=lambda scores: scores[:, 0])(images)
    assert np.isfinite(target).all()


def test_only_channels_that_vary_are_scored(images):
    """Compiled once, whatever the number of images and of constant channels; no pass more than there are channels."""
    traces, passes = [], []

    def count(scores):
        traces.append(scores.shape)
        passes.append(tf.py_function(lambda found: sizes.append(len(found)), [scores], []))
        return scores[:, 0]

    sizes = []
    explain = score_cam(build("logits"), "second_relu", channels=5, batch_size=6, target=count)
    explain(images)
    assert sizes == [6, 6, 6, 2]
    explain(images[:3])
    explain(np.concatenate([images[:1], images[:1] * 0]))
    assert len(traces) == 1


def test_a_channel_as_target(network, images):
    explain = score_cam(network, "second", target=Channel("second_relu", 2))
    assert explain(images).shape == (4, 8, 8)
    # No gradient is needed: the target's own layer will do.
    assert score_cam(network, "second_relu", target=Channel("second_relu", 2))(images).any()
    assert cam.open_at(network, None, Channel("second_relu", 2))[1] == "normalized"


def test_grey_images_of_any_size():
    image = keras.Input((None, None, 1))
    x = keras.layers.MaxPooling2D()(keras.layers.Conv2D(4, 3, name="map")(image))
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x)))
    explain = score_cam(model, "map")
    random = np.random.default_rng(0)
    assert explain(random.random((2, 8, 11, 1))).shape == (2, 6, 9)
    assert explain(random.random((1, 12, 6, 1))).shape == (1, 10, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, r"`channels` must be an int in the range \[1, 7\]. Received: 0"),
        ({"channels": 8}, r"`channels` must be an int in the range \[1, 7\]. Received: 8"),
        ({"channels": 2.0}, r"`channels` must be an int in the range \[1, 7\]. Received: 2.0"),
        ({"batch_size": 0}, r"`batch_size` must be an int in the range \[1, inf\). Received: 0"),
        ({"weights": "softmx"}, "`weights` must be one of: probability, softmax. Received: softmx. Did you mean"),
        ({"layer": "thrd"}, "`layer` must be a layer of .*third"),
        ({"layer": "descriptor"}, "`layer` must be one with a feature map"),
    ],
)
def test_options_out_of_range(options, message, network):
    with pytest.raises(UserError, match=message):
        score_cam(network, **options)
