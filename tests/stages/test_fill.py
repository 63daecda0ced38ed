"""Classes proposed for images without one: from a table of drawn garments, a part of which has no colour."""

import shutil

import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.inputs.descriptors import read_descriptors
from fashionprobe.stages import fill, index, tag


@pytest.fixture(scope="module")
def root(shop):
    """The shop of conftest with an index of its colours, as `garment_index` has one."""
    index(run="shop", groups=["colour=1:whiten"], runs_root=str(shop / "runs"), tfrecords_root=str(shop / "tfrecords"))
    return shop


def test_proposals_for_those_without_a_colour(root, caplog):
    caplog.set_level("INFO")
    runs = {"run": "shop", "runs_root": str(root / "runs")}
    made = fill(label="colour", **runs)
    items = read_descriptors(root / "runs/shop").items
    lacking = items["id"][items["colour"] == ""]
    table = pd.read_csv(made.path / "proposals.csv", dtype={"id": str})
    assert table["id"].tolist() == lacking.tolist()
    assert made.proposed + made.none == len(lacking) == 12
    truth = pd.read_csv(root / "truth.csv", dtype=str).set_index("sku")["colour"]
    named = table[table["colour"] != "none of these"]
    assert (truth[named["id"]].to_numpy() == named["colour"]).mean() > 0.5
    # What `tag` says of the same images.
    answers = tag(id=table["id"].tolist(), **runs)
    assert [each.name for each in answers] == table["colour"].tolist()
    assert [each.probability for each in answers] == pytest.approx(table["probability"].tolist(), abs=1e-6)
    assert table["probability"].between(1 / 3, 1).all()
    left_out = pd.read_csv(made.path / "left_out.csv")
    assert sorted(left_out["class"]) == sorted(set(truth))
    assert (made.path / "reliability.svg").is_file()
    assert any(line.startswith("wrote") and "proposals.csv" in line for line in caplog.messages)
    assert fill(label="colour", **runs).reused


def test_where_no_image_lacks_it_tags_are_measured_all_the_same(garment_index, tmp_path):
    shutil.copytree(garment_index / "runs", tmp_path / "runs")
    made = fill(run="g", label="colour", folds=2, runs_root=str(tmp_path / "runs"))
    assert (made.proposed, made.none) == (0, 0)
    assert 0 < made.accuracy < 1
    assert 0 <= made.refused <= 1
    assert len(pd.read_csv(made.path / "proposals.csv")) == 0


def test_errors_of_fill(root):
    runs = {"run": "shop", "runs_root": str(root / "runs")}
    with pytest.raises(UserError, match=r"`label` must be a label column: .*Did you mean 'colour'"):
        fill(label="color", **runs)
    with pytest.raises(UserError, match=r"the label of a group of the index. Received: gender. Make one: fashionprobe"):
        fill(label="gender", **runs)
