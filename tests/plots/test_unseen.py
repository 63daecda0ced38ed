import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.embedding import unseen_classes

TABLE = pd.DataFrame({
    "class": ["bag", "bag", "coat", "coat", "bag", "coat"],
    "seen": [False, False, False, False, True, True],
    "auc": [0.9, 0.8, 0.6, 0.7, 0.99, 0.95],
})  # fmt: skip


def test_classes_are_ordered_by_what_was_never_seen():
    (ax,) = unseen_classes(TABLE, title="t").axes
    assert [text.get_text() for text in ax.get_yticklabels()] == ["coat", "bag"]
    single, without, alone, seen, chance = ax.lines
    assert sorted(single.get_xdata()) == [0.6, 0.7, 0.8, 0.9]
    assert without.get_xdata() == pytest.approx([0.85, 0.65]) and [round(y) for y in without.get_ydata()] == [1, 0]
    assert list(seen.get_xdata()) == [0.99, 0.95] == list(alone.get_xdata())
    assert set(chance.get_xdata()) == {0.5}


def test_no_row_is_refused():
    with pytest.raises(UserError, match=r"`table` must be a row or more"):
        unseen_classes(TABLE.iloc[:0])
