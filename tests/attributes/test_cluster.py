"""Clusters of clumps, and indices of agreement against values worked by hand."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs

from fashionprobe.attributes.reduce import NOISE, agreement, cluster, least_size, versions
from fashionprobe.errors import UserError


def test_clumps_are_found_the_largest_first():
    points, numbers = make_blobs([20, 60, 30], centers=np.array([[0, 0], [50, 0], [0, 50]]), random_state=0)
    points = np.r_[points, [[200.0, 200.0]]]
    found = cluster(points, min_cluster_size=8)
    assert found[-1] == NOISE
    for place, number in enumerate((1, 2, 0)):
        mine = found[:-1][numbers == number]
        assert (mine == place).mean() > 0.7
        assert set(mine) <= {place, NOISE}


def test_all_noise():
    assert cluster(np.random.default_rng(0).random((12, 2)), min_cluster_size=12).tolist() == [NOISE] * 12


def test_copies_are_no_trouble():
    points = np.repeat([[0.0, 0.0], [9.0, 9.0]], 10, axis=0)
    found = cluster(points, min_cluster_size=5)
    assert sorted({*found[:10]}) + sorted({*found[10:]}) == [0, 1]


def test_agreement_worked_by_hand():
    classes = np.array(list("aaabbb"))
    clusters = np.array([0, 0, 1, 1, 1, 1])
    found = agreement(classes, clusters)
    # Pairs together in both: C(2,2) + 0 + C(3,2) = 4; in the classes 3 + 3 = 6; in the clusters 1 + 6 = 7; of 15.
    expected = 6 * 7 / 15
    assert found.ari == pytest.approx((4 - expected) / ((6 + 7) / 2 - expected))
    assert (found.clusters, found.noise, found.images) == (2, 0.0, 6)
    assert found.ari_clustered == found.ari
    same = agreement(classes, np.array([5, 5, 5, 2, 2, 2]))
    assert (same.ari, same.ami) == (1.0, pytest.approx(1.0))


def test_ami_is_divided_by_the_greater_entropy():
    from sklearn.metrics import mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

    classes, clusters = np.repeat([0, 1], 6), np.array([0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 3, 0])
    entropies = [-sum(p * np.log(p) for p in np.bincount(each) / 12) for each in (classes, clusters)]
    chance = expected_mutual_information(contingency_matrix(classes, clusters, sparse=True), 12)
    expected = (mutual_info_score(classes, clusters) - chance) / (max(entropies) - chance)
    assert agreement(classes, clusters).ami == pytest.approx(expected)


def test_ami_of_independent_clusters_is_about_zero_and_mutual_information_is_not():
    rng = np.random.default_rng(0)
    found = agreement(rng.integers(0, 5, 400).astype(str), rng.integers(0, 40, 400))
    assert found.ami == pytest.approx(0, abs=0.03)
    assert found.ari == pytest.approx(0, abs=0.03)


def test_noise_counts_as_one_more_cluster():
    classes = np.array(list("aaabbb"))
    with_noise = agreement(classes, np.array([0, 0, NOISE, 1, 1, NOISE]))
    assert (with_noise.ari, with_noise.ami) == (
        agreement(classes, np.array([0, 0, 2, 1, 1, 2])).ari,
        agreement(classes, np.array([0, 0, 2, 1, 1, 2])).ami,
    )
    assert (with_noise.ari_clustered, with_noise.ami_clustered) == (1.0, pytest.approx(1.0))
    assert (with_noise.clusters, with_noise.noise) == (2, pytest.approx(1 / 3))
    alone = agreement(classes, np.full(6, NOISE))
    assert (alone.ari, alone.clusters, alone.noise) == (0.0, 0, 1.0)
    assert np.isnan(alone.ari_clustered) and np.isnan(alone.ami_clustered)


@pytest.mark.parametrize(("items", "size"), [(4, 4), (20, 5), (1000, 5), (44000, 220)])
def test_the_smallest_cluster_grows_with_the_set(items, size):
    assert least_size(items) == size


@pytest.mark.parametrize("size", [1, 13])
def test_bad_size(size):
    with pytest.raises(UserError, match=rf"`min_cluster_size` must be an int in the range \[2, 12\]. Received: {size}"):
        cluster(np.zeros((12, 2)), min_cluster_size=size)


@pytest.mark.parametrize(
    ("classes", "clusters", "message"),
    [
        (["a", "b"], [0], r"`clusters` must be one for each of 2 items. Received: 1."),
        (["a", "a"], [0, 1], r"`classes` must be two or more. Received: \['a'\]."),
    ],
)
def test_bad_agreement(classes, clusters, message):
    with pytest.raises(UserError, match=message):
        agreement(np.array(classes), np.array(clusters))


def test_versions_name_the_packages():
    assert set(versions()) == {"umap-learn", "hdbscan", "numba"}
