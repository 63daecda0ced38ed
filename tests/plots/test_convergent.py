import numpy as np
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.convergent import (
    channel_statistics,
    correlation_matrices,
    matched_correlations,
    within_matrices,
)

NAMES = ("mini, block 1", "other $x$, block 2")
MATRIX = np.array([[0.1, 0.9, 0.0], [0.8, -0.5, 0.2]])


def test_the_second_matrix_has_the_pairs_on_its_diagonal():
    figure = correlation_matrices(MATRIX, np.array([0, 1]), np.array([1, 0]), names=NAMES, title="T")
    left, right, bar = figure.axes
    np.testing.assert_array_equal(left.images[0].get_array(), MATRIX)
    np.testing.assert_array_equal(right.images[0].get_array(), MATRIX[:, [1, 0, 2]])
    assert left.images[0].get_clim() == right.images[0].get_clim() == (-0.9, 0.9)
    assert (left.get_ylabel(), left.get_xlabel()) == NAMES
    assert bar.get_ylabel() == "Correlation"


def test_channels_without_partner_come_last():
    figure = correlation_matrices(MATRIX.T, np.array([1, 0]), np.array([0, 1]), names=NAMES)
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), MATRIX.T[[1, 0, 2]])


def test_the_diagonal_does_not_pale_the_correlations_within():
    one, other = np.array([[1, 0.2], [0.2, 1]]), np.array([[1, -0.3, 0], [-0.3, 1, 0], [0, 0, 0]])
    left, right, _ = within_matrices((one, other), names=NAMES).axes
    np.testing.assert_array_equal(left.images[0].get_array(), one)
    np.testing.assert_array_equal(right.images[0].get_array(), other)
    assert left.images[0].get_clim() == right.images[0].get_clim() == (-0.3, 0.3)


def test_statistics_are_those_of_the_pairs():
    means, deviations = (np.array([1.0, 2, 3]), np.array([4.0, 5])), (np.array([0.1, 0.2, 0.3]), np.array([0.4, 0.5]))
    left, right = channel_statistics(means, deviations, np.array([2, 0]), np.array([0, 1]), names=NAMES).axes
    np.testing.assert_allclose(left.collections[0].get_offsets(), [[3, 4], [1, 5]])
    np.testing.assert_allclose(right.collections[0].get_offsets(), [[0.3, 0.4], [0.1, 0.5]])
    assert (left.get_xlabel(), left.get_ylabel()) == NAMES


def test_lines_are_sorted_and_named():
    figure = matched_correlations(np.array([0.1, 0.9]), np.array([0.5, 0.7, 0.9]), names=NAMES)
    (ax,) = figure.axes
    semi, one = ax.lines[:2]
    np.testing.assert_allclose(semi.get_ydata(), [0.9, 0.7, 0.5])
    np.testing.assert_allclose(one.get_ydata(), [0.9, 0.1])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "semi-matching: best partner, shared",
        "bipartite: one to one",
    ]
    assert {"mean 0.70", "mean 0.50"} == {text.get_text() for text in ax.texts}
    assert ax.get_xlabel().endswith("mini, block 1\nwith other $x$, block 2")


@pytest.mark.parametrize(
    ("matrix", "rows", "columns", "message"),
    [
        (np.zeros(3), [0], [0], "`correlation` must be a matrix. Received: shape"),
        (MATRIX, [0], [0, 1], "`rows` must be matched channels"),
        (MATRIX, [2], [0], "`rows` must be matched channels"),
        (MATRIX, [0], [-1], "`rows` must be matched channels"),
    ],
)
def test_bad_matrices(matrix, rows, columns, message):
    with pytest.raises(UserError, match=message):
        correlation_matrices(matrix, np.array(rows), np.array(columns), names=NAMES)


def test_no_pairs():
    with pytest.raises(UserError, match="`bipartite` must be one pair or more"):
        matched_correlations(np.zeros(0), np.ones(2), names=NAMES)
