import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots import style
from fashionprobe.plots.refit_settings import accuracy_by_masks, sweep

FIXED = {"b": 0.4, "th": 0.7, "masks": 100, "val": 0.9, "swapped": np.nan}


def one(values=(0.1, 1, 10), key="lam"):
    scores = np.linspace(0.5, 0.7, len(values))
    fixed = {"lam": 1.0, **FIXED}
    return pd.DataFrame({**fixed, key: values, "score": scores, "chosen": scores == scores.max()})


def two():
    rows = [(lam, b, 0.5 + 0.1 * place) for place, (lam, b) in enumerate([(1, 0.4), (1, 5), (10, 0.4)])]
    return pd.DataFrame(rows, columns=["lam", "b", "score"]).assign(th=0.7, val=0.9, chosen=[False, True, False])


def test_one_number_has_a_line_and_a_star():
    (ax,) = sweep(one(), title="a $sweep$").axes
    score, val, star = ax.lines
    np.testing.assert_allclose(score.get_xydata(), [[0.1, 0.5], [1, 0.6], [10, 0.7]])
    np.testing.assert_allclose(val.get_ydata(), 0.9)
    assert star.get_marker() == "*" and star.get_xydata().tolist() == [[10, 0.7]]
    assert [text.get_text() for text in ax.get_legend().get_texts()][-1] == "chosen: 10"
    assert ax.get_xlabel() == "λ: weight of the penalty" and ax.get_title(loc="left") == "a $sweep$"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.1", "1", "10"]


@pytest.mark.parametrize(
    ("values", "key", "scale"),
    [((1, 2, 4), "th", "linear"), ((1, 2, 40), "lam", "log"), ((0, 5, 300), "masks", "symlog")],
)
def test_values_far_apart_stand_by_their_ratio(values, key, scale):
    assert sweep(one(values, key)).axes[0].get_xscale() == scale


def test_seeds_are_averaged():
    table = pd.concat([one(), one().assign(score=[0.7, 0.6, 0.5], chosen=False)])
    np.testing.assert_allclose(sweep(table).axes[0].lines[0].get_ydata(), 0.6)


def test_two_numbers_are_a_table_with_the_chosen_cell_framed():
    (ax,) = sweep(two(), title="PASA").axes
    # The greater value of lambda is on top; the pair that was not tried is empty.
    np.testing.assert_allclose(np.asarray(ax.images[0].get_array().filled(np.nan)), [[0.7, np.nan], [0.5, 0.6]])
    written = {text.get_position(): text.get_text() for text in ax.texts}
    assert written == {(0, 0): "70.0", (0, 1): "50.0", (1, 1): "60.0"}
    (frame,) = ax.patches
    assert frame.get_xy() == (0.5, 0.5) and frame.get_edgecolor()[:3] == pytest.approx((0.835, 0.369, 0), abs=0.01)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("B", "λ: weight of the penalty")
    assert ax.get_title(loc="left") == "PASA (score in %)"


def test_three_numbers_are_a_list_and_the_chosen_one_is_always_on_it():
    rows = [(lam, b, th) for lam in range(1, 4) for b in range(1, 4) for th in range(1, 4)]
    table = pd.DataFrame(rows, columns=["lam", "b", "th"])
    scores = np.linspace(0.9, 0.1, 27)
    (ax,) = sweep(table.assign(score=scores, val=scores, chosen=scores == scores.min())).axes
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert (len(names), names[0], names[-1]) == (21, "λ 1, B 1, th 1", "λ 3, B 3, th 3")
    assert [line.get_marker() for line in ax.lines] == ["o"] * 20 + ["*"]
    assert ax.lines[-1].get_color() == style.BLACK and "6 lower ones left out" in ax.get_xlabel()


def test_nothing_swept_is_a_list_of_one():
    (ax,) = sweep(one((2.0,))).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["λ 2"]


@pytest.mark.parametrize(
    ("table", "text"), [(one().head(0), "no rows"), (one()[["score", "chosen"]], "with one of: lam, b, th, masks")]
)
def test_wrong_tables_are_refused(table, text):
    with pytest.raises(UserError, match=text):
        sweep(table)


def test_accuracy_by_masks_shows_means_and_standard_errors():
    rows = [(0, "heat", 0, 0.4), (1, "heat", 0, 0.6), (0, "heat", 8, 0.7), (1, "heat", 8, 0.9), (0, "random", 8, 0.5)]
    table = pd.DataFrame(rows, columns=["network", "order", "masks", "accuracy"])
    (ax,) = accuracy_by_masks(table).axes
    heat, random = ax.containers
    np.testing.assert_allclose(np.asarray(heat.lines[0].get_ydata(), float), [0.5, 0.8])
    np.testing.assert_allclose(np.asarray(random.lines[0].get_ydata(), float), [0.5])
    # Half the difference of two values is the standard error of their mean.
    np.testing.assert_allclose(np.asarray(heat.lines[2][0].get_segments()[1], float)[:, 1], [0.7, 0.9])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "8"]
