import json
import socket

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from fashionprobe.errors import UserError
from fashionprobe.stages import predict, see


@pytest.fixture
def photos(tmp_path):
    """The sample photographs of scikit-learn in two folders, with one name."""
    paths = []
    for place, photo in enumerate(load_sample_images().images):
        (tmp_path / str(place)).mkdir()
        paths.append(str(tmp_path / str(place) / "photo.jpg"))
        Image.fromarray(photo[:, 106:533]).save(paths[-1], quality=95)
    return paths


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.usefixtures("no_network")
def test_an_imagenet_network_says_what_it_sees_without_any_network(photos, tmp_path, caplog):
    caplog.set_level("INFO")
    made = predict(images=photos, top=3, runs_root=str(tmp_path / "runs"))
    assert [(guess.image, guess.rank, guess.name) for guess in made.guesses if guess.rank == 1] == [
        ("photo.jpg", 1, "palace"), ("photo.jpg", 1, "daisy"),
    ]  # fmt: skip
    table = pd.read_csv(made.path / "predictions.csv")
    assert list(table.columns) == ["image", "rank", "number", "class", "probability"]
    assert list(table["rank"]) == [1, 2, 3] * 2 and (np.diff(table["probability"].to_numpy().reshape(2, 3)) <= 0).all()
    assert list(table["number"][[0, 3]]) == [698, 985]
    assert (
        "photo.jpg  palace" in " ".join(caplog.messages)
        and "2 images, in predictions.csv. Next: fashionprobe see" in caplog.text
    )
    assert (made.path / "predictions.png").is_file() and (made.path / "predictions.svg").is_file()
    again = predict(images=photos, top=3, runs_root=str(tmp_path / "runs"))
    assert again.reused and again.guesses == made.guesses


@pytest.mark.slow
@pytest.mark.usefixtures("no_network")
def test_see_explains_a_class_of_imagenet_by_name(photos, tmp_path):
    made = see(
        images=photos, backbone="efficientnet_lite0", target=["daisy", "palace"], method="grad_cam",
        runs_root=str(tmp_path / "runs"),
    )  # fmt: skip
    items = pd.read_csv(made.path / "items.csv")
    assert list(items["explained"]) == ["daisy", "palace"] * 2 and list(items["top"]) == ["palace"] * 2 + ["daisy"] * 2
    maps = np.load(made.path / "image_002.npz")
    # The flower is in the middle, and the two classes are not seen in the same place.
    assert maps["grad_cam_class985"][2:5, 2:5].mean() > maps["grad_cam_class985"].mean()
    assert np.corrcoef(maps["grad_cam_class985"].ravel(), maps["grad_cam_class698"].ravel())[0, 1] < 0.9


def test_the_network_of_the_run_is_the_default(trained, tmp_path):
    import shutil

    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    made = predict(
        dataset="g", samples=3, top=99, tfrecords_root=str(tmp_path / "tfrecords"), runs_root=str(tmp_path / "runs")
    )
    classes = json.loads((tmp_path / "runs/g/train/manifest.json").read_text())["facts"]["classes"]
    assert len(made.guesses) == 3 * len(classes)
    for place in range(3):
        mine = made.guesses[place * len(classes) : (place + 1) * len(classes)]
        assert {guess.name for guess in mine} == set(classes)
        assert sum(guess.probability for guess in mine) == pytest.approx(1, abs=1e-4)


def test_json_prints_the_guesses(trained, tmp_path, command):
    import shutil

    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    code, out, _ = command("predict", "--dataset", "g", "--samples", "1", "--top", "1", "--json")
    assert code == 0
    [guess] = json.loads(out)["guesses"]
    assert set(guess) == {"image", "rank", "number", "name", "probability"}


def test_a_network_without_classes_is_refused(photos, tmp_path):
    with pytest.raises(UserError, match=r"a classifier, such as efficientnet_lite0. Received: mini, which ends"):
        predict(images=photos, backbone="mini", runs_root=str(tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("no_network")
def test_adversarial_examples(photos, tmp_path):
    made = predict(images=photos, adversarial=2, runs_root=str(tmp_path / "runs"))
    table = pd.read_csv(made.path / "adversarial.csv")
    assert list(table["class"]) == ["palace", "daisy"]
    assert (table["probability_of_class_after"] < table["probability"]).all()
    assert (table["probability_after"] >= table["probability_of_class_after"]).all()
    facts = json.loads((made.path / "manifest.json").read_text())["facts"]
    assert facts["adversarial"] == {
        "epsilon": 2, "changed": int((table["class"] != table["class_after"]).sum())
    }  # fmt: skip
    assert (made.path / "adversarial.png").is_file()
    with pytest.raises(UserError, match="`adversarial` must be a number in the range"):
        predict(images=photos, adversarial=-1, runs_root=str(tmp_path / "runs"))
