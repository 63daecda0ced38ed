import numpy as np

from fashionprobe.siamese.sampling import batches

PICTURES = np.random.default_rng(0).integers(0, 256, (9, 4, 5, 3), np.uint8)
NUMBERS = np.arange(9) // 3


def test_pictures_come_in_the_order_that_is_drawn(tmp_path):
    np.save(tmp_path / "p.npy", PICTURES)
    mapped = np.load(tmp_path / "p.npy", mmap_mode="r")

    def draw(epoch):
        return np.array([[epoch, 8], [3, epoch]])

    found = list(batches(mapped, NUMBERS, draw, range(1, 3)).as_numpy_iterator())
    for (images, classes), places in zip(found, [[1, 8], [3, 1], [2, 8], [3, 2]], strict=True):
        assert images.dtype == np.float32 and classes.dtype == np.int32
        np.testing.assert_array_equal(images, PICTURES[places])
        np.testing.assert_array_equal(classes, NUMBERS[places])


def test_the_shape_is_known_beforehand():
    images, classes = batches(PICTURES, NUMBERS, lambda epoch: np.zeros((1, 2), int), range(1)).element_spec
    assert images.shape.as_list() == [None, 4, 5, 3] and classes.shape.as_list() == [None]


def test_a_smaller_batch_holds_no_more_than_its_places():
    images, classes = next(batches(PICTURES, NUMBERS, lambda _: np.array([[7, 2, -1]]), range(1)).as_numpy_iterator())
    np.testing.assert_array_equal(images, PICTURES[[7, 2]])
    assert classes.tolist() == [2, 0]
