import json

import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.records.record_set import open_record_set
from fashionprobe.stages.converge import converge


@pytest.fixture(scope="module")
def options(garments_root, model_path):
    return {
        "dataset": garments_root / "tfrecords/small", "backbone": str(model_path), "size": 32, "pairs": 2,
        "batch_size": 16, "block": 2,
    }  # fmt: skip


@pytest.fixture(scope="module")
def made(options, tmp_path_factory):
    return converge(**options, other_weights="random", runs_root=str(tmp_path_factory.mktemp("runs")))


def test_the_files_of_the_artifact(made):
    names = {path.name for path in made.path.iterdir()}
    figures = ("correlation", "correlation_within", "channels", "matched_correlations", "best_pairs", "worst_pairs")
    arrays = ("correlation", "correlation_within", "correlation_within_other")
    assert names == {
        "manifest.json", "pairs.csv", "channels.csv", *(f"{name}.npy" for name in arrays),
        *(f"{name}.{ending}" for name in figures for ending in ("svg", "png")),
    }  # fmt: skip


def test_the_matrix_agrees_with_keras_and_numpy(made, garments_root, model_path):
    import keras

    from fashionprobe.records.read import read

    records = open_record_set(garments_root / "tfrecords/small")
    [(images, _)] = list(read(records, size=(32, 32), batch_size=60))
    model = keras.models.load_model(model_path)
    maps = keras.Model(model.input, model.get_layer("second").output)(images).numpy().reshape(-1, 16).astype(float)
    alive = maps.std(0) > 0
    expected = np.zeros((16, 16))
    expected[np.ix_(alive, alive)] = np.corrcoef(maps[:, alive], rowvar=False)
    np.testing.assert_allclose(np.load(made.path / "correlation_within.npy"), expected, atol=1e-5)


def test_the_pairs_are_those_of_the_matrix(made):
    matrix = np.load(made.path / "correlation.npy")
    table = pd.read_csv(made.pairs)
    np.testing.assert_allclose(table["correlation"], matrix[table["channel"], table["other"]], atol=1e-6)
    one, semi = (table[table["matching"] == name] for name in ("bipartite", "semi"))
    assert sorted(one["other"]) == sorted(one["channel"]) == list(range(16))
    np.testing.assert_allclose(semi["correlation"], np.sort(matrix.max(1))[::-1], atol=1e-6)
    assert made.bipartite == pytest.approx(one.loc[one["alive"], "correlation"].mean(), abs=1e-5)
    assert made.semi_matching >= made.bipartite
    facts = json.loads((made.path / "manifest.json").read_text())["facts"]
    assert (facts["pooled"], facts["samples"], facts["rows"]) == (False, 60 * 256, 60)


def test_two_blocks_of_one_network_are_pooled(options, tmp_path, empty_figures):
    made = converge(**{**options, "block": 1}, other_block=2, split="train", runs_root=str(tmp_path))
    facts = json.loads((made.path / "manifest.json").read_text())["facts"]
    assert facts["channels"] == [4, 16]
    assert facts["pooled"] and facts["samples"] == facts["rows"] < 60
    assert (pd.read_csv(made.pairs)["matching"] == "bipartite").sum() == 4


def test_it_is_reused_and_other_weights_are_another_comparison(made, options):
    runs = str(made.path.parent.parent)
    assert converge(**{**options, "batch_size": 9}, other_weights="random", runs_root=runs).reused
    with pytest.raises(UserError, match=r"second_weights: .*--overwrite"):
        converge(**options, other_weights="random", other_seed=2, runs_root=runs)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {},
            "`other_backbone` is missing: .* would be compared with itself. Pass --other-backbone, --other-weights or",
        ),
        ({"other_block": 2}, "`other_backbone` is missing: .* would be compared with itself"),
        ({"other_block": 3}, "`other_block` must be in 1 to 2 for tiny.keras. Received: 3"),
        ({"block": 0, "other_block": 1}, "`block` must be in 1 to 2 for tiny.keras. Received: 0"),
        ({"other_block": 1, "pool": "never"}, "`pool` must be 'auto' or 'always'"),
        ({"other_block": 1, "split": "tes"}, "`split` must be one of.*Did you mean 'test'"),
        ({"other_block": 1, "pairs": 0}, "`pairs` must be an int"),
        ({"other_backbone": "resnet5"}, "`backbone` must be one of.*Did you mean 'resnet50'"),
        ({"other_seed": -1}, "`other_seed` must be"),
    ],
)
def test_bad_input_leaves_nothing_behind(options, tmp_path, changed, message):
    with pytest.raises(UserError, match=message):
        converge(**{**options, **changed}, runs_root=str(tmp_path / "runs"))
    assert not list((tmp_path / "runs").glob("small/[!.]*"))
