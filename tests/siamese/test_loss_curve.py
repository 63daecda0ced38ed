import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from fashionprobe.siamese.embedding_training import EmbeddingTraining, Settings
from fashionprobe.siamese.loss_curve import LossCurve, compiled, mean_loss
from fashionprobe.siamese.losses import TripletLoss
from fashionprobe.siamese.sampling import NO_PLACE
from fashionprobe.training.fit import Plan, fit

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(3, 5, 6, 2)).astype(np.float32)
"""Three epochs of five batches of six points."""
NUMBERS = np.tile([0, 0, 0, 1, 1, 2], (3, 5, 1))
CSV = "losses.csv"


def batch_hard(points, numbers, margin):
    """The loss as it is written down, over the anchors that have a positive."""
    apart = ((points[:, None].astype(float) - points[None]) ** 2).sum(axis=2)
    losses = []
    for anchor, number in enumerate(numbers):
        positives = [other for other in np.flatnonzero(numbers == number) if other != anchor]
        negatives = np.flatnonzero(numbers != number)
        if positives:
            losses.append(max(apart[anchor, positives].max() - apart[anchor, negatives].min() + margin, 0))
    return np.mean(losses)


def fitted(folder, *, rate, epochs=3, measure=lambda: 7.0, callbacks=()):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, kernel_initializer="identity", name="dense")])
    folder.mkdir(exist_ok=True)
    fit(
        model,
        lambda few: tf.data.Dataset.from_tensor_slices(
            (POINTS[few.start :].reshape(-1, 6, 2), NUMBERS[few.start :].reshape(-1, 6))
        ),
        plan=Plan(epochs, "sgd", rate), steps=5, folder=folder, loss=TripletLoss("batch_hard", margin=0.5),
        callbacks=[LossCurve(folder, 2, 5, measure, "val"), *callbacks],
    )  # fmt: skip
    return model, pd.read_csv(folder / CSV)


def test_the_loss_is_that_of_the_batches_since_the_row_before(tmp_path):
    _, found = fitted(tmp_path, rate=1e-30)
    each = np.array([[batch_hard(POINTS[e, b], NUMBERS[e, b], 0.5) for b in range(5)] for e in range(3)])
    assert found["batch"].tolist() == [2, 4, 5, 7, 9, 10, 12, 14, 15]
    assert found["epoch"].tolist() == [1] * 3 + [2] * 3 + [3] * 3
    expected = np.stack([each[:, :2].mean(axis=1), each[:, 2:4].mean(axis=1), each[:, 4]], axis=1)
    np.testing.assert_allclose(found["loss"], expected.ravel(), rtol=1e-4)
    assert found["val_loss"].tolist() == [7.0] * 9


class Killed(Exception):
    """In place of a kill."""


class Kill(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 13:
            raise Killed


def test_a_curve_that_was_cut_ends_as_if_it_had_not_been(tmp_path):
    model, whole = fitted(tmp_path / "whole", rate=0.01)
    with pytest.raises(Killed):
        fitted(tmp_path / "cut", rate=0.01, callbacks=[Kill()])
    resumed, cut = fitted(tmp_path / "cut", rate=0.01)
    pd.testing.assert_frame_equal(cut, whole)
    np.testing.assert_array_equal(resumed.get_layer("dense").kernel, model.get_layer("dense").kernel)


def job(**settings):
    given = {
        "dimension": 2, "pooling": "flatten", "hidden": 0, "unit_norm": False, "freeze": 0, "augment": [],
        "mining": "batch_hard", "metric": "euclidean", "margin": 0.5, "margin_end": None, "easy_epochs": 0,
        "classes_per_batch": 3, "per_class": 4, "steps": 2, "seed": 0, "plan": Plan(1),
    }  # fmt: skip
    nothing = dict.fromkeys(("records", "items", "classes", "backbone", "fit"))
    return EmbeddingTraining(**nothing, settings=Settings(**given | settings))


MANY = RNG.permutation(np.repeat([0, 1, 2, 4], [40, 30, 3, 1]))
PLACES = RNG.normal(size=(74, 2)).astype(np.float32)


@pytest.mark.parametrize(("settings", "steps"), [({"batch_size": 30}, 3), ({"batch_size": 30, "steps": 4}, 3), ({}, 9)])
def test_the_loss_of_a_split_is_the_mean_over_fixed_batches(settings, steps):
    drawn = job(**settings).fixed(MANY)
    batches = [places[places != NO_PLACE] for places in drawn]
    # The only image of a class has no positive; 73 are left, in batches of 30, or of three classes with three images.
    assert len(batches) == steps and (MANY[np.concatenate(batches)] != 4).all()
    expected = [batch_hard(PLACES[rows], MANY[rows], 0.5) for rows in batches]
    sizes = [len(rows) for rows in batches]
    assert job(**settings).measured(PLACES, MANY) == pytest.approx(np.average(expected, weights=sizes), rel=1e-5)
    assert (job(**settings).fixed(MANY) == drawn).all()


def test_the_loss_of_drawn_triplets():
    random = job(mining="random", triplets=32)
    drawn = random.fixed(MANY)
    assert drawn.shape == (3, 96)
    apart = [((PLACES[drawn[:, :32]] - PLACES[drawn[:, start : start + 32]]) ** 2).sum(axis=2) for start in (32, 64)]
    assert random.measured(PLACES, MANY) == pytest.approx(np.maximum(apart[0] - apart[1] + 0.5, 0).mean(), rel=1e-5)


def test_without_two_classes_there_is_no_loss():
    assert np.isnan(job(batch_size=30).measured(PLACES, np.zeros(74, int)))
    assert np.isnan(job(batch_size=30).measured(PLACES[:3], np.array([0, 0, 1])))


def test_an_epoch_is_one_pass_where_no_steps_are_asked_for():
    assert job(batch_size=1024, steps=None).steps(60_000) == 59
    assert job(mining="random", triplets=32, steps=None).steps(60_000) == 1875
    assert job(batch_size=1024, steps=7).steps(60_000) == 7
    # As many images as three classes with four each.
    assert job(mining="random").drawn(MANY[MANY < 3], 0).shape == (2, 12)


def test_the_compiled_loss_follows_the_margin():
    loss = TripletLoss("batch_hard", margin=0.5)
    measured, drawn = compiled(loss), np.arange(6)[None]
    assert mean_loss(measured, POINTS[0, 0], NUMBERS[0, 0], drawn) == pytest.approx(
        batch_hard(POINTS[0, 0], NUMBERS[0, 0], 0.5), rel=1e-5
    )
    loss.margin = 3.0
    assert mean_loss(measured, POINTS[0, 0], NUMBERS[0, 0], drawn) == pytest.approx(
        batch_hard(POINTS[0, 0], NUMBERS[0, 0], 3.0), rel=1e-5
    )
