from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots import style
from fashionprobe.plots.refit import FAMILIES, refit_methods

NAMES = {
    "reference": ["Base", "Continued training", "Misclassified 30/70", "Augmentation", "With validation"],
    "penalty": ["PAS", "PASA", "RRR", "RRR-G"],
    "replacement": ["Inpainting (Telea)", "Inpainting (NS)", "Inpainting (learned)", "Random crops", "Noise"],
    "dropout": ["Selective dropout"],
    "head": ["Last layer", "PASA + head"],
}


def runs(seeds=3, **columns):
    methods = [(name, family) for family, names in NAMES.items() for name in names]
    table = pd.DataFrame(
        [
            {"method": name, "family": family, "seed": seed, "test": 0.5 + 0.02 * place + 0.01 * seed, "balanced": 0.5}
            for place, (name, family) in enumerate(methods)
            for seed in range(seeds)
        ]
    )
    return table.assign(**columns)


@pytest.fixture(scope="module")
def five():
    table = runs(**{"test: shuffled": 0.4, "test: plain": 0.9, "test: other": 0.3, "test: fourth": 0.2})
    return refit_methods(table, upper={"test: shuffled": 0.95, "val": 1.0}, upper_name="clean $marks$", title="All")


def rows(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def large(ax):
    """Return the large marks: (mean, row, colour)."""
    found = [line for line in ax.lines if line.get_markersize() > 6]
    return [(line.get_xdata()[0], line.get_ydata()[0], line.get_color()) for line in found]


def test_panels_are_test_balanced_and_three_groups(five):
    titles = [ax.get_title(loc="left").replace("\n", " ") for ax in five.axes]
    assert titles == ["Test accuracy", "Balanced accuracy", "Shuffled", "Plain", "Other"]


def test_the_best_mean_is_on_top_in_the_colour_of_its_family(five):
    assert rows(five.axes[0])[:3] == ["PASA + head", "Last layer", "Selective dropout"]
    assert rows(five.axes[0])[-1] == "Base"
    marks = large(five.axes[0])
    # The last of 17: 0.5 + 0.02 * 16, with seeds at +0, +0.01, +0.02.
    assert marks[0] == (pytest.approx(0.83), 0, FAMILIES["head"][1])
    assert marks[2][2] == style.PURPLE
    assert [place for _, place, _ in marks] == list(range(17))


def test_seeds_and_deviation_are_drawn(five):
    ax = five.axes[0]
    dots = [line for line in ax.lines if line.get_marker() == "."]
    np.testing.assert_allclose(dots[0].get_xdata(), [0.82, 0.83, 0.84])
    spread = ax.collections[0].get_segments()[0]
    np.testing.assert_allclose(spread, [[0.82, 0], [0.84, 0]])


def test_base_and_upper_are_lines(five):
    def dashed(ax, dash):
        return [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == dash]

    assert dashed(five.axes[0], "--") == [pytest.approx(0.51)]
    assert dashed(five.axes[2], ":") == [0.95] and not dashed(five.axes[0], ":")
    names = [text.get_text() for text in five.legends[0].get_texts()]
    assert names == [*(name for name, *_ in FAMILIES.values()), "Base", "clean $marks$"]
    (bold,) = [label.get_text() for label in five.axes[0].get_yticklabels() if label.get_fontweight() == "bold"]
    assert bold == "Base"


def test_names_can_be_read_on_a_phone_and_nothing_is_cut(five):
    assert five.axes[0].get_yticklabels()[0].get_fontsize() / 72 * 400 / five.get_figwidth() >= 10
    five.draw_without_rendering()
    boxes = [ax.get_tightbbox() for ax in five.axes]
    assert all(box.x0 >= 0 and box.x1 <= five.bbox.x1 and box.y1 <= five.bbox.y1 for box in boxes)
    labels = [label.get_window_extent() for label in five.axes[0].get_yticklabels()]
    assert all(upper.y0 >= lower.y1 for upper, lower in pairwise(labels))
    # Each panel keeps room for its marks.
    assert min(ax.get_window_extent().width for ax in five.axes) > 0.1 * five.bbox.width


def test_one_seed_has_no_deviation_and_a_missing_measure_no_mark():
    table = runs(1)
    table.loc[table["method"] == "PAS", "test"] = np.nan
    (ax,) = refit_methods(table, columns=["test"], base="none of them").axes
    assert len(large(ax)) == 16 and rows(ax)[-1] == "PAS"
    assert not [line for line in ax.lines if line.get_linestyle() == "--" or line.get_marker() == "."]


def test_equal_methods_are_not_blown_up():
    low, high = refit_methods(runs(1), columns=["balanced"]).axes[0].get_xlim()
    assert high - low >= 0.05 and low < 0.5 < high


def test_a_new_family_is_grey():
    (ax, _) = refit_methods(runs(1, family="mine")).axes
    assert {color for _, _, color in large(ax)} == {style.GREY}


@pytest.mark.parametrize(
    ("table", "columns", "text"),
    [(runs().head(0), None, "no rows"), (runs(), ["tets"], "Did you mean 'test'"), (runs(), [], "one column or more")],
)
def test_wrong_arguments_are_refused(table, columns, text):
    with pytest.raises(UserError, match=text):
        refit_methods(table, columns=columns)
