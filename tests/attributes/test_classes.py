"""Classes learned from a handful of images, against values by hand and a slow twin."""

import numpy as np
import pytest

from fashionprobe.attributes.classes import learn, tag
from fashionprobe.attributes.normalization import Normalization
from fashionprobe.errors import UserError

AS_IS = Normalization("none")


def test_mean_and_reach_by_hand():
    points = np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0], [100.0, 0.0]], np.float32)
    (name,), images, means, reach = unpacked(learn(points, np.array([0, 0, 0, -1]), ["a"], AS_IS, coverage=0.5))
    assert (name, images.tolist(), means.tolist()) == ("a", [3], [[2.0, 0.0]])
    # Left out: 0 is 3 from (2 + 4) / 2, 2 is 0 from 2, 4 is 3 from 1. Number ceil(4 * 0.5) = 2 of 0, 3, 3.
    assert reach.tolist() == [3.0]
    assert learn(points, np.array([0, 0, 0, -1]), ["a"], AS_IS, coverage=0.25).reach.tolist() == [0.0]


def unpacked(classes):
    return classes.names, classes.images, classes.means, classes.reach


def test_unit_means_and_a_slow_twin():
    random = np.random.default_rng(0)
    points = random.normal(size=(30, 5))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    numbers = np.arange(30) % 2
    found = learn(points.astype(np.float32), numbers, ["a", "b"], Normalization("l2", unit=True), coverage=0.8)
    assert np.linalg.norm(found.means, axis=1) == pytest.approx(1)
    mine = points[numbers == 1]
    apart = []
    for left in range(15):
        mean = np.delete(mine, left, axis=0).mean(axis=0)
        apart.append(np.linalg.norm(mine[left] - mean / np.linalg.norm(mean)))
    # ceil(16 * 0.8) = 13.
    assert found.reach[1] == pytest.approx(sorted(apart)[12], abs=1e-5)


def test_the_nearest_class_or_honestly_none():
    points = np.array([[0, 0], [0, 2], [10, 0], [10, 2]], np.float32)
    classes = learn(points, np.array([0, 0, 1, 1]), ["left", "right"], AS_IS)
    near, far = tag("side", np.array([[1, 1], [1, 9]], np.float32), classes)
    assert (near.group, near.name, near.distance, near.known) == ("side", "left", 1.0, True)
    assert (far.name, far.known) == ("left", False)
    assert far.distance == pytest.approx(np.sqrt(65))


def test_a_new_class_changes_no_answer_unless_it_is_nearer():
    random = np.random.default_rng(0)
    points = random.normal(size=(60, 4)).astype(np.float32)
    before = learn(points, np.arange(60) % 3, ["a", "b", "c"], AS_IS)
    new = learn(random.normal(2, 1, (10, 4)).astype(np.float32), np.zeros(10, int), ["new"], AS_IS)
    asked = random.normal(0.5, 1.5, (200, 4)).astype(np.float32)
    answers = list(zip(tag("g", asked, before), tag("g", asked, before + new), strict=True))
    changed = [(old, now) for old, now in answers if old != now]
    assert 0 < len(changed) < 200
    assert all(now.name == "new" and now.distance < old.distance for old, now in changed)


def test_without_a_class():
    points = np.eye(4, dtype=np.float32)
    classes = learn(points, np.array([0, 0, 1, 1]), ["a", "b"], AS_IS)
    left = classes.without(["a"])
    assert left.names == ("b",)
    assert left.means.tolist() == [[0, 0, 0.5, 0.5]]
    with pytest.raises(UserError, match=r"`group` must be one with a class or more\. Received: 'g', which has none"):
        tag("g", points, left.without(["b"]))


def test_one_image_is_no_class():
    with pytest.raises(UserError, match=r"two or more for a class.*Received: 1 for 'b'"):
        learn(np.eye(3, dtype=np.float32), np.array([0, 0, 1]), ["a", "b"], AS_IS)
