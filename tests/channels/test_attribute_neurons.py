"""Attribute neurons: planted ones are found, nothing leaks, and the answer is the rule's, worked by hand."""

import numpy as np
import pytest

from fashionprobe.attributes.classify import cross_validate
from fashionprobe.channels import attribute_neurons as neurons
from fashionprobe.channels.attribute_neurons import attribute_neurons, sizes_up_to
from fashionprobe.errors import UserError


def planted(items=120, channels=30, known=(4, 11, 23), seed=0):
    """Eight classes that each of three channels halves; the other channels are faint noise."""
    random = np.random.default_rng(seed)
    numbers = np.arange(items) % 8
    values = random.normal(0, 0.3, (items, channels))
    for place, channel in enumerate(known):
        values[:, channel] += 4 * (numbers >> place & 1)
    return values.astype(np.float32), np.array([f"class {number}" for number in numbers])


@pytest.mark.parametrize("ranking", ["mutual_information", "l1"])
def test_planted_channels_are_found(ranking):
    found = attribute_neurons(*planted(), ranking=ranking)
    assert (found.needed, found.first, found.total) == (3, 3, 30)
    assert set(found.channels["channel"]) == {4, 11, 23}
    assert found.channels["rank"].tolist() == [1, 2, 3]
    assert found.channels["stability"].tolist() == [1, 1, 1]
    assert found.accuracy == 1
    assert found.curve["accuracy_mean"].iloc[:3].tolist() == sorted(found.curve["accuracy_mean"].iloc[:3])
    assert found.curve["accuracy_mean"].iloc[1] < 0.8


def test_the_whole_block_is_what_classify_says():
    random = np.random.default_rng(0)
    values, labels = random.random((90, 20)).astype("f4"), random.choice(["a", "b", "c"], 90)
    values[:, 0] += labels == "a"
    found = attribute_neurons(values, labels, seed=3, folds=4)
    table = cross_validate({1: values}, labels, folds=4, neighbours=(4,), seed=3).accuracy
    row = table[table["classifier"] == "knn"].iloc[0]
    assert (found.full, found.full_std) == (row["accuracy_mean"], row["accuracy_std"])
    last = found.curve.iloc[-1]
    assert (last["channels"], last["accuracy_mean"], last["folds"]) == (20, found.full, 4)


def test_channels_are_ranked_by_training_images_alone(monkeypatch):
    values, labels = planted(items=80, channels=6, known=(1, 2, 3))
    # The first channel tells which image it is.
    values[:, 0] = np.arange(80) / 1000
    seen, tested = [], []

    def rank(descriptors, numbers, **options):
        seen.append(set(np.rint(descriptors[:, 0] * 1000).astype(int)))
        return neurons_rank(descriptors, numbers, **options)

    def right(descriptors, numbers, fold, chosen, neighbours):
        tested.extend(set(np.flatnonzero(fold == number)) for number in range(5))
        return neurons_right(descriptors, numbers, fold, chosen, neighbours)

    neurons_rank, neurons_right = neurons.rank_channels, neurons._right
    monkeypatch.setattr(neurons, "rank_channels", rank)
    monkeypatch.setattr(neurons, "_right", right)
    attribute_neurons(values, labels)
    assert len(seen) == 6
    for ranked, kept in zip(seen[:5], tested[:5], strict=True):
        assert ranked == set(range(80)) - kept
    assert seen[5] == set(range(80))


def test_copies_share_a_fold():
    random = np.random.default_rng(1)
    values, labels = random.normal(size=(60, 12)).astype("f4"), random.choice(["a", "b", "c"], 60)
    values, labels = np.concatenate([values, values]), np.concatenate([labels, labels])
    assert attribute_neurons(values, labels, neighbours=1).full < 0.5
    apart = attribute_neurons(values, labels, neighbours=1, same=np.arange(120))
    assert apart.full > 0.7


def test_the_rule_worked_by_hand():
    fold = np.repeat([0, 1], 50)

    def right(correct):
        return np.r_[np.arange(50) < correct, np.arange(50) < correct]

    # The whole block has 0.8, so that 0.792 is to be kept.
    curve = {1: right(20), 2: right(40), 3: right(30), 4: right(39), 5: right(40), 9: right(40)}
    # Size 2 keeps it, but 3 falls far short. Size 4 falls short, though by less than its standard error of 0.014.
    assert neurons._needed(curve, fold, 0.99) == 5
    sizes, more, error = neurons._kept(curve, fold, 0.99)
    assert sizes == [1, 2, 3, 4, 5, 9]
    assert more[:4] == pytest.approx([0.4 - 0.792, 0.008, 0.6 - 0.792, 0.78 - 0.792])
    # Right where the whole block is: 0.78 times 0.01, 0.02 times -0.99, and 0 where both are wrong.
    differences = np.r_[np.full(78, 0.01), np.full(2, -0.99), np.zeros(20)]
    assert error[3] == pytest.approx(differences.std() / 10)
    # Without the dip at 3 that of 4 is within one standard error, and 2 is the answer.
    del curve[3]
    assert neurons._needed(curve, fold, 0.99) == 2
    assert neurons._needed({1: right(0), 2: right(40)}, fold, 1.0) == 2
    found = neurons._found(curve | {3: right(30)}, fold, 0.99, [np.arange(9)[::-1], np.arange(9)], np.arange(9))
    assert (found.needed, found.first) == (5, 2)
    # The five last of nine hold one of the five first, the five first all.
    assert found.channels["stability"].tolist() == [0.5, 0.5, 0.5, 0.5, 1]


def test_sizes_near_the_answer_are_measured():
    values, labels = planted(channels=200, known=range(100, 103))
    # Forty faint copies of each: one is not enough.
    random = np.random.default_rng(0)
    for channel in range(120):
        values[:, channel] = values[:, 100 + channel % 3] * 0.4 + random.normal(0, 1, 120)
    found = attribute_neurons(values, labels, folds=3)
    sizes = found.curve["channels"].tolist()
    below = sizes[sizes.index(found.needed) - 1]
    assert found.needed - below <= max(1, found.needed * 0.1 / neurons.FINEST + 1)
    assert set(sizes) > set(sizes_up_to(200))


def test_tiny_values_change_nothing():
    values, labels = planted(channels=8, known=(0, 3, 5))
    tiny = values * np.float32(2.0**-70)
    curves = [attribute_neurons(each, labels, folds=2).curve for each in (tiny, values)]
    assert curves[0].equals(curves[1])


def test_progress_is_reported():
    calls = []
    attribute_neurons(*planted(channels=4, known=(0, 1, 2)), folds=3, report=lambda: calls.append(1))
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ranking": "mutual"}, r"`ranking` must be one of: mutual_information, l1\. Received: mutual\."),
        ({"share": 0}, r"`share` must be a number in \(0, 1\]\. Received: 0\."),
        ({"share": 1.1}, r"`share` must be a number in \(0, 1\]"),
        ({"neighbours": 0}, r"`neighbours` must be a number in 1 to 96\. Received: 0\."),
        ({"neighbours": 97}, r"`neighbours` must be a number in 1 to 96\. Received: 97\."),
        ({"folds": 16}, r"`labels` must be a column whose classes all have 16 images or more"),
        ({"same": np.zeros(120, int)}, r"column whose images differ\. Received: fold \d with too few images\. Most"),
    ],
)
def test_error_texts(options, message):
    with pytest.raises(UserError, match=message):
        attribute_neurons(*planted(), **options)
