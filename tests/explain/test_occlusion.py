from typing import Any

import keras
import numpy as np
import pytest
from networks import KINDS, build

from fashionprobe.errors import UserError
from fashionprobe.explain import heatmaps
from fashionprobe.explain.occlusion import WINDOWS, occlusion, windows_of
from fashionprobe.explain.targets import Channel

UNIT: Any = {"value_range": (0.0, 1.0)}
CLASSES = [0, 1, 4, 2]


def linear(kernel, activation="softmax"):
    """One logit that is linear in the pixels of a grey image, beside a logit of 0."""
    kernel = np.asarray(kernel, np.float32)
    image = keras.Input((*kernel.shape, 1))
    model = keras.Model(
        image, keras.layers.Dense(2, activation=activation, use_bias=False)(keras.layers.Flatten()(image))
    )
    model.set_weights([np.stack([kernel.ravel(), 0 * kernel.ravel()], axis=1)])
    return model


def twin(probability, images, windows, strides, seed=0, mean=0.5, deviation=0.1, low=0.0, high=1.0):
    """Pixel loops."""
    height, width, channels = images.shape[1:]
    noise = np.random.default_rng(seed).normal(mean, deviation, (height, width, channels))
    noise = low + np.clip(noise, 0, 1) * (high - low)
    total, cover = np.zeros(images.shape[:3]), np.zeros((height, width))
    for side, step in zip(windows, strides, strict=True):
        for top in [*range(0, height - side, step), height - side]:
            for left in [*range(0, width - side, step), width - side]:
                hidden = images.copy()
                box = (slice(top, top + side), slice(left, left + side))
                hidden[:, *box] = noise[box]
                total[:, *box] += 1 / probability(hidden)[:, None, None]
                cover[box] += 1
    return total / cover


def soft(kind="layer"):
    """The network of this kind, with logits so near each other that no probability is near 0 or 1."""
    model = build(kind)
    dense = model.get_layer("scores")
    dense.kernel.assign(dense.kernel / 20)
    return model


@pytest.fixture(scope="module")
def network():
    return soft()


def picture(model):
    found = []
    for layer in model._flatten_layers():
        nodes = (len(layer._inbound_nodes), len(layer._outbound_nodes))
        found.append((layer.name, id(layer), nodes, getattr(layer, "activation", None), layer.trainable))
    return found, [weight.copy() for weight in model.get_weights()]


def test_by_hand():
    # Noise without deviation is grey, 0.5. Pixels are 1, and the logit is ln 3 (pixel (0, 0) + pixel (1, 1)): hidden,
    # one of them takes half of ln 3 away. 1 / p = 1 + exp(-logit).
    model = linear(np.log(3) * np.array([[1, 0], [0, 1]]))
    explain = occlusion(model, windows=[1], deviation=0, **UNIT)
    kept, lost = 1 + 1 / 9, 1 + 3**-1.5
    np.testing.assert_allclose(explain(np.ones((1, 2, 2, 1)), 0), [[[lost, kept], [kept, lost]]], rtol=1e-6)
    # The other class: 1 + exp(logit).
    np.testing.assert_allclose(
        explain(np.ones((1, 2, 2, 1)), 1), [[[1 + 3**1.5, 10], [10, 1 + 3**1.5]]], rtol=1e-5
    )  # fmt: skip


def test_pixels_go_to_255_by_default():
    model = linear(np.array([[1, 0], [0, 0]]) / 255)
    found = occlusion(model, windows=[1], deviation=0)(np.full((1, 2, 2, 1), 255.0), 0)
    np.testing.assert_allclose(found[0, 0], [1 + np.exp(-0.5), 1 + np.exp(-1)], rtol=1e-6)


def test_overlaps_are_averaged_by_hand():
    # Three pixels, all white; windows of two pixels side by side are [0, 1] and [1, 2].
    model = linear(np.log(2) * np.array([[4, 0, 0], [0, 0, 0]]))
    found = occlusion(model, windows=[2], strides=[1], deviation=0, **UNIT)(np.ones((1, 2, 3, 1)), 0)
    first, second = 1 + 2**-2, 1 + 2**-4
    np.testing.assert_allclose(found, [[[first, (first + second) / 2, second]] * 2], rtol=1e-6)


def test_the_drop_of_other_targets_by_hand():
    model = linear([[2, 0], [0, -4]])
    explain = occlusion(model, windows=[1], deviation=0, target=lambda scores: scores[:, 0], **UNIT)
    np.testing.assert_allclose(explain(np.ones((1, 2, 2, 1))), [[[1, 0], [0, -2]]], atol=1e-6)


@pytest.mark.parametrize(
    "options", [{"value_range": (0.0, 4.0)}, {"seed": 3, "mean": 0.9, "deviation": 0.4, "value_range": (-1.0, 2.0)}]
)
def test_the_numpy_twin(options, network, images):
    low, high = options["value_range"]
    settings = {name: value for name, value in options.items() if name != "value_range"}
    explain = occlusion(network, windows=[5, 8], strides=[3, 4], batch_size=7, **options)
    for classes in ([1] * 4, CLASSES):
        expected = twin(lambda hidden, classes=classes: network(hidden).numpy()[range(4), classes].astype(np.float64),
                        images, [5, 8], [3, 4], low=low, high=high, **settings)  # fmt: skip
        assert np.ptp(expected) > 0.1 * expected.mean()
        np.testing.assert_allclose(explain(images, classes), expected, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_network_gives_the_same_map_and_is_not_changed(kind, network, images):
    model = soft(kind)
    before, weights = picture(model)
    found = occlusion(model, windows=[8], value_range=(0.0, 4.0))(images[:2], 0)
    after, weights_after = picture(model)
    expected = twin(lambda hidden: network(hidden).numpy()[:, 0], images[:2], [8], [4], high=4.0)
    assert np.ptp(expected) > 0.05 * expected.mean()
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert before == after
    assert all(np.array_equal(*pair) for pair in zip(weights, weights_after, strict=True))


def test_the_top_class_is_that_of_the_whole_image(network, images):
    explain = occlusion(network, windows=[8])
    top = network(images).numpy().argmax(axis=1)
    np.testing.assert_allclose(explain(images), explain(images, top), rtol=1e-6)


def test_neither_batch_mates_nor_the_batch_size_matter(network, images):
    explain = occlusion(network, windows=[5])
    together = explain(images, CLASSES)
    alone = [explain(image[None], number)[0] for image, number in zip(images, CLASSES, strict=True)]
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    mates = np.concatenate([images[:1], images[1:] * 1000])
    np.testing.assert_allclose(explain(mates, CLASSES)[0], together[0], rtol=1e-5)
    for size in (1, 1000):
        np.testing.assert_allclose(
            occlusion(network, windows=[5], batch_size=size)(images, CLASSES), together, rtol=1e-5
        )


def test_a_seed_gives_the_same_map_and_touches_no_other_random_numbers(network, images):
    np.random.seed(7)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002  # pyright: ignore[reportArgumentType]
    first, again, other = (occlusion(network, windows=[8], seed=seed, **UNIT)(images, 1) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002  # pyright: ignore[reportArgumentType]


def test_a_probability_of_nothing_stays_finite():
    model = linear([[1000.0, 0], [0, 0]])
    found = occlusion(model, windows=[1], deviation=0, **UNIT)(np.ones((1, 2, 2, 1)), 1)
    np.testing.assert_allclose(found, np.full((1, 2, 2), 1e30), rtol=1e-5)
    assert not heatmaps.heatmap(found, (4, 4)).any()
    shown = occlusion(model, windows=[1], mean=0, deviation=0, **UNIT)(np.ones((1, 2, 2, 1)), 1)
    np.testing.assert_allclose(shown, [[[2, 1e30], [1e30, 1e30]]], rtol=1e-5)


def test_nothing_that_matters_is_a_constant_map():
    found = occlusion(linear(np.zeros((6, 6))), windows=[2, 3])(np.ones((2, 6, 6, 1)), 0)
    np.testing.assert_allclose(found, np.full((2, 6, 6), 2), rtol=1e-6)


def test_compiled_once(network, images):
    traces = []

    def first(scores):
        traces.append(scores.shape)
        return scores[:, 0]

    explain = occlusion(network, windows=[8], batch_size=10, target=first)
    explain(images)
    # Once for whole images, once for all batches of hidden ones, the last and smaller one too.
    assert len(traces) == 2
    explain(images)
    assert len(traces) == 2


def test_a_channel_as_target(network, images):
    channel = keras.Model(network.input, network.get_layer("second_relu").output)
    found = occlusion(network, windows=[16], deviation=0, target=Channel("second_relu", 2), **UNIT)(images)
    drop = channel(images).numpy()[..., 2].mean((1, 2)) - channel(images * 0 + 0.5).numpy()[..., 2].mean()
    np.testing.assert_allclose(found, np.broadcast_to(drop[:, None, None], (4, 16, 16)), rtol=1e-4, atol=1e-6)


def test_images_of_any_size():
    image = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    explain = occlusion(keras.Model(image, keras.layers.Dense(2)(x)))
    assert explain(np.zeros((1, 14, 21, 3))).shape == (1, 14, 21)
    assert explain(np.zeros((2, 10, 8, 3))).shape == (2, 10, 8)


def test_windows_end_at_the_border_and_cover_every_pixel():
    np.testing.assert_array_equal(
        windows_of(4, 5, [2, 4], [2, 3]),
        [[0, 0, 2], [0, 2, 2], [0, 3, 2], [2, 0, 2], [2, 2, 2], [2, 3, 2], [0, 0, 4], [0, 1, 4]],
    )
    for height, width in ((28, 28), (60, 80), (7, 9), (1, 3)):
        for share in WINDOWS:
            cover = np.zeros((height, width))
            for row, column, side in windows_of(height, width, [share]):
                assert row + side <= height and column + side <= width
                cover[row : row + side, column : column + side] += 1
            assert cover.min() >= 1


def test_default_windows_at_224_pixels():
    boxes = windows_of(224, 224)
    assert sorted(set(boxes[:, 2])) == [32, 64]
    assert len(boxes) == 13**2 + 6**2
    np.testing.assert_array_equal(boxes, windows_of(224, 224, [32, 64], [16, 32]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"windows": []}, "`windows` must be at least one side"),
        ({"windows": [17]}, r"`windows` must be shares in \(0, 1\) or whole pixels in \[1, 16\]. Received: 17"),
        ({"windows": [0]}, "`windows` must be shares.*Received: 0"),
        ({"windows": [2.5]}, "`windows` must be shares.*Received: 2.5"),
        ({"windows": [4], "strides": [5]}, "`strides` must be at most the window, 4 pixels. Received: 5 pixels"),
        ({"windows": [4], "strides": [2, 2]}, "`strides` must be as many as windows, 1"),
        ({"windows": [4], "strides": [-1]}, "`strides` must be shares.*Received: -1"),
        ({"value_range": (1.0, 1.0)}, r"`value_range` must be \(low, high\) with low < high"),
        ({"deviation": -0.1}, "`deviation` must be at least 0. Received: -0.1"),
        ({"score": "logit"}, "`score` must be one of: probability, output. Received: logit"),
        ({"batch_size": 0}, r"`batch_size` must be an int in the range \[1, inf\). Received: 0"),
    ],
)
def test_options_out_of_range(options, message, network, images):
    with pytest.raises(UserError, match=message):
        occlusion(network, **options)(images)


def test_the_output_of_the_report_by_hand():
    # Three white pixels, logit 4 x first + 2 x second; windows [0, 1] and [1, 2] side by side, grey 0.5 behind them.
    model = linear([[4, 2, 0], [0, 0, 0]])
    explain = occlusion(model, windows=[2], strides=[1], deviation=0, score="output", **UNIT)
    # 1 / (2 + 1) for the first window, 1 / (4 + 1) for the second, summed where they overlap.
    np.testing.assert_allclose(explain(np.ones((1, 2, 3, 1)), 0), [[[1 / 3, 1 / 3 + 1 / 5, 1 / 5]] * 2], rtol=1e-6)


def test_the_output_against_numpy(network, images):
    scores = keras.Model(network.input, network.get_layer("scores").input)
    kernel, bias = network.get_layer("scores").get_weights()

    def logit(hidden):
        return (scores(hidden).numpy().astype(np.float64) @ kernel + bias)[:, 1] + 5

    network = keras.models.clone_model(network)
    network.set_weights([*soft().get_weights()[:-1], bias + 5])
    found = occlusion(network, windows=[5, 8], strides=[3, 4], batch_size=7, score="output", value_range=(0.0, 4.0))
    # The twin divides by the cover, which is taken back.
    cover = np.zeros(images.shape[:3])
    for row, column, side in windows_of(16, 16, [5, 8], [3, 4]):
        cover[:, row : row + side, column : column + side] += 1
    expected = twin(logit, images, [5, 8], [3, 4], high=4.0) * cover
    np.testing.assert_allclose(found(images, 1), expected, rtol=1e-4)


def test_an_output_of_nothing_or_less(caplog):
    # Hidden, the first pixel takes the logit from 1 to -1: it counts as a hundredth of 1.
    model = linear([[4, 0], [0, -3]])
    explain = occlusion(model, windows=[1], deviation=0, score="output", **UNIT)
    np.testing.assert_allclose(explain(np.ones((1, 2, 2, 1)), 0), [[[100, 1], [1, 1 / 2.5]]], rtol=1e-6)
    assert not caplog.records
    np.testing.assert_array_equal(explain(np.ones((2, 2, 2, 1)), 1), np.zeros((2, 2, 2)))
    assert "not above 0 for 2 of 2 images" in caplog.text


def test_the_output_of_a_channel(network, images):
    channel = keras.Model(network.input, network.get_layer("second_relu").output)
    explain = occlusion(network, windows=[16], deviation=0, score="output", target=Channel("second_relu", 2), **UNIT)
    left = channel(images * 0 + 0.5).numpy()[..., 2].mean((1, 2))
    np.testing.assert_allclose(explain(images)[:, 3, 3], 1 / left, rtol=1e-4)
