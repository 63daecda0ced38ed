import json

import numpy as np
import pandas as pd
import pytest
from described_runs import described_run

from fashionprobe.errors import UserError
from fashionprobe.stages import choose


@pytest.fixture
def run(tmp_path):
    """A run whose block 4 knows the colour in a quiet channel beside a loud one; some images have no colour."""
    random = np.random.default_rng(0)
    colours = np.array(["red", "blue", "green"])[np.arange(90) % 3]
    colours[-6:] = ""
    knows = np.stack([random.normal(0, 100, 90), np.arange(90) % 3 + random.normal(0, 0.1, 90)], axis=1)
    return described_run(tmp_path, {"base colour": colours}, {1: random.normal(size=(90, 3)), 4: knows})


def of(run, **arguments):
    return choose(
        run="r", runs_root=str(run.parent.parent), **{"label": "base colour", "neighbours": [1, 4]} | arguments
    )


def test_the_choice_is_found_told_and_written(run, caplog):
    caplog.set_level("INFO")
    made = of(run)
    (pick,) = made.picks
    assert (pick.label, pick.block) == ("base colour", 4)
    assert pick.normalization in ("standard", "whiten")
    assert pick.low <= pick.accuracy
    assert pick.accuracy > 0.9
    assert caplog.messages[-1].endswith(f"Next: fashionprobe index --run r --groups base_colour=4:{pick.normalization}")
    table = pd.read_csv(made.path / "ablation.csv")
    assert set(table["images"]) == {84}
    assert table["accuracy_mean"].max() > 0.9
    assert pd.read_csv(made.path / "nested.csv")["images"].sum() == 84
    facts = json.loads((made.path / "manifest.json").read_text())["facts"]
    assert [each["file"] for each in facts["figures"]] == ["choice_base_colour.png", "ablation_base_colour.png"]
    assert all((made.path / each["file"]).is_file() for each in facts["figures"])
    again = of(run)
    assert again.reused
    assert again.picks == made.picks


def test_one_block_and_one_normalization_and_a_sample(run):
    made = of(run, block=1, normalizations="l2", images=60, overwrite=True)
    table = pd.read_csv(made.path / "ablation.csv")
    assert set(table["block"]) == {1}
    assert set(table["normalization"]) == {"l2"}
    assert set(table["images"]) == {60}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"normalizations": "whitn"}, r"`normalizations` must be one of: none, l2, standard, whiten.*'whiten'\?"),
        ({"block": 2}, r"`block` must be among those that were extracted: 1, 4. Received: 2"),
        ({"label": "colour"}, r"`label` must be a label column: base colour. Received: colour"),
        ({"folds": 1}, r"`folds`"),
        ({"images": 0}, r"`images`"),
    ],
)
def test_error_texts(run, arguments, message):
    with pytest.raises(UserError, match=message):
        of(run, **arguments)
    assert not (run.parent / "choose").exists()


def test_nan_is_refused(run):
    block = np.load(run / "block4.npy")
    block[7, 1] = np.nan
    np.save(run / "block4.npy", block)
    with pytest.raises(UserError, match=r"block4.npy` must be descriptors of finite values.*image 7.jpg"):
        of(run)


def small(tmp_path, each):
    """A run of two classes of `each` images, told apart by one channel."""
    random = np.random.default_rng(0)
    colours = np.array(["red", "blue"]).repeat(each)
    knows = np.stack([random.normal(size=2 * each), (colours == "red") + random.normal(0, 0.1, 2 * each)], axis=1)
    return described_run(tmp_path, {"colour": colours}, {1: knows})


def test_the_defaults_fit_a_small_set_and_what_was_asked_for_is_refused(tmp_path):
    run = small(tmp_path, 10)
    made = choose(run="r", label="colour", runs_root=str(run.parent.parent))
    tried = pd.read_csv(made.path / "ablation.csv", dtype=str)
    assert set(tried.loc[tried["classifier"] == "knn", "parameter"]) == {"1", "4", "8"}
    with pytest.raises(UserError, match=r"`neighbours` must be numbers in 1 to 11. Received: \[1, 16\]"):
        choose(run="r", label="colour", neighbours=[1, 16], runs_root=str(run.parent.parent), overwrite=True)
