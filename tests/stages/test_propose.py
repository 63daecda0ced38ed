import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from fashionprobe.errors import UserError
from fashionprobe.stages import propose


def call(letters, **arguments):
    return propose(
        **{"run": "s", **arguments}, tfrecords_root=str(letters / "tfrecords"), runs_root=str(letters / "runs")
    )


def test_each_image_of_the_split_has_a_place_by_its_mean_place(letters, caplog):
    caplog.set_level("INFO")
    made = call(letters)
    table = pd.read_csv(made.table)
    assert table["rank"].tolist() == list(range(1, 37)) and table["id"].is_unique
    mean = np.mean([rankdata(-table[name]) for name in ("heat", "uncertainty")], axis=0)
    assert (np.diff(mean) >= -1e-9).all()
    assert table[["heat", "uncertainty", "probability"]].stack().between(0, 1).all()
    assert made.first == tuple(table["id"][:5])
    assert "36 images ranked by heat and uncertainty, in proposal.csv. Next: fashionprobe app --run s" in caplog.text
    assert (made.path / "proposal.png").is_file()
    assert call(letters).reused


def test_networks_that_disagree_decide_where_they_are_asked(letters, empty_figures):
    made = call(letters, by="disagreement", others=["other"], split="val", overwrite=True)
    table = pd.read_csv(made.table)
    assert len(table) == 12 and table["disagreement"].is_monotonic_decreasing
    assert table["disagreement"].between(0, 1).all() and table["disagreement"].max() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": "heta"}, r"`by` must be one of: heat, uncertainty, disagreement\. .* Did you mean 'heat'"),
        ({"by": "disagreement"}, "`others` is missing: disagreement needs them"),
        ({"others": "nobody"}, "nobody"),
        ({"split": "test"}, "`split`"),
    ],
)
def test_bad_arguments_write_nothing(letters, arguments, message):
    before = sorted(path.name for path in (letters / "runs/s").iterdir())
    with pytest.raises(UserError, match=message):
        call(letters, **arguments)
    assert sorted(path.name for path in (letters / "runs/s").iterdir()) == before
