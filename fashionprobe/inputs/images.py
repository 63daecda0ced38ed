"""Images that commands look at: image files, or a random sample of a record set."""

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe.artifacts import sha256
from fashionprobe.errors import UserError, check_one, missing
from fashionprobe.records.record_set import RecordSet

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


log = logging.getLogger(__name__)

Fit = Literal["pad", "stretch"]


@dataclass(frozen=True)
class Images:
    """The images that are looked at, in the order in which they are read.

    Attributes:
        names: Ids of records, or names of files.
        sources: What a recipe has to hold of them: fingerprint of the records, or SHA-256 of each file.
        records: The record set; None for files.
        paths: The files; empty for records.
        fit: How they are brought to the size of the input.
        items: The rows of the records in `items.csv`; None for files.
    """

    names: tuple[str, ...]
    sources: dict[str, str]
    records: RecordSet | None
    paths: tuple[str, ...]
    fit: Fit
    items: "pd.DataFrame | None" = None

    def labels(self, column: str) -> list[str]:
        """Return the class of each image in a label column; "" where it has none or is not known."""
        if self.items is None or column not in self.items:
            return [""] * len(self.names)
        return self.items[column].tolist()

    def batches(self, size: tuple[int, int], batch_size: int) -> "Iterator[np.ndarray]":
        """Yield the images, float32 (batch, *size, 3), RGB in [0, 255]."""
        import numpy as np

        images = self._read(size)
        while batch := list(itertools.islice(images, batch_size)):
            yield np.stack(batch)

    def first(self, size: tuple[int, int], count: int) -> "np.ndarray":
        """Return the first images, float32 (count, *size, 3), RGB in [0, 255]."""
        return next(self.batches(size, count))

    def _read(self, size: tuple[int, int]) -> "Iterator[np.ndarray]":
        from fashionprobe.records.image_files.read import read_files

        if self.records is None:
            for path in self.paths:
                yield read_files([path], size, self.fit)[0]
            return
        for _, image in self.records.fitted(self.names, size, self.fit):
            yield image


def open_images(
    *,
    images: Sequence[str] | str | None,
    dataset: shared.Place | None,
    split: Sequence[str] | str | None,
    samples: int,
    fit: Fit,
    seed: int,
    tfrecords_root: str,
) -> Images:
    """Choose image files, or a random sample of a record set.

    Raises:
        UserError: If neither or both are given, or there is nothing to read.
    """
    check_one(images=images, dataset=dataset)
    if dataset is None:
        paths = [images] if isinstance(images, str) else list(images or [])
        return _files(paths, fit)
    records = shared.open_records(dataset, tfrecords_root)
    return _sample(records, shared.listed("split", split), samples, fit, seed)


def _files(paths: list[str], fit: Fit) -> Images:
    if not paths:
        raise missing("images", "pass one image file or more")
    for path in paths:
        if not Path(path).is_file():
            received = f"{path!r}, {'a folder' if Path(path).is_dir() else 'which does not exist'}"
            raise UserError("images", expected="image files", received=received)
    names = tuple(Path(path).name for path in paths)
    hashes = {f"image {number}": sha256(Path(path)) for number, path in enumerate(paths, start=1)}
    return Images(names, hashes, None, tuple(paths), fit)


def _sample(records: RecordSet, splits: list[str] | None, samples: int, fit: Fit, seed: int) -> Images:
    import numpy as np

    items, _ = records.in_splits(splits)
    rows = np.random.default_rng(seed).choice(len(items), min(samples, len(items)), replace=False)
    chosen = items.iloc[np.sort(rows)]
    return Images(tuple(chosen["id"]), {"records": records.fingerprint}, records, (), fit, chosen)
