import numpy as np
import pytest

from fashionprobe.intervals import wilson


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
