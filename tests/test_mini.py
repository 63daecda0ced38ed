import hashlib
from importlib import resources

import keras
import numpy as np
import pytest

from fashionprobe import backbones
from fashionprobe.backbones import mini
from fashionprobe.backbones.blocks import find_taps
from fashionprobe.errors import UserError

FILE = resources.files("fashionprobe.backbones.mini") / "weights.npz"


def test_the_shipped_file_is_small_and_the_one_that_belongs_here():
    data = FILE.read_bytes()
    assert len(data) <= 4 * 2**20
    assert hashlib.sha256(data).hexdigest() == mini.SHA256
    with resources.as_file(FILE) as path, np.load(path, allow_pickle=False) as arrays:
        assert {arrays[name].dtype for name in arrays} == {np.dtype(np.float16)}


def test_five_blocks_each_half_the_size_of_the_one_before():
    model = mini.build()
    taps = backbones.load("mini").taps
    assert taps == find_taps(model, (80, 80)) == tuple(f"block{number}_out" for number in range(1, 6))
    maps = keras.Model(model.input, [model.get_layer(tap).output for tap in taps])(np.zeros((1, 64, 96, 3)))
    shapes = [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    assert [tuple(each.shape[1:]) for each in maps] == [
        (*size, width) for size, width in zip(shapes, mini.WIDTHS, strict=True)
    ]
    assert 0.5e6 < model.count_params() < 1.6e6


def test_its_weights_come_without_a_download_and_random_ones_differ():
    shipped, again, random = backbones.load("mini"), backbones.load("MINI"), backbones.load("mini", weights="random")
    assert (shipped.name, shipped.weights, shipped.size) == ("mini", "product titles", mini.SIZE)
    assert shipped.weights_sha256 == again.weights_sha256 != random.weights_sha256
    assert random.weights == "random, seed 0"


def test_a_damaged_file_is_not_loaded(monkeypatch):
    monkeypatch.setattr(mini, "SHA256", "0" * 64)
    with pytest.raises(ValueError, match="damaged: install the package again"):
        backbones.load("mini")


def test_it_has_no_imagenet_weights():
    with pytest.raises(UserError) as caught:
        backbones.load("mini", weights="imagenet")
    assert str(caught.value) == (
        "`weights` must be 'pretrained', 'random' or a path for mini. Received: imagenet. Only "
        "efficientnet_lite0 and the backbones of keras.applications have ImageNet weights."
    )


@pytest.mark.slow
def test_it_knows_more_about_drawn_garments_than_untrained(tmp_path, empty_figures):
    """These are of another seed than those that it was trained with."""
    from fashionprobe.stages import classify, extract, ingest

    roots = {"runs_root": str(tmp_path / "runs")}
    records = ingest(dataset="g", source="garments", count=300, size=80, tfrecords_root=str(tmp_path / "tfrecords"))
    found = {}
    for weights in ("pretrained", "random"):
        described = extract(dataset=records, run=weights, backbone="mini", weights=weights, size=80, **roots)
        answers = classify(run=described, label=["colour", "pattern"], **roots).answers
        found[weights] = {answer.label: answer for answer in answers}
    for label, margin in (("colour", 0.0), ("pattern", 0.1)):
        assert found["pretrained"][label].accuracy_mean > found["random"][label].accuracy_mean + margin
