"""Normalizations against values by hand, scikit-learn and the definition of whitening."""

import numpy as np
import pytest
from sklearn.covariance import shrunk_covariance
from sklearn.preprocessing import StandardScaler

from fashionprobe.attributes.normalization import NORMALIZATIONS, fit
from fashionprobe.errors import UserError


@pytest.fixture
def points():
    random = np.random.default_rng(0)
    return (random.normal(size=(50, 6)) @ random.normal(size=(6, 6)) + 3).astype(np.float32)


def test_unit_length_by_hand():
    assert fit("l2", np.ones((1, 2)))(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist() == pytest.approx(
        np.array([[0.6, 0.8], [0, 0]])
    )


def test_standardization_equals_scikit_learn(points):
    found = fit("standard", points)(points)
    assert found == pytest.approx(StandardScaler().fit_transform(points.astype(np.float64)), abs=1e-5)


def test_a_dead_channel_stays_silent(points):
    points[:, 2] = 7
    later = np.full((1, 6), 1e6, np.float32)
    assert fit("standard", points)(later)[0, 2] == 0


@pytest.mark.parametrize("items", [50, 4])
def test_whitened_distances_are_those_of_mahalanobis(points, items):
    points = points[:items]
    normalization = fit("whiten", points)
    # Twin: the shrunk covariance of scikit-learn, inverted.
    covariance = shrunk_covariance(np.cov(points.T.astype(np.float64), bias=True), shrinkage=0.1)
    a, b = points[0].astype(np.float64), points[1].astype(np.float64)
    mean = points.mean(axis=0, dtype=np.float64)
    inverse = np.linalg.inv(covariance)
    cosine = (a - mean) @ inverse @ (b - mean) / np.sqrt(
        ((a - mean) @ inverse @ (a - mean)) * ((b - mean) @ inverse @ (b - mean))
    )  # fmt: skip
    one, other = normalization(points[:2])
    assert one @ other == pytest.approx(cosine, abs=1e-4)


def test_without_shrinkage_the_covariance_is_the_identity(points):
    whitening = fit("whiten", points, shrinkage=0.0)
    whitened = (points - whitening.mean) @ whitening.scale
    assert np.cov(whitened.T, bias=True) == pytest.approx(np.eye(6), abs=1e-3)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_one_item_and_equal_items_give_finite_values(name):
    equal = np.ones((3, 5), np.float32)
    assert np.isfinite(fit(name, equal)(equal)).all()
    assert np.isfinite(fit(name, equal[:1])(equal[:1])).all()


def test_error_texts(points):
    with pytest.raises(UserError, match=r"Did you mean 'whiten'\?"):
        fit("whitn", points)
    with pytest.raises(UserError, match=r"one item or more.*Received: none"):
        fit("l2", points[:0])


def test_the_signed_root_by_hand():
    assert fit("sqrt", np.ones((1, 2)))(np.array([[9.0, -16.0]])) == pytest.approx(np.array([[0.6, -0.8]]))


def test_a_rooted_whitening_is_that_of_the_roots(points):
    points -= points.mean(axis=0)
    roots = np.sign(points) * np.sqrt(np.abs(points))
    assert fit("sqrt_whiten", points)(points) == pytest.approx(fit("whiten", roots)(roots), abs=1e-5)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_joined_blocks_weigh_alike_each_by_itself(points, name):
    # The second block is a hundred times as loud.
    joined = np.concatenate([points[:, :2], 100 * points[:, 2:]], axis=1)
    found = fit(name, joined, widths=(2, 4))(joined)
    parts = []
    for part in (joined[:, :2], joined[:, 2:]):
        values = np.sign(part) * np.sqrt(np.abs(part)) if name.startswith("sqrt") else part
        if name.endswith("whiten"):
            covariance = shrunk_covariance(np.cov(values.T.astype(np.float64), bias=True), shrinkage=0.1)
            gram = (values - values.mean(axis=0)) @ np.linalg.inv(covariance) @ (values - values.mean(axis=0)).T
        else:
            values = StandardScaler().fit_transform(values) if name == "standard" else values
            gram = values @ values.T
        parts.append(gram / np.trace(gram) * len(gram))
    expected = sum(parts)
    if name not in ("none", "standard"):
        length = np.sqrt(np.diag(expected))
        expected = expected / np.outer(length, length)
    # Up to a rotation: only the products of points matter to distances.
    np.testing.assert_allclose(found @ found.T, expected, rtol=2e-3, atol=2e-3)
