import numpy as np
import pytest

from fashionprobe.channels.doubts import doubts, separation
from fashionprobe.errors import UserError


def test_doubts_are_means_of_deviations_from_the_training_images():
    features = np.array([[1.0, 10.0, 0.0], [3.0, 30.0, 9.0], [5.0, 20.0, 2.0]])
    is_train = np.array([True, True, False])
    found = doubts(features, is_train, np.array([True, True, False]))
    # Means 2 and 20, deviations 1 and 10.
    np.testing.assert_allclose(found, [-1, 1, (3 + 0) / 2])
    with pytest.raises(UserError, match="`doubted` must be one filter or more"):
        doubts(features, is_train, np.zeros(3, bool))


def test_separation_by_hand():
    # Of the six pairs of a wrong and a right image, the wrong one is greater in five.
    auc, p = separation(np.array([3.0, 1.5, 1.0, 2.0, 0.0]), np.array([False, False, True, True, True]))
    assert auc == pytest.approx(5 / 6) and 0 < p < 1
