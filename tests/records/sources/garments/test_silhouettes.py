import numpy as np
import pytest

from fashionprobe.records.sources.garments import silhouettes


def area(outline):
    """Return the area that a closed polyline goes round (shoelace formula)."""
    x, y = outline.T
    return 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


def test_trace_follows_a_quadratic_curve():
    path = silhouettes.trace((0, 0), (1, 0, 1, 1))
    # Bernstein weights at t = 1/2: 1/4, 1/2, 1/4.
    np.testing.assert_allclose(path[6], [0.75, 0.25])
    np.testing.assert_allclose(path[[0, -1]], [[0, 0], [1, 1]])


def test_closed_adds_the_mirror_image():
    outline = silhouettes.closed(silhouettes.trace((0, 0), (2, 0), (2, 1), (0, 1)))
    assert area(outline) == pytest.approx(4)


@pytest.mark.parametrize("garment", silhouettes.GARMENTS)
def test_every_garment_keeps_to_its_coordinates(garment):
    for seed in range(20):
        shape = silhouettes.GARMENTS[garment](np.random.default_rng(seed))
        points = np.concatenate([part.outline for part in shape.parts])
        assert np.abs(points).max() < 1.25
        assert all(area(part.outline) > 0.005 for part in shape.parts)
        assert 0.5 < sum(area(part.outline) for part in shape.parts) < 3
        for line, strength in shape.seams:
            assert line.shape[1] == 2 and 0 <= strength <= 1
            assert (line.min(0) > points.min(0) - 0.1).all() and (line.max(0) < points.max(0) + 0.1).all()
        assert shape.held


@pytest.mark.parametrize("garment", silhouettes.GARMENTS)
def test_cuts_vary(garment):
    first, second = (silhouettes.GARMENTS[garment](np.random.default_rng(seed)) for seed in (0, 1))
    assert area(first.parts[-1].outline) != area(second.parts[-1].outline)
