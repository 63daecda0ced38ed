import numpy as np
import pytest

from fashionprobe.errors import UserError
from fashionprobe.feedback.asking import disagreement, rank, uncertainty, unusual_heat


def test_unusual_heat_worked_by_hand():
    maps = np.zeros((4, 1, 4))
    # Two of the class look left, whatever their scale, one looks right; the fourth is alone in its class.
    maps[0, 0, 0], maps[1, 0, 0], maps[2, 0, 3], maps[3, 0, 1] = 1, 5, 2, 1
    # Consensus: 2/3 left, 1/3 right.
    np.testing.assert_allclose(unusual_heat(maps, np.array([0, 0, 0, 1])), [1 / 3, 1 / 3, 2 / 3, 0])


def test_a_heatmap_without_heat_is_unusual_and_no_part_of_the_consensus():
    maps = np.zeros((3, 2, 2))
    maps[:2, 0, 0] = 1
    np.testing.assert_allclose(unusual_heat(maps, np.zeros(3, int)), [0, 0, 1])


def test_uncertainty_is_a_share_of_the_greatest_entropy():
    found = uncertainty(np.array([[0.25] * 4, [1, 0, 0, 0], [0.5, 0.5, 0, 0]]))
    np.testing.assert_allclose(found, [1, 0, 0.5], atol=1e-12)


def test_networks_disagree_when_each_is_sure_of_another_class():
    one, other = np.array([[1.0, 0], [1, 0], [0.5, 0.5]]), np.array([[0.0, 1], [1, 0], [0.5, 0.5]])
    np.testing.assert_allclose(disagreement(np.stack([one, other])), [1, 0, 0], atol=1e-12)
    with pytest.raises(UserError, match="two networks or more"):
        disagreement(one[None])


def test_images_are_ranked_by_their_mean_place():
    # Places 1 2 3 and 3 1 2 (means 2, 1.5, 2.5).
    assert rank([np.array([0.9, 0.8, 0.1]), np.array([0.0, 0.5, 0.4])]).tolist() == [2, 1, 3]
    assert rank([np.zeros(3)]).tolist() == [1, 2, 3]
