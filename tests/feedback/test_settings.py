import numpy as np
import pytest

from fashionprobe.feedback.settings import LEAST, MOST, penalties, suggest


def test_penalties_worked_by_hand():
    np.testing.assert_allclose(
        penalties(np.array([2.0, 1]), np.array([0.7, 0]), b=0.4, th=0.7), [2 * 0.4, 1], atol=1e-12
    )


@pytest.mark.parametrize(("certain", "th"), [(0.3, 0.7), (0.95, 0.8)])
def test_the_penalty_becomes_as_large_as_the_cross_entropy(certain, th):
    act, sure = np.array([0.5, 0.7]), np.full(2, certain)
    entropy = 0.5 if certain < 0.5 else 1.5
    b, found = suggest(act, sure, entropy)
    assert found == th and penalties(act, sure, b, th).mean() == pytest.approx(entropy)
    assert (b > 1) == (certain > 0.5)


@pytest.mark.parametrize(
    ("certain", "entropy", "expected"), [(0.99, 1e-4, 1.0), (0.99, 1e3, MOST), (0.3, 1e-9, LEAST), (0.3, 9.0, 1.0)]
)
def test_it_stays_within_bounds_and_on_its_side_of_1(certain, entropy, expected):
    assert suggest(np.array([0.6]), np.array([certain]), entropy)[0] == pytest.approx(expected)
