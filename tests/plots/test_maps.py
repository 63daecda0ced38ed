import numpy as np
import pytest
from matplotlib.colors import to_hex

from fashionprobe.errors import UserError
from fashionprobe.plots import style
from fashionprobe.plots.maps import MISSING, looks, scatter, without_gaps


def test_names_of_colours_get_their_colour():
    found, numbers = looks(["Red", "Navy Blue", "Off-White", "Multi", "Red", ""])
    assert {look.name: look.color for look in found} == {
        "Multi": "#C9B8E8", "Navy Blue": "#001146", "Off-White": "#FFFFE4", "Red": "#FF0000", MISSING: "#C4C8CC",
    }  # fmt: skip
    assert [found[number].name for number in numbers] == ["Red", "Navy Blue", "Off-White", "Multi", "Red", MISSING]
    assert {look.name: look.count for look in found}["Red"] == 2
    assert len({look.marker for look in found}) == 5


def test_other_classes_get_the_palette_and_no_two_look_alike():
    found, _ = looks([f"class {number:02}" for number in range(14)])
    assert [look.color for look in found[:7]] == list(style.CYCLE)
    assert len({(look.color, look.marker) for look in found}) == 14
    # One colour name among other classes is a class like any other.
    assert looks(["rose", "tulip", "daisy", "plain", "violet"])[0][0].color == style.BLUE


def test_small_classes_share_a_look():
    found, numbers = looks(["a"] * 3 + ["b"] * 2 + ["c", "d"], most=2)
    assert [(look.name, look.count) for look in found] == [("a", 3), ("b", 2), ("other (2 classes)", 2)]
    assert numbers.tolist() == [0, 0, 0, 1, 1, 2, 2]


def test_points_are_drawn_where_they_are_in_their_colour():
    points = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    (ax,) = scatter(points, ["blue", "red", "blue"], title="T").axes
    drawn = {}
    for part in ax.collections:
        for at in np.asarray(part.get_offsets()):
            drawn[tuple(at)] = to_hex(part.get_facecolor()[0])
    assert drawn == {(0.0, 1.0): "#0000ff", (2.0, 3.0): "#ff0000", (4.0, 5.0): "#0000ff"}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["blue (2)", "red (1)"]
    assert "no unit" in ax.get_xlabel()


def test_wide_gaps_are_cut_and_nothing_else():
    points = np.array([[0.0, 7.0], [100.0, 1.0], [3.0, 1.0], [101.0, 4.0]])
    # A tenth of 101 stays of the gap from 3 to 100; no step of the second axis is wider than half of it.
    np.testing.assert_allclose(without_gaps(points, most=0.1)[:, 0], [0, 13.1, 3, 14.1])
    np.testing.assert_allclose(without_gaps(points, most=0.5)[:, 1], [6, 0, 0, 3])


@pytest.mark.parametrize(("shape", "classes"), [((0, 2), []), ((2, 3), ["a", "b"]), ((2, 2), ["a"])])
def test_bad_points(shape, classes):
    with pytest.raises(UserError, match=r"`points` must be a table of one point or more by two coordinates"):
        scatter(np.zeros(shape), classes)
