import importlib.util
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from networks import build as build_network

from fashionprobe.errors import UserError
from fashionprobe.stages import export, extract
from fashionprobe.stages.export import networks

needs_onnx = pytest.mark.skipif(
    importlib.util.find_spec("tf2onnx") is None or importlib.util.find_spec("onnxruntime") is None,
    reason="ONNX is not installed: pip install 'fashionprobe[onnx]'",
)
FORMATS = [pytest.param("onnx", marks=needs_onnx), "savedmodel", "tflite"]


def roots(root):
    return {"tfrecords_root": str(root / "tfrecords"), "runs_root": str(root / "runs")}


@pytest.fixture
def classified(trained, tmp_path):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path


def pixels(size, count=3):
    return np.random.default_rng(1).uniform(0, 255, (count, *size, 3)).astype(np.float32)


def outputs(made, format, images):
    """Run what was written by its own library, knowing no more than its name and that of the input."""
    if format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(made.file))
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(None, {"images": images}), strict=True))
    from fashionprobe.backbones import exchange

    return exchange.reader(format, made.file)(images)


@pytest.mark.parametrize("format", FORMATS)
def test_a_classifier_says_the_same_elsewhere(format, classified):
    import keras

    made = export(run="g", format=format, **roots(classified))
    assert made.path == classified / f"runs/g/export/classifier-{format}" and made.agreement == 1
    images = pixels((32, 32))
    found = outputs(made, format, images)["probabilities"]
    network = keras.models.load_model(classified / "runs/g/train/model.keras")
    np.testing.assert_allclose(found, network.predict_on_batch(images), atol=1e-5)
    table = pd.read_csv(made.path / "comparison.csv")
    assert table["output"][0] == "probabilities" and table["images"][0] == 32 and table["source"][0] == "g"
    assert made.difference < 1e-5
    assert table["greatest_difference"][0] == pytest.approx(made.difference, rel=1e-4, abs=1e-12)
    notes = json.loads((made.path / "network.json").read_text(encoding="utf-8"))
    facts = json.loads((classified / "runs/g/train/manifest.json").read_text())["facts"]
    assert notes["classes"] == facts["classes"] and notes["size"] == [32, 32] and notes["fit"] == "pad"
    assert export(run="g", format=format, **roots(classified)).reused


@needs_onnx
def test_onnx_holds_the_notes_and_takes_any_number_of_images(classified):
    import onnx

    made = export(run="g", format="onnx", **roots(classified))
    model = onnx.load(made.file)
    held = {each.key: each.value for each in model.metadata_props}
    notes = json.loads((made.path / "network.json").read_text(encoding="utf-8"))
    assert json.loads(held["classes"]) == notes["classes"] and held["label"] == "colour"
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


@pytest.mark.parametrize("format", FORMATS)
def test_descriptors_of_a_nested_network_of_a_user(format, garments_root, tmp_path):
    shutil.copytree(garments_root / "tfrecords", tmp_path / "tfrecords")
    build_network("nested").save(tmp_path / "mine.keras")
    described = extract(
        dataset="small", backbone=str(tmp_path / "mine.keras"), preprocessing="none", pool=["mean", "gem"],
        **roots(tmp_path),
    )  # fmt: skip
    made = export(run="small", format=format, **roots(tmp_path))
    assert made.path.name == f"descriptors-{format}" and made.agreement is None
    notes = json.loads((made.path / "network.json").read_text())
    names = {path.stem for path in described.path.glob("block*.npy")}
    assert {*notes["outputs"]} == names == {*pd.read_csv(made.path / "comparison.csv")["output"]}
    assert notes["poolings"]["block1-gem"] == "gem"

    from fashionprobe.records.record_set import open_record_set

    records = open_record_set(tmp_path / "tfrecords/small")
    images = np.stack([image for _, image in records.fitted(records.items["id"][:4], (16, 16), "pad")])
    found = outputs(made, format, images)
    for name in names:
        stored = np.load(described.path / f"{name}.npy")[:4]
        np.testing.assert_allclose(found[name], stored, rtol=1e-4, atol=1e-4 * np.abs(stored).max())


def test_an_embedding_and_no_record_set(embedded, tmp_path):
    shutil.copytree(embedded / "runs", tmp_path / "runs")
    made = export(run="e", format="savedmodel", **roots(tmp_path))
    assert pd.read_csv(made.path / "comparison.csv")["source"][0] == "random pixels"
    assert outputs(made, "savedmodel", pixels((32, 32)))["embedding"].shape == (3, 2)


def test_a_network_that_computes_something_else_is_refused(classified, monkeypatch):
    from fashionprobe.backbones import exchange

    read = exchange.reader
    monkeypatch.setattr(
        exchange, "reader", lambda *place: lambda images: {n: v * np.nan for n, v in read(*place)(images).items()}
    )
    with pytest.raises(UserError, match="`format` must be one that computes what the network computes"):
        export(run="g", format="savedmodel", **roots(classified))
    assert not (classified / "runs/g/export/classifier-savedmodel").exists()


def test_agreement_counts_the_order_of_the_likeliest_classes():
    ours = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    theirs = np.array([[0.4, 0.2, 0.3], [0.1, 0.3, 0.6]])
    assert [networks.agreeing(ours, theirs, top) for top in (1, 2, 3)] == [2, 1, 1]


@pytest.mark.parametrize(("region", "format"), [("foreground", "onnx"), ("centre", "onnx"), ("centre", "tflite")])
def test_regions_that_a_format_cannot_compute(region, format, garments_root, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    shutil.copytree(garments_root / "runs", tmp_path / "runs")
    manifest = tmp_path / "runs/small/extract/manifest.json"
    made = json.loads(manifest.read_text())
    made["facts"]["poolings"] = ["mean", f"mean@{region}"]
    made["run"]["settings"]["network"]["backbone"] = "mini"
    manifest.write_text(json.dumps(made))
    with pytest.raises(UserError, match=f"savedmodel for descriptors of region {region}"):
        export(run="small", format=format, **roots(tmp_path))


def test_what_is_not_there(classified, command, monkeypatch):
    words = ("export", "--run", "g", "--runs-root", classified / "runs", "--format")
    assert command(*words, "tfjs")[0] == 2
    code, out, err = command(*words, "onnx", "--what", "embedding")
    assert (code, out, err.count("\n")) == (2, "", 1) and "fashionprobe embed --dataset DATASET --run g" in err
    code, _, err = command("export", "--run", "none", "--format", "onnx")
    assert code == 2 and "a network" in err
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "tf2onnx" else real(name, *rest) or name
    )
    code, _, err = command(*words, "onnx")
    assert code == 2 and "pip install 'fashionprobe[onnx]'" in err
