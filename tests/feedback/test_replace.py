import sys

import numpy as np
import pytest

from fashionprobe.errors import UserError
from fashionprobe.feedback import replace

RNG = np.random.default_rng


@pytest.fixture
def needs_opencv():
    pytest.importorskip("cv2", reason="OpenCV is not installed: pip install 'fashionprobe[inpaint]'")


def scene(count=4, size=8):
    """Images of noise, of which all but the first have a masked corner of 3 x 2 pixels."""
    images = RNG(0).uniform(0, 255, (count, size, size, 3)).astype(np.float32)
    masks = np.zeros((count, size, size), bool)
    masks[1:, -3:, :2] = True
    return images, masks


def flat(values, size=8):
    """Images of one value each."""
    return np.broadcast_to(np.asarray(values, np.float32)[:, None, None, None], (len(values), size, size, 3)).copy()


@pytest.mark.usefixtures("needs_opencv")
@pytest.mark.parametrize("paint", [replace.telea, replace.navier_stokes])
def test_opencv_goes_on_with_what_is_around_the_hole(paint):
    image = np.zeros((20, 20, 3), np.uint8)
    image[:10], image[10:] = (200, 40, 90), (20, 160, 60)
    mask = np.zeros((20, 20), bool)
    mask[2:8, 2:8] = mask[12:18, 9:15] = True
    hidden = np.where(mask[..., None], 255, image).astype(np.uint8)
    before = hidden.copy()
    # Telea's means of rounded means drift by some steps of 255.
    np.testing.assert_allclose(paint(hidden, mask).astype(int), image, atol=8)
    np.testing.assert_array_equal(hidden, before)


@pytest.mark.usefixtures("needs_opencv")
def test_telea_and_navier_stokes_differ_and_heed_the_radius():
    images, masks = scene(2)
    pixels = images[1].astype(np.uint8)
    results = [
        replace.telea(pixels, masks[1]),
        replace.navier_stokes(pixels, masks[1]),
        replace.telea(pixels, masks[1], radius=1),
    ]
    assert len({result.tobytes() for result in results}) == 3


@pytest.mark.usefixtures("needs_opencv")
def test_bad_input_of_opencv():
    image, mask = np.zeros((4, 4, 3), np.uint8), np.eye(4, dtype=bool)
    with pytest.raises(UserError, match=r"`radius` must be a positive number of pixels. Received: 0"):
        replace.telea(image, mask, radius=0)
    with pytest.raises(UserError, match=r"`mask` must be of the image's shape \(4, 4\). Received: \(3, 4\)"):
        replace.navier_stokes(image, mask[:3])
    with pytest.raises(UserError, match=r"`mask` must be False somewhere, .* Received: a full mask"):
        replace.telea(image, np.ones((4, 4), bool))
    with pytest.raises(UserError, match=r"`image` must be uint8 \(height, width, 3\). Received: float32 of shape"):
        replace.telea(image.astype(np.float32), mask)


def test_without_opencv_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match=r"pip install 'fashionprobe\[inpaint\]'"):
        replace.telea(np.zeros((4, 4, 3), np.uint8), np.eye(4, dtype=bool))


def test_any_function_paints_and_only_inside_the_mask():
    images, masks = scene()
    before, seen = images.copy(), []

    def black(image, mask):
        seen.append((image.copy(), mask.copy()))
        image[:] = 0
        mask[:] = True
        return image

    result = replace.painted(images, masks, black)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(result, np.where(masks[..., None], 0, images))
    assert len(seen) == 3
    for (image, mask), original in zip(seen, images[1:], strict=True):
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, np.rint(original))
        np.testing.assert_array_equal(mask, masks[1])


@pytest.mark.parametrize(
    "returned, received",
    [
        (np.zeros((8, 8), np.uint8), r"uint8 of shape \(8, 8\)"),
        (np.zeros((8, 8, 3)), r"float64 of shape \(8, 8, 3\)"),
        (None, "NoneType"),
    ],
)
def test_what_a_paint_returns_is_checked(returned, received):
    expected = rf"`paint` must be a function that returns a uint8 image of shape \(8, 8, 3\). Received: {received}"
    with pytest.raises(UserError, match=expected):
        replace.painted(*scene(), lambda image, mask: returned)


def test_a_crop_of_the_same_place_is_what_the_donor_shows_there():
    images, masks = scene(2)
    donors = RNG(1).uniform(0, 255, (1, 8, 8, 3)).astype(np.float32)
    result = replace.crops(images, masks, np.array([0, 0]), donors, np.array([1]), RNG(0))
    np.testing.assert_array_equal(result[0], images[0])
    np.testing.assert_array_equal(result[1], np.where(masks[1, ..., None], donors[0], images[1]))


def test_a_crop_from_anywhere_is_a_window_of_the_donor_and_each_window_is_drawn():
    count = 400
    images, masks = np.zeros((count, 6, 5, 3), np.float32), np.zeros((count, 6, 5), bool)
    # A ring: what is inside it stays.
    masks[:, 1:5, 1:4] = True
    masks[:, 2, 2] = False
    donor = np.arange(1, 91, dtype=np.float32).reshape(1, 6, 5, 3)
    labels = np.zeros(count, int)
    result = replace.crops(images, masks, labels, donor, np.array([1]), RNG(0), place="anywhere")
    windows = {}
    for row in range(3):
        for column in range(3):
            window = np.zeros((6, 5, 3), np.float32)
            window[1:5, 1:4] = donor[0, row : row + 4, column : column + 3]
            window[2, 2] = 0
            windows[window.tobytes()] = row, column
    drawn = [windows[image.tobytes()] for image in result]
    assert min(drawn.count(window) for window in windows.values()) > 20


def test_donors_are_of_all_other_classes_alike_however_many_each_has():
    count = 300
    images, masks = flat(np.full(count, 9)), np.zeros((count, 8, 8), bool)
    masks[:, 0, 0] = True
    labels = np.repeat(["a", "b", "c"], 100)
    donor_labels = np.repeat(["a", "b", "c", "d"], [1, 2, 30, 4])
    donors = flat(np.arange(37))
    result = replace.crops(images, masks, labels, donors, donor_labels, RNG(0))
    given = result[:, 0, 0, 0].astype(int)
    assert not (donor_labels[given] == labels).any()
    for name in "abc":
        _, counts = np.unique(donor_labels[given[labels == name]], return_counts=True)
        assert len(counts) == 3
        assert counts.min() > 20
    assert len(set(given)) > 30


def test_the_same_generator_gives_the_same_images():
    images, masks = scene()
    labels = np.array([0, 0, 1, 2])
    for place in replace.PLACES:
        first, again, other = (
            replace.crops(images, masks, labels, images, labels, RNG(seed), place=place) for seed in (3, 3, 5)
        )
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()
    np.testing.assert_array_equal(replace.noise(images, masks, RNG(3)), replace.noise(images, masks, RNG(3)))


def test_noise_is_that_of_occlusion():
    images, masks = flat([9, 9], 100), np.ones((2, 100, 100), bool)
    masks[0, :50] = masks[1, 0] = False
    result = replace.noise(images, masks, RNG(0))
    np.testing.assert_array_equal(result[~masks], 9)
    values = result[masks]
    assert values.mean() == pytest.approx(0.5 * 255, abs=1)
    assert values.std() == pytest.approx(0.1 * 255, abs=0.5)
    assert len(np.unique(values)) > 0.9 * values.size
    assert (images == 9).all()


def test_noise_stays_in_the_range(monkeypatch):
    monkeypatch.setattr(replace, "DEVIATION", 5)
    images, masks = scene()
    values = replace.noise(images, masks, RNG(0))[masks]
    assert (values.min(), values.max()) == (0, 255)


def test_swapped_copies_by_hand():
    images, masks = flat([10, 20, 30, 40]), np.zeros((4, 8, 8), bool)
    masks[0, :2] = masks[1, :3] = masks[3, 5:] = True  # the third image has no mask
    labels = np.array(["cat", "dog", "dog", "cat"])
    copies, classes, originals = replace.swapped(images, masks, labels, RNG(0), copies=2)
    np.testing.assert_array_equal(originals, [0, 0, 1, 1, 3, 3])
    np.testing.assert_array_equal(classes, ["cat", "cat", "dog", "dog", "cat", "cat"])
    # Both cats take from the one dog with a mask, below their own masks; the dog takes from each cat once.
    for copy, mask, around in ((0, 0, 10), (1, 0, 10), (4, 3, 40), (5, 3, 40)):
        expected = np.where(masks[mask], 20, around)
        np.testing.assert_array_equal(copies[copy], np.repeat(expected[..., None], 3, axis=2))
    assert {copy[0, 0, 0] for copy in copies[2:4]} == {10, 40}
    np.testing.assert_array_equal(copies[2:4, 3:], 20)
    np.testing.assert_array_equal(images, flat([10, 20, 30, 40]))


def test_copies_of_an_image_take_from_classes_and_donors_in_turn():
    labels = np.repeat([0, 1, 2], [1, 3, 3])
    masks = np.zeros((7, 8, 8), bool)
    masks[:, 4, 4] = True
    copies, _, originals = replace.swapped(flat(np.arange(7)), masks, labels, RNG(2), copies=6)
    given = copies[originals == 0, 4, 4, 0].astype(int)
    assert sorted(given) == [1, 2, 3, 4, 5, 6]
    assert len(set(labels[given[:2]])) == len(set(labels[given[2:4]])) == len(set(labels[given[4:]])) == 2


def test_copies_may_show_another_place():
    images, masks = scene(5)
    labels = np.array([0, 0, 1, 1, 2])
    copies, _, originals = replace.swapped(images, masks, labels, RNG(0), copies=9, place="anywhere")
    for copy, original in zip(copies, originals, strict=True):
        others = images[1:][labels[1:] != labels[original]]
        windows = np.lib.stride_tricks.sliding_window_view(others, (3, 2), axis=(1, 2))
        assert (windows == np.moveaxis(copy[-3:, :2], -1, 0)).all(axis=(-3, -2, -1)).any()


@pytest.mark.parametrize(
    "call",
    [
        lambda images, masks: replace.painted(images, masks, lambda image, mask: image),
        lambda images, masks: replace.noise(images, masks, RNG(0)),
        lambda images, masks: replace.crops(images, masks, np.arange(4), images, np.arange(4), RNG(0)),
        lambda images, masks: replace.swapped(images, masks, np.arange(4), RNG(0)),
    ],
)
def test_bad_images_and_masks(call):
    images, masks = scene()
    with pytest.raises(UserError, match=r"`masks` must be bool of .* \(4, 8, 8\). Received: bool of shape \(4, 8, 4\)"):
        call(images, masks[:, :, :4])
    with pytest.raises(UserError, match=r"`masks` must be bool of .* Received: uint8 of shape \(4, 8, 8\)"):
        call(images, masks.astype(np.uint8))
    # Swapping takes images of any channels, the others RGB.
    with pytest.raises(UserError, match=r"`images` must be (RGB )?images .* Received: \(4, 8, 8(, 1)?\)"):
        call(images[..., :1], masks)
        call(images[..., 0], masks)
    full = masks.copy()
    full[2] = True
    with pytest.raises(UserError, match=r"`masks` must be False somewhere in each image. Received: a full mask at row"):
        call(images, full)
    images[3, 0, 0, 0] = np.nan
    with pytest.raises(UserError, match=r"`images` must be of finite values. Received: NaN or infinity"):
        call(images, masks)


def test_empty_masks_change_nothing():
    images, masks = scene()
    masks[:] = False
    labels = np.zeros(4)
    np.testing.assert_array_equal(replace.painted(images, masks, lambda image, mask: image // 0), images)
    np.testing.assert_array_equal(replace.noise(images, masks, RNG(0)), images)
    np.testing.assert_array_equal(replace.crops(images, masks, labels, images, labels, RNG(0)), images)
    with pytest.raises(UserError, match=r"`masks` must be of at least one image. Received: empty masks only"):
        replace.swapped(images, masks, labels, RNG(0))


def test_bad_donors_labels_and_options():
    images, masks = scene()
    labels = np.array([0, 0, 0, 1])
    alone = r"`donor_labels` must be of two classes or more, .* Received: class 0 alone"
    with pytest.raises(UserError, match=alone):
        replace.crops(images, masks, labels, images, np.zeros(4, int), RNG(0))
    with pytest.raises(UserError, match=alone):
        replace.swapped(images[:3], masks[:3], labels[:3], RNG(0))
    with pytest.raises(UserError, match=r"`donors` must be images of \(8, 8, 3\). Received: \(4, 8, 3\)"):
        replace.crops(images, masks, labels, images[:, :4], labels, RNG(0))
    with pytest.raises(UserError, match=r"`labels` must be one for each of 4 images. Received: \(3,\)"):
        replace.crops(images, masks, labels[:3], images, labels, RNG(0))
    with pytest.raises(UserError, match=r"`donor_labels` must be one for each of 4 images"):
        replace.crops(images, masks, labels, images, labels[:3], RNG(0))
    with pytest.raises(UserError, match=r"`place` must be one of: same, anywhere. Received: anywere. Did you mean"):
        replace.crops(images, masks, labels, images, labels, RNG(0), place="anywere")
    with pytest.raises(UserError, match=r"`copies` must be an int in the range \[1, inf\). Received: 0"):
        replace.swapped(images, masks, labels, RNG(0), copies=0)


def test_regions_are_replaced_by_name_or_by_a_function():
    images = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    masks = np.zeros((2, 8, 8), bool)
    masks[0, 2:4, 2:4] = True
    np.testing.assert_array_equal(
        replace.replace_regions(images, masks, "noise", seed=3), replace.noise(images, masks, np.random.default_rng(3))
    )
    black = replace.replace_regions(images, masks, lambda image, mask: image * 0)
    assert not black[0, 2:4, 2:4].any()
    np.testing.assert_array_equal(black[1], images[1])
    with pytest.raises(UserError, match=r"`by` must be one of: telea, navier_stokes, noise. Received: talea. Did you"):
        replace.replace_regions(images, masks, "talea")
