"""The images of some splits as a stream that can be read again and again, in the order of `items.csv`."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from fashionprobe import progress
from fashionprobe.errors import UserError
from fashionprobe.records.read import read, readable
from fashionprobe.records.record_set import RecordSet


@dataclass(frozen=True)
class Stream:
    """Images of a record set, of one size.

    Attributes:
        records: The artifact that `ingest` wrote.
        items: Their rows of `items.csv`; row i is image i of the stream.
        splits: The splits that they are in.
        size: (height, width) in pixels.
        fit: How they are brought to that size.
        batch_size: Images a batch; the last batch may be smaller.
    """

    records: RecordSet
    items: pd.DataFrame
    splits: list[str]
    size: tuple[int, int]
    fit: Literal["pad", "stretch"]
    batch_size: int

    def batches(self, description: str) -> Iterator[np.ndarray]:
        """Read all images once.

        Args:
            description: What the progress bar says.

        Yields:
            float32 (batch, height, width, 3), RGB in [0, 255].

        Raises:
            UserError: If the records are damaged or belong to another set.
        """
        done = 0
        images = read(self.records, splits=self.splits, size=self.size, fit=self.fit, batch_size=self.batch_size)
        with readable(self.records), progress.bar(total=len(self.items), unit="image", description=description) as bar:
            for batch, ids in images:
                expected = self.items["id"].iloc[done : done + len(ids)].tolist()
                if [name.decode() for name in ids.numpy()] != expected:
                    raise UserError(
                        str(self.records.path), expected="records in the order of its items.csv",
                        received="records of another set",
                        remedy=f"Make it again: fashionprobe ingest --dataset {self.records.path.name} --overwrite ...",
                    )  # fmt: skip
                done += len(ids)
                yield batch.numpy()
                bar.update(len(ids))

    def pictures(self, rows: Collection[int], description: str = "pictures") -> dict[int, np.ndarray]:
        """Return some images by their rows, float32 (height, width, 3), RGB in [0, 255]; stops after the last."""
        found: dict[int, np.ndarray] = {}
        done = 0
        for batch in self.batches(description) if rows else ():
            found |= {row: batch[row - done] for row in rows if done <= row < done + len(batch)}
            done += len(batch)
            if len(found) == len(rows):
                break
        return found
