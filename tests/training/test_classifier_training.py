import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
from fashionprobe.training.classifier_training import batches  # noqa: E402

FEATURES = np.arange(20, dtype=np.float32).reshape(10, 2)
NUMBERS = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
ROWS = np.array([1, 2, 4, 5, 7])


def first_column(dataset):
    return [int(value) for features, _ in dataset for value in features[:, 0]]


def test_in_order_the_rows_and_their_targets():
    found = list(batches(FEATURES, NUMBERS, 3, rows=ROWS, batch_size=2))
    assert [features.shape for features, _ in found] == [(2, 2), (2, 2), (1, 2)]
    np.testing.assert_array_equal(np.concatenate([features for features, _ in found]), FEATURES[ROWS])
    np.testing.assert_array_equal(np.concatenate([targets for _, targets in found]), np.eye(3)[NUMBERS[ROWS]])


def test_each_epoch_is_all_rows_in_an_order_of_its_own_that_only_seed_and_number_fix():
    three = first_column(batches(FEATURES, NUMBERS, 3, rows=ROWS, batch_size=2, epochs=range(3), seed=4))
    epochs = [three[:5], three[5:10], three[10:]]
    assert all(sorted(epoch) == sorted(2 * ROWS) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert first_column(batches(FEATURES, NUMBERS, 3, rows=ROWS, batch_size=2, epochs=range(2, 3), seed=4)) == epochs[2]
    assert first_column(batches(FEATURES, NUMBERS, 3, rows=ROWS, batch_size=2, epochs=range(3), seed=5)) != three
