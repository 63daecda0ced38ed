"""The archive that a `.keras` file is: its configuration read within bounds, its other members measured."""

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fashionprobe.errors import UserError

CONFIG = "config.json"
WEIGHTS = "model.weights.h5"

MAX_CONFIG_BYTES = 8 * 2**20
"""Largest `config.json` that is read; the largest of `keras.applications` has 1.1 MB."""

MAX_DEPTH = 100
"""Deepest nesting of a configuration; a network without networks inside needs 11 levels, each one inside 5 more."""

BOMB_BYTES, BOMB_RATIO = 64 * 2**20, 100
"""A member that unpacks to more bytes than the first, and to so many times its packed size, is refused: trained weights
shrink by a tenth at most, and Keras does not compress."""

MAX_MEMBERS = 100
"""Most members of an archive; Keras writes three."""


@dataclass(frozen=True)
class Header:
    """What a `.keras` file says of itself, before anything of it is trusted.

    Attributes:
        path: The file.
        config: The configuration of the network, as JSON.
        weights_bytes: Size of the unpacked weights.
    """

    path: Path
    config: dict[str, Any]
    weights_bytes: int


def read(path: Path, *, argument: str = "backbone") -> Header:
    """Read the configuration of a `.keras` file.

    Args:
        path: The file.
        argument: Name of the argument, for the error.

    Raises:
        UserError: If this is not a whole archive that Keras wrote, or its configuration is too large or too deep.
    """
    with opened(path, argument=argument) as archive:
        sizes = {member.filename: member.file_size for member in archive.infolist()}
        if sizes[CONFIG] > MAX_CONFIG_BYTES:
            raise refused(argument, path, f"whose {CONFIG} unpacks to {sizes[CONFIG]:,} bytes (at most "
                          f"{MAX_CONFIG_BYTES:,} are read)")  # fmt: skip
        try:
            # No more than was announced: a header can lie.
            with archive.open(CONFIG) as file:
                content = file.read(MAX_CONFIG_BYTES + 1)
            config = json.loads(content)
        except RecursionError as error:
            raise refused(argument, path, f"whose {CONFIG} is nested too deeply") from error
        except (ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
            raise refused(argument, path, f"whose {CONFIG} cannot be read") from error
    if not isinstance(config, dict) or len(content) > MAX_CONFIG_BYTES:
        raise refused(argument, path, f"whose {CONFIG} does not describe a network")
    if _depth(config) > MAX_DEPTH:
        raise refused(argument, path, f"whose {CONFIG} is nested deeper than {MAX_DEPTH} levels")
    return Header(path, config, sizes[WEIGHTS])


@contextmanager
def opened(path: Path, *, argument: str = "backbone") -> Iterator[zipfile.ZipFile]:
    """Open the archive and check that it holds what Keras writes: a configuration and weights, each once.

    Raises:
        UserError: If it is not an archive, or something is missing or there twice.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise refused(argument, path, "which is damaged, or not a .keras file") from error
    with archive:
        names = archive.namelist()
        if len(names) > MAX_MEMBERS or len(set(names)) < len(names):
            raise refused(argument, path, f"an archive of {len(names):,} members")
        for name in (CONFIG, WEIGHTS):
            if name not in names:
                raise refused(argument, path, f"an archive without {name}")
            member = archive.getinfo(name)
            if member.file_size > max(BOMB_BYTES, BOMB_RATIO * member.compress_size):
                raise refused(argument, path, f"whose {name} unpacks to {member.file_size:,} bytes")
        yield archive


def refused(argument: str, path: Path, why: str, remedy: str = "") -> UserError:
    """Make the error for a file that is not opened."""
    return UserError(
        argument, expected="a .keras file, as `model.save` of Keras 3 writes it",
        received=f"{str(path)!r}, {why}", remedy=remedy,
    )  # fmt: skip


def _depth(value: Any) -> int:
    """Return how many levels of lists and objects are nested, at most one more than `MAX_DEPTH`."""
    level, depth = [value], 0
    while level and depth <= MAX_DEPTH:
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        depth += 1
    return depth
