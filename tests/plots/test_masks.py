import numpy as np

from fashionprobe.plots.overlays import outlined

LINE = (213, 94, 0)


def test_masked_part_is_tinted_and_has_a_line_around():
    image = np.full((10, 20, 3), 100, np.uint8)
    mask = np.zeros((10, 20), bool)
    mask[5:, 10:] = True
    found = outlined(image, mask, side=40)  # twice the size
    assert found.shape == (20, 40, 3) and found.dtype == np.uint8
    assert (found[:10] == 100).all() and (found[:, :20] == 100).all()
    # Two pixels of line, also where the mask meets the border; inside, 0.6 x 100 + 0.4 x the colour.
    for line in (found[10:12, 20:], found[18:, 20:], found[10:, 20:22], found[10:, 38:]):
        assert (line == LINE).all()
    assert (found[12:18, 22:38] == [145, 98, 60]).all()


def test_large_pictures_shrink():
    found = outlined(np.zeros((300, 100, 3), np.uint8), np.zeros((300, 100), bool), side=30)
    assert found.shape == (30, 10, 3) and not found.any()
