import keras
import numpy as np
import pytest

from fashionprobe.errors import UserError
from fashionprobe.training.augment import AUGMENTATIONS, layers

IMAGES = np.random.default_rng(0).uniform(0, 255, (16, 12, 10, 3)).astype(np.float32)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_training_images_change_and_stay_images(name):
    (layer,) = layers([name], seed=3)
    changed = np.asarray(layer(IMAGES, training=True))
    assert changed.shape == IMAGES.shape and changed.dtype == np.float32
    assert changed.min() >= 0 and changed.max() <= 255
    # Each image its own way, and not at all when the network is used.
    assert np.abs(changed - IMAGES).max(axis=(1, 2, 3)).astype(bool).sum() > 4
    np.testing.assert_array_equal(np.asarray(layer(IMAGES, training=False)), IMAGES)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_seed_fixes_them(name):
    first, again, other = (np.asarray(layers([name], seed=seed)[0](IMAGES, training=True)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("ground", [0.0, 255.0])
@pytest.mark.parametrize("name", ["shift", "zoom", "rotate"])
def test_the_ground_goes_on_where_a_picture_was_moved_away(name, ground):
    pictures = np.full((32, 20, 20, 3), ground, np.float32)
    pictures[:, 8:12, 8:12] = 100
    moved = np.asarray(layers([name], seed=0)[0](pictures, training=True))
    np.testing.assert_allclose(moved[:, [0, 0, -1, -1], [0, -1, 0, -1]], ground, atol=1e-3)


def test_none_makes_none_and_order_is_kept():
    assert layers([], seed=0) == []
    assert [layer.name for layer in layers(["zoom", "flip"], seed=0)] == ["augment_zoom", "augment_flip"]


def test_unknown_and_uncompilable_ones_are_refused():
    with pytest.raises(UserError, match=r"contrast, hue, saturation. Received: flipp. Did you mean 'flip'\?"):
        layers(["flipp"], seed=0)
    with pytest.raises(UserError, match=r"`augment` must be without shift, zoom and rotate when --xla is set"):
        layers(["flip", "rotate"], seed=0, xla=True)
    assert all(isinstance(layer, keras.Layer) for layer in layers(["flip", "brightness", "contrast"], seed=0, xla=True))
