"""The index: normalized descriptors of a catalogue on disk, opened by memory map, searched exactly, grown by parts.

A part is a set of files `part-0000.*` that never changes; it counts from the moment its note `part-0000.json` is there,
which is written last and whole. So a reader sees all of a part or nothing of it, and a killed writer leaves files that
the next one writes over. New images are a new part: what was there is not touched.
"""

import functools
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fashionprobe.artifacts import write_text
from fashionprobe.attributes import approximate_neighbours
from fashionprobe.attributes import neighbours as search
from fashionprobe.attributes.joined import Joined
from fashionprobe.attributes.neighbours import squared_norms_of
from fashionprobe.attributes.normalization import Normalization
from fashionprobe.backbones.pooling import Block
from fashionprobe.errors import UserError, unknown_name
from fashionprobe.npy import RowWriter

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

    Attributes:
        folder: The folder of the index.
        number: 0 for what the index was made of, then 1, 2, ...
        rows: Number of images.
    """

    folder: Path
    number: int
    rows: int

    def path(self, ending: str) -> Path:
        """Return the path of one of its files."""
        return self.folder / f"part-{self.number:04}.{ending}"

    def points(self, group: str) -> np.ndarray:
        """Return the normalized descriptors, a float32 memory map (rows, directions)."""
        return np.load(self.path(f"{group}.npy"), mmap_mode="r")

    def squared_norms(self, group: str) -> np.ndarray:
        """Return what `search` wants to know of the points beforehand."""
        return np.load(self.path(f"{group}.norms.npy"))

    def graph(self, group: str) -> Path | None:
        """Return the file for approximate search, where there is one."""
        path = self.path(f"{group}.faiss")
        return path if path.is_file() else None

    def items(self) -> pd.DataFrame:
        """Return the table of its images: id and label columns, all text."""
        return pd.read_csv(self.path("items.csv"), dtype=str, keep_default_na=False)

    def thumbnail(self, row: int) -> bytes:
        """Return the small picture of an image, a JPEG file; empty where there is none."""
        ends = np.load(self.path("thumbnails.npy"), mmap_mode="r")
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
        parts: Its parts.
    """

    folder: Path
    network: dict[str, Any]
    groups: dict[str, Group]
    coverage: float
    parts: tuple[Part, ...]

    def __len__(self) -> int:
        return sum(part.rows for part in self.parts)

    @functools.cached_property
    def items(self) -> pd.DataFrame:
        """The table of all images: id and label columns, all text; row i is row i of the index."""
        return pd.concat([part.items() for part in self.parts], ignore_index=True).fillna("")

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
        found = np.flatnonzero(self.items["id"].to_numpy(str) == name)
        if not len(found):
            what, listing = "the id of an image of the index", "part-*.items.csv in the index list them all."
            raise unknown_name("id", name, self.items["id"], what=what, listing=listing)
        return int(found[0])

    def equal(self, points: Mapping[str, np.ndarray]) -> np.ndarray:
        """Find pictures that the index has already, whatever it calls them.

        Args:
            points: Normalized descriptors by group, float32 (images, directions), of all groups.

        Returns:
            For each picture the row of one with the same descriptors in every group; -1 where there is none.
        """
        first = next(iter(self.groups))
        rows = np.full(len(points[first]), -1)
        for number in range(len(rows)) if len(self) else ():
            asked = {group: matrix[number : number + 1] for group, matrix in points.items()}
            near, _ = self._nearest(first, asked[first], min(CANDIDATES, len(self)), None)
            rows[number] = next((int(row) for row in near if self._is_at(int(row), asked)), -1)
        return rows

    def _is_at(self, row: int, asked: Mapping[str, np.ndarray]) -> bool:
        # A whitened point may differ in its last digits from one that was normalized in another batch.
        return all(
            np.allclose(self.point(group, row), asked[name], rtol=0, atol=1e-5 * np.abs(asked[name]).max(initial=0))
            for name, group in self.groups.items()
        )

    def search(
        self, by: str, points: Mapping[str, np.ndarray], top: int, *, without: int | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> Matches:  # fmt: skip
        """Find the images nearest to one: exactly, or by one group of a part with a graph approximately.

        Args:
            by: Name of a group; or "both" for all, by the sum of their distances, each z-scored over the whole index.
            points: Normalized descriptor of the image by group, float32 (1, directions).
            top: How many.
            without: A row that is left out, such as that of the image itself.
            weights: For "both": what the z-scores of each group are multiplied by; None for 1 each.

        Raises:
            UserError: If there is no such group, or the index holds fewer images.
        """
        groups = self.choose(by)
        most = len(self) - (without is not None)
        if not 1 <= top <= most:
            raise UserError("top", expected=f"in 1 to {most}, the images of the index", received=top)
        if len(groups) == 1:
            rows, found = self._nearest(groups[0].name, points[groups[0].name], top, without)
        else:
            shares = None if weights is None else [weights[group.name] for group in groups]
            scored = search.combined([self._distances(group.name, points[group.name]) for group in groups], shares)[0]
            if without is not None:
                scored[without] = np.inf
            rows = search.smallest(scored[None], top)[0]
            found = scored[rows]
        return Matches(rows, self.items["id"].iloc[rows].tolist(), found)

    def _nearest(self, group: str, point: np.ndarray, top: int, without: int | None) -> tuple[np.ndarray, np.ndarray]:
        rows, found, start = [], [], 0
        for part in self.parts:
            inside = without is not None and start <= without < start + part.rows
            exclude = [np.array([without - start])] if inside and without is not None else None
            count = min(top, part.rows - inside)
            if count:
                near, far = _nearest_in(part, group, point, count, exclude)
                rows.append(near[0] + start)
                found.append(far[0])
            start += part.rows
        together, distances = np.concatenate(rows), np.concatenate(found)
        order = np.lexsort((together, distances))[:top]
        return together[order], distances[order]

    def _distances(self, group: str, point: np.ndarray) -> np.ndarray:
        """Return the distance of a point to every image, (1, images)."""
        found = [
            search.distances(part.points(group), point, squared_norms=part.squared_norms(group)) for part in self.parts
        ]
        return np.concatenate(found, axis=1)

    def _locate(self, row: int) -> tuple[Part, int]:
        for part in self.parts:
            if row < part.rows:
                return part, row
            row -= part.rows
        raise IndexError(row)


def _nearest_in(
    part: Part, group: str, point: np.ndarray, count: int, exclude: list[np.ndarray] | None
) -> tuple[np.ndarray, np.ndarray]:
    points, graph = part.points(group), part.graph(group)
    if graph is None:
        return search.nearest(points, point, count, squared_norms=part.squared_norms(group), exclude=exclude)
    return approximate_neighbours.nearest(
        points, point, count, index=approximate_neighbours.load(graph), exclude=exclude
    )


def create(folder: Path, network: Mapping[str, Any], groups: Sequence[Group], *, coverage: float) -> None:
    """Write an index without images: which network, which groups.

    Args:
        folder: An empty folder.
        network: The manifest of the descriptors.
        groups: The groups.
        coverage: Share of a class's own images that its reach should hold, in (0, 1].
    """
    for group in groups:
        for use, normalization in (("search", group.normalization), ("reading", group.reading)):
            arrays = {"mean": normalization.mean, "scale": normalization.scale}
            buffer = io.BytesIO()
            np.savez(buffer, allow_pickle=False, **{name: array for name, array in arrays.items() if array is not None})
            (folder / f"{use}-{group.name}.npz").write_bytes(buffer.getvalue())
    note = {
        "format": FORMAT,
        "coverage": coverage,
        "network": {key: network[key] for key in ("arguments", "facts", "weights_sha256", "run")},
        "groups": [_noted(group) for group in groups],
    }
    write_text(folder / NOTE, json.dumps(note, indent=1, ensure_ascii=False) + "\n")


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
    return Index(folder, note["network"], groups, note["coverage"], tuple(_parts(folder, remedy)))


def write_part(
    folder: Path,
    number: int,
    groups: Sequence[Group],
    descriptors: Mapping[Block, np.ndarray | Joined],
    items: pd.DataFrame,
    thumbnails: Sequence[bytes],
    *,
    graphs: bool = False,
) -> Part:
    """Write images as a part; it counts once its note is there.

    Args:
        folder: The folder of the index.
        number: Number of the part.
        groups: The groups of the index.
        descriptors: Descriptors by block, float32 (rows, channels), not normalized; may be memory maps.
        items: id and label columns of the images.
        thumbnails: One JPEG file per image; empty where there is none.
        graphs: Whether to build graphs for approximate search, too; this needs faiss.

    Raises:
        UserError: If a descriptor is not finite.
    """
    part = Part(folder, number, len(items))
    for group in groups:
        matrix = descriptors[group.block]
        width = group.normalization(matrix[:1]).shape[1]
        norms = np.empty(len(items), np.float64)
        with RowWriter(folder, {part.path(f"{group.name}.npy").name: width}, len(items), step=CHUNK) as writer:
            for start in range(0, len(items), CHUNK):
                chunk = matrix[start : start + CHUNK]
                _check_finite(chunk, items, start, group)
                points = group.normalization(chunk)
                norms[start : start + CHUNK] = squared_norms_of(points)
                writer.append([points])
        np.save(part.path(f"{group.name}.norms.npy"), norms)
        if graphs:
            approximate_neighbours.save(
                approximate_neighbours.build(part.points(group.name)), part.path(f"{group.name}.faiss")
            )
    items.to_csv(part.path("items.csv"), index=False)
    with part.path("thumbnails.bin").open("wb") as file:
        file.writelines(thumbnails)
    np.save(part.path("thumbnails.npy"), np.cumsum([len(data) for data in thumbnails], dtype=np.int64))
    sizes = {path.name: path.stat().st_size for path in sorted(folder.glob(f"part-{number:04}.*"))}
    sizes.pop(part.path("json").name, None)
    write_text(part.path("json"), json.dumps({"rows": len(items), "files": sizes}) + "\n")
    return part


def _check_finite(chunk: np.ndarray, items: pd.DataFrame, start: int, group: Group) -> None:
    broken = ~np.isfinite(chunk).all(axis=1)
    if broken.any():
        name = items["id"].iloc[start + int(broken.argmax())]
        raise UserError(
            f"descriptors of block {group.block}",
            expected="finite values",
            received=f"NaN or infinity for image {name}",
        )


def _noted(group: Group) -> dict[str, Any]:
    uses = {"search": group.normalization, "reading": group.reading}
    kinds = {use: {"name": normalization.name, "unit": normalization.unit} for use, normalization in uses.items()}
    return {"name": group.name, "block": group.block, "label": group.label, **kinds}


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


def _parts(folder: Path, remedy: str) -> Iterator[Part]:
    notes = sorted(path for path in folder.iterdir() if re.fullmatch(r"part-\d{4,}\.json", path.name))
    for path in notes:
        note = json.loads(path.read_text(encoding="utf-8"))
        for name, size in note["files"].items():
            file = folder / Path(name).name
            if not file.is_file() or file.stat().st_size != size:
                raise UserError(
                    str(file), expected="as it was written", received="a missing or cut file", remedy=remedy
                )
        yield Part(folder, int(path.stem.removeprefix("part-")), note["rows"])
