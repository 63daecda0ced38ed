import numpy as np
import pytest

from fashionprobe.channels.receptive_field import ReceptiveField, crop, windows


@pytest.fixture
def pictures():
    return np.random.default_rng(0).random((3, 20, 30, 3), dtype=np.float32) + 0.1


def test_windows_reach_into_the_padding():
    field = ReceptiveField(size=(5, 5), stride=(2, 2), start=(-2, -1))
    found = windows(field, np.array([0, 3]), np.array([1, 14]), (20, 30))
    assert found.tolist() == [[-2, 1, 3, 6], [4, 27, 9, 32]]


def test_a_field_as_large_as_the_image_is_the_whole_image():
    field = ReceptiveField(size=(40, 5), stride=(2, 2), start=(-20, -1))
    assert windows(field, np.array([3]), np.array([1]), (20, 30)).tolist() == [[0, 1, 20, 6]]
    whole = ReceptiveField(size=(20, 30), stride=(0, 0), start=(0, 0))
    assert windows(whole, np.array([3]), np.array([1]), (20, 30)).tolist() == [[0, 0, 20, 30]]


def test_crops_are_the_pixels_and_black_outside(pictures):
    corners = np.array([[-2, -3], [15, 25], [4, 7], [0, 0], [13, 23]])
    boxes, numbers = np.concatenate([corners, corners + 7], axis=1), np.array([0, 1, 2, 2, 1])
    padded = np.pad(pictures, [(0, 0), (7, 7), (7, 7), (0, 0)])
    expected = [
        padded[number, top + 7 : top + 14, left + 7 : left + 14]
        for number, (top, left) in zip(numbers, corners, strict=True)
    ]
    np.testing.assert_allclose(crop(pictures, numbers, boxes, (7, 7)), expected, atol=2e-5)


def test_large_windows_are_shrunk_by_area(pictures):
    boxes = np.array([[0, 0, 20, 30]])
    found = crop(pictures, np.array([1]), boxes, (10, 15))[0]
    np.testing.assert_allclose(found, pictures[1].reshape(10, 2, 15, 2, 3).mean((1, 3)), atol=2e-5)


def test_a_field_of_one_pixel(pictures):
    found = crop(pictures, np.array([2]), np.array([[3, 4, 4, 5]]), (1, 1))
    np.testing.assert_allclose(found[0, 0, 0], pictures[2, 3, 4], atol=2e-6)
