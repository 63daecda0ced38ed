import keras
import numpy as np
import pytest
import tensorflow as tf

from fashionprobe.errors import UserError
from fashionprobe.siamese.losses import MININGS, TripletLoss

LINE = np.array([[0.0], [3.0], [1.0], [7.0]], np.float32)
CLASSES = np.array([0, 0, 1, 1])
"""Squared distances: 0-3: 9, 0-1: 1, 0-7: 49, 3-1: 4, 3-7: 16, 1-7: 36."""


def test_batch_hard_by_hand():
    loss = TripletLoss("batch_hard", margin=2.0)
    # Anchors in turn: 9 - 1 + 2, 9 - 4 + 2, 36 - 1 + 2, 36 - 16 + 2.
    assert float(loss(CLASSES, LINE)) == pytest.approx((10 + 7 + 37 + 22) / 4)
    assert float(loss.active(CLASSES, LINE)) == 1
    assert float(loss.spread(CLASSES, LINE)) == pytest.approx((9 + 1 + 49 + 4 + 16 + 36) / 6)


def test_semi_hard_by_hand():
    # Pairs in turn: (0, 3): negative 7 at 49; (3, 0): negative 7 at 16; (1, 7): none farther than 36, so 3 at 4;
    # (7, 1): negative 0 at 49.
    expected = [9 - 49 + 45, max(9 - 16 + 45, 0), 36 - 4 + 45, 36 - 49 + 45]
    assert float(TripletLoss("semi_hard", margin=45.0)(CLASSES, LINE)) == pytest.approx(np.mean(expected))


def test_batch_all_is_the_mean_over_those_that_fail():
    loss = TripletLoss("batch_all", margin=2.0)
    terms = [9 - 1 + 2, 9 - 49 + 2, 9 - 4 + 2, 9 - 16 + 2, 36 - 1 + 2, 36 - 4 + 2, 36 - 49 + 2, 36 - 16 + 2]
    failing = [term for term in terms if term > 0]
    assert float(loss(CLASSES, LINE)) == pytest.approx(np.mean(failing))
    assert float(loss.active(CLASSES, LINE)) == pytest.approx(len(failing) / len(terms))


def test_drawn_triplets_are_anchors_then_positives_then_negatives():
    points = np.array([[0.0], [5.0], [1.0], [5.0], [3.0], [6.0]], np.float32)
    # Squared: 1 - 9 + 4 and 0 - 1 + 4.
    assert float(TripletLoss("random", margin=4.0)(np.zeros(6), points)) == pytest.approx((0 + 3) / 2)


@pytest.mark.slow
@pytest.mark.parametrize("mining", MININGS)
@pytest.mark.parametrize("margin", [0.5, "soft"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_every_variant_has_a_gradient_in_a_compiled_graph(mining, margin, metric):
    loss = TripletLoss(mining, margin=margin, metric=metric)
    points = tf.Variable(np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32))
    labels = np.repeat([0, 1, 2], 4)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            value = loss(labels, points)
        return value, tf.convert_to_tensor(tape.gradient(value, points))

    value, gradient = step()
    assert np.isfinite(value) and value > 0
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0
    assert 0 < float(loss.active(labels, points)) <= 1


@pytest.mark.parametrize("mining", ["batch_hard", "semi_hard", "batch_all", "batch_weighted"])
def test_a_batch_without_triplets_costs_nothing(mining):
    for labels in (np.zeros(4, int), np.arange(4)):
        loss = TripletLoss(mining)
        assert float(loss(labels, LINE)) == float(loss.active(labels, LINE)) == 0


def test_margin_and_mining_change_in_a_compiled_graph():
    loss = TripletLoss("batch_hard", margin=1.0)
    step = tf.function(lambda: loss(CLASSES, LINE))
    first = float(step())
    loss.margin = 3.0
    assert float(step()) == pytest.approx(first + 2)
    loss.start_easy(True)
    assert float(step()) == pytest.approx(float(TripletLoss("semi_hard", margin=3.0)(CLASSES, LINE)))
    loss.start_easy(False)
    assert float(step()) == pytest.approx(first + 2)


def test_the_cosine_knows_no_length():
    loss = TripletLoss("batch_hard", metric="cosine")
    points = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    assert float(loss(CLASSES, points)) == pytest.approx(float(loss(CLASSES, 9 * points)), rel=1e-5)


def test_the_loss_is_saved_by_its_arguments():
    loss = TripletLoss("batch_all", metric="cosine", margin="soft")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert isinstance(again, TripletLoss) and again.get_config() == loss.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mining": "batchhard"}, r"Did you mean 'batch_hard'\?"),
        ({"metric": "l2"}, r"`metric` must be one of"),
        ({"margin": 0.0}, r"`margin` must be a number above 0, or soft. Received: 0.0"),
        ({"margin": "sof"}, r"a number above 0, or soft. Received: sof"),
        ({"margin": float("nan")}, r"Received: nan"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        TripletLoss(**arguments)


@pytest.mark.parametrize("mining", ["batch_hard", "semi_hard", "batch_all", "batch_weighted"])
def test_a_class_of_one_image_is_a_negative_and_no_anchor(mining):
    # On a line: 0 and 3 are of one class, 1 is the only one of another. Both anchors: 9 - 1 + 2 and 9 - 4 + 2.
    points = tf.Variable(LINE[:3])
    loss = TripletLoss(mining, margin=2.0)
    with tf.GradientTape() as tape:
        value = loss(np.array([0, 0, 1]), points)
    assert float(value) == pytest.approx((10 + 7) / 2)
    # d/dx of ((0 - 3)^2 - (0 - 1)^2 + (3 - 0)^2 - (3 - 1)^2) / 2.
    np.testing.assert_allclose(tape.gradient(value, points), [[-5.0], [4.0], [1.0]], rtol=1e-5)


@pytest.mark.parametrize("mining", ["batch_hard", "semi_hard", "batch_all", "batch_weighted"])
def test_a_batch_without_positives_moves_nothing(mining):
    points = tf.Variable(LINE)
    with tf.GradientTape() as tape:
        value = TripletLoss(mining)(np.arange(4), points)
    assert not np.asarray(tf.convert_to_tensor(tape.gradient(value, points))).any()
