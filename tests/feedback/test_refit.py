"""Refits of a net of a few hundred weights; every compiled step is shared by the module."""

import dataclasses
import itertools

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy.special import log_softmax

from fashionprobe.errors import UserError
from fashionprobe.feedback import losses
from fashionprobe.feedback.correctable import Correctable
from fashionprobe.feedback.masks.regions import at_tap
from fashionprobe.feedback.methods import LOSSES
from fashionprobe.feedback.refit import MaskedImages, Plan, Stepper, _compiled, kept_channels, refit

SIDE, CLASSES = 16, 3
PENALTIES = ("pas", "pasa", "rrr", "rrr_g")


def tiny(dropout=0.0):
    """Two convolutions, batch normalisation, and the head of class activation mapping; the last map is 8 x 8 x 6."""
    keras.utils.set_random_seed(4)
    image = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(4, 3, padding="same", name="first")(x)
    x = keras.layers.ReLU(name="first_relu")(keras.layers.BatchNormalization(name="normalized")(x))
    x = keras.layers.Conv2D(6, 3, padding="same", activation="relu", name="last")(keras.layers.MaxPooling2D()(x))
    x = keras.layers.Dropout(dropout)(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, keras.layers.Dense(CLASSES, activation="softmax", name="scores")(x), name="tiny")


def pictures(count, seed=0):
    random = np.random.default_rng(seed)
    return random.uniform(0, 255, (count, SIDE, SIDE, 3)).astype(np.float32), np.arange(count) % CLASSES


def batches(seed=0, size=6):
    random = np.random.default_rng(seed)
    images, labels = pictures(30)
    while True:
        rows = random.integers(len(images), size=size)
        yield images[rows], labels[rows]


@pytest.fixture(scope="module")
def masked():
    """Seven images, each with a mask of its own."""
    images, labels = pictures(7, seed=1)
    masks = np.zeros((7, SIDE, SIDE), bool)
    for row in range(7):
        masks[row, -6:, : 2 + row] = True
    ids = np.array([f"image {row}" for row in range(7)])
    return MaskedImages(ids, images.astype(np.uint8), labels, masks, at_tap(masks, (8, 8)))


class Lab:
    """One network, its first weights, and a compiled step of each loss that was asked for."""

    def __init__(self):
        self.network = Correctable(tiny())
        self.base = self.network.model.get_weights()
        self.steppers = {}

    def stepper(self, loss, optimizer="adam"):
        if (loss, optimizer) not in self.steppers:
            self.steppers[loss, optimizer] = Stepper(self.network, loss, optimizer)
        return self.steppers[loss, optimizer]

    def fresh(self):
        self.network.model.set_weights(self.base)

    def refit(self, masked, /, loss="ce", *, optimizer="adam", stepper=None, check=None, seed=0, watch=int, **plan):
        self.fresh()
        given = {"iterations": 6, "masked": 3, "check_every": 3, "learning_rate": 0.01, "dropped": 2, **plan}
        return refit(
            self.network, stepper or self.stepper(loss, optimizer), batches(), masked, Plan(loss=loss, **given),
            check=check or (lambda: {"score": 0.0}), seed=seed, watch=watch,
        )  # fmt: skip


@pytest.fixture(scope="module")
def lab():
    return Lab()


def whole(masked):
    """All masked images as one batch of a stepper, the first without its mask."""
    tap, masks = masked.at_tap.copy(), masked.masks.astype(np.float32)
    tap[0] = masks[0] = 0
    return (
        tf.constant(masked.images, tf.float32), tf.constant(masked.labels, tf.int32),
        tf.constant(tap), tf.constant(masks),
    )  # fmt: skip


def started(lab, loss, **plan):
    lab.fresh()
    stepper = lab.stepper(loss)
    stepper.start(Plan(loss=loss, dropped=2, **plan))
    return stepper


@pytest.mark.parametrize("loss", PENALTIES)
def test_each_loss_lowers_its_penalty(lab, masked, loss):
    def inside():
        return float(lab.stepper(loss).terms(*whole(masked))[1])

    found = lab.refit(masked, loss, iterations=30, masked=5, lam=3, keep_best=False)
    after = inside()
    lab.refit(masked, "ce", iterations=30, masked=5, keep_best=False)
    continued = inside()
    lab.fresh()
    assert after < 0.7 * inside()
    # Not only because training goes on.
    assert after < 0.9 * continued
    assert found.history["penalty"].iloc[-1] < 0.7 * found.history["penalty"].iloc[0]


def test_the_terms_are_those_of_the_formulas(lab, masked):
    batch = whole(masked)
    images, labels, tap, masks = batch
    for loss in LOSSES:
        before = [each.copy() for each in lab.base]
        stepper = started(lab, loss, b=5.0, th=0.8)
        maps, scores = (each.numpy() for each in lab.network(images, training=False))
        entropy, penalty = (float(each) for each in stepper.terms(*batch))
        kernel, bias = lab.network.dense.get_weights()
        plain = -log_softmax(scores, axis=1)[range(7), labels]
        if loss == "pas":
            expected = losses.activation_inside(maps, tap)
        elif loss == "pasa":
            expected = losses.pasa(labels, scores, maps, tap, b=5.0, th=0.8) - losses.cross_entropy(labels, scores)
        elif loss == "rrr":
            with tf.GradientTape() as tape:
                tape.watch(images)
                total = tf.reduce_sum(tf.math.log(lab.network.model(images, training=False)))
            expected = np.sum((tape.gradient(total, images).numpy() * masks.numpy()[..., None]) ** 2, axis=(1, 2, 3))
        elif loss == "rrr_g":
            expected = losses.cam_inside(maps, kernel.T[labels.numpy()], tap)
        else:
            expected = np.zeros(7)
        if loss == "dropout":
            factors = np.array([by_hand(*each, 2) for each in zip(maps, kernel.T[labels.numpy()], tap, strict=True)])
            factors[0] = 1
            dropped = (maps.mean(axis=(1, 2)) * factors) @ kernel + bias
            plain = -log_softmax(dropped, axis=1)[range(7), labels]
        assert entropy == pytest.approx(plain.mean(), rel=1e-4), loss
        assert penalty == pytest.approx(np.mean(expected), rel=1e-3), loss
        # Measuring changes nothing.
        for pair in zip(before, lab.network.model.get_weights(), strict=True):
            np.testing.assert_array_equal(*pair)


def test_one_step_follows_the_gradient_of_the_loss(lab, masked):
    lab.fresh()
    images, labels, tap, _ = batch = whole(masked)
    kernel = lab.network.dense.kernel
    with tf.GradientTape() as tape:
        maps, scores = lab.network(images, training=True)
        value = tf.reduce_mean(losses.pasa(labels, scores, maps, tap, b=5.0, th=0.8, lam=2.0))
    gradient = tape.gradient(value, kernel.value).numpy()
    lab.fresh()
    stepper = lab.stepper("pasa", "sgd")
    stepper.start(Plan(learning_rate=0.01, lam=2.0, b=5.0, th=0.8))
    entropy, penalty = stepper.step(*batch)
    assert float(entropy + penalty) == pytest.approx(float(value), rel=1e-5)
    # The first step of Nesterov momentum of 0.9 is 1.9 times that of plain descent.
    step = kernel.numpy() - lab.base[-2]
    np.testing.assert_allclose(step, -0.01 * 1.9 * gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("loss", PENALTIES)
def test_at_a_relative_lam_of_1_the_penalty_starts_as_large_as_the_cross_entropy(lab, masked, loss):
    first = lab.refit(masked, loss, iterations=1, scale="relative").history.iloc[0]
    assert first["penalty"] == pytest.approx(first["cross_entropy"], rel=1e-5)
    assert first["loss"] == pytest.approx(2 * first["cross_entropy"], rel=1e-5)
    half = lab.refit(masked, loss, iterations=1, lam=0.5, scale="relative").history.iloc[0]
    assert half["penalty"] == pytest.approx(first["cross_entropy"] / 2, rel=1e-5)


def test_an_absolute_lam_is_taken_as_it_is(lab, masked):
    found = lab.refit(masked, "pas", iterations=1, lam=0.001, scale="absolute")
    assert found.strength == 0.001
    stepper = started(lab, "pas")
    # The same first batch: six random images, then three masked ones, in the order of the seed.
    images, labels = next(batches())
    part = masked.take(np.random.default_rng(0).permutation(7)[:3])
    tap = np.concatenate([np.zeros((6, 8, 8), np.float32), part.at_tap])
    _, penalty = stepper.terms(
        np.concatenate([images, part.images]), np.concatenate([labels, part.labels]).astype(np.int32), tap,
        np.zeros((9, SIDE, SIDE), np.float32),
    )  # fmt: skip
    assert found.history["penalty"].iloc[0] == pytest.approx(0.001 * float(penalty), rel=1e-5)


@pytest.mark.parametrize("loss", ["pas", "pasa"])
def test_by_default_the_first_penalty_is_that_of_the_thesis(lab, masked, loss):
    found = lab.refit(masked, loss, iterations=1)
    first = found.history.iloc[0]
    # The same first batch: six random images, then three masked ones, in the order of the seed.
    images, labels = next(batches())
    part = masked.take(np.random.default_rng(0).permutation(7)[:3])
    given, numbers = np.concatenate([images, part.images]), np.concatenate([labels, part.labels])
    lab.fresh()
    maps, scores = (np.asarray(each) for each in lab.network(given.astype(np.float32), training=False))
    tap = np.concatenate([np.zeros((6, *maps.shape[1:3])), part.at_tap])
    of_true = np.exp(log_softmax(scores, axis=1))[range(9), numbers]
    inside = (np.abs(maps) * tap[..., None]).sum(axis=(1, 2, 3))
    rows, columns, channels = maps.shape[1:]
    if loss == "pas":
        penalty = inside / (5 * rows * columns * channels)
    else:
        penalty = inside / (channels * (tap.sum(axis=(1, 2)) + 1)) * 0.4 ** (of_true / 0.7)
    assert first["penalty"] == pytest.approx(penalty.mean(), rel=1e-5)
    assert first["cross_entropy"] == pytest.approx(-np.log(of_true).mean(), rel=1e-5)
    assert found.strength == pytest.approx(1 / (5 * rows * columns * channels) if loss == "pas" else 1)


@pytest.mark.parametrize("loss", ["rrr", "rrr_g"])
def test_rrr_asks_for_a_penalty_of_the_order_of_the_cross_entropy(lab, masked, loss):
    first = lab.refit(masked, loss, iterations=1).history.iloc[0]
    assert first["penalty"] == pytest.approx(first["cross_entropy"], rel=1e-5)


def test_it_can_be_watched(lab, masked):
    seen = []
    lab.refit(masked, "pas", iterations=5, check_every=2, watch=seen.append)
    assert seen == [0, 2, 4, 5]


def scripted(lab, scores, weights):
    """A check that gives these scores in turn, and notes the weights it was called with."""
    left = iter(scores)

    def check():
        weights.append(lab.network.model.get_weights())
        return {"score": next(left), "val": 0.5}

    return check


@pytest.mark.parametrize(
    ("scores", "keep_best", "kept"),
    [
        ([0.1, 0.2, 0.9, 0.9, 0.3], True, 3),
        ([0.1, 0.8, 0.2, 0.1, 0.3], True, 1),
        # The start is no candidate.
        ([1.0, 0.2, 0.3, 0.1, 0.1], True, 2),
        ([0.1, 0.2, 0.9, 0.9, 0.3], False, 4),
    ],
)
def test_the_best_iteration_is_kept(lab, masked, scores, keep_best, kept):
    weights = []
    found = lab.refit(masked, iterations=4, check_every=1, keep_best=keep_best, check=scripted(lab, scores, weights))
    assert found.iteration == kept
    for pair in zip(lab.network.model.get_weights(), weights[kept], strict=True):
        np.testing.assert_array_equal(*pair)
    assert all(not np.array_equal(first[0], second[0]) for first, second in itertools.pairwise(weights))
    np.testing.assert_array_equal(found.history["score"], scores)
    assert list(found.history.columns) == ["iteration", "loss", "cross_entropy", "penalty", "score", "val"]


def test_what_is_measured_and_when(lab, masked):
    reported = []
    lab.fresh()
    sure = lab.network.probabilities(masked.images)[range(7), masked.labels]
    found = refit(
        lab.network, lab.stepper("ce"), batches(), masked, Plan("ce", 7, 3, check_every=3),
        check=lambda: {"score": 0.0}, report=reported.append,
    )  # fmt: skip
    assert reported == [1] * 7
    assert found.history["iteration"].tolist() == list(range(8))
    # Every third, and the last one.
    measured = found.history.loc[found.history["score"].notna(), "iteration"].tolist()
    assert measured == [0, 3, 6, 7]
    assert found.probabilities["iteration"].unique().tolist() == measured
    start = found.probabilities.query("iteration == 0")
    assert start["id"].tolist() == masked.ids.tolist()
    np.testing.assert_allclose(start["probability"], sure, rtol=1e-5)
    kept = found.probabilities.query("iteration == 7")["probability"]
    np.testing.assert_allclose(
        kept, lab.network.probabilities(masked.images)[range(7), masked.labels], rtol=1e-5
    )  # fmt: skip
    assert np.abs(kept.to_numpy() - sure).max() > 1e-4


def test_the_same_seed_gives_the_same_refit(lab, masked):
    histories, weights = [], []
    for seed in (3, 3, 4):
        histories.append(lab.refit(masked, "pasa", seed=seed).history)
        weights.append(lab.network.model.get_weights())
    pd.testing.assert_frame_equal(histories[0], histories[1])
    assert all(np.array_equal(*pair) for pair in zip(weights[0], weights[1], strict=True))
    # The random images are the same; the masked ones come in another order.
    assert not np.allclose(histories[0]["loss"], histories[2]["loss"], rtol=1e-4)


def test_a_stepper_forgets_the_last_refit(lab, masked):
    lab.refit(masked, "pasa", b=5.0, th=0.8, lam=2.0, decay="cosine")
    again = lab.refit(masked, "pasa")
    fresh = lab.refit(masked, "pasa", stepper=Stepper(lab.network, "pasa"))
    pd.testing.assert_frame_equal(again.history, fresh.history)


def test_nesterov_momentum_is_forgotten_too(lab, masked):
    first = lab.refit(masked, "pasa", optimizer="sgd")
    lab.refit(masked, "pasa", optimizer="sgd", lam=3.0)
    pd.testing.assert_frame_equal(first.history, lab.refit(masked, "pasa", optimizer="sgd").history)


class Notes:
    """Stands in for a stepper, and notes what it is given."""

    def __init__(self):
        self.batches, self.rates = [], []

    def start(self, plan):
        pass

    def strength(self, value):
        pass

    def rate(self, value):
        self.rates.append(value)

    def terms(self, *batch):
        return 1.0, 1.0

    def step(self, *batch):
        self.batches.append([each.numpy() for each in batch])
        return 1.0, 1.0


@pytest.mark.parametrize(("together", "each"), [(3, 3), (7, 7), (20, 7)])
def test_every_masked_image_is_used_equally_often(lab, masked, together, each):
    notes = Notes()
    lab.refit(masked, stepper=notes, iterations=14, masked=together)
    used = []
    for images, labels, tap, masks in notes.batches:
        assert len(images) == 6 + each
        # Random images come first, without masks.
        assert not tap[:6].any() and not masks[:6].any()
        for row in range(6, len(images)):
            (which,) = np.flatnonzero((masked.images == images[row]).all(axis=(1, 2, 3)))
            used.append(which)
            assert labels[row] == masked.labels[which]
            np.testing.assert_array_equal(tap[row], masked.at_tap[which])
            np.testing.assert_array_equal(masks[row], masked.masks[which])
    counts = np.bincount(used, minlength=7)
    assert counts.tolist() == [14 * each / 7] * 7
    rounds = [used[start : start + 7] for start in range(0, len(used), 7)]
    assert all(sorted(each) == list(range(7)) for each in rounds)
    assert len({tuple(each) for each in rounds}) > 1


def test_without_masked_images_the_batches_are_the_random_ones(lab, masked):
    notes = Notes()
    found = lab.refit(None, stepper=notes, iterations=2)
    expected = batches()
    for images, labels, tap, masks in notes.batches:
        for pair in zip((images, labels), next(expected), strict=True):
            np.testing.assert_array_equal(*pair)
        assert tap.shape == (6, 8, 8) and masks.shape == (6, SIDE, SIDE)
    assert found.probabilities.empty


def test_the_rate_falls_along_half_a_cosine(lab, masked):
    notes = Notes()
    lab.refit(masked, stepper=notes, iterations=4, learning_rate=0.2, decay="cosine")
    np.testing.assert_allclose(notes.rates, [0.2, 0.1 + 0.1 / np.sqrt(2), 0.1, 0.1 - 0.1 / np.sqrt(2)])
    notes = Notes()
    lab.refit(masked, stepper=notes, iterations=4)
    assert notes.rates == []


def test_the_learning_rate_decides_the_step(lab, masked):
    moved = []
    for rate in (1e-4, 1e-2):
        lab.refit(masked, iterations=1, learning_rate=rate)
        moved.append(np.abs(lab.network.dense.kernel.numpy() - lab.base[-2]).max())
    # The first step of Adam is as long as the rate.
    np.testing.assert_allclose(moved, [1e-4, 1e-2], rtol=0.01)


def test_a_loss_that_is_no_number_ends_the_refit(lab, masked):
    with pytest.raises(
        UserError,
        match=r"`learning_rate` must be low enough for a finite loss. Received: 1e\+30, with a loss of nan in "
        r"iteration \d. Lower --learning-rate or --lam.",
    ):
        lab.refit(masked, "pasa", optimizer="sgd", learning_rate=1e30)
    # The next refit knows nothing of it.
    assert np.isfinite(lab.refit(masked, "pasa", optimizer="sgd").history["loss"]).all()


def test_a_frozen_network_is_refitted_behind_the_frozen_layers(masked):
    network = Correctable(tiny())
    network.freeze("first_relu")
    before = {layer.name: layer.get_weights() for layer in network.model.layers if layer.weights}
    plan = Plan("pas", 4, 3, check_every=2, learning_rate=0.01)
    refit(network, Stepper(network, "pas"), batches(), masked, plan, check=lambda: {"score": 0.0})
    after = {name: network.model.get_layer(name).get_weights() for name in before}
    same = {name: all(map(np.array_equal, before[name], after[name])) for name in before}
    assert same == {"first": True, "normalized": True, "last": False, "scores": False}


def test_dropout_layers_do_not_go_on_from_the_last_refit(masked):
    network = Correctable(tiny(dropout=0.5))
    stepper, base = Stepper(network, "ce"), network.model.get_weights()
    found = []
    for seed in (0, 0):
        network.model.set_weights(base)
        plan = Plan("ce", 3, 3, check_every=3)
        found.append(refit(network, stepper, batches(), masked, plan, check=lambda: {"score": 0.0}, seed=seed).history)
    pd.testing.assert_frame_equal(*found)


def by_hand(feature_map, weights, mask, dropped):
    """Selective dropout of one image, channel by channel."""
    mask = np.asarray(mask)
    votes = []
    for channel in range(feature_map.shape[-1]):
        votes.append(feature_map[..., channel][mask > 0].mean() * weights[channel] if mask.any() else 0.0)
    worst = sorted(range(len(votes)), key=lambda channel: -votes[channel])[:dropped]
    return [0.0 if channel in worst else len(votes) / (len(votes) - dropped) for channel in range(len(votes))]


def test_selective_dropout_by_hand():
    # One masked cell, where the channels are 1, 2, 3, 4, with votes 5, -2, 6, 0: the third, then the first.
    maps = np.full((1, 1, 2, 4), 9.0, np.float32)
    maps[0, 0, 1] = [1, 2, 3, 4]
    weights, mask = np.array([[5, -1, 2, 0]], np.float32), np.array([[[0, 1]]], np.float32)
    np.testing.assert_allclose(kept_channels(maps, weights, mask, 1), [[4 / 3, 4 / 3, 0, 4 / 3]])
    np.testing.assert_allclose(kept_channels(maps, weights, mask, 2), [[0, 2, 0, 2]])
    np.testing.assert_allclose(kept_channels(maps, weights, mask, 3), [[0, 4, 0, 0]])


def test_selective_dropout_is_its_definition():
    random = np.random.default_rng(0)
    maps, weights = random.uniform(0, 1, (5, 4, 4, 30)), random.normal(0, 1, (5, 30))
    mask = (random.random((5, 4, 4)) < 0.4).astype(np.float32)
    expected = [by_hand(*each, 20) for each in zip(maps, weights, mask, strict=True)]
    found = kept_channels(maps.astype(np.float32), weights.astype(np.float32), mask, tf.Variable(20))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"b": 0.0}, "`b` must be a number above 0. Received: 0.0"),
        ({"th": -1.0}, "`th` must be a number above 0. Received: -1.0"),
        ({"lam": -0.5}, "`lam` must be a number of 0 or more. Received: -0.5"),
        ({"check_every": 0}, r"`check_every` must be an int in the range \[1, inf\). Received: 0"),
        ({"dropped": 6}, r"`dropped` must be in 1 to 5, below the channels. Received: 6"),
        ({"dropped": 0}, r"`dropped` must be in 1 to 5, below the channels. Received: 0"),
    ],
)
def test_numbers_of_a_plan_out_of_range(lab, masked, plan, message):
    with pytest.raises(UserError, match=message):
        lab.refit(masked, "dropout", **plan)


def test_dropped_channels_matter_to_selective_dropout_alone(lab, masked):
    assert np.isfinite(lab.refit(masked, "ce", dropped=500).history["loss"]).all()


def test_an_unknown_loss(lab):
    with pytest.raises(UserError, match=r"`loss` must be one of: ce, pas, pasa, rrr, rrr_g, dropout. Received: pass"):
        Stepper(lab.network, "pass")  # pyright: ignore[reportArgumentType]


class Doubled:
    def run(self, values):
        return 2 * values


def test_steps_of_several_losses_do_not_pass_for_needless_retracing(caplog):
    for _ in range(8):
        found = _compiled(Doubled().run, [tf.TensorSpec((None,), tf.float32)])(tf.ones(3))
        np.testing.assert_array_equal(found, 2)
    assert "retracing" not in caplog.text
    for _ in range(8):
        tf.function(Doubled().run)(tf.ones(3))
    assert "retracing" in caplog.text


def test_taking_some_of_the_masked_images(masked):
    part = masked.take(np.array([4, 1]))
    assert len(part) == 2
    for field in dataclasses.fields(MaskedImages):
        np.testing.assert_array_equal(getattr(part, field.name), getattr(masked, field.name)[[4, 1]])
