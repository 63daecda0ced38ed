"""What stands behind the tab Search: neighbours of a picture, its tags, and classes that are added on the way."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.spatial.distance import cdist

from fashionprobe.app import data_uris
from fashionprobe.attributes import classes as confidence
from fashionprobe.attributes.classes import Classes
from fashionprobe.attributes.index import BOTH, Index
from fashionprobe.errors import UserError
from fashionprobe.records.select import keeps

BEST = 3
"""Classes of a group that are named."""

COLUMNS = 8
"""Columns to filter by that are named."""

FITTED_ON = 2000
"""Images at most that say how sure a distance makes."""

Points = Mapping[str, np.ndarray]
"""By group, float32 (1, directions)."""


@dataclass(frozen=True)
class Query:
    """A picture that is searched with.

    Attributes:
        name: What it is called.
        picture: Data URI of a small copy.
        search: Its points to search with.
        reading: Its points to compare with classes; empty where they are not known.
        row: Its row in the index; None for a picture that is not in it.
    """

    name: str
    picture: str
    search: Points
    reading: Points
    row: int | None = None


@dataclass(frozen=True)
class Hit:
    """One neighbour.

    Attributes:
        id: Its id.
        thumbnail: Data URI; "" where there is none.
        distance: Distance, or weighted sum of z-scores.
        labels: Its classes in the label columns of the groups; its id where it has none.
    """

    id: str
    thumbnail: str
    distance: float
    labels: str


@dataclass(frozen=True)
class Guess:
    """One class that a picture may have.

    Attributes:
        name: The class.
        sure: Its probability among the classes of the group; None where no labelled image says how sure a distance is.
        ratio: Distance in units of the class's reach: above 1 the picture is not of that class.
        added: Whether a person added it.
    """

    name: str
    sure: float | None
    ratio: float
    added: bool


@dataclass(frozen=True)
class Backing:
    """What a search needs of the run, opened by whoever knows its artifacts.

    Attributes:
        index: Opens the index.
        classes: The classes of each group that count now, and the names of those that a person added.
        describe: From the bytes and the name of an image file to the points to search with and to read.
        read: From the id of an image that was extracted to its points to read.
        labelled: For a group: points to read of images with a class of the index, and the names of their classes.
        add: Adds a class, given its group, its name and the ids of its images; returns its reach.
        remove: Takes a class away, given its group and name.
    """

    index: Callable[[], Index]
    classes: Callable[[Index], tuple[Mapping[str, Classes], set[tuple[str, str]]]]
    describe: Callable[[bytes, str], tuple[Points, Points]]
    read: Callable[[str], Points]
    labelled: Callable[[str], tuple[np.ndarray, np.ndarray]]
    add: Callable[[str, str, Sequence[str]], float]
    remove: Callable[[str, str], None]


class Searching:
    """A search that many threads may ask.

    Args:
        backing: What it needs of the run.

    Attributes:
        backing: The same.
        groups: Names of the groups of the index.
    """

    def __init__(self, backing: Backing) -> None:
        self.backing = backing
        self.groups = tuple(backing.index().groups)
        self._lock = threading.Lock()
        self._temperature = lru_cache(maxsize=None)(self._fitted)

    def columns(self) -> list[str]:
        """Return the first columns of the index by which can be filtered, those of its groups before others."""
        index = self.backing.index()
        of_groups = [group.label for group in index.groups.values() if group.label in index.items]
        return list(dict.fromkeys([*of_groups, *(name for name in index.items.columns if name != "id")]))[:COLUMNS]

    def of_upload(self, data: bytes, name: str) -> Query:
        """Describe an image file by its bytes.

        Raises:
            UserError: If it is too large, or no image that can be read.
        """
        picture = data_uris.read_upload(data, name)
        with self._lock:
            search, reading = self.backing.describe(data, name)
        return Query(name, data_uris.jpeg(picture, side=480), search, reading)

    def of_id(self, name: str) -> Query:
        """Take an image of the index.

        Raises:
            UserError: If there is none of this id.
        """
        index = self.backing.index()
        row = index.row(name)
        search = {group.name: index.point(group, row) for group in index.groups.values()}
        try:
            reading = self.backing.read(name)
        except UserError:
            # Put into the index later, when only what is searched was kept.
            reading = {}
        return Query(name, data_uris.stored_jpeg(index.thumbnail(row)), search, reading, row)

    def hits(self, query: Query, by: str, weights: Mapping[str, float], top: int, where: str = "") -> list[Hit]:
        """Return the nearest images, without the picture itself where it is in the index.

        Args:
            query: The picture.
            by: A group, or "both".
            weights: For "both": weight of each group, 0 or more and not all 0.
            top: How many at most.
            where: Only those for which this pandas query over the columns of the index is true; "" for all.

        Raises:
            UserError: If there is no such group or column, or the weights do not fit.
        """
        index = self.backing.index()
        if by == BOTH and not (min(weights.values()) >= 0 and sum(weights.values()) > 0):
            raise UserError("weights", expected="0 or more, and not all 0", received=dict(weights))
        if not 1 <= top <= 500:
            raise UserError("top", expected="in 1 to 500", received=top)
        shares = weights if by == BOTH and len(self.groups) > 1 else None
        own = index.copies(query.search)[0] if query.row is None else [query.row]
        among = keeps(index.items, where).to_numpy() if where.strip() else None
        allowed = index.alive if among is None else index.alive & among
        most = int(np.count_nonzero(allowed)) - int(np.count_nonzero(allowed[own]))
        if not most:
            return []
        found = index.search(by, query.search, min(top, most), without=own, among=among, weights=shares)
        columns = list(dict.fromkeys(group.label for group in index.groups.values() if group.label in index.items))
        labels = [", ".join(filter(None, row)) for row in index.items[columns].iloc[found.rows].itertuples(index=False)]
        return [
            Hit(name, data_uris.stored_jpeg(index.thumbnail(int(row))), float(distance), words or name)
            for row, name, distance, words in zip(found.rows, found.ids, found.distances, labels, strict=True)
        ]

    def tags(self, query: Query) -> dict[str, list[Guess]]:
        """Return the likeliest classes of a picture by group, the likeliest first; no group without classes."""
        index = self.backing.index()
        known, added = self.backing.classes(index)
        found = {}
        for group, classes in known.items():
            if not classes.names or group not in query.reading:
                continue
            far = cdist(query.reading[group].astype(np.float64), classes.means.astype(np.float64))
            reach = np.maximum(classes.reach, np.finfo(np.float32).tiny)
            heat = self._temperature(group)
            sure = None if heat is None else confidence.confidence(far, heat)[0]
            order = np.argsort(far[0])[:BEST]
            found[group] = [
                Guess(
                    classes.names[number], None if sure is None else float(sure[number]),
                    float(far[0, number] / reach[number]), (group, classes.names[number]) in added,
                )
                for number in order
            ]  # fmt: skip
        return found

    def names(self, group: str) -> list[str]:
        """Return the names of the classes that a person added to a group."""
        known, added = self.backing.classes(self.backing.index())
        return [name for name in known[group].names if (group, name) in added] if group in known else []

    def _fitted(self, group: str) -> float | None:
        """Return how much a distance says, from images whose class is known; None where there are none."""
        points, labels = self.backing.labelled(group)
        given, _ = self.backing.classes(self.backing.index())
        classes = given[group]
        numbers = {name: number for number, name in enumerate(classes.names)}
        rows = np.flatnonzero([label in numbers for label in labels])
        rows = np.random.default_rng(0).permutation(rows)[:FITTED_ON]
        if len(rows) < 2 * len(numbers) or len(numbers) < 2:
            return None
        far = cdist(np.asarray(points[rows], np.float64), classes.means.astype(np.float64))
        return confidence.temperature(far, np.array([numbers[label] for label in labels[rows]]))
