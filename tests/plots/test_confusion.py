import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.per_class import confusion


def matrix(count):
    names = [f"class {place}" for place in range(count)]
    return pd.DataFrame(np.eye(count, dtype=int) * 3, index=names, columns=names)


def test_colour_is_the_share_of_the_row_and_text_the_count():
    table = pd.DataFrame([[3, 1], [0, 0]], index=["check", "plain"], columns=["check", "plain"])
    ax, bar = confusion(table).axes
    np.testing.assert_allclose(np.asarray(ax.images[0].get_array()), [[0.75, 0.25], [0, 0]])
    assert [text.get_text() for text in ax.texts] == ["3", "1", "0", "0"]
    assert [text.get_position() for text in ax.texts] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert ax.get_xlabel() == "Predicted class"
    assert ax.get_ylabel() == "True class"
    assert bar.get_ylabel() == "Share of the true class"


def test_names_stand_at_rows_and_columns():
    table = pd.DataFrame([[1, 2]], index=["true"], columns=["a", "$b$"])
    ax = confusion(table).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["true"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "$b$"]


@pytest.mark.parametrize(("count", "numbers"), [(20, 400), (21, 0)])
def test_numbers_are_written_up_to_twenty_classes(count, numbers):
    assert len(confusion(matrix(count)).axes[0].texts) == numbers


def test_names_are_thinned_when_there_are_many():
    ax = confusion(matrix(150)).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()][:3] == ["class 0", "class 4", "class 8"]
    assert ax.get_yticks()[:3].tolist() == [0, 4, 8]
    assert "every fourth name" in ax.get_xlabel()


def test_an_empty_matrix_is_refused():
    with pytest.raises(UserError, match=r"Received: shape \(0, 0\)."):
        confusion(pd.DataFrame())
