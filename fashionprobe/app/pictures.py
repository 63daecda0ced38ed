"""The pictures of a record set by their ids, read one by one where they are stored."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from fashionprobe.app import data_uris
from fashionprobe.errors import UserError
from fashionprobe.records.read import picture_at
from fashionprobe.records.record_set import RecordSet

PICTURES = 48
"""Pictures that are kept in memory."""

THUMBNAILS = 5000
THUMBNAIL = 160
"""Longer side of a thumbnail in pixels."""

ONE_BY_ONE = 16
"""Thumbnails up to which reading each where it is stored takes less time than one pass over the files."""


class Pictures:
    """The pictures of a record set.

    Args:
        records: The record set.

    Attributes:
        records: The record set.
        items: Its table: id, split, label columns, shard; all text.
    """

    def __init__(self, records: RecordSet) -> None:
        self.records = records
        self.items = records.items
        order = self.items.groupby("shard").cumcount()
        self._places = dict(zip(self.items["id"], zip(self.items["shard"], order, strict=True), strict=True))
        self.picture = lru_cache(maxsize=PICTURES)(self.fresh)
        self._thumbnails: dict[str, str] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def fresh(self, name: str) -> np.ndarray:
        """Read a picture, uint8 (height, width, 3), RGB; `picture` does the same and keeps the last ones.

        Raises:
            UserError: If there is no such id, or the record set is damaged.
        """
        return picture_at(self.records, *self._place(name))

    def thumbnails(self, names: Sequence[str]) -> list[str]:
        """Return small copies of some pictures as data URIs, in this order.

        Raises:
            UserError: If there is no such id, or the record set is damaged.
        """
        missing = [name for name in dict.fromkeys(names) if name not in self._thumbnails]
        if len(missing) > ONE_BY_ONE:
            for name in missing:
                self._place(name)  # refuses what is not there
            made = {name: _small(picture) for name, picture in self.records.pictures(missing)}
        else:
            made = {name: _small(self.fresh(name)) for name in missing}
        found = {name: self._thumbnails.get(name) or made[name] for name in names}
        if len(self._thumbnails) + len(made) > THUMBNAILS:
            self._thumbnails = {}
        self._thumbnails |= made
        return [found[name] for name in names]

    def _place(self, name: str) -> tuple[str, int]:
        if name not in self._places:
            raise UserError("id", expected=f"the id of an image of {self.records.path.name}", received=repr(name)[:80])
        shard, place = self._places[name]
        return str(shard), int(place)


def _small(picture: np.ndarray) -> str:
    return data_uris.jpeg(picture, side=THUMBNAIL)
