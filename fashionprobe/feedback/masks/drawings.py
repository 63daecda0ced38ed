"""Masks while they are drawn: one note and one PNG file per image, which change all the time and are never lost.

Beside a run's artifacts and none itself: `fashionprobe masks --source app` makes one of it. A save says which version
it was drawn on; where another person saved meanwhile, the newcomer is kept beside it until somebody chooses. The note
is written last and whole, so a killed process leaves the version before or the one after, and readers need no lock.
"""

import hashlib
import io
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fashionprobe.artifacts import locked, write_bytes
from fashionprobe.errors import UserError
from fashionprobe.feedback.masks.files import read_png

FOLDER = "marks"
"""Folder of a run that holds them."""

FORMAT = 1
PATIENCE = 10.0
"""Seconds that a save waits for another one."""

MAX_NOTE = 2000
"""Characters of a note."""


@dataclass(frozen=True)
class Version:
    """One version of a mask.

    Attributes:
        version: Its name, made of what it holds; "" for nothing at all.
        file: Name of the PNG file; "" for a note without a mask.
        author: Who drew it.
        time: When, ISO 8601 in UTC.
        note: Why.
        share: The masked part of the picture, in [0, 1].
    """

    version: str = ""
    file: str = ""
    author: str = ""
    time: str = ""
    note: str = ""
    share: float = 0.0


@dataclass(frozen=True)
class Mark:
    """What is kept about one image.

    Attributes:
        id: Id of its record.
        label: Class of the record; "" when it has none.
        now: The version that counts.
        others: Versions that were drawn at the same time by others, and that nobody has settled yet.
    """

    id: str
    label: str
    now: Version = Version()
    others: tuple[Version, ...] = ()


@dataclass(frozen=True)
class SaveOutcome:
    """What became of a save.

    Attributes:
        mark: What is kept now.
        clash: Whether another version counts, because it was saved first; this one is among the others.
        version: Name of the version that was saved.
    """

    mark: Mark
    clash: bool
    version: str


def save(
    folder: Path, id: str, label: str, mask: np.ndarray, *, author: str, note: str, base: str,
    settles: Collection[str] = (),
) -> SaveOutcome:  # fmt: skip
    """Keep a mask.

    Args:
        folder: The folder; made when it is not there.
        id: Id of the record.
        label: Its class.
        mask: bool (height, width) in the size of the upright picture; an empty one takes the mask away.
        author: Who drew it.
        note: Why.
        base: The version that it was drawn on.
        settles: Versions among the others that were looked at and need not be kept.

    Returns:
        What is kept, and whether it clashed with another version.

    Raises:
        UserError: If a file is damaged, or another process holds the folder.
        OSError: If the disk is full or the folder may not be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    new = _version(id, mask, author, " ".join(note.split())[:MAX_NOTE])
    with locked(folder, patience=PATIENCE):
        there = load(folder, id) or Mark(id, label)
        others = tuple(each for each in there.others if each.version not in settles)
        if new.file and not (folder / new.file).is_file():
            write_bytes(folder / new.file, _png(mask))
        # A deleted version never discards another person's mask.
        if there.now.version in ("", base, new.version):
            now = there.now if there.now.version == new.version else new
            kept = replace(there, label=label, now=now, others=others)
        else:
            others = (*(each for each in others if each.version != new.version), new)
            kept = replace(there, others=others)
        _publish(folder, kept)
    return SaveOutcome(kept, kept.now.version != new.version, new.version)


def load(folder: Path, id: str) -> Mark | None:
    """Return what is kept about an image; None for nothing.

    Raises:
        UserError: If its note is damaged.
    """
    return _read(folder / f"{_stem(id)}.json")


def load_all(folder: Path) -> Iterator[Mark]:
    """Yield what is kept about each image, in the order of the files' names.

    Raises:
        UserError: If a note is damaged.
    """
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        found = None if path.name.startswith(".") else _read(path)
        if found:
            yield found


def mask_of(folder: Path, version: Version) -> np.ndarray | None:
    """Return a mask, bool (height, width); None for a version without one, or one that was replaced meanwhile.

    Raises:
        UserError: If the file is not a mask.
    """
    path = folder / Path(version.file).name
    return read_png(path) if version.file and path.is_file() else None


def _read(path: Path) -> Mark | None:
    remedy = "Delete that file, and mark the image again."
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        if note["format"] != FORMAT:
            raise UserError(str(path), expected=f"format {FORMAT}", received=note["format"], remedy=remedy)
        now, others = Version(**note["now"]), tuple(Version(**each) for each in note["others"])
        return Mark(str(note["id"]), str(note["label"]), now, others)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, UserError):
            raise
        received = f"a damaged file ({error})"
        raise UserError(str(path), expected="a note of a mask", received=received, remedy=remedy) from error


def _publish(folder: Path, mark: Mark) -> None:
    """Write the note, then remove the files that no version has any more."""
    stem = _stem(mark.id)
    if mark.now.version or mark.others:
        note: dict[str, Any] = {"format": FORMAT, **asdict(mark)}
        write_bytes(folder / f"{stem}.json", (json.dumps(note, indent=1, ensure_ascii=False) + "\n").encode())
    else:
        (folder / f"{stem}.json").unlink(missing_ok=True)
    kept = {each.file for each in (mark.now, *mark.others)}
    for path in folder.glob(f"{stem}.*.png"):
        if path.name not in kept:
            path.unlink(missing_ok=True)


def _version(id: str, mask: np.ndarray, author: str, note: str) -> Version:
    mask = np.asarray(mask, bool)
    time = datetime.now(UTC).isoformat(timespec="seconds")
    if not mask.any() and not note:
        return Version(author=author, time=time)
    drawn = hashlib.sha256(f"{mask.shape}\0".encode() + np.packbits(mask).tobytes())
    # Two people who draw the same have drawn the same; a note more is another version.
    name = hashlib.sha256(drawn.digest() + note.encode()).hexdigest()[:16]
    file = f"{_stem(id)}.{drawn.hexdigest()[:16]}.png" if mask.any() else ""
    return Version(name, file, author, time, note, round(float(mask.mean()), 6))


def _png(mask: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _stem(id: str) -> str:
    """Return a file name that any id may have; the hash keeps ids apart that look alike."""
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '_', id)[:60]}.{hashlib.sha256(id.encode()).hexdigest()[:12]}"
