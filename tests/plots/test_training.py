import numpy as np
import pandas as pd
import pytest
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

from fashionprobe.errors import UserError
from fashionprobe.plots.save import svg
from fashionprobe.plots.training import learning_curves


def history(count=4, **columns):
    """Make a table of `count` epochs whose loss falls and whose accuracy rises; columns can be replaced."""
    time = np.arange(count) / max(count - 1, 1)
    table = {
        "epoch": np.arange(1, count + 1),
        "loss": 2 - 1.5 * time,
        "val_loss": 2.1 - time,
        "accuracy": 0.2 + 0.7 * time,
        "val_accuracy": 0.15 + 0.5 * time,
        "learning_rate": 0.001,
    }
    return pd.DataFrame(table | columns)


def lines(ax):
    """Return the two curves by their line style: solid is validation, dashed is training."""
    return {line.get_linestyle(): line for line in ax.lines if line.get_linestyle() in ("-", "--")}


def marks(ax):
    """Return the places of the kept epoch's markers."""
    return [tuple(line.get_xydata()[0]) for line in ax.lines if line.get_marker() == "*"]


def numbers(ax):
    return [text.get_text() for text in ax.texts]


def legend(figure):
    return [text.get_text() for text in figure.axes[1].get_legend().get_texts()]


def test_lines_equal_the_table_in_both_panels():
    table = history()
    for ax, name in zip(learning_curves(table).axes, ("loss", "accuracy"), strict=True):
        drawn = lines(ax)
        np.testing.assert_array_equal(drawn["--"].get_xydata(), table[["epoch", name]])
        np.testing.assert_array_equal(drawn["-"].get_xydata(), table[["epoch", f"val_{name}"]])
        assert len(ax.lines) == 2


def test_rows_in_any_order_are_drawn_by_epoch():
    table = history()
    drawn = lines(learning_curves(table[::-1]).axes[0])
    np.testing.assert_array_equal(drawn["-"].get_xydata(), table[["epoch", "val_loss"]])


def test_axes_say_what_is_drawn():
    figure = learning_curves(history(), best_epoch=3, chance=0.25, title="a_$b$")
    left, right = figure.axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("Cross-entropy loss (nats)", "Accuracy")
    assert (left.get_xlabel(), right.get_xlabel()) == ("Epoch", "Epoch")
    assert left.get_ylim()[0] == 0 and left.get_ylim()[1] > 2.1
    assert right.get_ylim() == (0, 1)
    assert left.get_title(loc="left") == "a_$b$"
    assert legend(figure) == ["training", "validation", "kept: epoch 3", "chance (0.25)"]


def test_validation_is_emphasised_and_differs_in_colour():
    for ax in learning_curves(history()).axes:
        drawn = lines(ax)
        assert drawn["-"].get_linewidth() > drawn["--"].get_linewidth()
        assert drawn["-"].get_color() != drawn["--"].get_color()
        assert drawn["-"].get_zorder() > drawn["--"].get_zorder()


def test_the_kept_epoch_is_marked_with_its_validation_values():
    left, right = learning_curves(history(val_loss=[3, 2, 1.2345, 2]), best_epoch=3).axes
    assert marks(left) == [(3, 1.2345)]
    assert marks(right) == [(3, pytest.approx(0.15 + 1 / 3))]
    assert (numbers(left), numbers(right)) == (["1.23"], ["0.483"])
    # The number has the colour of its line, lest it is read as the other's value.
    assert left.texts[0].get_color() == lines(left)["-"].get_color()


def test_nothing_is_marked_unless_asked():
    figure = learning_curves(history())
    assert [marks(ax) + numbers(ax) for ax in figure.axes] == [[], []]
    assert legend(figure) == ["training", "validation"]


def test_chance_is_a_dotted_line_in_the_accuracy_panel_only():
    dotted = [
        [line.get_ydata() for line in ax.lines if line.get_linestyle() == ":"]
        for ax in learning_curves(history(), chance=0.25).axes
    ]
    assert dotted == [[], [[0.25, 0.25]]]


def test_one_epoch_has_one_tick_and_a_marker_in_the_middle():
    figure = learning_curves(history(1), best_epoch=1)
    for ax in figure.axes:
        assert ax.get_xticks().tolist() == [1]
        assert sum(ax.get_xlim()) == pytest.approx(2)
        assert lines(ax)["--"].get_markevery() == [0]
    assert svg(figure).startswith(b"<?xml")


@pytest.mark.parametrize(
    ("count", "ticks"),
    [(2, [1, 2]), (3, [1, 2, 3]), (12, [2, 4, 6, 8, 10, 12]), (300, [50, 100, 150, 200, 250, 300])],
)
def test_ticks_are_whole_epochs(count, ticks):
    for ax in learning_curves(history(count)).axes:
        assert ax.get_xticks().tolist() == ticks


def test_a_training_resumed_late_keeps_its_epochs():
    (ax, _) = learning_curves(history(1, epoch=[27]), best_epoch=27).axes
    assert ax.get_xticks().tolist() == [27]


def test_few_epochs_have_markers_and_many_have_none():
    (few, _), (many, _) = (learning_curves(history(count)).axes for count in (30, 31))
    assert lines(few)["-"].get_marker() == "o" and len(lines(few)["-"].get_markevery()) == 30
    assert lines(many)["-"].get_marker() == "none"


def test_lone_measurements_among_many_epochs_stay_visible():
    values = np.full(40, np.nan)
    values[[9, 19, 20, 39]] = 1.0
    (ax, _) = learning_curves(history(40, val_loss=values)).axes
    assert lines(ax)["-"].get_marker() == "o"
    # The two neighbours are joined by a line.
    assert lines(ax)["-"].get_markevery() == [9, 39]


def test_values_that_are_not_finite_leave_holes():
    figure = learning_curves(history(loss=[np.inf, np.nan, 1, 0.5], val_loss=[4, np.nan, 1, np.inf]), best_epoch=2)
    left, right = figure.axes
    np.testing.assert_array_equal(lines(left)["--"].get_ydata(), [np.nan, np.nan, 1, 0.5])
    assert 4 < left.get_ylim()[1] < 5
    # Without a loss at the kept epoch only the accuracy is marked.
    assert (marks(left), len(marks(right))) == ([], 1)
    assert "kept: epoch 2" in legend(figure)
    assert svg(figure).startswith(b"<?xml")


def test_a_line_along_the_edge_is_whole():
    (_, ax) = learning_curves(history(val_accuracy=1.0, accuracy=1.0), best_epoch=4).axes
    assert not any(line.get_clip_on() for line in ax.lines)


def test_without_validation_the_training_line_is_marked():
    figure = learning_curves(history(val_loss=np.nan, val_accuracy=np.nan), best_epoch=4)
    assert [marks(ax) for ax in figure.axes] == [[(4, 0.5)], [(4, pytest.approx(0.9))]]
    assert legend(figure) == ["training", "kept: epoch 4"]


def test_a_panel_without_any_value_is_drawn_empty():
    figure = learning_curves(history(loss=np.nan, val_loss=np.nan), best_epoch=4)
    left, right = figure.axes
    assert (lines(left), len(lines(right))) == ({}, 2)
    assert legend(figure) == ["training", "validation", "kept: epoch 4"]


@pytest.mark.parametrize("best", [1, 5, 12])
@pytest.mark.parametrize("gap", [-0.1, 0.0, 0.05])
def test_numbers_hide_no_line_and_stand_by_their_marker(best, gap):
    # Training above, on, and below validation, steep at first and flat later.
    rise = 0.7 * (1 - np.exp(-np.arange(12) / 3))
    table = history(12, accuracy=0.11 + rise + gap, val_accuracy=0.11 + rise)
    table = table.assign(loss=4 * (1 - table["accuracy"]), val_loss=4 * (1 - table["val_accuracy"]))
    # Just below the marker, where the number would often stand.
    chance = table["val_accuracy"][best - 1] - 0.07
    figure = learning_curves(table, best_epoch=best, chance=chance)
    figure.draw_without_rendering()
    for ax in figure.axes:
        (number,) = ax.texts
        # The extent of the letters alone, without a line to the marker.
        box = Text.get_window_extent(number)
        for line in ax.lines:
            path = line.get_path().transformed(line.get_transform())
            assert not path.intersects_bbox(box, filled=False)
        panel = ax.get_window_extent()
        star = ax.transData.transform(marks(ax)[0])
        assert abs(box.x0 + box.width / 2 - star[0]) < 0.3 * panel.width
        assert abs(box.y0 + box.height / 2 - star[1]) < 0.3 * panel.height
        assert panel.y0 < box.y0 and box.y1 < panel.y1


def test_a_number_far_from_its_marker_is_joined_to_it_by_a_line():
    values = np.linspace(0, 1, 25)
    # A fence of lines around the marker leaves no room near it.
    fence = np.where(np.arange(25) % 2, 0.3, 0.7)
    fence[12] = 0.5
    near = learning_curves(history(25, accuracy=values, val_accuracy=values), best_epoch=13).axes[1].texts[0]
    far = learning_curves(history(25, accuracy=1 - fence, val_accuracy=fence), best_epoch=13).axes[1].texts[0]
    assert (near.arrow_patch is None, far.arrow_patch is None) == (True, False)


def test_a_panel_full_of_lines_still_has_its_number():
    fence = np.arange(120) % 2
    (_, ax) = learning_curves(history(120, accuracy=1 - fence, val_accuracy=fence), best_epoch=61).axes
    assert numbers(ax) == ["0.000"]
    # Letters over lines keep a white rim.
    assert [type(effect) for effect in ax.texts[0].get_path_effects()] == [withStroke]


def test_nothing_is_cut_with_a_long_title_and_many_epochs():
    figure = learning_curves(history(300), best_epoch=300, chance=0.016, title="long title " * 10)
    figure.draw_without_rendering()
    page, (left, right) = figure.bbox, figure.axes
    # The title is longer than the first panel is wide, and stands clear of the second.
    title = left._left_title.get_window_extent()
    assert title.x1 > right.get_window_extent().x0
    assert title.y0 > max(label.get_window_extent().y1 for label in right.get_yticklabels())
    for box in (left.get_tightbbox(), right.get_tightbbox(), title):
        assert page.x0 <= box.x0 and box.x1 <= page.x1
        assert page.y0 <= box.y0 and box.y1 <= page.y1


def test_the_same_figure_gives_the_same_bytes():
    first, second = (svg(learning_curves(history(), best_epoch=2, title="x")) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("table", "best", "text"),
    [
        (history().head(0), None, r"`history` must be .* Received: no rows."),
        (pd.concat([history(), history().tail(1)]), None, "one row per epoch. Received: two for epoch 4."),
        (history(), 5, r"`best_epoch` must be an epoch of the table, 1 to 4. Received: 5."),
        (history(), 0, r"`best_epoch` must be an epoch of the table, 1 to 4. Received: 0."),
    ],
)
def test_wrong_arguments_are_refused(table, best, text):
    with pytest.raises(UserError, match=text):
        learning_curves(table, best_epoch=best)
