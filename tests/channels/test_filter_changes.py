import numpy as np
import pytest

from fashionprobe.channels.filters import changes, histograms, histograms_by_class, kinds
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


def test_histograms_by_class_add_up_to_those_of_all():
    random = np.random.default_rng(0)
    before, after, labels = random.normal(size=(30, 2)), random.normal(1, 1, (30, 2)), np.tile(["a", "b", "c"], 10)
    table = histograms_by_class(before, after, labels, numbers=[7, 3], bins=5)
    assert list(table) == ["filter", "class", "low", "high", "before", "after"]
    assert (table.groupby(["filter", "class"], sort=False)[["before", "after"]].sum() == 10).all(axis=None)
    whole = histograms(before, after, bins=5)
    sums = table[table["filter"] == 7].groupby("low")[["before", "after"]].sum()
    np.testing.assert_array_equal(sums, whole.loc[whole["filter"] == 0, ["before", "after"]])
    one = table[(table["filter"] == 3) & (table["class"] == "b")]
    edges = [*one["low"], one["high"].iloc[-1]]
    np.testing.assert_array_equal(one["after"], np.histogram(after[labels == "b", 1], edges)[0])


def test_kinds_by_hand():
    import pandas as pd

    table = pd.DataFrame({
        "filter": [3, 0, 1, 2], "change": [-2.0, 1.0, 3.0, 0.5], "change_error": [1.0, 0.5, np.nan, 0.5],
    })  # fmt: skip
    groups = {
        "some": np.array([True, True, False, False]), "all": np.ones(4, bool), "none": np.zeros(4, bool),
        "one": np.array([False, False, False, True]),
    }  # fmt: skip
    found = kinds(table, groups).set_index("kind")
    assert found.index.tolist() == ["some", "all", "one"]
    # Filters 0 and 1: changes 1 and 3, a standard error of 1.
    assert found.loc["some"].tolist() == [2, 2, pytest.approx(2 - 1.96), pytest.approx(2 + 1.96), 2, 0]
    # An interval that ends at 0 is not above it.
    assert found.loc["all", ["filters", "change", "rose", "fell"]].tolist() == [4, 0.625, 2, 1]
    assert found.loc["one", ["low", "change", "high"]].tolist() == [-2, -2, -2]
