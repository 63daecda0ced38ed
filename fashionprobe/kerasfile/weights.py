"""Weights in HDF5: checked for links out of the file and for sizes that it only announces."""

import os
from pathlib import Path
from typing import IO, Any

from fashionprobe.errors import UserError

MAX_OBJECTS = 100_000
"""Most groups and data sets of a file; the largest of `keras.applications` has 4,000."""

MAX_BYTES = 16 * 10**9
"""Largest size of all data sets together, unpacked."""

BOMB_BYTES, BOMB_RATIO = 64 * 2**20, 100
"""A data set of more bytes than the first that takes less than so small a part of them in the file is refused."""


def check(file: Path | IO[bytes], *, shown: Path, argument: str = "weights", most: int = MAX_BYTES) -> None:
    """Check a file of weights before Keras reads it: Keras follows its links and reserves what it announces.

    Args:
        file: The file, or where it is a member of an archive, its bytes to read from.
        shown: The path to name in an error.
        argument: Name of the argument, for the error.
        most: Largest size of all data sets together, in bytes.

    Raises:
        UserError: If it is not HDF5, refers to other files, or holds more than it should.
    """
    import h5py

    def refuse(why: str) -> UserError:
        return UserError(
            argument, expected="a file of weights that holds its own numbers, as Keras writes it",
            received=f"{str(shown)!r}, {why}",
        )  # fmt: skip

    try:
        with h5py.File(file, "r") as opened:
            _walk(opened, most, refuse)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        if isinstance(error, UserError):
            raise
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise
        raise refuse("which is damaged, or not HDF5") from error


def _walk(root: Any, most: int, refuse: Any) -> None:
    """Look at each object once, whatever links lead to it."""
    import h5py
    from h5py import h5o  # pyright: ignore[reportAttributeAccessIssue]

    seen, total, waiting = set(), 0, [root]
    while waiting:
        group = waiting.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise refuse(f"with a link from {_shown(group.name, name)} to another place")
            found = group[name]
            address = h5o.get_info(found.id).addr
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > MAX_OBJECTS:
                raise refuse(f"with more than {MAX_OBJECTS:,} groups and data sets")
            if isinstance(found, h5py.Group):
                waiting.append(found)
            elif isinstance(found, h5py.Dataset):
                if found.external or found.is_virtual:
                    raise refuse(f"whose {_shown(group.name, name)} is in another file")
                size = found.size * found.dtype.itemsize if found.shape is not None else 0
                if size > max(BOMB_BYTES, BOMB_RATIO * found.id.get_storage_size()):
                    raise refuse(f"whose {_shown(group.name, name)} unpacks to {size:,} bytes")
                total += size
                if total > most:
                    raise refuse(f"with {total:,} bytes of weights or more (at most {most:,})")
            else:
                raise refuse(f"whose {_shown(group.name, name)} is neither a group nor numbers")


def _shown(group: str | None, name: str) -> str:
    text = os.path.join(group or "/", name)
    text = text if len(text) <= 80 else text[:77] + "..."
    return text if text.isprintable() else ascii(text)
