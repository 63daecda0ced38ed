"""The index: normalized descriptors of a catalogue on disk, opened by memory map, searched exactly, changed by parts.

A part is a set of files `part-0000.*` that never changes; it counts from the moment its note `part-0000.json` is there,
which is written last and whole. So a reader sees all of a part or nothing of it, and a killed writer leaves files that
the next one writes over. New images are a new part: what was there is not touched. A part may also take images of
earlier parts away, beside those it brings or alone, and one that replaces all parts before it makes the index compact.
"""

import functools
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fashionprobe.attributes import approximate_neighbours
from fashionprobe.attributes import neighbours as search
from fashionprobe.attributes.normalization import Normalization
from fashionprobe.backbones.pooling import Block
from fashionprobe.errors import UserError, unknown_name

FORMAT = 1
NOTE = "index.json"
CHUNK = 4096
"""Rows that are normalized at a time."""

CANDIDATES = 32
"""Nearest images by one group that are compared by all, when a picture is looked up."""

BOTH = "both"
"""The word for all groups together."""


@dataclass(frozen=True)
class Group:
    """A kind of attribute and the descriptors that know it.

    Attributes:
        name: Such as "colour".
        block: The block, or where else a descriptor comes from, such as 3+4/mean_std.
        label: The label column whose classes it starts with; "" for none.
        normalization: What is done to the descriptors that are searched.
        reading: What is done to those that are compared with the means of classes. The two differ: whitening makes
            the mean of a class a better reader, and the neighbours of an image often worse.
    """

    name: str
    block: Block
    label: str
    normalization: Normalization
    reading: Normalization


@dataclass(frozen=True)
class Part:
    """Images that were put into the index together.

    Its files are opened when they are asked for, and once.

    Attributes:
        folder: The folder of the index.
        number: 0 for what the index was made of, then 1, 2, ...
        rows: Number of images.
        removes: Rows of earlier parts that it takes away, by the number of the part.
        replaces: Whether it stands for all parts before it.
    """

    folder: Path
    number: int
    rows: int
    removes: Mapping[int, Sequence[int]] = field(default_factory=dict)
    replaces: bool = False
    _opened: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def path(self, ending: str) -> Path:
        """Return the path of one of its files."""
        return self.folder / f"part-{self.number:04}.{ending}"

    def points(self, group: str) -> np.ndarray:
        """Return the normalized descriptors, a float32 memory map (rows, directions)."""
        return self._once(f"{group}.npy", lambda path: np.load(path, mmap_mode="r"))

    def squared_norms(self, group: str) -> np.ndarray:
        """Return what `search` wants to know of the points beforehand."""
        return self._once(f"{group}.norms.npy", np.load)

    def graph(self, group: str) -> Any:
        """Return the graph for approximate search; None where there is none."""
        ending = f"{group}.faiss"
        return self._once(ending, approximate_neighbours.load) if self.path(ending).is_file() else None

    def items(self) -> pd.DataFrame:
        """Return the table of its images: id and label columns, all text."""
        return pd.read_csv(self.path("items.csv"), dtype=str, keep_default_na=False)

    def _once(self, ending: str, open_file: Callable[[Path], Any]) -> Any:
        if ending not in self._opened:
            self._opened[ending] = open_file(self.path(ending))
        return self._opened[ending]

    def thumbnail(self, row: int) -> bytes:
        """Return the small picture of an image, a JPEG file; empty where there is none."""
        ends = self._once("thumbnails.npy", np.load)
        start = int(ends[row - 1]) if row else 0
        with self.path("thumbnails.bin").open("rb") as file:
            file.seek(start)
            return file.read(int(ends[row]) - start)


@dataclass(frozen=True)
class Matches:
    """What a search found, nearest first.

    Attributes:
        rows: Rows in the index, int (k,).
        ids: Ids of the images.
        distances: float (k,): euclidean between normalized descriptors, or the sum of z-scores over several groups.
    """

    rows: np.ndarray
    ids: list[str]
    distances: np.ndarray


@dataclass(frozen=True)
class Index:
    """An index, as it was when it was opened.

    Attributes:
        folder: Its folder.
        network: The manifest of the descriptors that it was made of: which network describes a new image.
        groups: Its groups by name.
        coverage: Share of a class's own images that its reach should hold.
        parts: Its parts that hold images.
        changes: All its parts, also those that only take images away.
    """

    folder: Path
    network: dict[str, Any]
    groups: dict[str, Group]
    coverage: float
    changes: tuple[Part, ...]

    @functools.cached_property
    def parts(self) -> tuple[Part, ...]:
        """Its parts that hold images."""
        return tuple(part for part in self.changes if part.rows)

    def __len__(self) -> int:
        return int(np.count_nonzero(self.alive))

    @functools.cached_property
    def alive(self) -> np.ndarray:
        """Which rows were not taken away since, bool (rows,)."""
        kept = {part.number: np.ones(part.rows, bool) for part in self.changes}
        for part in self.changes:
            for number, rows in part.removes.items():
                if number in kept:
                    kept[number][list(rows)] = False
        return np.concatenate([np.empty(0, bool), *kept.values()])

    @functools.cached_property
    def items(self) -> pd.DataFrame:
        """The table of all rows, those that are not alive as well: id and other columns, all text."""
        tables = [part.items() for part in self.parts] or [pd.DataFrame({"id": []}, dtype=str)]
        return pd.concat(tables, ignore_index=True).fillna("")

    @property
    def blocks(self) -> list[Block]:
        """The blocks that its groups read, each once."""
        return list(dict.fromkeys(group.block for group in self.groups.values()))

    def choose(self, by: str) -> list[Group]:
        """Return the group of this name, or all for "both".

        Raises:
            UserError: If there is no such group.
        """
        if by == BOTH:
            return list(self.groups.values())
        if by not in self.groups:
            raise unknown_name("by", by, [*self.groups, BOTH])
        return [self.groups[by]]

    def point(self, group: Group, row: int) -> np.ndarray:
        """Return the normalized descriptor of an image of the index, float32 (1, directions)."""
        part, within = self._locate(row)
        return np.array(part.points(group.name)[within : within + 1])

    def thumbnail(self, row: int) -> bytes:
        """Return the small picture of an image, a JPEG file; empty where there is none."""
        part, within = self._locate(row)
        return part.thumbnail(within)

    def row(self, name: str) -> int:
        """Return the row of an image by its id.

        Raises:
            UserError: If there is none.
        """
        if name not in self._rows:
            what, listing = "the id of an image of the index", "part-*.items.csv in the index list them all."
            raise unknown_name("id", name, self._rows, what=what, listing=listing)
        return self._rows[name]

    def has(self, name: str) -> bool:
        """Return whether it holds an image of this id."""
        return name in self._rows

    @functools.cached_property
    def _rows(self) -> dict[str, int]:
        """The first living row of each id."""
        rows = np.flatnonzero(self.alive)[::-1]
        return dict(zip(self.items["id"].to_numpy()[rows].tolist(), rows.tolist(), strict=True))

    def copies(self, points: Mapping[str, np.ndarray]) -> list[list[int]]:
        """Find pictures that the index has already, whatever it calls them.

        Args:
            points: Normalized descriptors by group, float32 (images, directions), of all groups.

        Returns:
            For each picture the rows with the same descriptors in every group, nearest first.
        """
        first = next(iter(self.groups))
        images = len(points[first])
        if not len(self):
            return [[] for _ in range(images)]
        near, _ = self._nearest(first, points[first], min(CANDIDATES, len(self)), self.alive)
        found = []
        for number in range(images):
            asked = {group: matrix[number : number + 1] for group, matrix in points.items()}
            found.append([int(row) for row in near[number] if self._is_at(int(row), asked)])
        return found

    def _is_at(self, row: int, asked: Mapping[str, np.ndarray]) -> bool:
        # A whitened point may differ in its last digits from one that was normalized in another batch.
        return all(
            np.allclose(self.point(group, row), asked[name], rtol=0, atol=1e-5 * np.abs(asked[name]).max(initial=0))
            for name, group in self.groups.items()
        )

    def search(
        self,
        by: str,
        points: Mapping[str, np.ndarray],
        top: int,
        *,
        without: int | Sequence[int] | np.ndarray | None = None,
        among: np.ndarray | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> Matches:
        """Find the images nearest to one: exactly, or by one group of a part with a graph approximately.

        Args:
            by: Name of a group; or "both" for all, by the sum of their distances, each z-scored over the whole index.
            points: Normalized descriptor of the image by group, float32 (1, directions).
            top: How many.
            without: A row that is left out, such as that of the image itself, or several.
            among: Which rows may be found, bool (rows,), exactly then; None for all. Rows that were taken away are not.
            weights: For "both": what the z-scores of each group are multiplied by; None for 1 each.

        Raises:
            UserError: If there is no such group, or the index holds fewer images.
        """
        groups = self.choose(by)
        allowed = self.alive.copy() if among is None else self.alive & among
        if without is not None:
            allowed[without] = False
        most = int(np.count_nonzero(allowed))
        if not 1 <= top <= most:
            which = "the images of the index" if among is None else "the images that may be found"
            raise UserError("top", expected=f"in 1 to {most}, {which}", received=top)
        if len(groups) == 1:
            name = groups[0].name
            rows, found = (each[0] for each in self._nearest(name, points[name], top, allowed, exact=among is not None))
        else:
            shares = None if weights is None else [weights[group.name] for group in groups]
            far = [self._distances(group.name, points[group.name])[0, self.alive] for group in groups]
            scored = np.full(len(allowed), np.inf)
            scored[self.alive] = search.combined(far, shares)
            scored[~allowed] = np.inf
            rows = search.smallest(scored[None], top)[0]
            found = scored[rows]
        return Matches(rows, self.items["id"].iloc[rows].tolist(), found)

    def _nearest(
        self, group: str, points: np.ndarray, top: int, allowed: np.ndarray, *, exact: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows nearest to each of several points, and their distances, (points, top) each."""
        rows, found, start = [], [], 0
        for part in self.parts:
            here = allowed[start : start + part.rows]
            count = min(top, int(np.count_nonzero(here)))
            if count:
                near, far = _nearest_in(part, group, points, count, here, exact=exact)
                rows.append(near + start)
                found.append(far)
            start += part.rows
        together, distances = np.concatenate(rows, axis=1), np.concatenate(found, axis=1)
        order = np.lexsort((together, distances), axis=1)[:, :top]
        return np.take_along_axis(together, order, axis=1), np.take_along_axis(distances, order, axis=1)

    def _distances(self, group: str, point: np.ndarray) -> np.ndarray:
        """Return the distance of a point to every row, (1, rows)."""
        found = [
            search.distances(part.points(group), point, squared_norms=part.squared_norms(group)) for part in self.parts
        ]
        return np.concatenate(found, axis=1)

    @property
    def next_number(self) -> int:
        """Number of the next part."""
        return self.changes[-1].number + 1 if self.changes else 0

    def locate(self, row: int) -> tuple[int, int]:
        """Return the number of a row's part, and the row in it."""
        part, within = self._locate(row)
        return part.number, within

    def _locate(self, row: int) -> tuple[Part, int]:
        for part in self.parts:
            if row < part.rows:
                return part, row
            row -= part.rows
        raise IndexError(row)


def _nearest_in(
    part: Part, group: str, asked: np.ndarray, count: int, allowed: np.ndarray, *, exact: bool
) -> tuple[np.ndarray, np.ndarray]:
    points, graph = part.points(group), None if exact else part.graph(group)
    if graph is None:
        among = None if allowed.all() else allowed
        return search.nearest(points, asked, count, squared_norms=part.squared_norms(group), among=among)
    exclude = [np.flatnonzero(~allowed)] * len(asked)
    return approximate_neighbours.nearest(points, asked, count, index=graph, exclude=exclude)


def open_index(folder: Path, *, remedy: str) -> Index:
    """Open an index by memory map.

    Args:
        folder: Its folder.
        remedy: What to do when it cannot be read.

    Raises:
        UserError: If there is none, it is damaged, or another version wrote it.
    """
    try:
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(str(folder), expected="an index", received="nothing there", remedy=remedy) from None
    except ValueError as error:
        raise UserError(str(folder / NOTE), expected="as it was written", received=f"{error}", remedy=remedy) from error
    if not isinstance(note, dict) or note.get("format") != FORMAT:
        received = note.get("format") if isinstance(note, dict) else "something else"
        raise UserError(
            str(folder), expected=f"an index of format {FORMAT}", received=f"format {received}",
            remedy=f"Another version of fashionprobe wrote it. {remedy}",
        )  # fmt: skip
    groups = {each["name"]: _group(folder, each) for each in note["groups"]}
    return Index(folder, note["network"], groups, note["coverage"], _parts(folder, remedy))


def _group(folder: Path, noted: Mapping[str, Any]) -> Group:
    search, reading = (
        _normalization(folder / f"{use}-{noted['name']}.npz", noted[use]) for use in ("search", "reading")
    )
    return Group(noted["name"], noted["block"], noted["label"], search, reading)


def _normalization(path: Path, noted: Mapping[str, Any]) -> Normalization:
    # Not pickled, whatever a stranger's file says.
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
        mean, scale = (arrays.get(name) for name in ("mean", "scale"))
        return Normalization(noted["name"], mean, scale, noted["unit"])


def notes_of(folder: Path) -> dict[int, dict[str, Any]]:
    """Return the notes of all parts by their numbers, ascending."""
    paths = {int(path.stem.removeprefix("part-")): path for path in folder.glob("part-*.json")}
    return {number: json.loads(paths[number].read_text(encoding="utf-8")) for number in sorted(paths)}


def _parts(folder: Path, remedy: str) -> tuple[Part, ...]:
    """Return the parts that count; again, where another process made the index compact meanwhile."""
    before: set[str] | None = None
    while True:
        there = {path.name for path in folder.glob("part-*.json")}
        try:
            return tuple(_counting(folder, remedy))
        except (FileNotFoundError, UserError):
            if there == before:
                raise
            before = there


def _counting(folder: Path, remedy: str) -> Iterator[Part]:
    notes = notes_of(folder)
    last = max((number for number, note in notes.items() if note.get("replaces")), default=0)
    for number, note in notes.items():
        if number < last:
            continue
        for name, size in note["files"].items():
            file = folder / Path(name).name
            if not file.is_file() or file.stat().st_size != size:
                raise UserError(
                    str(file), expected="as it was written", received="a missing or cut file", remedy=remedy
                )
        removes = {int(part): rows for part, rows in note.get("removes", {}).items()}
        yield Part(folder, number, note["rows"], removes, bool(note.get("replaces")))
