import numpy as np
import pytest

from fashionprobe.channels.filters import expert, inside_masks
from fashionprobe.errors import UserError

# Means over the masked images: ratios 3, 2, 0.5 and, for the silent filter, none.
INSIDE = np.array([[3.0, 4.0, 0.5, 0.0], [3.0, 4.0, 0.5, 0.0]])
WHOLE = np.array([[1.0, 2.0, 1.0, 0.0], [1.0, 2.0, 1.0, 0.0]])


def test_inside_masks_by_hand():
    maps = np.arange(16.0).reshape(1, 2, 4, 2)
    masks = np.zeros((1, 4, 8), bool)
    masks[0, 0, 0] = masks[0, 3, 7] = True
    inside, whole = inside_masks(maps, masks)
    # Cells (0, 0) and (1, 3): channel values 0 and 14, 1 and 15.
    np.testing.assert_allclose(inside, [[7, 8]])
    np.testing.assert_allclose(whole, [[7, 8]])
    masks[0, 3, 7] = False
    np.testing.assert_allclose(inside_masks(maps, masks)[0], [[0, 1]])


def test_table_and_suspicious_filters_by_hand():
    table, agreement = expert(INSIDE, WHOLE, np.array([1.0, 3.0, 2.0, 4.0]), share=0.5, seed=0)
    rows = table.set_index("filter")
    np.testing.assert_allclose(rows.loc[[0, 1, 2, 3], "ratio"], [3, 2, 0.5, np.nan])
    assert rows.loc[[0, 1, 2, 3], "mask_rank"].tolist() == [1, 2, 3, 4]
    # Filter 1 is not among the two most relevant; filter 2 is, but not among the two most active in the masks.
    assert table["filter"].tolist() == [0, 1, 2, 3]
    assert table["suspicious"].tolist() == [True, False, False, False]
    # Ranks 1, 2, 3 against 1, 3, 2.
    assert agreement.correlation == pytest.approx(0.5)
    assert agreement.low == agreement.high == pytest.approx(0.5)


def test_a_filter_less_active_in_the_masks_is_never_suspicious():
    table, _ = expert(INSIDE, WHOLE, np.array([4.0, 3.0, 1.0, 2.0]), share=1.0, seed=0)
    assert set(table.loc[table["suspicious"], "filter"]) == {0, 1}


def test_correlation_is_that_of_scipy_and_its_interval_holds_it():
    from scipy.stats import spearmanr

    random = np.random.default_rng(0)
    whole = random.uniform(1, 2, (12, 30))
    strength = np.linspace(0.5, 2, 30)
    inside = whole * strength * random.uniform(0.5, 1.5, (12, 30))
    relevance = random.permutation(30) + 1 - 0.5 * np.arange(30)
    table, found = expert(inside, whole, relevance, seed=0)
    expected = spearmanr(-inside.mean(axis=0) / whole.mean(axis=0), relevance).statistic
    assert found.correlation == pytest.approx(expected)
    assert found.low < found.correlation < found.high
    again, same = expert(inside, whole, relevance, seed=0)
    assert same == found
    assert again.equals(table)


def test_masks_that_cover_the_whole_map_say_nothing():
    random = np.random.default_rng(0)
    maps = random.uniform(size=(5, 3, 2, 40)).astype(np.float32)
    inside, whole = inside_masks(maps, np.ones((5, 6, 6), bool))
    table, found = expert(inside, whole, np.arange(1.0, 41), seed=0)
    assert (table["ratio"] == 1).all()
    assert not table["suspicious"].any()
    assert np.isnan([found.correlation, found.low, found.high]).all()


def test_silent_filters_leave_no_correlation():
    _, found = expert(np.zeros((2, 4)), np.zeros((2, 4)), np.arange(1.0, 5), seed=0)
    assert np.isnan(found.correlation)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inside": INSIDE[:, :2]}, r"`inside` must be .* Received: \[2, 2\], \[2, 4\] and \[4\]"),
        ({"relevance": np.ones(3)}, r"`inside` must be .* and \[3\]"),
        ({"inside": INSIDE[:0], "whole": WHOLE[:0]}, "`inside` must be"),
        ({"share": 0}, r"`share` must be in the range \(0, 1\]. Received: 0"),
    ],
)
def test_bad_input(change, message):
    given = {"inside": INSIDE, "whole": WHOLE, "relevance": np.arange(1.0, 5), **change}
    with pytest.raises(UserError, match=message):
        expert(**given, seed=0)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (np.zeros((1, 4, 4), bool), "`masks` must be masks with a pixel or more. Received: an empty one, 0"),
        (np.ones((2, 4, 4), bool), "`masks` must be one per image, 1. Received: 2"),
    ],
)
def test_bad_masks(masks, message):
    with pytest.raises(UserError, match=message):
        inside_masks(np.ones((1, 2, 2, 3)), masks)
