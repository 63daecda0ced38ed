import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from fashionprobe.records.record_set import open_record_set
from fashionprobe.training.branches import first_output, one_output, with_branch
from fashionprobe.training.classifier import LOGITS
from fashionprobe.training.fit import Plan
from fashionprobe.training.together import JointTraining, KnownAccuracy, KnownCrossentropy, measure, train_together

TARGETS = np.array([[1, 0, 0, 1, 0], [0, 0, 0, 0, 1], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]], np.float32)
"""Of a label of three classes and one of two; the second image lacks the first label, the last both."""
LOGIT = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def test_the_loss_is_the_mean_over_images_of_the_sum_over_known_labels():
    parts = log_softmax(LOGIT[:, :3]), log_softmax(LOGIT[:, 3:])
    by_hand = -(parts[0][0, 0] + parts[1][0, 0] + parts[1][1, 1] + parts[0][2, 1]) / 4
    loss = KnownCrossentropy([3, 2])
    assert float(loss(TARGETS, LOGIT)) == pytest.approx(by_hand, rel=1e-6)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert float(again(TARGETS, LOGIT)) == float(loss(TARGETS, LOGIT))


def test_a_missing_label_has_no_gradient():
    logits = tf.Variable(LOGIT)
    with tf.GradientTape() as tape:
        loss = KnownCrossentropy([3, 2])(TARGETS, logits)
    found = tape.gradient(loss, logits).numpy()
    shares = np.concatenate([np.exp(log_softmax(LOGIT[:, :3])), np.exp(log_softmax(LOGIT[:, 3:]))], axis=1)
    known = np.array([[1, 1, 1, 1, 1], [0, 0, 0, 1, 1], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]])
    np.testing.assert_allclose(found, (shares - TARGETS) * known / 4, atol=1e-6)


def test_the_accuracy_is_the_mean_over_the_labels_that_were_seen():
    logits = np.array([[3, 1, 2, 0, 1], [9, 0, 0, 0, 1], [3, 1, 2, 0, 1], [0, 1, 0, 1, 0]], np.float32)
    metric = KnownAccuracy([3, 2, 2])
    padded = np.pad(TARGETS, ((0, 0), (0, 2))), np.pad(logits, ((0, 0), (0, 2)))
    metric.update_state(padded[0][:2], padded[1][:2])
    metric.update_state(padded[0][2:], padded[1][2:])
    # One of two kinds is right, and one of two colours; of the third label nothing is known.
    assert float(metric.result()) == pytest.approx((1 / 2 + 1 / 2) / 2)


@pytest.fixture
def network():
    """Two labels of drawn garments on one convolution."""
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3), name="image")
    x = layers.Conv2D(4, 3, name="conv")(layers.Rescaling(1 / 255)(image))
    x = layers.ReLU(name="block1_out")(layers.BatchNormalization(name="bn")(x))
    x = layers.GlobalAveragePooling2D()(x)
    made = [
        keras.Model(image, layers.Softmax(name="probabilities")(layers.Dense(10, name=LOGITS)(x))) for _ in range(2)
    ]
    return with_branch(first_output(made[0], "colour"), made[1], label="pattern", after="block1_out")


@pytest.fixture
def numbers(garments_root):
    records = open_record_set(garments_root / "tfrecords/small")
    return {label: {name: i for i, name in enumerate(records.classes(label))} for label in ("colour", "pattern")}


def job(garments_root, network, numbers, **options):
    records = open_record_set(garments_root / "tfrecords/small")
    given = {"fit": "pad", "batch_size": 16, "augment": [], "seed": 0, "plan": Plan(2, learning_rate=0.1)}
    return JointTraining(network=network, records=records, numbers=numbers, **(given | options))


def test_targets_are_those_of_the_table(garments_root, network, numbers):
    # One colour is not a class here, and of a label that the set lacks nothing is known.
    colours = {name: place for place, name in enumerate(list(numbers["colour"])[1:])}
    made = job(garments_root, network, {"colour": colours, "pattern": numbers["pattern"]})
    targets = np.concatenate([batch.numpy() for _, batch in made.images("train")])
    items = made.records.items
    items = items[items["split"] == "train"]
    assert targets.shape == (len(items), 20)
    for row, (colour, pattern) in zip(targets, items[["colour", "pattern"]].to_numpy(), strict=True):
        assert row[:10].sum() == (colour in colours) and row[10 + numbers["pattern"][pattern]] == 1
        assert colour not in colours or row[colours[colour]] == 1
    lacking = job(garments_root, network, {"colour": {"a": 0, "b": 9}, "pattern": numbers["pattern"]})
    assert not next(iter(lacking.images("val")))[1][:, :10].numpy().any()


def test_all_outputs_learn_and_slow_layers_move_less(garments_root, network, numbers, tmp_path):
    def moved(folder, **options):
        (tmp_path / folder).mkdir()
        trained, history = train_together(job(garments_root, network, numbers, **options), tmp_path / folder)
        assert list(history.columns) == ["epoch", "learning_rate", "accuracy", "loss", "val_accuracy", "val_loss"]
        return {
            layer.name: np.abs(layer.get_weights()[0] - network.get_layer(layer.name).get_weights()[0]).mean()
            for layer in trained.layers if layer.weights
        }  # fmt: skip

    together = moved("together")
    assert min(together.values()) > 0
    slow = moved("slow", slow={"conv", "bn", LOGITS}, share=0.01)
    assert slow["bn"] == 0
    # Adam's steps are about as long as its rate.
    assert slow["conv"] < 0.05 * together["conv"] and slow[LOGITS] < 0.05 * together[LOGITS]
    assert slow["branch1.logits"] > 0.3 * together["branch1.logits"]


def test_a_network_is_measured_on_the_images_of_its_classes(garments_root, network, numbers):
    records = open_record_set(garments_root / "tfrecords/small")
    part, names = one_output(network, "pattern"), list(numbers["pattern"])
    found = measure(part, records, "pattern", numbers["pattern"], names, fit="pad", batch_size=4)
    assert set(found) == {"val", "test"}
    items = records.items[records.items["split"] == "test"]
    images = np.stack([image for _, image in records.fitted(items["id"], (32, 32), "pad")])
    predicted = [names[number] for number in part.predict(images, verbose=0).argmax(axis=1)]
    assert found["test"].top_1 == np.mean([a == b for a, b in zip(predicted, items["pattern"], strict=True)])
