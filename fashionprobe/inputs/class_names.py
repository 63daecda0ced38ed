"""Names for the classes of a network that does not know them."""

import json
from pathlib import Path
from typing import Any

from fashionprobe.backbones import imagenet
from fashionprobe.errors import UserError

IMAGENET = "imagenet"
MAX_BYTES = 8 * 2**20


def read_class_names(source: str) -> tuple[str, ...]:
    """Return the names of classes, in the order of the outputs of a network.

    Args:
        source: "imagenet", or a file: text with a name per line, or JSON, either a list of names or an object from
            numbers to names, or to lists that end in a name, as Keras keeps those of ImageNet.

    Raises:
        UserError: If there is no such file, it is damaged, or a class has no name or that of another.
    """
    if source == IMAGENET:
        return imagenet.class_names()
    path = Path(source)
    if not path.is_file():
        raise UserError(
            "class_names", expected=f"{IMAGENET} or the path of a file", received=f"{source!r}, which does not exist"
        )
    if path.stat().st_size > MAX_BYTES:
        raise _refused(source, f"of {path.stat().st_size:,} bytes (at most {MAX_BYTES:,} are read)")
    try:
        text = path.read_text(encoding="utf-8-sig")
        names = _of_json(json.loads(text)) if path.suffix.lower() == ".json" else text.splitlines()
    except (ValueError, RecursionError, TypeError, KeyError, IndexError) as error:
        raise _refused(source, "which is damaged, or something else") from error
    names = [name.strip() for name in names]
    while names and not names[-1]:
        names.pop()
    if not names or "" in names:
        raise _refused(source, f"without a name in line {names.index('') + 1}" if names else "which is empty")
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise _refused(source, f"with two classes {twice!r}")
    return tuple(names)


def _of_json(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = [value[str(number)] for number in range(len(value))]
    names = [entry[-1] if isinstance(entry, list) else entry for entry in value]
    if not isinstance(value, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("not names")
    return names


def _refused(source: str, why: str) -> UserError:
    return UserError(
        "class_names", expected="a text file with a name per line, or a JSON list of names",
        received=f"{source!r}, {why}",
    )  # fmt: skip
