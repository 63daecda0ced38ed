import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.accuracy_by_block import accuracy_by_dimension, shown_classifier


@pytest.fixture
def reduced():
    rows = [
        (block, dimensions, "knn", k, accuracy - (k == "1") * 0.1, 0.05)
        for block, values in ((1, {2: 0.5, 8: 0.6, 64: 0.7}), (2, {2: 0.3, 8: 0.4, 128: 0.8}))
        for dimensions, accuracy in reversed(values.items())
        for k in ("1", "4")
    ]
    columns = ["block", "dimensions", "classifier", "parameter", "accuracy_mean", "accuracy_std"]
    return pd.DataFrame(rows, columns=columns).assign(label="colour", folds=5)


def test_one_line_a_block_with_the_original_at_its_end(reduced):
    (ax,) = accuracy_by_dimension(reduced, chance=0.25).axes
    lines = [bars.lines[0] for bars in ax.containers]
    assert [line.get_ydata().tolist() for line in lines] == [[0.5, 0.6], [0.7], [0.3, 0.4], [0.8]]
    assert [line.get_markerfacecolor() == "white" for line in lines] == [False, True, False, True]
    np.testing.assert_allclose(lines[2].get_xdata(), [2, 8], rtol=0.02)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["2", "8", "64", "128"]
    assert ax.get_ylabel() == "Accuracy of 4-NN\n(mean ± std over 5 folds)"
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["block 1", "block 2", "chance (0.25)"]
    # The bar of the first point of block 1 is its mean, one standard deviation up and down.
    (segment, _) = ax.containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose(segment[:, 1], [0.45, 0.55])


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("nearest_mean", "cosine"), ("knn", "1"), ("knn", "4")], ("knn", "4")),
        ([("knn", "16"), ("knn", "2")], ("knn", "2")),
        ([("nearest_mean", "cosine")], ("nearest_mean", "cosine")),
    ],
)
def test_the_classifier_that_is_shown(rows, expected):
    assert shown_classifier(pd.DataFrame(rows, columns=["classifier", "parameter"])) == expected


def test_one_label_alone(reduced):
    with pytest.raises(UserError, match=r"`table` must be a table with the rows of one label. Received: a, colour."):
        accuracy_by_dimension(pd.concat([reduced, reduced.assign(label="a")]))
