import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.plots.maps import agreement_by_block


def table(blocks=(2, 1)):
    return pd.DataFrame(
        {"block": blocks, "ari": [0.2, -0.1], "ami": [0.4, 0.3], "clusters": [7, 1], "noise": [0.25, 0.0]}
    )


def test_a_pair_of_bars_a_block():
    (ax,) = agreement_by_block(table()).axes
    ari, ami = ax.containers
    assert [bar.get_height() for bar in ari] == [-0.1, 0.2]
    assert [bar.get_height() for bar in ami] == [0.3, 0.4]
    ticks = [label.get_text() for label in ax.get_xticklabels()]
    assert ticks == ["1\n1 cluster\n0 % noise", "2\n7 clusters\n25 % noise"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["ARI", "AMI"]
    assert ax.get_ylim()[0] < -0.1


@pytest.mark.parametrize("bad", [table().iloc[:0], table(blocks=(1, 1))])
def test_bad_tables(bad):
    with pytest.raises(UserError, match=r"`table` must be a table with one row per block"):
        agreement_by_block(bad)
