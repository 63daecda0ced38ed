import numpy as np
import pytest

from fashionprobe.errors import UserError
from fashionprobe.explain.segmentation import segment


def test_the_object_ends_at_the_edges_of_the_image():
    # A bright square of 10 x 10 pixels; the heatmap is a blob that knows neither its size nor its corners.
    image = np.full((24, 24, 3), 20, np.uint8)
    image[6:16, 8:18] = 220
    rows, columns = np.mgrid[:24, :24]
    heatmap = np.exp(-((rows - 10.5) ** 2 + (columns - 12.5) ** 2) / 29)
    found = segment(image, heatmap)
    expected = np.zeros((24, 24), bool)
    expected[6:16, 8:18] = True
    np.testing.assert_array_equal(found, expected)
    assert ((heatmap >= 0.5) ^ expected).sum() > 20


def test_walks_by_hand():
    # Five pixels in a row, the seeds at the ends; all neighbours but the second pair differ by nothing. With w the
    # weight of the edge, the conductances in the chain of five are 1, w, 1, 1: the second pixel is before the edge.
    image = np.zeros((1, 5, 1))
    image[0, 2:] = 100
    heatmap = np.array([[1.0, 0.3, 0.3, 0.3, 0.0]])
    assert segment(image, heatmap).tolist() == [[True, True, False, False, False]]
    # Without edges the middle is as far from both ends, and what is nearer to the object is of it.
    assert segment(image * 0, heatmap).tolist()[0][:2] == [True, True]
    assert segment(image * 0, heatmap).tolist()[0][3:] == [False, False]


def test_equals_simulated_walks():
    random = np.random.default_rng(0)
    image, heatmap = random.uniform(0, 60, (4, 4, 3)), np.full((4, 4), 0.3)
    heatmap[0, 0], heatmap[3, 3] = 1, 0
    found = segment(image, heatmap)
    square = {}
    for row, column in np.ndindex(4, 4):
        for other in ((row + 1, column), (row, column + 1)):
            if max(other) < 4:
                square[(row, column), other] = square[other, (row, column)] = (
                    (image[row, column] - image[other]) ** 2
                ).sum()
    most = max(square.values())
    # The chance of ending at the object, by repeating the mean over the neighbours.
    chance = heatmap == 1
    for _ in range(400):
        chance = chance.astype(float)
        for place in np.ndindex(4, 4):
            if heatmap[place] == 0.3:
                near = {end: np.exp(-90 * d / most) + 1e-6 for (start, end), d in square.items() if start == place}
                chance[place] = sum(w * chance[end] for end, w in near.items()) / sum(near.values())
    np.testing.assert_array_equal(found, chance > 0.5)


def test_seeds_stay_what_they_are():
    image = np.random.default_rng(0).integers(0, 256, (12, 12, 3)).astype(np.uint8)
    heatmap = np.random.default_rng(1).random((12, 12))
    found = segment(image, heatmap, inside=0.8, outside=0.3)
    assert found[heatmap >= 0.8].all() and not found[heatmap <= 0.3].any()


def test_an_empty_heatmap_is_no_object():
    assert not segment(np.zeros((6, 6, 3), np.uint8), np.zeros((6, 6))).any()


def test_bad_input():
    with pytest.raises(UserError, match="`heatmap` must be one heatmap"):
        segment(np.zeros((6, 6, 3)), np.zeros((5, 6)))
    with pytest.raises(UserError, match="`inside` must be a number in"):
        segment(np.zeros((6, 6, 3)), np.zeros((6, 6)), inside=0.1, outside=0.4)
