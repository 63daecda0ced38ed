from math import comb

import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.feedback.significance import McNemar, groups, heat_inside, mcnemar, summary


def answers(both, better, worse, neither):
    before = [True] * both + [False] * better + [True] * worse + [False] * neither
    after = [True] * both + [True] * better + [False] * worse + [False] * neither
    return np.array(before), np.array(after)


def runs(*rows, **columns):
    table = pd.DataFrame(rows, columns=["method", "seed", "test"])
    return table.assign(family="penalty", p=0.5, **columns)


@pytest.mark.parametrize(("better", "worse"), [(4, 0), (0, 4), (7, 2), (5, 5), (1, 0)])
def test_mcnemar_is_a_fair_coin_over_the_images_that_changed(better, worse):
    found = mcnemar(*answers(20, better, worse, 30))
    # The chance of a split at least as uneven, to either side.
    tosses, least = better + worse, min(better, worse)
    tail = sum(comb(tosses, heads) for heads in range(least + 1)) / 2**tosses
    assert (found.better, found.worse) == (better, worse)
    assert found.p == pytest.approx(min(1.0, 2 * tail))


def test_images_that_did_not_change_say_nothing():
    assert mcnemar(*answers(3, 9, 2, 1)) == mcnemar(*answers(300, 9, 2, 100))
    assert mcnemar(*answers(3, 0, 0, 5)) == McNemar(0, 0, 1.0)


@pytest.mark.parametrize("after", [np.ones(4, bool), np.ones((3, 1), bool)])
def test_mcnemar_takes_the_same_images_twice(after):
    with pytest.raises(UserError, match=r"`after` must be one value per image, shape \(3,\)"):
        mcnemar(np.ones(3, bool), after)


def test_one_row_a_method_with_mean_and_sample_deviation():
    table = runs(("Base", 0, 0.5), ("Base", 1, 0.7), ("PAS", 0, 0.8), ("PAS", 1, 0.9), val=[0.1, 0.3, 0.5, 0.5])
    found = summary(table.assign(p=[np.nan, np.nan, 0.01, 0.2])).set_index("method")
    assert list(found.index) == ["Base", "PAS"]
    assert found["family"].tolist() == ["penalty"] * 2 and found["seeds"].tolist() == [2, 2]
    np.testing.assert_allclose(found["test_mean"], [0.6, 0.85])
    # Two values that lie 0.2 apart: 0.1 * sqrt(2).
    np.testing.assert_allclose(found["test_std"], [0.1 * 2**0.5, 0.05 * 2**0.5])
    np.testing.assert_allclose(found["val_mean"], [0.2, 0.5])
    assert found.loc["PAS", "p"] == 0.2 and np.isnan(found.loc["Base", "p"])


def test_points_are_paired_by_seed():
    # Only the seed 1 is in common: the base's seed 0 does not count.
    found = summary(runs(("Base", 0, 0.1), ("Base", 1, 0.6), ("PAS", 1, 0.7), ("PAS", 2, 0.9))).set_index("method")
    assert found.loc["PAS", "points"] == pytest.approx(10)
    paired = summary(runs(("Base", 0, 0.5), ("Base", 1, 0.6), ("PAS", 1, 0.8), ("PAS", 0, 0.6))).set_index("method")
    # 10 and 20 points.
    assert paired.loc["PAS", "points"] == pytest.approx(15)
    assert paired.loc["PAS", "points_std"] == pytest.approx(50**0.5)
    # Student's t with one degree of freedom: 12.706 standard errors of 5 points.
    assert paired.loc["PAS", "points_low"] == pytest.approx(15 - 12.7062 * 5, abs=1e-3)
    assert paired.loc["PAS", "points_high"] == pytest.approx(15 + 12.7062 * 5, abs=1e-3)
    assert paired.loc["Base", "points"] == paired.loc["Base", "points_std"] == 0


def test_without_common_seeds_the_mean_of_the_base_counts():
    found = summary(runs(("Base", 7, 0.4), ("Base", 8, 0.6), ("PAS", 0, 0.7)), upper=0.9).set_index("method")
    assert found.loc["PAS", "points"] == pytest.approx(20)
    assert found.loc["PAS", "gap"] == pytest.approx(0.5)
    assert np.isnan(found.loc["PAS", "test_std"])


def test_gap_is_the_share_of_the_way_from_base_to_upper():
    table = runs(("Base", 0, 0.5), ("PAS", 0, 0.8), ("Noise", 0, 0.4), **{"test: shuffled": [0.2, 0.5, 0.2]})
    np.testing.assert_allclose(summary(table, upper=0.9)["gap"], [0, 0.75, -0.25])
    np.testing.assert_allclose(summary(table, metric="test: shuffled", upper=0.8)["gap"], [0, 0.5, 0])
    assert summary(table)["gap"].isna().all()
    assert summary(table, upper=0.5)["gap"].isna().all()


def test_groups_are_averaged_too_and_missing_measures_are_nan():
    table = runs(("Base", 0, 0.5), ("PAS", 0, 0.8), **{"test: plain": [0.9, 0.7], "swapped": [np.nan, 0.6]})
    found = summary(table)
    assert groups(table) == ["test: plain"]
    assert found["test: plain_mean"].tolist() == [0.9, 0.7]
    assert np.isnan(found["swapped_mean"][0]) and found["swapped_mean"][1] == 0.6
    assert "inside_mean" not in found


def test_runs_without_the_base_have_no_points():
    found = summary(runs(("PAS", 0, 0.8)), upper=0.9)
    assert found["points"].isna().all() and found["gap"].isna().all() and found["test_mean"].tolist() == [0.8]


@pytest.mark.parametrize(
    ("table", "metric", "text"),
    [
        (runs(), "test", "no rows"),
        (
            runs(("PAS", 0, 0.8), ("PAS", 0, 0.9)),
            "test",
            r"one row per method and seed. Received: two of PAS with seed 0",
        ),
        (runs(("PAS", 0, 0.8)), "tets", "Did you mean 'test'"),
    ],
)
def test_wrong_runs_are_refused(table, metric, text):
    with pytest.raises(UserError, match=text):
        summary(table, metric=metric)


def test_heat_inside_is_the_share_of_the_mass():
    heatmaps = np.zeros((3, 2, 4), np.float32)
    heatmaps[0] = [[1, 0, 0, 0], [0, 0, 0, 3]]
    heatmaps[1] = 0.5
    masks = np.zeros((3, 2, 4), bool)
    masks[:, 0] = True
    np.testing.assert_allclose(heat_inside(heatmaps, masks), [0.25, 0.5, np.nan])
    assert heat_inside(heatmaps, masks).dtype == np.float64
    assert heat_inside(heatmaps[:1], ~masks[:1])[0] == 0.75


@pytest.mark.parametrize(
    ("heatmaps", "masks", "text"),
    [
        (np.ones((2, 3, 3)), np.ones((2, 3, 4)), r"`masks` must be of the heatmaps' shape .* masks \(2, 3, 4\)"),
        (np.ones((3, 3)), np.ones((3, 3)), "`masks` must be of the heatmaps' shape"),
        (-np.ones((1, 2, 2)), np.ones((1, 2, 2)), "`heatmaps` must be 0 or more everywhere. Received: a value of -1"),
    ],
)
def test_wrong_heatmaps_are_refused(heatmaps, masks, text):
    with pytest.raises(UserError, match=text):
        heat_inside(heatmaps, masks)
