"""A trained classifier that the tests of several stages look at."""

import pytest

from fashionprobe.stages import ingest, train


@pytest.fixture(scope="session")
def trained(tmp_path_factory, model_path, without_figures):
    """A folder with a record set `g` of 60 garments and a run `g` with a classifier of their colours."""
    root = tmp_path_factory.mktemp("trained")
    records = ingest(
        dataset="g", source="garments", count=60, size=32, label="colour", split=[60, 40, 0],
        tfrecords_root=str(root / "tfrecords"),
    )  # fmt: skip
    with without_figures():
        train(
            dataset=records, run="g", backbone=str(model_path), size=32, epochs=1, freeze=2, min_images=2,
            runs_root=str(root / "runs"),
        )  # fmt: skip
    return root
