"""A folder or a zip file, read in the same way: names in, bytes out."""

import hashlib
import itertools
import os
import time
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from fashionprobe.errors import UserError
from fashionprobe.records.image_files.info import MAX_BYTES, BadImage


class FileTree:
    """The files below a folder or inside a zip file.

    Nothing is ever unpacked to disk, and only names that the tree lists can be read, so no name reaches outside it.

    Args:
        path: A folder or a zip file.

    Attributes:
        sizes: Size in bytes of each file, by its name with forward slashes; hidden files are left out. Bytes of a
            name that are no UTF-8 stand as backslash escapes. Names are in NFC, however an archive from a Mac spells
            them; of two files whose names are then the same, the second is called `1 (2).jpg`.

    Raises:
        UserError: If `path` is neither a folder nor a readable zip file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._zip = None
        if self.path.is_dir():
            found = dict(sorted(_walk(str(self.path))))
            self._places = _distinct(found)
            self.sizes = {name: found[place] for name, place in self._places.items()}
        elif self.path.is_file():
            self._zip = _open_zip(self.path)
            entries = (entry for entry in self._zip.infolist() if not entry.is_dir())
            found = dict(sorted((entry.filename, entry.file_size) for entry in entries if not _hidden(entry.filename)))
            self._places = _distinct(found)
            self.sizes = {name: found[place] for name, place in self._places.items()}
        else:
            raise UserError(
                "path", expected="a folder or a zip file", received=f"{str(path)!r}, which does not exist",
                remedy="Check the spelling of the path.",
            )  # fmt: skip

    def place(self, name: str) -> str:
        """Return the path of a file of a folder, spelled as the file system has it."""
        return os.path.join(self.path, self._places[name])

    def read(self, name: str) -> bytes:
        """Return the bytes of one file, at most one more than an image may have.

        Raises:
            BadImage: If the file cannot be read, for example because the zip file is damaged there.
        """
        if name not in self.sizes:
            raise BadImage("no such file")
        try:
            if self._zip is None:
                with open(self.place(name), "rb", buffering=0) as file:
                    # Asked for more than there is, Python makes room for all of it.
                    return file.read(min(os.fstat(file.fileno()).st_size, MAX_BYTES) + 1)
            with self._zip.open(self._places[name]) as file:
                return file.read(MAX_BYTES + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise BadImage(f"damaged in the zip file ({error})") from error
        except OSError as error:
            raise BadImage(f"unreadable ({error.strerror})") from error

    def contents(self, names: Sequence[str]) -> list[str]:
        """Return a key for each of these files: the same bytes give the same key.

        The key is size and CRC-32, which a zip file lists. In a folder only files of the same size are read. Two
        different files with one key are next to impossible, and harmless: they are only kept together.
        """
        if self._zip is not None:
            entries = (self._zip.getinfo(self._places[name]) for name in names)
            return [f"{entry.file_size} {entry.CRC:08x}" for entry in entries]
        sizes = Counter(self.sizes[name] for name in names)
        return [
            f"{self.sizes[name]} {self._checksum(name)}" if sizes[self.sizes[name]] > 1 else f"{self.sizes[name]}"
            for name in names
        ]

    def _checksum(self, name: str) -> str:
        try:
            return f"{zlib.crc32(self.read(name)):08x}"
        except BadImage:
            return name  # it will be skipped when it is to be packed

    def newer(self, seconds: float) -> list[str]:
        """Return the names of the files that were written after a time, in seconds since 1970.

        Of a zip file these are the entries with a later date, which it holds to two seconds.
        """
        if self._zip is None:
            return [name for name in self._places if _written(self.place(name)) > seconds]
        dates = {name: self._zip.getinfo(place).date_time for name, place in self._places.items()}
        return [name for name, date in dates.items() if time.mktime((*date, 0, 0, -1)) > seconds]

    def fingerprint(self, *contents: str) -> str:
        """Return the SHA-256 of all names and sizes, and of the contents of the named files."""
        listing = "\n".join(f"{name}\t{size}" for name, size in self.sizes.items())
        return hashlib.sha256(b"\0".join([listing.encode(), *map(self.read, contents)])).hexdigest()


def _walk(root: str) -> list[tuple[str, int]]:
    """List (name relative to root, size) of all files below a folder, links to folders not followed."""
    found, pending = [], [""]
    while pending:
        below = pending.pop()
        with os.scandir(os.path.join(root, below)) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{below}{entry.name}/")
                elif entry.is_file():
                    found.append((below + entry.name, entry.stat().st_size))
    return found


def _distinct(places: Iterable[str]) -> dict[str, str]:
    """Return each file's place by its name: as text that can be written in UTF-8, in NFC, and no two the same."""
    found: dict[str, str] = {}
    for place in places:
        # On Linux a name may be any bytes.
        plain = place.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        name = plain = unicodedata.normalize("NFC", plain)
        for number in itertools.count(2):
            if name not in found:
                break
            stem, suffix = os.path.splitext(plain)
            name = f"{stem} ({number}){suffix}"
        found[name] = place
    return found


def _written(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _hidden(name: str) -> bool:
    # Zip files made on a Mac carry a second, hidden copy of every file.
    return name.startswith("__MACOSX/") or any(part.startswith(".") for part in name.split("/"))


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise UserError(
            "path", expected="a folder or a zip file", received=f"{str(path)!r}, which is neither ({error})",
            remedy="Download it again if it was cut short.",
        ) from error  # fmt: skip
