"""Classes that a person added, or took away, on disk: one small file each, beside the index and never inside it.

A class is kept as the descriptors of its images, of every block and not normalized, so that it outlives the index: a
new one, of other blocks, learns it again. A file appears whole or not at all; readers need no lock.
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fashionprobe.artifacts import write_bytes
from fashionprobe.backbones.pooling import Block, Source
from fashionprobe.errors import UserError

FORMAT = 1
ADDED, REMOVED = ".npz", ".removed.json"


@dataclass(frozen=True)
class AddedClass:
    """A class that was added.

    Attributes:
        group: Its group.
        name: Its name.
        ids: Where its images came from: ids, or names of files.
        weights_sha256: Of the network that described them.
        descriptors: Descriptors by block, float32 (images, channels), not normalized.
    """

    group: str
    name: str
    ids: tuple[str, ...]
    weights_sha256: str
    descriptors: dict[Block, np.ndarray]


def save(folder: Path, added: AddedClass) -> Path:
    """Write a class; one of the same group and name is replaced.

    Raises:
        UserError: If a descriptor is not finite.
    """
    for block, matrix in added.descriptors.items():
        broken = ~np.isfinite(matrix).all(axis=1)
        if broken.any():
            raise UserError(
                f"descriptors of block {block}", expected="finite values",
                received=f"NaN or infinity for image {added.ids[int(broken.argmax())]}",
            )  # fmt: skip
    note = {
        "format": FORMAT, "group": added.group, "name": added.name, "ids": list(added.ids),
        "weights_sha256": added.weights_sha256,
    }  # fmt: skip
    buffer = io.BytesIO()
    arrays = {f"block{block}": np.asarray(matrix, np.float32) for block, matrix in added.descriptors.items()}
    np.savez(buffer, allow_pickle=False, note=np.array(json.dumps(note)), **arrays)
    return _write(folder, _stem(added.group, added.name) + ADDED, buffer.getvalue())


def remove(folder: Path, group: str, name: str) -> None:
    """Take a class away: one that was added, and one that the index came with."""
    note = json.dumps({"format": FORMAT, "group": group, "name": name}, ensure_ascii=False)
    # First the note, so that a class of the index does not come back for a moment.
    _write(folder, _stem(group, name) + REMOVED, note.encode())
    (folder / (_stem(group, name) + ADDED)).unlink(missing_ok=True)


def read(folder: Path) -> tuple[list[AddedClass], set[tuple[str, str]]]:
    """Return the classes that were added, sorted by group and name, and (group, name) of those taken away.

    Raises:
        UserError: If a file is damaged, or another version wrote it.
    """
    added, removed = [], set()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            if path.name.endswith(REMOVED) and not path.name.startswith("."):
                note = _checked(path, json.loads(path.read_text(encoding="utf-8")))
                removed.add((note["group"], note["name"]))
            elif path.name.endswith(ADDED) and not path.name.startswith("."):
                added.append(_added(path))
        except FileNotFoundError:
            # Another process took it away since the folder was listed.
            continue
        except (ValueError, KeyError, TypeError, OSError, zipfile.BadZipFile) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(
                str(path), expected="a class as it was written", received=f"a damaged file ({error})",
                remedy="Delete that file, and add the class again.",
            ) from error  # fmt: skip
    added.sort(key=lambda each: (each.group, each.name))
    return added, removed - {(each.group, each.name) for each in added}


def learned_from(added: AddedClass, block: Block, weights_sha256: str) -> np.ndarray:
    """Return the descriptors of a class at a block.

    Raises:
        UserError: If another network described its images, or not at this block.
    """
    remedy = f"Add it again: fashionprobe attribute add {added.name} --group {added.group} --overwrite --images ..."
    if added.weights_sha256 != weights_sha256:
        raise UserError(
            f"class {added.name}", expected=f"described by the network of the index ({weights_sha256[:12]})",
            received=f"one of another network ({added.weights_sha256[:12]})", remedy=remedy,
        )  # fmt: skip
    source = Source.of(block)
    parts = [replace(source, blocks=(number,)).key for number in source.blocks]
    if not all(part in added.descriptors for part in parts):
        raise UserError(
            f"class {added.name}", expected=f"described at block {block}",
            received=f"one of block {', '.join(map(str, added.descriptors))}", remedy=remedy,
        )  # fmt: skip
    return np.concatenate([added.descriptors[part] for part in parts], axis=1)


def names_of(added: Sequence[AddedClass], group: str) -> list[str]:
    """Return the names of the classes that were added to a group."""
    return [each.name for each in added if each.group == group]


def _stem(group: str, name: str) -> str:
    """Return a file name that any name of a class may have; the hash keeps names apart that look alike."""
    plain = re.sub(r"[^\w-]+", "_", name)[:40]
    return f"{group}.{plain}.{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _write(folder: Path, name: str, data: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / name, data)
    return folder / name


def _added(path: Path) -> AddedClass:
    # Not pickled, whatever a stranger's file says. Read first: of a damaged file NumPy would leave the handle open.
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
        note = _checked(path, json.loads(str(arrays["note"])))
        names = [name for name in arrays.files if name.startswith("block")]
        blocks = {Source.of(name.removeprefix("block")).key: arrays[name] for name in names}
    return AddedClass(note["group"], note["name"], tuple(note["ids"]), note["weights_sha256"], blocks)


def _checked(path: Path, note: Mapping) -> Mapping:
    if note.get("format") != FORMAT:
        raise UserError(
            str(path), expected=f"a class of format {FORMAT}", received=f"format {note.get('format')}",
            remedy="Another version of fashionprobe wrote it: delete it, and add the class again.",
        )  # fmt: skip
    return note
