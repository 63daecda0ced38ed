import numpy as np
import pytest

from fashionprobe.records.sources.garments import fabric, shading


def square(side=64, periods=2.0):
    """Return the fabric coordinates of a square swatch's pixel centres, and the pixel's side."""
    pixel = periods / side
    axis = ((np.arange(side) + 0.5) * pixel).astype(np.float32)
    return np.broadcast_to(axis, (side, side)), np.broadcast_to(axis[:, None], (side, side)), pixel


@pytest.mark.parametrize("name", fabric.PATTERNS)
def test_layers_are_shares_of_known_inks(name):
    rng = np.random.default_rng(1)
    inks = shading.inks(shading.shade("green", rng), False, rng)
    for seed in range(5):
        for ink, share in fabric.PATTERNS[name].draw(*square(), np.random.default_rng(seed)):
            assert ink in inks
            assert share.shape == (64, 64) and share.dtype == np.float32
            assert share.min() >= 0 and share.max() <= 1


@pytest.mark.parametrize("name", sorted(set(fabric.PATTERNS) - {"houndstooth"}))
def test_the_ground_stays_dominant(name):
    for seed in range(5):
        free = np.ones((128, 128), np.float32)
        for ink, share in fabric.PATTERNS[name].draw(*square(128, 4.0), np.random.default_rng(seed)):
            # A tone is the ground's own colour, a shadow lies on it: both leave its hue.
            if ink not in ("tone", "dark"):
                free *= 1 - share
        assert free.mean() > 0.5


def test_plain_has_no_layer():
    assert fabric.plain(*square(), np.random.default_rng(0)) == []


def test_houndstooth_is_the_twill_of_four_dark_and_four_light_threads():
    # Worked by hand: threads 0-3 dark (.), 4-7 light (#), both ways. In weft row 0 the warp is on top in
    # columns 0, 1, 4 and 5, one column further right in each row below; elsewhere the weft is seen.
    expected = [
        "....##..",
        ".....##.",
        "......##",
        "....#..#",
        "..######",
        "#..#####",
        "##..####",
        ".##.####",
    ]
    woven = ["".join(".#"[int(light)] for light in row) for row in fabric.twill_houndstooth()]
    assert woven == expected


def test_houndstooth_is_drawn_as_woven():
    u, v, pixel = square(80, 1.0)  # ten pixels a thread
    ((_, share),) = fabric.houndstooth(u, v, pixel, np.random.default_rng(0))
    threads = share[5::10, 5::10]
    np.testing.assert_array_equal(threads > 0.5, fabric.twill_houndstooth())
    assert np.abs(threads - fabric.twill_houndstooth()).max() < 0.05


@pytest.mark.parametrize("name", ["stripes", "polka", "checks", "argyle", "houndstooth"])
def test_coverage_has_the_same_mean_at_any_resolution(name):
    means = []
    for side in (32, 256):
        layers = fabric.PATTERNS[name].draw(*square(side, 2.0), np.random.default_rng(4))
        means.append(layers[0][1].mean())
    assert means[0] == pytest.approx(means[1], abs=0.03)


def test_dots_are_round_and_of_the_lattice():
    u, v, pixel = square(128, 2.0)
    for seed in range(4):
        ((_, share),) = fabric.polka(u, v, pixel, np.random.default_rng(seed))
        # One dot a period both ways: its area is that of a disc of radius 0.2 to 0.3.
        assert np.pi * 0.2**2 - 0.01 < share.mean() < np.pi * 0.3**2 + 0.01


def test_inside_is_half_on_the_edge_and_full_a_pixel_in():
    share = fabric.inside(np.array([-1.0, -0.05, 0.0, 0.05, 1.0]), 0.1)
    np.testing.assert_allclose(share, [1, 1, 0.5, 0, 0], atol=1e-6)
