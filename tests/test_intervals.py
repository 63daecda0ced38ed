import numpy as np
import pytest

from fashionprobe.intervals import newcombe, wilson


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    # Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 1998, table I.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_intervals(correct, total, low, high):
    found = wilson(np.array([correct]), np.array([total]))
    assert np.concatenate(found).tolist() == pytest.approx([low, high], abs=5e-5)


def test_the_interval_of_folds_is_that_of_fewer_images():
    from fashionprobe.intervals import wilson_of_folds

    # Nadeau and Bengio: 1 + J / (J - 1) is 2.25 for five folds, 3 for two.
    for folds, wider in ((5, 2.25), (2, 3.0)):
        low, high = wilson(np.array(120 / wider), np.array(160 / wider))
        assert wilson_of_folds(120, 160, folds) == pytest.approx((float(low), float(high)))


def test_the_difference_of_two_shares_as_published():
    """Newcombe 1998, table II: 56 of 70 less 48 of 80, and 9 of 10 less 3 of 10, by his method 10."""
    assert newcombe(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert newcombe(9, 10, 3, 10) == pytest.approx((0.1705, 0.8090), abs=5e-5)
    low, high = newcombe(3, 10, 9, 10)
    assert (-high, -low) == pytest.approx(newcombe(9, 10, 3, 10))
