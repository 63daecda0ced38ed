import itertools

import keras
import numpy as np
import pytest

from fashionprobe.channels.convergent import bipartite, correlate, semi_matching
from fashionprobe.errors import UserError

L = keras.layers


@pytest.fixture(scope="module")
def many():
    return np.random.default_rng(5).random((23, 16, 16, 3), dtype=np.float32)


def batched(images, size):
    return [images[start : start + size] for start in range(0, len(images), size)]


def maps_of(model, layer, images):
    return keras.Model(model.input, model.get_layer(layer).output)(images).numpy().astype(float)


def matrix(first, second):
    """The plain definition, by NumPy's own function; 0 where a column is constant."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.corrcoef(np.concatenate([first, second], axis=1), rowvar=False)
    return np.nan_to_num(found)


def passing(channels=3, name="map"):
    image = keras.Input((2, 2, channels))
    return keras.Model(image, L.Activation("linear", name=name)(image))


def test_correlations_worked_out_by_hand():
    values = np.array([[1, 2, 5], [2, 4, 5], [3, 0, 5], [4, 2, 5]], np.float32).reshape(1, 2, 2, 3)
    found = correlate(passing(), "map", passing(name="other"), "other", [values])
    # Deviations: (-1.5, -0.5, 0.5, 1.5) and (0, 2, -2, 0): products sum to -2, squares to 5 and 8.
    expected = [[1, -2 / np.sqrt(40), 0], [-2 / np.sqrt(40), 1, 0], [0, 0, 0]]
    for part in (found.between, found.first, found.second):
        np.testing.assert_allclose(part, expected, atol=1e-12)
    np.testing.assert_allclose(found.means, [2.5, 2, 5])
    np.testing.assert_allclose(found.other_deviations, [np.sqrt(5 / 4), np.sqrt(2), 0], atol=1e-12)
    assert found.alive.tolist() == found.other_alive.tolist() == [True, True, False]
    assert (found.samples, found.pooled) == (4, False)


@pytest.mark.parametrize("size", [1, 6, 23])
def test_equals_numpy_over_all_places(network, many, size):
    found = correlate(network, "second_relu", network, "third_relu", batched(many, size))
    first, second = (maps_of(network, name, many).reshape(-1, width) for name, width in
                     (("second_relu", 8), ("third_relu", 7)))  # fmt: skip
    expected = matrix(first, second)
    np.testing.assert_allclose(found.between, expected[:8, 8:], atol=1e-6)
    np.testing.assert_allclose(found.first, expected[:8, :8], atol=1e-6)
    np.testing.assert_allclose(found.second, expected[8:, 8:], atol=1e-6)
    np.testing.assert_allclose(found.means, first.mean(0), atol=1e-5)
    np.testing.assert_allclose(found.other_deviations, second.std(0), atol=1e-5)
    assert (found.samples, found.pooled) == (23 * 64, False)


@pytest.mark.parametrize("pool", ["auto", "always"])
def test_maps_of_different_size_are_pooled(network, many, pool):
    found = correlate(network, "first", network, "third_relu", batched(many, 5), pool=pool)
    expected = matrix(maps_of(network, "first", many).mean((1, 2)), maps_of(network, "third_relu", many).mean((1, 2)))
    np.testing.assert_allclose(found.between, expected[:6, 6:], atol=1e-5)
    assert (found.samples, found.pooled) == (23, True)


def test_a_large_mean_costs_no_digits():
    values = np.random.default_rng(0).normal(size=(40, 2, 2, 3)).astype(np.float32) + np.float32(4096)
    found = correlate(passing(), "map", passing(name="other"), "other", batched(values, 3))
    np.testing.assert_allclose(found.first, np.corrcoef(values.reshape(-1, 3).astype(float), rowvar=False), atol=1e-9)


def test_a_constant_channel_that_is_not_zero_is_dead():
    values = np.random.default_rng(0).random((5, 2, 2, 3), dtype=np.float32)
    values[..., 1] = 0.1
    found = correlate(passing(), "map", passing(name="other"), "other", batched(values, 2))
    assert found.alive.tolist() == [True, False, True]
    assert not found.between[1].any() and not found.between[:, 1].any()


SMALL = np.array([[0.9, 0.8, 0.1], [0.85, 0.2, 0.3], [0.1, 0.4, 0.0]])


def test_matchings_worked_out_by_hand():
    one = bipartite(SMALL)
    # 0-1, 1-0, 2-2 sums to 1.65; 0-0, 1-2, 2-1 to 1.6.
    assert [one.channels.tolist(), one.others.tolist()] == [[1, 0, 2], [0, 1, 2]]
    np.testing.assert_allclose(one.correlations, [0.85, 0.8, 0.0])
    semi = semi_matching(SMALL)
    assert [semi.channels.tolist(), semi.others.tolist()] == [[0, 1, 2], [0, 0, 1]]
    np.testing.assert_allclose(semi.correlations, [0.9, 0.85, 0.4])


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3)])
def test_the_bipartite_matching_is_the_best_of_all(shape):
    correlation = np.random.default_rng(1).uniform(-1, 1, shape)
    wide = correlation if shape[0] <= shape[1] else correlation.T
    best = max(
        sum(wide[row, column] for row, column in enumerate(chosen))
        for chosen in itertools.permutations(range(wide.shape[1]), wide.shape[0])
    )
    found = bipartite(correlation)
    assert found.correlations.sum() == pytest.approx(best)
    assert len(set(found.channels)) == len(set(found.others)) == min(shape)
    assert (np.diff(found.correlations) <= 0).all()
    semi = semi_matching(correlation)
    assert sorted(semi.channels) == list(range(shape[0]))
    np.testing.assert_allclose(semi.correlations, correlation[semi.channels].max(axis=1))


def test_a_shuffled_network_is_put_in_order(many):
    image = keras.Input((16, 16, 3))
    model = keras.Model(image, L.Conv2D(9, 3, activation="relu", name="map")(image))
    other = keras.models.clone_model(model)
    order = np.random.default_rng(2).permutation(9)
    kernel, bias = model.get_layer("map").get_weights()
    other.get_layer("map").set_weights([kernel[..., order] * 3, bias[order]])
    found = correlate(model, "map", other, "map", batched(many, 8))
    for pairs in (bipartite(found.between), semi_matching(found.between)):
        alive = found.alive[pairs.channels]
        np.testing.assert_allclose(pairs.correlations[alive], 1, atol=1e-6)
        np.testing.assert_array_equal(order[pairs.others[alive]], pairs.channels[alive])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": "never"}, r"`pool` must be 'auto' or 'always' .*third_relu gives|first gives \(16, 16\), third_relu"),
        ({"pool": "mean"}, "`pool` must be one of: auto, never, always. Received: mean"),
        ({"batches": []}, "`batches` must be two images or more. Received: 0 samples"),
        ({"other_layer": "thrd"}, "`layer` must be a layer of .*third"),
        ({"layer": "descriptor"}, "`layer` must be one with a feature map"),
        ({"batches": [np.zeros((2, 16, 16, 1))]}, "`images` must be a batch of shape"),
    ],
)
def test_bad_input(network, many, options, message):
    given = {"layer": "first", "other_layer": "third_relu", "batches": [many], **options}
    with pytest.raises(UserError, match=message):
        correlate(network, other_model=network, **given)


@pytest.mark.parametrize("correlation", [np.zeros((0, 3)), np.zeros(3), np.full((2, 2), np.nan)])
@pytest.mark.parametrize("match", [bipartite, semi_matching])
def test_matrices_that_cannot_be_matched(match, correlation):
    with pytest.raises(UserError, match="`correlation` must be a matrix of finite numbers"):
        match(correlation)
