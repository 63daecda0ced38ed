import colorsys

import numpy as np
import pytest

from fashionprobe.records.sources import garments
from fashionprobe.records.sources.garments import shading

# Hue in degrees on the colour wheel, told from outside: yellow is near 60, orange near 30, red 0, green 120.
HUES = {"yellow": 55, "blue": 225, "brown": 25, "purple": 275}
HUES |= {"orange": 27, "red": 0, "pink": 335, "green": 120}


def chest(colour, pattern="plain"):
    """Return the mean RGB in [0, 1] of the middle of some t-shirts."""
    drawn = [
        garments.picture(colour, pattern, "t-shirt", (64, 64), np.random.default_rng(seed))[27:37, 27:37]
        for seed in range(5)
    ]
    return np.mean(drawn, axis=(0, 1, 2)) / 255


def test_every_colour_is_told_by_hue_or_as_neutral():
    assert set(HUES) | {"grey", "black"} == set(shading.SHADES)


@pytest.mark.parametrize("colour", HUES)
@pytest.mark.parametrize("pattern", ["plain", "sequins", "stripes"])
def test_the_mean_hue_is_the_colours(colour, pattern):
    hue, saturation, _ = colorsys.rgb_to_hsv(*chest(colour, pattern))
    away = abs((360 * hue - HUES[colour] + 180) % 360 - 180)
    # A foreign ink may pull the mean of a striped garment, not past the neighbouring name.
    assert away < (18 if pattern != "stripes" else 30)
    assert saturation > 0.15


def test_neutral_and_dark_colours_are_told_apart_by_value():
    black, grey, brown, orange = (colorsys.rgb_to_hsv(*chest(name)) for name in ("black", "grey", "brown", "orange"))
    assert black[2] < 0.22 < brown[2] < 0.55 < orange[2]
    assert grey[1] < 0.1 and 0.35 < grey[2] < 0.75
    assert brown[1] > 0.35


@pytest.mark.parametrize("colour", shading.SHADES)
@pytest.mark.parametrize("quiet", [True, False])
def test_inks_stand_out_from_the_ground(colour, quiet):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        ground = shading.shade(colour, rng)
        inks = shading.inks(ground, quiet, rng)
        assert all(ink.min() >= 0 and ink.max() <= 1 for ink in inks.values())
        assert np.linalg.norm(inks["accent"] - ground) > 0.25
        assert np.linalg.norm(inks["second"] - ground) > 0.25


def test_blur_keeps_the_area_and_moves_against_the_shift():
    covered = np.zeros((60, 60), np.float32)
    covered[20:40, 20:40] = 1
    still, moved = shading.blurred(covered, 4), shading.blurred(covered, 4, (6, 0))
    assert still.sum() == pytest.approx(400, rel=0.05)
    columns = np.arange(60)
    shift = (moved.sum(0) @ columns) / moved.sum() - (still.sum(0) @ columns) / still.sum()
    assert shift == pytest.approx(-6, abs=0.5)


def test_backdrops_are_plain_and_bright():
    for seed in range(30):
        empty = shading.backdrop(np.zeros((40, 40), np.float32), (0.5, -0.5), 20, np.random.default_rng(seed))
        assert empty.shape == (3, 40, 40) and empty.dtype == np.float32
        assert empty.mean() > 0.6
        assert np.ptp(empty, axis=(1, 2)).max() < 0.12


def test_folds_keep_their_strength_at_any_size():
    spread = []
    for side in (48, 96, 384):
        x, y = np.meshgrid(*[np.linspace(-1, 1, side, dtype=np.float32)] * 2)
        relief, cloth = shading.folds([(0, -0.5, 90)], x, y, (0.3, -0.8), side / 2, np.random.default_rng(2))
        assert relief.shape == cloth.shape == (side, side) and relief.dtype == np.float32
        spread.append(relief.std())
    np.testing.assert_allclose(spread, spread[1], rtol=0.15)
