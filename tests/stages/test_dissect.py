import json
import shutil

import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.stages import dissect, ingest


@pytest.fixture(scope="module")
def options(garments_root, model_path):
    return {"dataset": garments_root / "tfrecords/small", "backbone": str(model_path), "size": 32, "batch_size": 16}


def test_the_files_and_what_they_hold(options, garments_root, model_path, tmp_path):
    import keras

    from fashionprobe.records.record_set import open_record_set
    from fashionprobe.records.sources.garments import CONCEPTS, concept_masks

    made = dissect(**options, runs_root=str(tmp_path), quantile=0.02)
    names = {path.name for path in made.path.iterdir()}
    figures = [f"{name}.{ending}" for name in ("detectors", "best_iou", "units") for ending in ("png", "svg")]
    assert names == {"manifest.json", "units.csv", "concepts.csv", "detectors.csv", *figures}
    concepts, units = pd.read_csv(made.table), pd.read_csv(made.units)
    assert len(concepts) == 2 * 2 * 28 and len(units) == 2 * (4 + 16)
    assert set(concepts["kind"]) == {"colour", "pattern", "part"}
    counts = pd.read_csv(made.path / "detectors.csv")
    for row in counts.itertuples():
        of_block = units[(units["network"] == row.network) & (units["block"] == row.block)]
        assert row.detectors == of_block[of_block["iou"] > 0.04]["concept"].nunique()
    assert made.detectors == tuple(counts[counts["network"] == "as given"]["detectors"])
    assert made.random_detectors == tuple(counts[counts["network"] == "random weights"]["detectors"])

    # The best unit of a concept in the second block, computed here from the pictures.
    records = open_record_set(garments_root / "tfrecords/small")
    drawn = records.manifest["arguments"]
    ids = records.items["id"].tolist()
    found = dict(records.fitted(ids, (32, 32), "pad"))
    images = np.stack([found[name] for name in ids])
    masks = concept_masks(ids, drawn["count"], tuple(drawn["size"]), drawn["seed"])
    model = keras.saving.load_model(model_path)
    maps = keras.Model(model.input, model.get_layer("second").output)(images.astype(np.float32)).numpy()
    limits = np.quantile(maps, 0.98, axis=(0, 1, 2), method="inverted_cdf")
    wide = keras.ops.image.resize(maps, masks.shape[1:3], interpolation="bilinear").numpy() > limits
    for row in concepts[(concepts["network"] == "as given") & (concepts["block"] == 2)].itertuples():
        mask = masks[..., list(CONCEPTS).index(row.concept)][..., None]
        iou = (wide & mask).sum(axis=(0, 1, 2)) / np.maximum((wide | mask).sum(axis=(0, 1, 2)), 1)
        assert row.iou == pytest.approx(iou.max(), abs=1e-3)
    assert dissect(**options, runs_root=str(tmp_path), quantile=0.02).reused


def test_without_random_weights(options, tmp_path, empty_figures):
    made = dissect(**options, runs_root=str(tmp_path), random_weights=False, block=2)
    assert (made.blocks, made.random_detectors) == ((2,), ())
    assert set(pd.read_csv(made.table)["network"]) == {"as given"}
    assert json.loads((made.path / "manifest.json").read_text())["arguments"]["random_weights"] is False


def test_photographs_are_refused(options, pictures, tmp_path):
    made = ingest(dataset="photos", source="folder", path=str(pictures), tfrecords_root=str(tmp_path))
    with pytest.raises(UserError, match=r"`dataset` must be drawn garments.* Received: photos, of source folder"):
        dissect(**(options | {"dataset": made}), runs_root=str(tmp_path / "runs"))
    shutil.rmtree(made)


def test_another_shape_than_that_of_the_garments_is_refused(options, tmp_path):
    with pytest.raises(UserError, match=r"`size` must be of the shape of the drawn garments, .* Received: 32 x 48"):
        dissect(**(options | {"size": [32, 48]}), runs_root=str(tmp_path))
