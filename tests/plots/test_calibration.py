import numpy as np
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.calibration import reliability
from fashionprobe.training.calibration import calibration


def test_the_points_are_where_the_table_has_them():
    table = calibration(np.array([0.8, 0.8, 0.3]), np.array([True, False, True]))
    figure = reliability(table, error=0.25, title="of $5")
    ax = figure.axes[0]
    points = ax.collections[1].get_offsets()
    np.testing.assert_allclose(points, [[0.3, 1.0], [0.8, 0.5]])
    assert any("0.250 (3 images, 15 bins)" in text.get_text() for text in ax.texts)
    assert ax.get_title(loc="left") == "of $5"


def test_without_images_it_is_refused():
    with pytest.raises(UserError, match="a table with images"):
        reliability(calibration(np.zeros(0), np.zeros(0, bool)), error=0)
