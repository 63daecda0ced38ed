import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fashionprobe.errors import UserError
from fashionprobe.stages import ingest, masks, preview, train

CORNER = [0.75, 0, 1, 0.25]


@pytest.fixture(scope="module")
def root(tmp_path_factory, model_path, without_figures):
    """A run `s` with a classifier of drawn letters, and masks of the corner that the marks are in."""
    root = tmp_path_factory.mktemp("letters")
    roots = {"tfrecords_root": str(root / "tfrecords"), "runs_root": str(root / "runs")}
    letters = {"source": "symbols", "count": 60, "size": 32, "split": [60, 20, 20]}
    records = ingest(dataset="letters", **letters, tfrecords_root=roots["tfrecords_root"])
    with without_figures():
        train(dataset=records, run="s", backbone=str(model_path), bias=False, size=32, epochs=1, **roots)
        masks(dataset=records, run="s", source="box", box=CORNER, samples=9, runs_root=roots["runs_root"])
    return root


def call(root, **arguments):
    return preview(**{"run": "s", **arguments}, tfrecords_root=str(root / "tfrecords"), runs_root=str(root / "runs"))


def test_fillings_and_penalties_are_shown_and_nothing_is_trained(root, caplog):
    caplog.set_level("INFO")
    before = (root / "runs/s/train/model.keras").read_bytes()
    made = call(root, replace="noise,crops", fillings=2)
    facts = json.loads((made.path / "manifest.json").read_text())["facts"]
    assert {each["file"] for each in facts["figures"]} == {"act.png", "fillings.png"}
    assert len(list(made.path.glob("noise-0000*.png"))) == 2 * 8
    first, second = (np.asarray(Image.open(made.path / f"noise-00001-{n}.png")) for n in (1, 2))
    # Only the corner is filled, and each time differently.
    assert (first[:24] == second[:24]).all() and (first[24:, :8] != second[24:, :8]).any()
    table = pd.read_csv(made.table)
    assert table.groupby("masked").size().to_dict() == {False: 36, True: 9}
    assert (table["act"] >= 0).all() and table["probability"].between(0, 1).all()
    assert facts["act"]["whole"][0] == pytest.approx(table.loc[~table["masked"], "act"].mean(), abs=1e-3)
    assert f"--loss pasa --b {made.b:.3g} --th {made.th:.3g}" in caplog.messages[-1]
    assert (root / "runs/s/train/model.keras").read_bytes() == before
    assert call(root, replace="noise,crops", fillings=2).reused


def test_an_unknown_filling(root):
    with pytest.raises(UserError, match=r"`replace` must be one of: telea, .* Did you mean 'noise'"):
        call(root, replace="noize")
