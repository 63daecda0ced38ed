import keras
import numpy as np
import pytest
from scipy import ndimage

from fashionprobe.channels.dissection import dissect, thresholds
from fashionprobe.errors import UserError
from fashionprobe.explain.activations import activations


def plain(height=2, width=2, channels=2):
    """A network whose only layer passes the image on: feature map and image are the same."""
    image = keras.Input((height, width, channels))
    return keras.Model(image, keras.layers.Activation("linear", name="map")(image))


def streams(images, masks, size):
    def cut(of):
        return lambda: (of[start : start + size] for start in range(0, len(of), size))

    return cut(images), cut(masks)


def test_by_hand():
    # Eight values of the first unit; a quarter, two of them, may be above the threshold: 5 and 6 are, above 4.
    images = np.zeros((2, 2, 2, 2), np.float32)
    images[0, ..., 0], images[1, ..., 0] = [[1, 6], [2, 5]], [[3, 4], [0, 1]]
    masks = np.zeros((2, 2, 2, 3), bool)
    # The first concept is the right column of the first image, the second all of the second image, the third nowhere.
    masks[0, :, 1, 0], masks[1, ..., 1] = True, True
    masks[0, 0, 1, 1] = True
    for size in (1, 2):
        (found,) = dissect(plain(), ["map"], *streams(images, masks, size), count=2, quantile=0.25)
        np.testing.assert_array_equal(found.thresholds, [4, 0])
        # Of the second concept one pixel of five is active, of six in the union. The second unit is silent.
        np.testing.assert_allclose(found.iou, [[1, 1 / 6, 0], [0, 0, 0]])
        assert found.best[0] == 0 and found.detected().tolist() == [0]
        assert found.detected(1.0).tolist() == []


@pytest.mark.parametrize(("size", "quantile"), [(4, 0.005), (9, 0.03), (23, 0.3)])
def test_equals_numpy(network, size, quantile):
    random = np.random.default_rng(5)
    images, masks = random.random((23, 16, 16, 3), np.float32), random.random((23, 24, 20, 4)) < 0.2
    layers = ["first", "second"]
    found = dissect(network, layers, *streams(images, masks, size), count=23, quantile=quantile)
    for each, layer in zip(found, layers, strict=True):
        maps = keras.Model(network.input, network.get_layer(layer).output)(images).numpy()
        limits = np.quantile(maps, 1 - quantile, axis=(0, 1, 2), method="inverted_cdf")
        np.testing.assert_allclose(each.thresholds, limits, rtol=1e-5)
        assert ((maps > each.thresholds).mean(axis=(0, 1, 2)) <= quantile).all()
        rows, columns = maps.shape[1:3]
        wide = ndimage.zoom(
            maps.astype(np.float64), (1, 24 / rows, 20 / columns, 1), order=1, mode="nearest", grid_mode=True
        )
        for unit in range(maps.shape[-1]):
            active = wide[..., unit] > each.thresholds[unit]
            for concept in range(4):
                mask = masks[..., concept]
                expected = (active & mask).sum() / max((active | mask).sum(), 1)
                # A pixel at the threshold may fall to either side.
                assert each.iou[unit, concept] == pytest.approx(expected, abs=2 / mask.sum())


def test_a_wrong_number_of_images():
    images, masks = np.zeros((3, 2, 2, 2), np.float32), np.zeros((3, 2, 2, 1), bool)
    with pytest.raises(UserError, match=r"`count` must be the number of images .* Received: 4 for 3 images"):
        dissect(plain(), ["map"], *streams(images, masks, 2), count=4)
    with pytest.raises(UserError, match=r"`quantile` must be a number in \(0, 1\). Received: 1"):
        dissect(plain(), ["map"], *streams(images, masks, 2), count=3, quantile=1)


def test_a_threshold_of_a_silent_unit_leaves_it_silent():
    images = np.zeros((5, 2, 2, 2), np.float32)
    images[0, 0, 0, 1] = 1
    (limits,) = thresholds(activations(plain(), ["map"]), [images], 5, 0.5)
    np.testing.assert_array_equal(limits, [0, 0])
