"""A small run that has all that the page shows, its server, and a headless browser."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip


@pytest.fixture(scope="session")
def run(tmp_path_factory, model_path) -> Path:
    """The run `tiny` on drawn letters: a network of one epoch, descriptors, an index, a map and a wall."""
    from fashionprobe.attributes import reduce as reduction
    from fashionprobe.stages import extract, index, ingest, maximize, reduce, train, wall

    root = tmp_path_factory.mktemp("tiny")
    roots = {"tfrecords_root": str(root / "tfrecords"), "runs_root": str(root / "runs")}
    records = ingest(dataset="letters", source="symbols", count=60, tfrecords_root=roots["tfrecords_root"])
    network = {"backbone": str(model_path), "size": 36}
    train(dataset=records, run="tiny", epochs=1, **network, **roots)
    made = extract(dataset=records, run="tiny", **network, **roots)
    index(run=made, labels="pattern=class", **roots)
    with pytest.MonkeyPatch.context() as patch:
        # In place of UMAP, which compiles for ten seconds: any map will do.
        patch.setattr(reduction, "reduce", _first_channels)
        reduce(run=made, label="class", block=2, **roots)
    wall(run=made, images=30, **roots)
    maximize(run="tiny", block=2, channels=[0, 3], steps=2, size=36, runs_root=roots["runs_root"])
    return root / "runs" / "tiny"


def _first_channels(known, dimensions, *, seed):
    return SimpleNamespace(points=known.values[:, :dimensions] * np.float32(100))


@pytest.fixture(scope="module")
def copied(run, tmp_path_factory) -> Path:
    """A copy of the run that a module may change."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(run.parent.parent, root, dirs_exist_ok=True)
    return root / "runs" / "tiny"


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()
