from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.faithfulness import deletion_insertion, randomization
from fashionprobe.plots.save import svg

FRACTIONS = np.array([0.0, 0.5, 1.0])


def curve(*rows):
    values = np.asarray(rows, float)
    return SimpleNamespace(fractions=FRACTIONS, probabilities=values, auc=(values[:, 1:] + values[:, :-1]).mean(1) / 2)


@pytest.fixture
def deletion():
    return {"grad_$cam$": curve([1, 0.5, 0], [0.8, 0.1, 0]), "gradient": curve([1, 0.9, 0.5], [1, 0.8, 0.1])}


@pytest.fixture
def insertion():
    return {"gradient": curve([0, 0.1, 1], [0, 0.3, 1]), "grad_$cam$": curve([0, 0.8, 1], [0, 1, 1])}


def cascade(**columns):
    table = {"randomized": [1, 4, 9], "correlation_mean": [0.5, 0.2, -0.1], "correlation_std": 0.05, "images": 8}
    return pd.DataFrame(table | columns)


def test_lines_are_means_and_bands_standard_errors(deletion, insertion):
    figure = deletion_insertion(deletion, insertion)
    left, right = figure.axes
    for ax, curves in ((left, deletion), (right, insertion)):
        # Both panels have the methods in the order, and so in the colours, of the first.
        for line, band, name in zip(ax.lines, ax.collections, deletion, strict=True):
            values = curves[name].probabilities
            np.testing.assert_allclose(line.get_ydata(), values.mean(axis=0))
            np.testing.assert_array_equal(line.get_xdata(), FRACTIONS)
            error = np.abs(values[0] - values[1]) / 2
            edges = band.get_paths()[0].vertices
            at_half = edges[edges[:, 0] == 0.5][:, 1]
            assert at_half.min() == pytest.approx((values.mean(axis=0) - error)[1])
            assert at_half.max() == pytest.approx((values.mean(axis=0) + error)[1])
    assert [line.get_color() for line in left.lines] == [line.get_color() for line in right.lines]


def test_the_legend_has_both_areas(deletion, insertion):
    legend = deletion_insertion(deletion, insertion).axes[1].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["grad_$cam$\n0.38 / 0.70", "gradient\n0.75 / 0.35"]
    assert legend.get_title().get_text() == "area: deletion ↓ / insertion ↑"


def test_the_axes_say_what_is_drawn(deletion, insertion):
    figure = deletion_insertion(deletion, insertion, quantity="Score", title="a $b$")
    left, right = figure.axes
    assert left.get_ylabel() == "Score, mean of 2 images"
    assert left.get_xlabel() == "Share of pixels erased, most relevant first"
    assert right.get_xlabel() == "Share of pixels put in, most relevant first"
    assert left.get_title(loc="left") == "Deletion: lower is better"
    assert right.get_title(loc="left") == "Insertion: higher is better"
    assert figure.get_suptitle() == "a $b$"
    assert left.get_ylim()[0] == 0
    assert svg(figure).startswith(b"<?xml")


def test_scores_below_zero_are_inside(deletion, insertion):
    left = deletion_insertion(deletion | {"gradient": curve([1, -2, 0])}, insertion).axes[0]
    assert left.get_ylim()[0] < -2


def test_one_image_has_no_band():
    figure = deletion_insertion({"x": curve([1, 0.5, 0])}, {"x": curve([0, 0.5, 1])})
    assert not figure.axes[0].collections
    assert figure.axes[0].get_ylabel() == "Probability"


def test_eight_methods_differ():
    many = {f"method {place}": curve([1, 0.5, 0]) for place in range(8)}
    lines = deletion_insertion(many, many).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 8


def test_methods_have_to_be_the_same(deletion, insertion):
    with pytest.raises(UserError, match=r"`insertion` must be curves of: grad_\$cam\$, gradient. Received: gradient."):
        deletion_insertion(deletion, {"gradient": insertion["gradient"]})
    with pytest.raises(UserError, match="`deletion` must be curves of one method or more"):
        deletion_insertion({}, {})


def test_one_line_a_method_from_the_first_map_on():
    table = pd.concat([cascade(method="gradient"), cascade(method="edges", correlation_mean=1.0)])
    (ax,) = randomization(table[::-1], title="x").axes
    drawn = {
        text.get_text(): box.lines[0] for text, box in zip(ax.get_legend().get_texts(), ax.containers, strict=True)
    }
    np.testing.assert_allclose(drawn["gradient"].get_xydata(), [[0, 1], [1, 0.5], [4, 0.2], [9, -0.1]])
    np.testing.assert_allclose(drawn["edges"].get_ydata(), 1.0)
    assert ax.get_title(loc="left") == "x"
    assert ax.get_xlabel() == "Layers with random weights, from the output down"


def test_error_bars_are_one_standard_deviation_and_inside():
    (ax,) = randomization(cascade(correlation_std=[0.1, 0.2, 0.3])).axes
    segments = ax.containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose([each[:, 1] for each in segments], [[1, 1], [0.4, 0.6], [0, 0.4], [-0.4, 0.2]])
    assert ax.get_ylim()[0] < -0.4
    assert ax.get_legend() is None


def test_a_table_without_rows():
    with pytest.raises(UserError, match="`table` must be a table with one row or more"):
        randomization(cascade().head(0))
