import numpy as np
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.refit_settings import SETTINGS, pasa_surface, penalty_factor


def test_the_factor_by_hand():
    # At p = th the factor is B, at p = 0 it is 1, at p = 2 th it is B squared.
    np.testing.assert_allclose(penalty_factor(np.array([0, 0.3, 0.6]), 0.4, 0.3), [1, 0.4, 0.16])
    assert penalty_factor(np.array([0.5]), 4.0, 1.0)[0] == 2


def test_each_setting_has_a_line_and_a_panel():
    figure = pasa_surface(title="PASA")
    lines, *panels, bar = figure.axes
    for line, (b, th) in zip(lines.lines, SETTINGS.values(), strict=False):
        np.testing.assert_allclose(line.get_ydata()[[0, -1]], [1, b ** (1 / th)])
    assert [text.get_text() for text in lines.texts] == ["animals: 0.27", "symbols: 0.89", "x-rays: 7.5"]
    titles = [ax.get_title(loc="left") for ax in panels]
    assert titles == ["animals\nB 0.4, th 0.7", "symbols\nB 0.8, th 2", "x-rays\nB 5, th 0.8"]
    assert bar.get_xlabel() == "Penalty" and figure.get_suptitle() == "PASA"
    figure.draw_without_rendering()
    assert lines.get_tightbbox().x1 <= figure.bbox.x1


@pytest.mark.parametrize(("name", "b", "th"), [("fades", 0.4, 0.7), ("grows", 5.0, 0.8)])
def test_along_a_contour_the_penalty_is_its_level(name, b, th):
    ax = pasa_surface({name: (b, th)}, activation=3.0).axes[1]
    contours = ax.collections[-1]
    drawn = [(level, path) for level, path in zip(contours.levels, contours.get_paths(), strict=True) if len(path)]
    assert len(drawn) >= 3
    for level, path in drawn:
        p, act = path.vertices.T
        np.testing.assert_allclose(act * b ** (p / th), level, rtol=0.02)


@pytest.mark.parametrize(
    ("settings", "activation", "text"),
    [
        ({}, 1.0, r"`settings` must be 1 to 4 settings. Received: 0."),
        ({"a": (0.0, 1.0)}, 1.0, r"`a` must be above 0. Received: 0.0, 1.0."),
        ({"a": (0.5, 1.0)}, 0.0, "`activation` must be above 0"),
    ],
)
def test_wrong_arguments_are_refused(settings, activation, text):
    with pytest.raises(UserError, match=text):
        pasa_surface(settings, activation=activation)
