import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from fashionprobe.errors import UserError
from fashionprobe.stages import ingest, propose, train


@pytest.fixture(scope="module")
def root(tmp_path_factory, model_path, without_figures):
    """Runs `s` and `other` with classifiers of drawn letters, and `two` with one of two classes."""
    root = tmp_path_factory.mktemp("letters")
    roots = {"tfrecords_root": str(root / "tfrecords"), "runs_root": str(root / "runs")}
    letters = {"source": "symbols", "count": 60, "size": 32, "split": [60, 20, 20]}
    records = ingest(dataset="letters", **letters, tfrecords_root=roots["tfrecords_root"])
    with without_figures():
        for run, seed in (("s", 0), ("other", 1)):
            train(
                dataset=records, run=run, backbone=str(model_path), bias=False, size=32, epochs=1, seed=seed, **roots
            )  # fmt: skip
    return root


def call(root, **arguments):
    return propose(**{"run": "s", **arguments}, tfrecords_root=str(root / "tfrecords"), runs_root=str(root / "runs"))


def test_each_image_of_the_split_has_a_place_by_its_mean_place(root, caplog):
    caplog.set_level("INFO")
    made = call(root)
    table = pd.read_csv(made.table)
    assert table["rank"].tolist() == list(range(1, 37)) and table["id"].is_unique
    mean = np.mean([rankdata(-table[name]) for name in ("heat", "uncertainty")], axis=0)
    assert (np.diff(mean) >= -1e-9).all()
    assert table[["heat", "uncertainty", "probability"]].stack().between(0, 1).all()
    assert made.first == tuple(table["id"][:5])
    assert "36 images ranked by heat and uncertainty, in proposal.csv. Next: fashionprobe app --run s" in caplog.text
    assert (made.path / "proposal.png").is_file()
    assert call(root).reused


def test_networks_that_disagree_decide_where_they_are_asked(root, empty_figures):
    made = call(root, by="disagreement", others=["other"], split="val", overwrite=True)
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
def test_bad_arguments_write_nothing(root, arguments, message):
    before = sorted(path.name for path in (root / "runs/s").iterdir())
    with pytest.raises(UserError, match=message):
        call(root, **arguments)
    assert sorted(path.name for path in (root / "runs/s").iterdir()) == before
