"""The pictures of a record set by their ids, read one by one where they are stored."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from fashionprobe.app import encoded
from fashionprobe.artifacts import Artifact
from fashionprobe.errors import UserError
from fashionprobe.records.read import picture_at

PICTURES = 48
"""Pictures that are kept in memory."""

THUMBNAILS = 2000
THUMBNAIL = 160
"""Longer side of a thumbnail in pixels."""


class Shelf:
    """The pictures of a record set.

    Args:
        records: The record set.

    Attributes:
        records: The record set.
        items: Its table: id, split, label columns, shard; all text.
    """

    def __init__(self, records: Artifact) -> None:
        self.records = records
        self.items = pd.read_csv(records.path / "items.csv", dtype=str, keep_default_na=False)
        order = self.items.groupby("shard").cumcount()
        self._places = dict(zip(self.items["id"], zip(self.items["shard"], order, strict=True), strict=True))
        self.picture = lru_cache(maxsize=PICTURES)(self.fresh)
        self.thumbnail = lru_cache(maxsize=THUMBNAILS)(self._thumbnail)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    @property
    def shards(self) -> list[Path]:
        """Paths of its TFRecord files, in stored order."""
        return [self.records.path / shard for shard in self.items["shard"].drop_duplicates()]

    def fresh(self, name: str) -> np.ndarray:
        """Read a picture, uint8 (height, width, 3), RGB; `picture` does the same and keeps the last ones.

        Raises:
            UserError: If there is no such id, or the record set is damaged.
        """
        if name not in self._places:
            raise UserError("id", expected=f"the id of an image of {self.records.path.name}", received=repr(name)[:80])
        shard, place = self._places[name]
        return picture_at(self.records, str(shard), int(place))

    def _thumbnail(self, name: str) -> str:
        return encoded.jpeg(self.fresh(name), side=THUMBNAIL)
