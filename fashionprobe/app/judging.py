"""What stands behind the tab Filters: the global view of each filter, and the expert's verdict on it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fashionprobe.app import data_uris
from fashionprobe.errors import UserError
from fashionprobe.feedback import verdicts
from fashionprobe.feedback.verdicts import Verdict


@dataclass(frozen=True)
class Ninth:
    """One of the nine ranges of a filter's activation.

    Attributes:
        low: Its lower end.
        high: Its upper end.
        images: Number of images in it.
        picture: A random one of them, black where the filter is not active, as a data URI; "" for none.
    """

    low: float
    high: float
    images: int
    picture: str


class Judging:
    """The filters that `relevance` has looked at, and what experts say of them.

    Args:
        lit: Function of an id and the number of a filter that returns the picture, black where the filter is not
            active, uint8 (height, width, 3).
        view: Which images show each filter: columns filter, low, high, images, id.
        file: Where the verdicts are kept.
        count: Number of filters of the network.

    Attributes:
        filters: Numbers of the filters that can be shown, ascending.
    """

    def __init__(self, lit: Callable[[str, int], np.ndarray], view: pd.DataFrame, file: Path, count: int) -> None:
        self._lit, self._view, self._file, self._count = lit, view, file, count
        self._lock = threading.Lock()
        self.filters: list[int] = sorted(view["filter"].unique().tolist())

    def ninths(self, number: int) -> list[Ninth]:
        """Return the global view of a filter.

        Raises:
            UserError: If there is no such filter, or the network or the record set is gone.
        """
        rows = self._view[self._view["filter"] == self._known(number)]
        with self._lock:
            shown = [data_uris.jpeg(self._lit(name, number), side=240) if name else "" for name in rows["id"]]
        columns = (rows[name].tolist() for name in ("low", "high", "images"))
        return [Ninth(*each) for each in zip(*columns, shown, strict=True)]

    def said(self, number: int) -> list[Verdict]:
        """Return all verdicts on a filter, the last one, which counts, first."""
        return [each for each in reversed(self._read()) if each.filter == number]

    def judged(self) -> set[int]:
        """Return the numbers of the filters that have a verdict."""
        return {each.filter for each in self._read()} & set(self.filters)

    def say(self, number: int, relevant: bool, *, note: str, author: str) -> None:
        """Keep a verdict, at once.

        Raises:
            UserError: If there is no such filter, or the file is damaged or in use.
            OSError: If the disk is full.
        """
        verdicts.add(self._file, self._count, Verdict(self._known(number), relevant, note, author))

    def following(self, number: int | None) -> int:
        """Return the next filter without a verdict after one, or from the start; where all have one, the next."""
        start = 0 if number is None else self.filters.index(self._known(number)) + 1
        order = self.filters[start:] + self.filters[:start]
        judged = self.judged()
        return next((each for each in order if each not in judged), order[0])

    def _read(self) -> list[Verdict]:
        return verdicts.read(self._file, self._count) if self._file.is_file() else []

    def _known(self, number: object) -> int:
        if not isinstance(number, int) or number not in self.filters:
            expected = f"one of the {len(self.filters)} filters that `fashionprobe relevance` has looked at"
            raise UserError("filter", expected=expected, received=number)
        return number
