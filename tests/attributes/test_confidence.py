import numpy as np
import pytest

from fashionprobe.attributes.classes import confidence, temperature
from fashionprobe.errors import UserError


def test_confidence_by_hand():
    # exp(-1) and exp(-2) at temperature 1: 0.731 and 0.269.
    assert confidence(np.array([[1.0, 2.0]]), 1.0)[0] == pytest.approx([0.7310586, 0.2689414])
    assert confidence(np.array([[1.0, 2.0]]), 0.5)[0] == pytest.approx([0.8807971, 0.1192029])
    assert confidence(np.array([[1e9, 2e9]]), 1.0).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("true", [0.05, 1.0, 7.0])
def test_temperature_is_found_again(true):
    rng = np.random.default_rng(0)
    far = rng.uniform(1, 4, (20_000, 3))
    chances = confidence(far, true).cumsum(axis=1)
    numbers = (rng.random(len(far))[:, None] > chances).sum(axis=1)
    assert temperature(far, numbers) == pytest.approx(true, rel=0.12)


def test_temperature_is_in_the_unit_of_the_distances():
    far = np.random.default_rng(0).uniform(1, 4, (200, 3))
    numbers = far.argmin(axis=1)
    numbers[:60] = 0
    assert temperature(1000 * far, numbers) == pytest.approx(1000 * temperature(far, numbers), rel=1e-6)


@pytest.mark.parametrize("far", [np.zeros((0, 3)), np.zeros((4, 3))])
def test_nothing_to_learn_from_is_refused(far):
    with pytest.raises(UserError, match=r"`distances` must be those of one image or more, not all 0"):
        temperature(far, np.zeros(len(far), int))
