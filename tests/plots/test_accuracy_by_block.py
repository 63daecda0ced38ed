import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from fashionprobe.errors import UserError
from fashionprobe.plots.accuracy_by_block import accuracy_by_block, accuracy_by_run
from fashionprobe.plots.save import svg


def bars(ax):
    """Return, for every curve drawn, its values and the half lengths of its error bars."""
    drawn = []
    for container in ax.containers:
        line, _, (segments,) = container.lines
        ends = np.array([segment[:, 1] for segment in segments.get_segments()])
        drawn.append((line.get_ydata().tolist(), (ends[:, 1] - ends[:, 0]) / 2))
    return drawn


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def heading(ax):
    return ax.get_legend().get_title().get_text()


def test_lines_and_error_bars_equal_the_table(accuracy):
    (ax,) = accuracy_by_block(accuracy).axes
    drawn = bars(ax)
    assert [values for values, _ in drawn] == [[0.65, 0.75], [0.6, 0.7], [0.4, 0.5]]
    np.testing.assert_allclose([half for _, half in drawn], [[0.03, 0.04], [0.01, 0.02], [0.04, 0.05]])


def test_points_stand_by_their_block(accuracy):
    (ax,) = accuracy_by_block(accuracy).axes
    for container in ax.containers:
        np.testing.assert_allclose(container.lines[0].get_xdata(), [1, 2], atol=0.16)
    np.testing.assert_array_equal(ax.get_xticks(), [1, 2])


def test_axes_say_what_is_drawn(accuracy):
    (ax,) = accuracy_by_block(accuracy, chance=0.25, title="colour").axes
    assert ax.get_ylim() == (0, 1)
    assert "mean ± std over 5 folds" in ax.get_ylabel()
    assert "Block" in ax.get_xlabel()
    assert ax.get_title(loc="left") == "colour"
    assert legend(ax) == ["4-NN", "16-NN", "nearest mean,\ncosine", "chance (0.25)"]


def test_chance_is_a_dotted_line_only_when_given(accuracy):
    (ax,) = accuracy_by_block(accuracy, chance=0.25).axes
    dotted = [line for line in ax.lines if line.get_linestyle() == ":"]
    np.testing.assert_array_equal([line.get_ydata() for line in dotted], [[0.25, 0.25]])
    assert not any(line.get_linestyle() == ":" for line in accuracy_by_block(accuracy).axes[0].lines)


def test_four_nn_is_the_thickest_line(accuracy):
    (ax,) = accuracy_by_block(accuracy).axes
    widths = [container.lines[0].get_linewidth() for container in ax.containers]
    assert widths[0] > max(widths[1:])


def test_every_curve_has_its_own_look(accuracy):
    (ax,) = accuracy_by_block(accuracy).axes
    assert len({container.lines[0].get_color() for container in ax.containers}) == 3


def test_one_block_and_one_fold_draw(accuracy):
    lone = accuracy[accuracy["block"] == 1].assign(accuracy_std=np.nan, folds=1)
    figure = accuracy_by_block(lone)
    assert svg(figure).startswith(b"<?xml")
    low, high = figure.axes[0].get_xlim()
    assert low < 1 < high


def test_given_axes_are_drawn_on(accuracy):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert accuracy_by_block(accuracy, ax=left) is figure
    assert left.containers and not right.containers


def test_the_users_settings_stay(accuracy):
    with mpl.rc_context({"font.size": 33, "text.usetex": True}):
        figure = accuracy_by_block(accuracy, title="a_b")
        assert mpl.rcParams["font.size"] == 33
    assert figure.axes[0].xaxis.label.get_fontsize() == 12


def test_runs_are_drawn_with_their_names_as_they_are(accuracy):
    worse = accuracy.assign(accuracy_mean=accuracy["accuracy_mean"] - 0.2)
    (ax,) = accuracy_by_run({"_imagenet": accuracy, "$random$": worse}, chance=0.5).axes
    np.testing.assert_allclose([values for values, _ in bars(ax)], [[0.65, 0.75], [0.45, 0.55]])
    assert legend(ax) == ["_imagenet", "$random$", "chance (0.5)"]
    assert heading(ax) == "4-NN"


def test_runs_can_show_another_classifier(accuracy):
    (ax,) = accuracy_by_run({"run": accuracy}, classifier="nearest_mean", parameter="cosine").axes
    assert bars(ax)[0][0] == [0.4, 0.5]
    assert heading(ax) == "nearest mean, cosine"


def test_more_runs_than_colours_stay_distinct(accuracy):
    (ax,) = accuracy_by_run({f"run {place}": accuracy for place in range(12)}).axes
    looks = {(line.get_color(), line.get_marker()) for line in (bar.lines[0] for bar in ax.containers)}
    assert len(looks) == 12


def test_no_run_is_refused():
    with pytest.raises(UserError, match=r"one or more runs. Received: no run."):
        accuracy_by_run({})
