"""Preprocessing against what `keras.applications` does itself."""

import sys

import keras
import numpy as np
import pytest
from keras.applications.imagenet_utils import preprocess_input

from fashionprobe.backbones.preprocessing import PREPROCESSING, Preprocessing, probe


def pixels():
    return np.random.default_rng(0).integers(0, 256, (4, 9, 7, 3)).astype(np.float32)


def architectures():
    modules = {getattr(keras.applications, name).__module__ for name in dir(keras.applications) if name[0].isupper()}
    return sorted(modules)


@pytest.mark.parametrize("mode", ["tf", "caffe", "torch"])
def test_modes_equal_those_of_keras(mode):
    expected = preprocess_input(pixels(), data_format="channels_last", mode=mode)
    np.testing.assert_allclose(PREPROCESSING[mode](pixels()), expected, rtol=1e-5, atol=2e-5)


def test_none_changes_nothing():
    np.testing.assert_array_equal(PREPROCESSING["none"](pixels()), pixels())


@pytest.mark.parametrize("module", architectures())
def test_probe_reads_off_what_each_architecture_wants(module):
    function = sys.modules[module].preprocess_input
    images = pixels()
    found = probe(function)
    np.testing.assert_allclose(found(images), function(images.copy()), rtol=1e-5, atol=5e-5)
    assert any(close(found, known) for known in PREPROCESSING.values())


def test_probe_finds_a_preprocessing_again():
    wanted = Preprocessing(mean=(1.0, 2.0, 3.0), scale=(0.5, 0.25, 2.0), bgr=True)
    assert close(probe(wanted), wanted)


def close(one, other):
    same = np.allclose(one.mean, other.mean, atol=1e-3) and np.allclose(one.scale, other.scale, rtol=1e-5)
    return same and one.bgr == other.bgr


def test_worked_by_hand():
    pixel = np.array([10, 20, 30], np.uint8)
    found = Preprocessing(mean=(1.0, 2.0, 3.0), scale=(1.0, 0.5, 2.0), bgr=True)(pixel)
    assert found.tolist() == [54.0, 9.0, 9.0]
    assert found.dtype == np.float32
