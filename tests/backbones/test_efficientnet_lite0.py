import hashlib
import os
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from fashionprobe import backbones
from fashionprobe.backbones import efficientnet_lite0, imagenet
from fashionprobe.errors import UserError

CONVERTED = "weights/efficientnet_lite0_imagenet_with_top.keras"


@pytest.fixture(scope="module")
def classifier():
    return backbones.load("efficientnet_lite0", classifier=True)


def squares(size=224):
    """Return scikit-learn's two sample photographs, cut to a square, float32 (2, size, size, 3)."""
    photos = np.stack([photo[:, 106:533] for photo in load_sample_images().images]).astype(np.float32)
    return keras.ops.convert_to_numpy(keras.ops.image.resize(photos, (size, size)))


def test_two_photographs_are_a_palace_and_a_daisy(classifier):
    shares = classifier.model.predict(squares(), verbose=0)
    assert [imagenet.class_names()[number] for number in shares.argmax(axis=1)] == ["palace", "daisy"]
    np.testing.assert_allclose(shares.max(axis=1), [0.38, 0.20], atol=0.01)


def test_its_size_and_blocks(classifier):
    assert classifier.model.count_params() == 4_694_024
    assert classifier.size == (224, 224)
    trunk = backbones.load("efficientnet_lite0")
    assert trunk.weights == "imagenet"
    shapes = [trunk.model.get_layer(tap).output.shape[-1] for tap in trunk.taps]
    assert shapes == [32, 24, 40, 112, 1280]
    sides = keras.Model(trunk.model.input, [trunk.model.get_layer(tap).output for tap in trunk.taps])
    assert [spec.shape[1] for spec in sides.compute_output_spec(keras.KerasTensor((1, 224, 224, 3)))] == [
        112,
        56,
        28,
        14,
        7,
    ]


def test_a_changed_byte_of_its_weights_is_refused(tmp_path, monkeypatch):
    data = bytearray(efficientnet_lite0.weights_path().read_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / "models.pth"
    path.write_bytes(data)
    monkeypatch.setattr(efficientnet_lite0, "weights_path", lambda: path)
    with pytest.raises(UserError, match=r"with the weights that were published. Received: .*which is not that file"):
        backbones.load("efficientnet_lite0")


def test_a_missing_package_is_said(monkeypatch):
    monkeypatch.setattr(efficientnet_lite0, "PACKAGE", "no_such_package")
    with pytest.raises(UserError, match=r"no package no_such_package. Install .*efficientnet-lite0"):
        backbones.load("efficientnet_lite0")


def test_the_published_file_is_the_one_that_is_named():
    digest = hashlib.sha256(efficientnet_lite0.weights_path().read_bytes()).hexdigest()
    assert digest == efficientnet_lite0.SHA256


def test_random_weights_have_no_classes():
    assert backbones.load("efficientnet_lite0", weights="random", classifier=True).model.output_shape[-1] == 1280


def test_it_equals_another_conversion_on_real_photographs(classifier):
    folder = os.environ.get("FASHIONPROBE_REAL_DATA")
    path = Path(folder or "").parent / CONVERTED
    if not folder or not path.is_file():
        pytest.skip("no other conversion to compare with: FASHIONPROBE_REAL_DATA")
    other = keras.saving.load_model(path, compile=False)
    # 32 cut-outs of real photographs.
    photos = np.concatenate([np.roll(squares(448), shift, axis=(1, 2)) for shift in range(0, 64, 4)])[:, :224, :224]
    assert len(photos) == 32
    found = classifier.model.predict(photos, verbose=0)
    np.testing.assert_allclose(found, other.predict((photos - 127) / 128, verbose=0), atol=1e-5)
