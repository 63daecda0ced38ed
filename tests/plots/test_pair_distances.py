import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.pair_distances import distance_histograms, overlap_by_block


def overlaps(classes, blocks=(1, 3)):
    rows = [
        (name, block, 0.5 + place / 100 + block / 10, 0.7) for block in blocks for place, name in enumerate(classes)
    ]
    return pd.DataFrame(rows, columns=["class", "block", "overlap", "auc"])


def test_histograms_are_shares_over_common_bins():
    histogram = pd.DataFrame({
        "block": [1, 1, 3, 3], "low": [0, 2, 0, 1], "high": [2, 4, 1, 2], "positives": [6, 2, 1, 1],
        "negatives": [1, 3, 2, 2],
    })  # fmt: skip
    figure = distance_histograms(histogram, overlaps(["(all)"]), distance="Distance (cosine)", title="colour")
    first, second = figure.axes
    assert first.get_title(loc="left") == "block 1: overlap 0.60"
    assert second.get_title(loc="left") == "block 3: overlap 0.80"
    values, edges, _ = first.patches[0].get_data()
    assert (values.tolist(), edges.tolist()) == ([0.75, 0.25], [0, 2, 4])
    assert first.patches[2].get_data().values.tolist() == [0.25, 0.75]
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["one class", "two classes"]
    assert figure.get_supxlabel() == "Distance (cosine)"


def test_the_table_has_the_least_overlap_on_top_and_all_classes_last():
    (ax, bar) = overlap_by_block(overlaps(["b", "_a", "(all)"]), title="colour").axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "_a", "all"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["block 1", "block 3"]
    assert [text.get_text() for text in ax.texts] == ["0.60", "0.80", "0.61", "0.81", "0.62", "0.82"]
    assert bar.get_ylabel() == "Overlap of distances"


def test_many_classes_are_cut():
    ax = overlap_by_block(overlaps([*(f"class {n}" for n in range(33)), "(all)"])).axes[0]
    assert len(ax.get_yticklabels()) == 31
    assert "(30 of 33 classes)" in ax.get_xlabel()


def test_empty_tables_are_refused():
    empty = overlaps([])
    with pytest.raises(UserError, match="no rows"):
        overlap_by_block(empty)
    with pytest.raises(UserError, match="no rows"):
        distance_histograms(pd.DataFrame(), empty)
