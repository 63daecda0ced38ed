import keras
import numpy as np
import pytest
import tensorflow as tf

from fashionprobe.errors import UserError
from fashionprobe.explain.maximization.invert import invert, roughness


def plain(scale=1.0, size=(6, 6)):
    image = keras.Input((*size, 1))
    return keras.Model(image, keras.layers.Rescaling(scale, name="map")(image))


def test_roughness_by_hand():
    x = tf.constant([[[0.0, 1.0], [3.0, 3.0]]])[..., None]
    # Right: 1 and 0; down: 9 and 4; four pixels.
    np.testing.assert_allclose(roughness(x), [14 / 4])


def test_a_layer_that_passes_all_on_gives_the_image_back():
    images = np.random.default_rng(0).uniform(20, 230, (2, 6, 6, 1)).astype(np.float32)
    found = invert(plain(), images, "map", total_variation=0, norm=0)
    np.testing.assert_allclose(found.images, images, atol=3)
    np.testing.assert_allclose(
        found.distances, ((found.images - images) ** 2).sum((1, 2, 3)) / (images**2).sum((1, 2, 3)), rtol=1e-3
    )
    assert (found.distances < 1e-3).all()


def test_the_penalties_smooth_and_grey():
    images = np.random.default_rng(0).choice([0, 255], (1, 6, 6, 1)).astype(np.float32)
    free, smooth, grey = (
        invert(plain(), images, "map", total_variation=v, norm=n).images / 127.5 - 1
        for v, n in ((0, 0), (10, 0), (0, 10))
    )  # fmt: skip
    assert float(roughness(tf.constant(smooth))[0]) < 0.1 * float(roughness(tf.constant(free))[0])
    assert np.abs(grey).max() < 0.9 < np.abs(free).max()


def test_what_the_layer_has_lost_is_not_restored():
    image = keras.Input((6, 6, 2))
    kernel = np.array([1.0, 0.0], np.float32).reshape(1, 1, 2, 1)
    model = keras.Model(image, keras.layers.Conv2D(1, 1, use_bias=False, name="map")(image))
    model.set_weights([kernel])
    images = np.random.default_rng(0).uniform(20, 230, (1, 6, 6, 2)).astype(np.float32)
    found = invert(model, images, "map", total_variation=0, norm=0)
    np.testing.assert_allclose(found.images[..., 0], images[..., 0], atol=3)
    # The second colour stays the noise that it began as.
    assert np.abs(found.images[..., 1] - 127.5).max() < 30
    assert found.distances[0] < 1e-3


def test_the_same_seed_gives_the_same_and_images_do_not_mind_each_other():
    images = np.random.default_rng(0).uniform(0, 255, (2, 6, 6, 1)).astype(np.float32)
    both = invert(plain(), images, "map", steps=20)
    alone = invert(plain(), images[1:], "map", steps=20)
    np.testing.assert_allclose(both.images[1:], alone.images, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "`steps` must be an int in the range"),
        ({"norm": -1}, "`norm` must be a number in the range"),
        ({"total_variation": -1}, "`total_variation` must be a number in the range"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(UserError, match=message):
        invert(plain(), np.zeros((1, 6, 6, 1), np.float32), "map", **options)
