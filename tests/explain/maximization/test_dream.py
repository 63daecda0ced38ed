import keras
import numpy as np
import pytest
import tensorflow as tf

from fashionprobe.errors import UserError
from fashionprobe.explain.maximization.dream import dream
from fashionprobe.explain.targets import Channel

QUICK = {"value_range": (0.0, 1.0), "jitter": 2, "steps": 4}


def free():
    """A network that takes images of any size."""
    keras.utils.set_random_seed(2)
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(image)
    return keras.Model(image, keras.layers.Conv2D(5, 3, padding="same", name="second")(x))


def photographs(height=40, width=48):
    """Two smooth pictures with some detail, float32 (2, height, width, 3) in [0.2, 0.8]."""
    coarse = np.random.default_rng(0).uniform(0.2, 0.8, (2, 6, 7, 3))
    return np.clip(tf.image.resize(coarse, (height, width), method="bicubic").numpy(), 0.2, 0.8)


def answers(model, layer, images):
    return keras.Model(model.input, model.get_layer(layer).output)(images).numpy()


def test_a_channel_answers_more_and_the_photograph_is_still_there():
    model, images = free(), photographs()
    dreamt = dream(model, images, Channel("second", 3), octaves=2, **QUICK)
    assert (dreamt.shape, dreamt.dtype) == (images.shape, np.float32)
    assert dreamt.min() >= 0 and dreamt.max() <= 1
    before, after = (answers(model, "second", each)[..., 3].mean(axis=(1, 2)) for each in (images, dreamt))
    assert (after > before + 0.01).all()
    for photograph, changed in zip(images, dreamt, strict=True):
        assert np.corrcoef(photograph.ravel(), changed.ravel())[0, 1] > 0.8


def test_a_layer_is_raised_in_its_mean_of_squares():
    model, images = free(), photographs()
    dreamt = dream(model, images, "first", octaves=1, **QUICK)
    before, after = ((answers(model, "first", each) ** 2).mean(axis=(1, 2, 3)) for each in (images, dreamt))
    assert (after > 1.05 * before).all()


def test_a_step_by_hand():
    image = keras.Input((None, None, 3))
    model = keras.Model(image, keras.layers.Conv2D(1, 1, use_bias=False, name="map")(image))
    kernel = np.array([1.0, 2.0, -3.0])
    model.set_weights([kernel.astype(np.float32).reshape(1, 1, 3, 1)])
    images = np.full((1, 8, 8, 3), 0.5, np.float32)
    options = {"octaves": 1, "steps": 1, "learning_rate": 0.1, "value_range": (0.0, 1.0)}
    expected = 0.5 + 0.5 * 0.1 * kernel / np.sqrt((kernel**2).mean())
    np.testing.assert_allclose(dream(model, images, Channel("map", 0), **options)[0, 3, 4], expected, rtol=1e-5)
    # The map of grey is 0, and so is the gradient of its square.
    np.testing.assert_allclose(dream(model, images, "map", **options), 0.5, atol=1e-6)


def test_detail_lost_in_small_octaves_comes_back():
    # A network that answers to nothing: the dream is the photograph, put together again from its octaves.
    model = free()
    model.set_weights([weight * 0 for weight in model.get_weights()])
    images = np.random.default_rng(1).random((1, 40, 48, 3), dtype=np.float32)
    np.testing.assert_allclose(dream(model, images, "second", octaves=3, **QUICK), images, atol=0.02)


def test_octaves_go_from_small_to_large():
    sizes = []

    class Note(keras.layers.Layer):
        def call(self, images):
            if images.shape[1]:
                sizes.append(tuple(images.shape[1:3]))
            return images

    image = keras.Input((None, None, 3))
    model = keras.Model(image, keras.layers.Conv2D(2, 3, name="map")(Note()(image)))
    dream(model, photographs(64, 96), "map", octaves=3, octave_scale=2.0, **QUICK)
    assert list(dict.fromkeys(sizes)) == [(16, 24), (32, 48), (64, 96)]
    sizes.clear()
    dream(model, photographs(64, 96), "map", octave_scale=2.0, **QUICK)
    assert list(dict.fromkeys(sizes)) == [(32, 48), (64, 96)]


def test_a_seed_gives_the_same_dream_and_mates_do_not_matter():
    model, images = free(), photographs()
    once = dream(model, images, "second", seed=1, **QUICK)
    np.testing.assert_array_equal(once, dream(model, images, "second", seed=1, **QUICK))
    np.testing.assert_allclose(once[1:], dream(model, images[1:], "second", seed=1, **QUICK), atol=1e-4)
    assert np.abs(once - dream(model, images, "second", seed=2, **QUICK)).max() > 1e-3


def test_a_fixed_input_size_has_one_octave(network, images):
    dreamt = dream(network, images, "third_relu", **QUICK)
    assert dreamt.shape == images.shape
    assert (answers(network, "third_relu", dreamt) ** 2).mean() > (answers(network, "third_relu", images) ** 2).mean()
    with pytest.raises(
        UserError, match=r"`octaves` must be 1 for .*, whose input has a fixed size. Received: 2. Or load"
    ):
        dream(network, images, "third_relu", octaves=2, **QUICK)


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("fist", {}, "`target` must be a layer of .* such as first"),
        (Channel("first", 4), {}, r"`channel` must be in the range \[0, 4\)"),
        (3, {}, "`target` must be a Channel or the name of a layer. Received: 3"),
        ("first", {"octaves": 0}, r"`octaves` must be an int in the range \[1, inf\)"),
        ("first", {"octaves": 9}, "`octaves` must be few enough that the smallest has 8 pixels a side"),
        ("first", {"octave_scale": 1.0}, r"`octave_scale` must be a number in the range \(1, 4\]"),
        ("first", {"steps": 0}, "`steps` must be"),
        ("first", {"value_range": (1, 0)}, "`value_range` must be"),
        ("first", {"value_range": (0.5, 1)}, r"`images` must be in the range of values \[0.5, 1\]. Received: values"),
    ],
)
def test_bad_input(target, options, message):
    with pytest.raises(UserError, match=message):
        dream(free(), photographs(), target, **{**QUICK, **options})


def test_images_that_do_not_fit():
    with pytest.raises(UserError, match="`images` must be a batch of shape"):
        dream(free(), photographs()[0], "first")
    with pytest.raises(UserError, match="NaN or infinity in image 0"):
        dream(free(), np.full((1, 8, 8, 3), np.nan), "first")
