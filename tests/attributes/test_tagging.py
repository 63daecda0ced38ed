"""How far tags can be trusted, on points whose distances and odds are known."""

import numpy as np
import pytest

from fashionprobe.attributes import classes, tagging
from fashionprobe.attributes.joined import Joined
from fashionprobe.attributes.normalization import fit
from fashionprobe.errors import UserError
from fashionprobe.training.calibration import calibration, expected_calibration_error


def clouds(count: int, channels: int, kinds: int = 4, apart: float = 2.0, seed: int = 0):
    """Normal clouds whose means are `apart` along one axis each."""
    random = np.random.default_rng(seed)
    numbers = np.arange(count) % kinds
    points = random.normal(size=(count, channels))
    points[np.arange(count), numbers] += apart
    return points.astype("f4"), numbers


def test_reach_and_temperature_come_from_held_out_images_worked_plainly():
    points, numbers = clouds(60, 5)
    learned = classes.learn(points, numbers, list("abcd"), fit("none", points))
    found = classes.calibrate(learned, points, numbers, "none", coverage=0.8, folds=3)
    # The same by hand: each class is dealt out to the folds in the order of one permutation.
    order = np.random.default_rng(0).permutation(60)
    fold = np.empty(60, int)
    for kind in range(4):
        mine = [row for row in order if numbers[row] == kind]
        fold[mine] = np.arange(len(mine)) % 3
    far = np.empty((60, 4))
    for row in range(60):
        known = fold != fold[row]
        means = [points[known & (numbers == kind)].mean(axis=0) for kind in range(4)]
        far[row] = np.linalg.norm(points[row] - np.array(means), axis=1)
    own = far[np.arange(60), numbers]
    expected = [np.sort(own[numbers == kind])[int(np.ceil(16 * 0.8)) - 1] for kind in range(4)]
    assert found.reach == pytest.approx(expected, rel=1e-5)
    assert found.temperature == pytest.approx(classes.temperature(far, numbers), rel=1e-3)
    assert (found.means == learned.means).all()
    assert np.isnan(learned.temperature)


def test_whitening_that_has_seen_an_image_does_not_hide_that_another_is_far():
    """With a third as many channels as images: by leaving one out hardly anything new would be beyond reach."""
    points, numbers = clouds(200, 60, apart=6.0)
    new, kinds = clouds(400, 60, apart=6.0, seed=1)
    whiten = fit("whiten", points)
    naive = classes.learn(points, numbers, list("abcd"), whiten)
    honest = classes.calibrate(naive, points, numbers, "whiten")
    shares = []
    for learned in (naive, honest):
        tags = classes.tag("g", whiten(new), learned)
        right = [tag for tag, kind in zip(tags, kinds, strict=True) if tag.name == "abcd"[kind]]
        shares.append(np.mean([tag.known for tag in right]))
    assert shares[0] > 0.95
    assert shares[1] == pytest.approx(0.8, abs=0.07)


def test_probabilities_of_held_out_images_are_as_often_right_as_they_say():
    points, numbers = clouds(1200, 30, apart=1.5)
    found = tagging.cross_validate(points, numbers, list("abcd"), "whiten")
    right = found.numbers == numbers
    assert 0.5 < right.mean() < 0.8
    assert expected_calibration_error(calibration(found.probability, right)) < 0.05
    joined = tagging.cross_validate(Joined([points[:, :10], points[:, 10:]]), numbers, list("abcd"), "whiten")
    assert (joined.numbers == numbers).mean() == pytest.approx(right.mean(), abs=0.05)


def test_a_class_that_was_not_learned_is_refused_more_often_than_others():
    points, numbers = clouds(300, 8, kinds=3, apart=12.0)
    refused, lost = tagging.leave_class_out(points, numbers, list("abc"), 1, "none")
    assert refused == 1
    assert lost == pytest.approx(0.2, abs=0.12)
    with pytest.raises(UserError, match="a column with two classes or more"):
        tagging.cross_validate(points, np.zeros(300, int), ["a"], "none")


def test_a_class_of_two_images_can_be_calibrated():
    points, numbers = clouds(41, 4, kinds=2)
    numbers[:2] = 2
    learned = classes.learn(points, numbers, list("abc"), fit("none", points))
    found = classes.calibrate(learned, points, numbers, "none")
    assert np.isfinite(found.reach).all()
    assert found.reach[2] == pytest.approx(np.linalg.norm(points[0] - points[1]), rel=1e-5)
