import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from fashionprobe.errors import UserError
from fashionprobe.feedback import inpainter, replace

SIZE = (16, 24)
STEPS = 40


def striped(count, size=SIZE, seed=0):
    """Horizontal stripes, 4 pixels dark and 4 light, each image in two greys of its own."""
    rng = np.random.default_rng(seed)
    greys = np.stack([rng.uniform(0, 90, count), rng.uniform(165, 255, count)], axis=1)
    rows = greys[:, np.arange(size[0]) // 4 % 2]
    return np.broadcast_to(rows[:, :, None, None], (count, *size, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def paint(trained):
    return inpainter.as_paint(trained)


def error(paint, images, masks):
    return np.abs(replace.painted(images, masks, paint) - images)[masks].mean()


def untrained(width, images, masks):
    hole = masks[..., None]
    return inpainter.network(width, seed=0)(np.concatenate([np.where(hole, 128, images), hole], axis=-1)).numpy()


def mean_fill(image, mask):
    image[mask] = image[~mask].mean(axis=0)
    return image


def train():
    images = striped(64)
    return inpainter.train_inpainter(lambda: np.split(images, 8), SIZE, steps=STEPS, seed=0, width=6)


@pytest.fixture(scope="module")
def trained():
    return train()


def test_training_brings_back_more_than_the_mean_and_more_than_the_untrained_network(paint):
    images, masks = striped(20, seed=1), inpainter.holes(20, SIZE, np.random.default_rng(1))
    after = error(paint, images, masks)
    before = np.abs(untrained(6, images, masks) - images)[masks].mean()
    assert after < 0.8 * before
    assert before < error(mean_fill, images, masks)


def test_the_model_comes_back_from_a_file_in_safe_mode(trained, paint, tmp_path):
    trained.save(tmp_path / "inpainter.keras")
    loaded = keras.models.load_model(tmp_path / "inpainter.keras", safe_mode=True)
    image = striped(1, size=(32, 8))[0].astype(np.uint8)
    mask = np.zeros((32, 8), bool)
    mask[9:20, 2:5] = True
    expected = paint(image, mask)
    np.testing.assert_array_equal(inpainter.as_paint(loaded)(image, mask), expected)
    assert (expected[mask] != image[mask]).any()


@pytest.mark.parametrize("size", [(8, 8), (9, 20), (31, 17), (1, 3)])
def test_images_of_any_size_are_painted_inside_the_mask_only(paint, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    mask = np.zeros(size, bool)
    mask[0, 1:] = True
    image[mask] = 7
    given = image.copy(), mask.copy()
    result = paint(image, mask)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result[~mask], image[~mask])
    np.testing.assert_array_equal(image, given[0])
    np.testing.assert_array_equal(mask, given[1])
    # What the hole showed is not seen.
    image[mask] = 200
    np.testing.assert_array_equal(paint(image, mask), result)


def test_nothing_to_paint(paint):
    image, mask = striped(1)[0].astype(np.uint8), np.zeros(SIZE, bool)
    np.testing.assert_array_equal(paint(image, mask), image)
    with pytest.raises(UserError, match=r"`mask` must be False somewhere, to paint from there. Received: a full mask"):
        paint(image, ~mask)
    with pytest.raises(UserError, match=r"`mask` must be of the image's shape \(16, 24\). Received: \(16, 16\)"):
        paint(image, mask[:, :16])


def test_the_untrained_network_goes_on_with_what_is_around_a_hole():
    # The left half is red and the right half blue: a hole in one half takes its colour, however deep it is.
    images, masks = np.zeros((1, 64, 128, 3), np.float32), np.zeros((1, 64, 128), bool)
    images[:, :, :64, 0], images[:, :, 64:, 2] = 255, 255
    masks[:, 8:56, 4:44] = masks[:, 30:40, 80:100] = True
    np.testing.assert_allclose(untrained(2, images, masks), images, atol=1e-3)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_network(trained):
    for mine, yours in zip(trained.get_weights(), train().get_weights(), strict=True):
        np.testing.assert_array_equal(mine, yours)
    first, again, other = (inpainter.network(1, seed=seed).get_weights()[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_data_set_of_another_size_goes_round_and_round():
    data = tf.data.Dataset.from_tensor_slices(striped(5, size=(20, 20))).batch(2)
    rounds = [batch.numpy() for batch in itertools.islice(inpainter._endless(data, (10, 16)), 6)]
    assert [batch.shape for batch in rounds] == [(2, 10, 16, 3), (2, 10, 16, 3), (1, 10, 16, 3)] * 2
    np.testing.assert_array_equal(rounds[0], rounds[3])
    # Each row is the mean of about two.
    np.testing.assert_allclose(rounds[0].mean(), striped(5, size=(20, 20))[:2].mean(), rtol=0.02)


def test_the_error_is_that_in_the_hole():
    # The network adds nothing at first: it fills the hole of a white image with white.
    image, mask = np.full((1, 8, 8, 3), 255, np.float32), np.zeros((1, 8, 8), bool)
    mask[0, 3:5, 3:5] = True
    image[0, 3:5, 3] = 204
    model = inpainter.network(1, seed=0)
    step = inpainter._step(model, keras.optimizers.SGD(0.0), (8, 8))
    # Half of the hole is a fifth darker than what is around it.
    assert float(step.python_function(image, mask)) == pytest.approx(0.1)


def test_holes_are_boxes_and_strokes_within_bounds():
    masks = inpainter.holes(300, (40, 64), np.random.default_rng(0))
    assert masks.dtype == bool
    shares = masks.mean(axis=(1, 2))
    assert 0 < shares.min() < 0.03
    assert 0.25 < shares.max() < 0.6
    rows, columns = masks.any(axis=2).sum(axis=1), masks.any(axis=1).sum(axis=1)
    boxes = masks.sum(axis=(1, 2)) == rows * columns
    assert 0.4 < boxes.mean() < 0.6
    assert (rows[boxes].max(), columns[boxes].max()) <= (24, 38)
    for edge in (masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1]):
        assert edge.any()
    again = inpainter.holes(300, (40, 64), np.random.default_rng(0))
    np.testing.assert_array_equal(masks, again)


def test_a_stroke_by_hand():
    # From the left border to the right one, 2 pixels wide, half way down; it does not turn.
    corners = np.array([[[0.5, 0], [0.5, 1], [0.5, 1], [0.5, 1]]])
    mask = inpainter._strokes(corners, np.array([0.25]), (8, 8))[0]
    # Steps go 0.7 of half the image at a time: 0, 0.35, 0.7, 1.
    np.testing.assert_array_equal(
        mask, np.repeat([[False], [True], [False]], [3, 2, 3], axis=0) & np.ones((1, 8), bool)
    )


def test_bad_input():
    images = striped(8)
    with pytest.raises(
        UserError, match=r"`size` must be \(height, width\) in multiples of 8 pixels. Received: \(16, 20"
    ):
        inpainter.train_inpainter(lambda: [images], (16, 20), seed=0)
    with pytest.raises(UserError, match=r"`steps` must be an int in the range \[1, inf\). Received: 0"):
        inpainter.train_inpainter(lambda: [images], SIZE, steps=0, seed=0)
    with pytest.raises(UserError, match=r"`width` must be an int in the range \[1, inf\). Received: 1.5"):
        inpainter.train_inpainter(lambda: [images], SIZE, width=1.5, seed=0)
    for batches, message in (
        (lambda: [], r"`batches` must be one image or more each time .* A generator that was used up"),
        (lambda: [images[..., :1]], r"`batches` must be float32 images .* Received: \(8, 16, 24, 1\)"),
        (lambda: [images * np.nan], r"`batches` must be of finite values. Received: NaN or infinity"),
    ):
        with pytest.raises(UserError, match=message):
            inpainter.train_inpainter(batches, SIZE, seed=0, width=1)
    plain = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(3, 1)])
    with pytest.raises(UserError, match=r"`model` must be an inpainter, from 4 channels to 3"):
        inpainter.as_paint(plain)
