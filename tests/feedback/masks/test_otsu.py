import itertools

import numpy as np
import pytest

from fashionprobe.errors import UserError
from fashionprobe.feedback.masks.regions import threshold


def within(values, cut):
    """The sum of squares within the two groups, which Otsu's cut makes least."""
    groups = values[values <= cut], values[values > cut]
    return sum(((group - group.mean()) ** 2).sum() for group in groups if len(group))


@pytest.mark.parametrize("seed", range(5))
def test_cut_is_the_best_of_all(seed):
    random = np.random.default_rng(seed)
    values = np.concatenate([random.normal(70, 20, 300), random.normal(180, 30, 100)]).round().clip(0, 255)
    levels = np.unique(values)
    best = min(within(values, (low + high) / 2) for low, high in itertools.pairwise(levels))
    assert within(values, threshold(values)) == pytest.approx(best)


def test_cut_lies_in_the_middle_of_the_gap():
    # Every cut between 1 and 9 is as good.
    assert threshold(np.array([[0, 1], [9, 10]])) == 5.0
    assert threshold(np.array([1e-7, 3e-7])) == pytest.approx(2e-7)


def test_uneven_groups():
    # Cut after 0: 2*4/36 * (0 - 4.75)^2 = 5.0; after 4: 3*3/36 * (4/3 - 5)^2 = 3.4.
    assert threshold(np.array([0, 0, 4, 5, 5, 5])) == 2.0


def test_all_numbers_count_not_their_scale():
    values = np.random.default_rng(0).normal(size=500)
    assert threshold(values * 1e-6 + 5) == pytest.approx(threshold(values) * 1e-6 + 5, rel=1e-9)


def test_constant_values_have_none_above():
    assert threshold(np.full((3, 3), 7.5)) == 7.5


@pytest.mark.parametrize(("values", "received"), [([], "none"), ([1.0, np.nan], "NaN"), ([1.0, np.inf], "NaN or inf")])
def test_what_is_no_number_is_refused(values, received):
    with pytest.raises(UserError, match=rf"`values` must be one finite number or more\. Received: {received}"):
        threshold(np.array(values))
