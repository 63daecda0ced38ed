import numpy as np
import pytest

from fashionprobe.channels.filters import changes, histograms
from fashionprobe.errors import UserError

BEFORE = np.array([[1.0, 2.0], [3.0, 2.0]])
AFTER = np.array([[2.0, 0.0], [6.0, 0.0]])


def test_changes_by_hand_the_greatest_fall_first():
    table = changes(BEFORE, AFTER)
    assert table["filter"].tolist() == [1, 0]
    assert table[["before", "after", "change"]].to_numpy().tolist() == [[2, 0, -2], [2, 4, 2]]
    # Differences 1 and 3: standard deviation sqrt(2), standard error 1.
    np.testing.assert_allclose(table["change_error"], [0, 1.96])


def test_changes_inside_the_masks_order_the_filters():
    table = changes(BEFORE, AFTER, (np.array([[5.0, 1.0]]), np.array([[1.0, 2.0]])))
    assert table["filter"].tolist() == [0, 1]
    assert table["inside_change"].tolist() == [-4, 1]
    assert table["inside_change_error"].isna().all()


def test_histograms_by_hand():
    table = histograms(BEFORE, AFTER, bins=5)
    first = table[table["filter"] == 0]
    np.testing.assert_allclose(first["low"], [1, 2, 3, 4, 5])
    assert first["before"].tolist() == [1, 0, 1, 0, 0]
    assert first["after"].tolist() == [0, 1, 0, 0, 1]
    assert table.groupby("filter")[["before", "after"]].sum().to_numpy().tolist() == [[2, 2], [2, 2]]


@pytest.mark.parametrize("function", [changes, histograms])
def test_other_filters(function):
    with pytest.raises(
        UserError, match=r"`after` must be \(images, filters\) as before. Received: \[2, 2\] and \[2, 3"
    ):
        function(BEFORE, np.ones((2, 3)))
