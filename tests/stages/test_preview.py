import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fashionprobe.errors import UserError
from fashionprobe.stages import preview


def call(letters, **arguments):
    return preview(
        **{"run": "s", **arguments}, tfrecords_root=str(letters / "tfrecords"), runs_root=str(letters / "runs")
    )


def test_fillings_and_penalties_are_shown_and_nothing_is_trained(letters, caplog):
    caplog.set_level("INFO")
    before = (letters / "runs/s/train/model.keras").read_bytes()
    made = call(letters, replace="noise,crops", fillings=2)
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
    assert (letters / "runs/s/train/model.keras").read_bytes() == before
    assert call(letters, replace="noise,crops", fillings=2).reused


@pytest.mark.parametrize(
    ("replace", "message"),
    [
        ("noize", r"`replace` must be one of: telea, .* Did you mean 'noise'"),
        # The user's own function is shown by `refit`, which knows where it is.
        ("function", r"`replace` must be one of: telea, .*noise\. Received: function"),
    ],
)
def test_an_unknown_filling(letters, replace, message):
    with pytest.raises(UserError, match=message):
        call(letters, replace=replace)
