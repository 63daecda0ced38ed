import json
import shutil

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from keras import layers

from fashionprobe.errors import UserError
from fashionprobe.training import augment, classifier_training
from fashionprobe.training.fit import BACKUP, Plan, fit

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.uniform(0, 255, (20, 8 * 8 * 3)).astype(np.float32)
NUMBERS = RANDOM.integers(0, 3, 20)
ROWS = np.arange(20)
STEPS = 3


def model():
    """A network with all that is random in training: augmentation, dropout, batch statistics."""
    keras.utils.set_random_seed(0)
    image = keras.Input((192,))
    x = layers.Reshape((8, 8, 3))(image)
    for layer in augment.layers(["flip", "shift"], seed=1):
        x = layer(x)
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, name="conv")(x))
    x = layers.Dropout(0.3, seed=5)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, layers.Dense(3)(x))


def small():
    """A network that compiles quickly, for what does not depend on its layers."""
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((192,)), layers.Rescaling(1 / 255), layers.Dense(3)])


def batches(epochs):
    return classifier_training.batches(PIXELS, NUMBERS, 3, rows=ROWS, batch_size=8, epochs=epochs, seed=2)


VALIDATION = classifier_training.batches(PIXELS, NUMBERS, 3, rows=ROWS[:9], batch_size=8)


def run(folder, *, plan=None, network=None, data=batches, **options):
    options = {"validation": VALIDATION, "best": "val_accuracy", **options}
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    folder.mkdir(exist_ok=True)
    network = network or model()
    history = fit(
        network, data, plan=plan or Plan(5, warmup=0.5, decay="cosine", weight_decay=0.1, learning_rate=0.01),
        steps=STEPS, folder=folder, loss=loss, metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")], **options,
    )  # fmt: skip
    return network, history


class Killed(Exception):
    """Stands for a kill: nothing of the fit gets to tidy up after it."""


def killed_after(batches_done):
    seen = []

    def report(count):
        seen.append(count)
        if sum(seen) == batches_done:
            raise Killed

    return report


def same(one, other):
    for left, right in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing stopped."""
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def undisturbed(whole):
    return run(whole)


def test_history_is_one_row_an_epoch_and_on_disk(undisturbed, tmp_path):
    network, history = undisturbed
    again, repeated = run(tmp_path)
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert {"learning_rate", "loss", "accuracy", "val_loss", "val_accuracy"} <= {*history.columns}
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "history.csv"), repeated)
    pd.testing.assert_frame_equal(history, repeated)
    same(network, again)


@pytest.mark.parametrize(
    "batches_done", [pytest.param(1, marks=pytest.mark.slow), 4, 9, pytest.param(15, marks=pytest.mark.slow)]
)
def test_a_run_that_stopped_anywhere_ends_as_one_that_did_not(undisturbed, tmp_path, batches_done):
    with pytest.raises(Killed):
        run(tmp_path, report=killed_after(batches_done))
    told = []
    network, history = run(tmp_path, report=told.append)
    # What was done is not done again.
    assert (told[0], len(told) - 1) == ((batches_done - 1) // 3 * 3, 15 - (batches_done - 1) // 3 * 3)
    pd.testing.assert_frame_equal(history, undisturbed[1])
    same(network, undisturbed[0])


@pytest.mark.slow
def test_a_kill_between_the_two_files_of_a_backup(undisturbed, tmp_path):
    with pytest.raises(Killed):
        run(tmp_path, report=killed_after(8))
    note = tmp_path / BACKUP / "training_metadata.json"
    assert json.loads(note.read_text())["epoch"] == 2
    note.write_text('{"epoch": 1, "batch": 0}')
    network, history = run(tmp_path)
    pd.testing.assert_frame_equal(history, undisturbed[1])
    same(network, undisturbed[0])


def test_a_cut_backup_falls_back_to_the_one_before(undisturbed, tmp_path):
    with pytest.raises(Killed):
        run(tmp_path, report=killed_after(11))
    weights = tmp_path / BACKUP / "latest.weights.h5"
    weights.write_bytes(weights.read_bytes()[:1000])
    told = []
    network, history = run(tmp_path, report=told.append)
    assert told[0] == 6
    pd.testing.assert_frame_equal(history, undisturbed[1])
    same(network, undisturbed[0])


def test_a_finished_run_is_only_loaded(undisturbed, whole, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    told = []
    network, history = run(tmp_path, report=told.append)
    assert told == [15]
    pd.testing.assert_frame_equal(history, undisturbed[1])
    same(network, undisturbed[0])


def test_the_weights_are_those_of_the_best_epoch(tmp_path):
    network, history = run(tmp_path, plan=Plan(12, learning_rate=0.05))
    assert history["val_accuracy"].argmax() != len(history) - 1  # else this would show nothing
    right = network.predict(PIXELS[:9], verbose=0).argmax(axis=1) == NUMBERS[:9]
    assert right.mean() == pytest.approx(history["val_accuracy"].max())


def test_without_a_measure_of_best_the_last_epoch_stays(tmp_path):
    network, history = run(tmp_path, validation=None, best=None)
    assert [column for column in history.columns if column.startswith("val")] == []
    stopped, _ = run(tmp_path, validation=None, best=None)
    same(network, stopped)


def test_the_learning_rate_rises_and_falls_as_worked_by_hand(tmp_path):
    plain = {"validation": None, "best": None}
    _, history = run(tmp_path, network=small(), plan=Plan(4, learning_rate=0.2, warmup=1, decay="cosine"), **plain)
    # 3 steps of warm-up, then 9 of half a cosine; the last batches of the epochs are numbers 2, 5, 8 and 11.
    cosine = [0.2 * (1 + np.cos(np.pi * step / 9)) / 2 for step in (2, 5, 8)]
    np.testing.assert_allclose(history["learning_rate"], [0.2 * 2 / 3, *cosine], rtol=1e-5)
    _, constant = run(tmp_path / "b", network=small(), plan=Plan(2, learning_rate=0.2, warmup=1), **plain)
    np.testing.assert_allclose(constant["learning_rate"], [0.2 * 2 / 3, 0.2], rtol=1e-5)
    _, still = run(tmp_path / "c", network=small(), plan=Plan(1, learning_rate=0.2, optimizer="sgd"), **plain)
    assert still["learning_rate"].tolist() == [0.2]


def test_weight_decay_spares_biases_and_batch_normalisation(tmp_path):
    network, _ = run(tmp_path, plan=Plan(1, weight_decay=0.1))
    decayed = {weight.path for weight in network.trainable_weights if network.optimizer._use_weight_decay(weight)}
    assert {path.rpartition("/")[2] for path in decayed} == {"kernel"}


def test_class_weights_change_the_loss(tmp_path):
    _, plain = run(tmp_path / "a", network=small(), plan=Plan(1))
    _, weighted = run(tmp_path / "b", network=small(), plan=Plan(1), class_weight={0: 5.0, 1: 0.1, 2: 0.1})
    assert abs(plain["loss"][0] - weighted["loss"][0]) > 0.05


def test_a_loss_that_is_no_number_names_the_likely_cause(tmp_path):
    def poisoned(epochs):
        return batches(epochs).map(lambda x, y: (x * float("nan"), y))

    with pytest.raises(UserError) as caught:
        run(tmp_path, network=small(), data=poisoned, plan=Plan(1, learning_rate=30))
    assert str(caught.value) == (
        "`learning_rate` 30 made the loss NaN or "
        "infinite in epoch 1, batch 1. Most often the steps are too large: try --learning-rate 3 and --warmup 1; with "
        "--precision float16 also try bfloat16 or float32."
    )


def test_a_validation_loss_that_is_no_number_is_noticed_too(tmp_path):
    poisoned = VALIDATION.map(lambda x, y: (x * float("nan"), y))
    with pytest.raises(UserError, match="infinite on the validation images after epoch 1"):
        run(tmp_path, network=small(), validation=poisoned)


def test_a_device_out_of_memory_says_what_to_lower(tmp_path):
    def failing(*given, **options):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    network = model()
    network.fit = failing
    with pytest.raises(UserError, match=r"`batch_size` must be small enough .* Lower --batch-size or --size"):
        run(tmp_path, network=network)


def test_tensorboard_writes_where_it_is_installed(tmp_path, monkeypatch):
    made = []

    class Fake(keras.callbacks.Callback):
        def __init__(self, folder):
            super().__init__()
            made.append(folder)

    monkeypatch.setattr(keras.callbacks, "TensorBoard", Fake)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "tensorboard")
    run(tmp_path / "a", network=small(), plan=Plan(1), tensorboard=tmp_path / "board")
    assert made == [str(tmp_path / "board")]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    run(tmp_path / "b", network=small(), plan=Plan(1), tensorboard=tmp_path / "board")
    assert len(made) == 1
