"""Small worlds that tests of several rooms share: a two-block model, a folder of pictures, a classified run."""

import contextlib
import gc
import io
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

CLASSES = ("cat", "dog", "日本 é")


def pytest_configure(config: pytest.Config) -> None:
    # Keras reads TensorFlow's variables in a way that NumPy 2 deprecates; nothing here can mend it.
    config.addinivalue_line("filterwarnings", "ignore:__array__ implementation doesn't accept:DeprecationWarning")


def pytest_collection_finish() -> None:
    # What was imported stays; without this, each full collection goes through the whole of TensorFlow and Keras again.
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def model_path(tmp_path_factory) -> Path:
    """A model with two blocks, `first` (4 channels) and `second` (16 channels)."""
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(x)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Conv2D(16, 3, padding="same", activation="relu", name="second")(x)
    path = tmp_path_factory.mktemp("model") / "tiny.keras"
    keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x)).save(path)
    return path


@pytest.fixture
def pictures(tmp_path) -> Path:
    """A folder of three classes with eight PNG files each, 20 x 24 pixels of noise."""
    random = np.random.default_rng(0)
    for name in CLASSES:
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(8):
            pixels = random.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
    return tmp_path / "pictures"


@pytest.fixture(scope="session")
def garments_root(tmp_path_factory, model_path) -> Path:
    """A folder with 60 garments ingested, extracted and classified as `small`; tests only read it."""
    from fashionprobe.stages import classify, extract, ingest

    root = tmp_path_factory.mktemp("garments_root")
    roots = {"tfrecords_root": str(root / "tfrecords"), "runs_root": str(root / "runs")}
    records = ingest(dataset="small", source="garments", count=60, size=32, tfrecords_root=roots["tfrecords_root"])
    descriptors = extract(dataset=records, backbone=str(model_path), size=32, **roots)
    classify(run=descriptors, label=["colour", "pattern"], runs_root=roots["runs_root"])
    return root


@contextlib.contextmanager
def _without_figures() -> Iterator[None]:
    picture = io.BytesIO()
    Image.new("L", (1, 1)).save(picture, "PNG")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fashionprobe.plots.save.svg", lambda figure: b"<svg xmlns='http://www.w3.org/2000/svg'/>")
        patch.setattr("fashionprobe.plots.save.png", lambda figure, **options: picture.getvalue())
        yield


@pytest.fixture(scope="session")
def without_figures() -> Callable[[], contextlib.AbstractContextManager[None]]:
    """A context in which each figure is saved as an empty picture, for what fixtures make that several tests share."""
    return _without_figures


@pytest.fixture
def empty_figures() -> Iterator[None]:
    """Save an empty picture for each figure: drawing takes as long as the rest of a small stage."""
    with _without_figures():
        yield


@pytest.fixture
def command(capsys, monkeypatch, tmp_path) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process, in an empty folder: returns exit code, stdout and stderr."""
    from fashionprobe import cli

    monkeypatch.chdir(tmp_path)
    logger = logging.getLogger("fashionprobe")
    level = logger.level

    def run(*words: object) -> tuple[int, str, str]:
        logger.handlers.clear()
        capsys.readouterr()
        try:
            code = cli.main([str(word) for word in words])
        except SystemExit as stop:  # --help and --version
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    yield run
    logger.handlers.clear()
    logger.setLevel(level)
