import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.per_class import best_and_worst
from fashionprobe.plots.save import svg


def scores(count, **columns):
    """Make a table of classes: class i has F1 i %, a lower precision and a higher recall; columns can be replaced."""
    f1 = np.arange(count) / 100
    table = {
        "class": [f"class {place}" for place in range(count)],
        "images": np.arange(count) + 10,
        "precision": f1 / 2,
        "recall": f1 + 0.2,
        "f1": f1,
        "low": f1 + 0.1,
        "high": f1 + 0.35,
    }
    return pd.DataFrame(table | columns)


def names(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def marks(ax):
    """Return score name to values in the order of the rows, as the legend names the markers."""
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    handles = ax.get_legend().legend_handles
    looks = {handle.get_marker(): label for handle, label in zip(handles, labels, strict=True)}
    return {looks[line.get_marker()]: line.get_xdata() for line in ax.lines if line.get_marker() in looks}


def title(ax):
    return ax.get_title(loc="left")


def test_markers_equal_the_table_with_the_highest_f1_on_top():
    (ax,) = best_and_worst(scores(3)).axes
    assert names(ax) == ["class 2", "class 1", "class 0"]
    drawn = marks(ax)
    assert list(drawn) == ["precision", "recall", "F1"]
    np.testing.assert_allclose(drawn["precision"], [0.01, 0.005, 0])
    np.testing.assert_allclose(drawn["recall"], [0.22, 0.21, 0.2])
    np.testing.assert_allclose(drawn["F1"], [0.02, 0.01, 0])
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_scores_differ_in_shape_and_colour():
    (ax,) = best_and_worst(scores(3)).axes
    assert len({line.get_marker() for line in ax.lines}) == 3
    assert len({line.get_markeredgecolor() for line in ax.lines}) == 3
    # Equal scores lie on each other: all but the topmost, smallest marker are hollow.
    faces = [line.get_markerfacecolor() for line in sorted(ax.lines, key=lambda line: line.get_markersize())]
    assert faces[0] != "none" and faces[1:] == ["none", "none"]


def test_lines_end_at_low_and_high_in_the_colour_of_the_recall():
    (ax,) = best_and_worst(scores(2)).axes
    guides, intervals = ax.collections
    np.testing.assert_allclose([part[:, 0] for part in guides.get_segments()], [[0, 1], [0, 1]])
    np.testing.assert_allclose([part[:, 0] for part in intervals.get_segments()], [[0.11, 0.36], [0.1, 0.35]])
    np.testing.assert_allclose([part[:, 1] for part in intervals.get_segments()], [[0, 0], [1, 1]])
    assert "95 % Wilson interval of the recall" in ax.get_xlabel()
    recall = next(line for line in ax.lines if np.allclose(line.get_xdata(), [0.21, 0.2]))
    np.testing.assert_allclose(intervals.get_color()[0][:3], [0, 0x72 / 255, 0xB2 / 255])
    assert recall.get_markeredgecolor() == "#0072B2"


def test_numbers_of_images_stand_beside_their_rows_under_a_heading():
    (ax,) = best_and_worst(scores(3)).axes
    assert [(text.get_text(), text.xy) for text in ax.texts] == [
        ("images", (1, -0.7)),
        ("12", (1, 0)),
        ("11", (1, 1)),
        ("10", (1, 2)),
    ]


def test_many_classes_show_both_ends_and_a_gap():
    (ax,) = best_and_worst(scores(61)).axes
    assert names(ax) == [f"class {place}" for place in (*range(60, 50, -1), *range(9, -1, -1))]
    remark = next(text for text in ax.texts if "between" in text.get_text())
    assert remark.get_text() == "… 41 more classes between …"
    # Its row is free of markers.
    assert remark.get_position()[1] == 10
    assert ax.get_yticks().tolist() == [*range(10), *range(11, 21)]
    for line in ax.lines:
        assert line.get_ydata().tolist() == [*range(10), *range(11, 21)]


@pytest.mark.parametrize(("count", "ends", "rows"), [(20, 10, 20), (21, 10, 20), (7, 2, 4), (1, 10, 1)])
def test_the_number_of_rows(count, ends, rows):
    (ax,) = best_and_worst(scores(count), ends=ends).axes
    assert len(names(ax)) == rows
    assert any("between" in text for text in texts(ax)) == (count > rows)


def test_one_class_between_is_singular():
    assert "… 1 more class between …" in texts(best_and_worst(scores(3), ends=1).axes[0])


def test_equal_f1_is_sorted_by_name():
    table = scores(3, f1=0.5)
    table["class"] = ["b", "c", "a"]
    assert names(best_and_worst(table).axes[0]) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("empty", "remark"),
    [([1], "Left out: 1 class without images."), ([0, 2], "Left out: 2 classes without images.")],
)
def test_classes_without_images_are_left_out_and_counted(empty, remark):
    table = scores(4)
    table.loc[empty, "images"] = 0
    table.loc[empty, ["recall", "low", "high"]] = np.nan
    figure = best_and_worst(table)
    (ax,) = figure.axes
    assert names(ax) == [f"class {place}" for place in (3, 2, 1, 0) if place not in empty]
    assert texts(ax)[-1] == remark
    figure.draw_without_rendering()
    assert ax.texts[-1].get_window_extent().y1 < ax.xaxis.label.get_window_extent().y0


def test_a_class_without_images_whose_scores_are_zero_is_left_out_too():
    (ax,) = best_and_worst(scores(2, images=[0, 5], recall=[0, 1])).axes
    assert names(ax) == ["class 1"]


def test_classes_left_out_are_not_among_those_between():
    table = scores(7)
    table.loc[3, "images"] = 0
    table.loc[3, "recall"] = np.nan
    assert "… 2 more classes between …" in texts(best_and_worst(table, ends=2).axes[0])


def test_nothing_is_remarked_when_all_classes_have_images():
    assert not any("Left out" in text for text in texts(best_and_worst(scores(30)).axes[0]))


def test_a_class_that_was_never_predicted_is_drawn_last():
    figure = best_and_worst(scores(3, precision=[0.5, np.nan, 0.4], f1=[0.5, np.nan, 0.4]))
    assert names(figure.axes[0]) == ["class 0", "class 2", "class 1"]
    assert svg(figure).startswith(b"<?xml")


def test_names_and_title_are_shown_as_they_are_on_one_line():
    table = scores(3)
    table["class"] = ["$a$\nb", "_c", 7]
    figure = best_and_worst(table, title="$x$ _y\nz")
    (ax,) = figure.axes
    assert names(ax) == ["7", "_c", "$a$ b"]
    assert title(ax) == "$x$ _y z"
    assert svg(figure).startswith(b"<?xml")


def test_axes_run_from_zero_to_one_and_scores_at_the_ends_are_whole():
    (ax,) = best_and_worst(scores(2, precision=[0, 1], recall=[0, 1], f1=[0, 1])).axes
    assert ax.get_xlim() == (0, 1)
    assert not any(line.get_clip_on() for line in ax.lines)


@pytest.mark.parametrize("name", ["a", "W" * 40])
@pytest.mark.parametrize("count", [1, 61])
def test_nothing_is_cut_and_nothing_overlaps(name, count):
    table = scores(count + 1, images=[0, *[12345] * count])
    table["class"] = name
    figure = best_and_worst(table, title="long title " * 10)
    figure.draw_without_rendering()
    (ax,) = figure.axes
    page, key = figure.bbox, ax.get_legend().get_window_extent()
    for artist in [*ax.texts, *ax.get_yticklabels(), ax.xaxis.label, ax._left_title, ax.get_legend()]:
        box = artist.get_window_extent()
        assert page.x0 <= box.x0 and box.x1 <= page.x1, artist
        assert page.y0 <= box.y0 and box.y1 <= page.y1, artist
    heading = ax.texts[0].get_window_extent()
    assert ax._left_title.get_window_extent().y0 > max(key.y1, heading.y1)
    assert key.x1 < heading.x0
    assert key.y0 >= ax.get_window_extent().y1
    assert ax.get_window_extent().height > 0.3 * figure.dpi * len(names(ax))
    # The counts begin right of a marker that stands on 1, and the names end left of one on 0.
    panel, radius = ax.get_window_extent(), 7 * figure.dpi / 72
    assert min(text.get_window_extent().x0 for text in ax.texts[:2]) > panel.x1 + radius
    assert max(label.get_window_extent().x1 for label in ax.get_yticklabels()) < panel.x0 - radius


@pytest.mark.parametrize(
    ("table", "ends", "text"),
    [
        (scores(0), 10, "that has images. Received: no rows."),
        (scores(2, images=0, recall=np.nan), 10, "that has images. Received: 2 without."),
        (scores(2), 0, r"`ends` must be a positive number of classes. Received: 0."),
    ],
)
def test_wrong_arguments_are_refused(table, ends, text):
    with pytest.raises(UserError, match=text):
        best_and_worst(table, ends=ends)
