"""Writes an index and changes it: every change is a part, which counts once its note is there."""

import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fashionprobe.artifacts import write_text
from fashionprobe.attributes import approximate_neighbours
from fashionprobe.attributes.index import CHUNK, FORMAT, NOTE, Group, Index, Part, notes_of
from fashionprobe.attributes.joined import Joined
from fashionprobe.attributes.neighbours import squared_norms_of
from fashionprobe.backbones.pooling import Block
from fashionprobe.errors import UserError
from fashionprobe.npy import RowWriter


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


def write_part(
    folder: Path,
    number: int,
    groups: Sequence[Group],
    descriptors: Mapping[Block, np.ndarray | Joined],
    items: pd.DataFrame,
    thumbnails: Sequence[bytes],
    *,
    graphs: bool = False,
    removes: Iterable[tuple[int, int]] = (),
) -> Part:
    """Write images as a part; it counts once its note is there.

    Args:
        folder: The folder of the index.
        number: Number of the part.
        groups: The groups of the index.
        descriptors: Descriptors by block, float32 (rows, channels), not normalized; may be memory maps.
        items: id and other columns of the images.
        thumbnails: One JPEG file per image; empty where there is none.
        graphs: Whether to build graphs for approximate search, too; this needs faiss.
        removes: Number of the part and row in it of images that go, such as those that new ones update.

    Raises:
        UserError: If a descriptor is not finite.
    """

    def points(group: Group) -> Iterator[np.ndarray]:
        for start in range(0, len(items), CHUNK):
            chunk = descriptors[group.block][start : start + CHUNK]
            _check_finite(chunk, items, start, group)
            yield group.normalization(chunk)

    part = Part(folder, number, len(items), _by_part(removes))
    _write(part, {group.name: points(group) for group in groups}, items, thumbnails, graphs)
    return part


def remove(index: Index, rows: Sequence[int]) -> Part:
    """Take images out of an index: their rows stay on disk until it is made compact, and are not found.

    Args:
        index: The index, as it is now; whoever calls holds its lock.
        rows: Rows of the images, as `Index.row` returns them.
    """
    part = Part(index.folder, index.next_number, 0, _by_part(index.locate(row) for row in rows))
    _clear(part)
    _note(part)
    return part


def compact(index: Index) -> Part | None:
    """Write all living images of an index as one part, in place of all others; None if there is nothing to gain.

    The files of the others are still there, as `replaced` lists them.

    Args:
        index: The index, as it is now; whoever calls holds its lock.
    """
    if len(index.changes) <= 1 and index.alive.all():
        return None

    def points(group: str) -> Iterator[np.ndarray]:
        start = 0
        for part in index.parts:
            for first in range(0, part.rows, CHUNK):
                chunk = slice(first, min(first + CHUNK, part.rows))
                yield part.points(group)[chunk][index.alive[start:][chunk]]
            start += part.rows

    rows = np.flatnonzero(index.alive)
    part = Part(index.folder, index.next_number, len(rows), replaces=True)
    graphs = any(each.graph(group) is not None for each in index.parts for group in index.groups)
    thumbnails = (index.thumbnail(int(row)) for row in rows)
    _write(part, {name: points(name) for name in index.groups}, index.items.iloc[rows], thumbnails, graphs)
    return part


def replaced(folder: Path) -> list[Path]:
    """Return the files of parts that a later one stands for, the notes first."""
    notes = notes_of(folder)
    last = max((number for number, note in notes.items() if note.get("replaces")), default=0)
    files = [path for number in notes if number < last for path in folder.glob(f"part-{number:04}.*")]
    return sorted(files, key=lambda path: path.suffix != ".json")


def _by_part(places: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for number, row in places:
        found.setdefault(number, []).append(row)
    return found


def _clear(part: Part) -> None:
    """Delete what is there of a part, its note first."""
    part.path("json").unlink(missing_ok=True)
    for path in part.folder.glob(f"part-{part.number:04}.*"):
        path.unlink()


def _write(
    part: Part, points: Mapping[str, Iterator[np.ndarray]], items: pd.DataFrame, thumbnails: Iterable[bytes],
    graphs: bool,
) -> None:  # fmt: skip
    """Write the files of a part, and its note last."""
    _clear(part)  # what a killed writer left
    for group, chunks in points.items():
        first = next(chunks, None)
        if first is None:
            continue
        norms: list[np.ndarray] = []
        columns = {part.path(f"{group}.npy").name: first.shape[1]}
        with RowWriter(part.folder, columns, part.rows, step=CHUNK) as writer:
            for chunk in itertools.chain([first], chunks):
                norms.append(squared_norms_of(chunk))
                writer.append([chunk])
        np.save(part.path(f"{group}.norms.npy"), np.concatenate(norms))
        if graphs and part.rows:
            approximate_neighbours.save(approximate_neighbours.build(part.points(group)), part.path(f"{group}.faiss"))
    items.to_csv(part.path("items.csv"), index=False)
    sizes = []
    with part.path("thumbnails.bin").open("wb") as file:
        for data in thumbnails:
            sizes.append(file.write(data))
    np.save(part.path("thumbnails.npy"), np.cumsum(sizes, dtype=np.int64))
    _note(part)


def _note(part: Part) -> None:
    """Write the note of a part, from which on it counts."""
    sizes = {path.name: path.stat().st_size for path in sorted(part.folder.glob(f"part-{part.number:04}.*"))}
    note = {"rows": part.rows, "files": sizes}
    # Not where there is none: earlier versions read those parts, too.
    note |= {"removes": part.removes} if part.removes else {}
    note |= {"replaces": True} if part.replaces else {}
    write_text(part.path("json"), json.dumps(note) + "\n")


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
