import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.accuracy_by_label import accuracy_by_label

SCORES = pd.DataFrame({
    "label": ["kind", "kind", "pattern"], "split": ["val", "test", "val"], "accuracy": [0.8, 0.7, 0.5],
    "low": [0.7, 0.6, 0.3], "high": [0.9, 0.8, 0.7], "majority": [0.2, 0.25, 0.4],
})  # fmt: skip


def test_each_label_has_its_accuracy_interval_and_the_most_frequent_class():
    ax = accuracy_by_label(SCORES, title="a $b$").axes[0]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["kind", "pattern"]
    val, test = ax.containers
    np.testing.assert_allclose(val.lines[0].get_xydata(), [(-0.12, 0.8), (0.88, 0.5)])
    np.testing.assert_allclose(test.lines[0].get_xydata(), [(0.12, 0.7)])
    ends = [segment[:, 1].tolist() for segment in val.lines[2][0].get_segments()]
    np.testing.assert_allclose(ends, [(0.7, 0.9), (0.3, 0.7)])
    assert {text.get_text() for text in ax.texts} == {"0.80", "0.70", "0.50"}
    guesses = [segment[0, 1] for lines in ax.collections if lines not in (val.lines[2][0], test.lines[2][0])
               for segment in lines.get_segments()]  # fmt: skip
    np.testing.assert_allclose(guesses, [0.2, 0.4, 0.25])


def test_a_table_without_rows_is_refused():
    with pytest.raises(UserError, match="`scores` must be a table with a row or more"):
        accuracy_by_label(SCORES[:0])
