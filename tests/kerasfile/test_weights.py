"""Files of weights: what leads out of them, and what they only announce."""

import warnings
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from keras_files import HONEST, WEIGHTS, weights, write

from fashionprobe import backbones
from fashionprobe.errors import UserError
from fashionprobe.kerasfile import opening
from fashionprobe.kerasfile.weights import check


def external(file):
    file["layers/conv"] = h5py.ExternalLink("elsewhere.h5", "/layers/conv")


def soft(file):
    file["layers/conv"] = h5py.SoftLink("/nothing")


def raw(file):
    file.create_dataset("conv", (4,), "f4", external=[("elsewhere.raw", 0, 16)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "x", (4,))
    file.create_virtual_dataset("conv", layout)


def announced(file):
    file.create_dataset("conv", (10**6, 10**6), "f4", chunks=(1000, 1000), compression="gzip")


def typed(file):
    file["conv"] = np.dtype("f4")


LYING = {
    external: "with a link from /layers/conv to another place",
    soft: "with a link from /layers/conv to another place",
    raw: "whose /conv is in another file",
    virtual: "whose /conv is in another file",
    announced: "whose /conv unpacks to 4,000,000,000,000 bytes",
    typed: "whose /conv is neither a group nor numbers",
}


@pytest.mark.parametrize("lie", LYING)
@pytest.mark.parametrize("name", ["a.weights.h5", "a.h5", "a.keras"])
def test_files_that_lie_are_refused(lie, name, tmp_path):
    (tmp_path / "elsewhere.raw").write_bytes(b"\0" * 16)
    path = tmp_path / name
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        lie(file)
    if name == "a.keras":
        write(path, HONEST, path.with_suffix(".h5").read_bytes())
    model = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(4, 3)])
    with warnings.catch_warnings(), pytest.raises(UserError) as caught:
        warnings.simplefilter("error")
        opening.load_weights(model, path)
    start = "`weights` must be a file of weights that holds its own numbers, as Keras writes it. "
    assert str(caught.value).startswith(f"{start}Received: '{path}', {LYING[lie]}")


@pytest.mark.parametrize("lie", LYING)
def test_so_are_networks_with_such_weights_inside(lie, tmp_path):
    (tmp_path / "elsewhere.raw").write_bytes(b"\0" * 16)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        lie(file)
    write(tmp_path / "a.keras", HONEST, (tmp_path / "a.h5").read_bytes())
    with pytest.raises(UserError, match="`backbone` must be a file of weights that holds its own numbers"):
        opening.load_model(tmp_path / "a.keras")


def test_links_that_run_in_a_circle(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group("layers")
        file["layers/again"] = file["/"]
    check(tmp_path / "a.h5", shown=tmp_path / "a.h5")


def test_a_file_that_is_not_hdf5(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"a\.h5', which is damaged, or not HDF5\."):
        check(tmp_path / "a.h5", shown=tmp_path / "a.h5")


def test_a_bomb_in_the_archive_is_not_unpacked(tmp_path):
    write(tmp_path / "a.keras", HONEST, b"\0" * 200 * 2**20, zipfile.ZIP_DEFLATED)
    assert (tmp_path / "a.keras").stat().st_size < 10**6
    model = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(4, 3)])
    for refuse in (opening.header, opening.check_weights, lambda path: opening.load_weights(model, path)):
        with pytest.raises(UserError, match=r"whose model\.weights\.h5 unpacks to 209,715,200 bytes"):
            refuse(tmp_path / "a.keras")


def test_weights_that_are_too_many_for_the_model(tmp_path):
    model = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(4, 3)])
    noise = np.random.default_rng(0).bytes(4 * 2**20)
    with pytest.raises(UserError, match="whose weights unpack to 4,194,304 bytes, where its layers have 112 weights"):
        opening.header(write(tmp_path / "a.keras", HONEST, noise))
    with pytest.raises(UserError, match="whose weights unpack to 4,194,304 bytes"):
        opening.load_weights(model, tmp_path / "a.keras")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["conv"] = np.frombuffer(noise, np.uint8)
    with pytest.raises(UserError, match="with 4,194,304 bytes of weights or more"):
        opening.load_weights(model, tmp_path / "a.h5")


def test_honest_weights_are_loaded(tmp_path):
    model = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(4, 3)])
    (tmp_path / "a.weights.h5").write_bytes(weights(conv2d=[np.full((3, 3, 3, 4), 2.0), np.zeros(4)]))
    opening.load_weights(model, tmp_path / "a.weights.h5")
    assert model.get_weights()[0].mean() == 2
    opening.load_weights(model, write(tmp_path / "a.keras", HONEST, WEIGHTS))
    assert model.get_weights()[0].mean() == 1
    model.save_weights(tmp_path / "b.weights.h5")
    loaded = backbones.load("mini", weights="random")
    with pytest.raises(UserError, match="weights of mini without"):
        backbones.load("mini", weights=str(tmp_path / "b.weights.h5"))
    assert loaded.name == "mini"
