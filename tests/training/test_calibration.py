import numpy as np
import pytest

from fashionprobe.training.calibration import calibration, expected_calibration_error


def test_by_hand():
    """Two of four right at 0.8, one of one right at 0.3: 4/5 * |0.5 - 0.8| + 1/5 * |1 - 0.3| = 0.38."""
    table = calibration(np.array([0.8, 0.8, 0.8, 0.8, 0.3]), np.array([True, True, False, False, True]))
    assert len(table) == 15 and table["images"].sum() == 5
    assert list(table["images"].to_numpy().nonzero()[0]) == [4, 11]
    assert expected_calibration_error(table) == pytest.approx(0.38)


def test_as_the_formula_reads():
    random = np.random.default_rng(0)
    confidence = random.uniform(0.1, 1, 500)
    correct = random.random(500) < confidence**2
    expected = 0.0
    for bin in range(1, 11):
        of = (confidence > (bin - 1) / 10) & (confidence <= bin / 10)
        if of.any():
            expected += of.sum() / 500 * abs(correct[of].mean() - confidence[of].mean())
    assert expected_calibration_error(calibration(confidence, correct, bins=10)) == pytest.approx(expected)


def test_an_end_is_of_the_bin_below_it_and_nothing_is_lost():
    table = calibration(np.array([0.0, 0.2, 0.4, 1.0]), np.ones(4, bool), bins=5)
    assert list(table["images"]) == [2, 1, 0, 0, 1]
    assert np.isnan(table["accuracy"][2])


def test_who_is_as_often_right_as_it_says_has_no_error():
    table = calibration(np.array([0.5, 0.5, 1.0]), np.array([True, False, True]))
    assert expected_calibration_error(table) == 0
