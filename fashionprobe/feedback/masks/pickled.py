"""Masks in the pickled dictionaries of old experiments, read without running anything that the file names."""

import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.feedback.masks.files import Found, binary

EXPECTED = "a pickled dictionary {id: mask} or {id: {'mask': mask, ...}} of NumPy arrays and plain values"


def read_pickle(path: Path) -> list[Found]:
    """Read the masks of a pickled dictionary.

    A pickle may name any function of any module to be called while it is read. Here no name of the file is ever
    looked up: the few that NumPy writes for arrays stand for functions of this module, all others are refused.

    Args:
        path: The file. Pickles of Python 2, and of NumPy 1 and 2, are read.

    Returns:
        The masks by what the dictionary calls the images; a mask holds 0 and 1, 0 and 255, or bools.

    Raises:
        UserError: If the file holds anything else.
    """
    if not path.is_file():
        raise UserError("path", expected=EXPECTED, received=f"'{path}', which is not a file")
    try:
        with path.open("rb") as file:
            content = _Unpickler(file, encoding="latin1").load()
    except UserError:
        raise
    except Exception as error:  # a damaged pickle may raise nearly anything
        raise UserError(str(path), expected=EXPECTED, received=f"a file that cannot be read ({error})") from error
    if not isinstance(content, Mapping):
        raise UserError(str(path), expected=EXPECTED, received=f"a {type(content).__name__}")
    return [(str(name), _mask(path, name, value)) for name, value in content.items()]


def _mask(path: Path, name: object, value: object) -> np.ndarray:
    found = value.get("mask") if isinstance(value, Mapping) else value
    if isinstance(found, _Array):
        found = found.values
    if not isinstance(found, np.ndarray):
        received = f"a {type(found).__name__} for image {name}"
        raise UserError(str(path), expected=EXPECTED, received=received)
    flat = found[..., 0] if found.ndim == 3 and found.shape[-1] == 1 else found
    if flat.ndim != 2 or not flat.size or flat.dtype.kind not in "biuf":
        received = f"{found.dtype} {list(found.shape)} for image {name}"
        raise UserError(str(path), expected="masks (height, width)", received=received)
    expected = "masks of bools, of 0 and 1, or of 0 and 255"
    try:
        return binary(flat, str(path), (1, 255), expected=expected)
    except UserError as error:
        received = f"{str(error).split('Received: ')[-1].rstrip('.')} for image {name}"
        raise UserError(str(path), expected=expected, received=received) from error


class _Unpickler(pickle.Unpickler):
    """Knows the names of arrays and plain containers; what they stand for is below."""

    def find_class(self, module: str, name: str) -> Any:
        place = re.sub(r"^numpy\._?core\.", "numpy.core.", module)
        known = _KNOWN.get((place, name))
        if known is None:
            raise UserError("path", expected=EXPECTED, received=f"one that wants to use {module}.{name}")
        # A wrapper of its own for each use: a pickle may also set attributes of what it was given.
        return lambda *given: known(*given)


class _Type:
    """Stands for a NumPy dtype while a pickle is read."""

    def __init__(self, text: str, *_: object) -> None:
        if not isinstance(text, str) or not re.fullmatch(r"b1|[iuf][1248]|[US]\d{1,6}|bool", text):
            raise UserError("path", expected=EXPECTED, received=f"an array of {text!r}")
        self.type = np.dtype(text)

    def __setstate__(self, state: tuple) -> None:
        order = state[1]
        if order in ("<", ">"):
            self.type = self.type.newbyteorder(order)


class _Array:
    """Stands for a NumPy array while a pickle is read; `values` are there when its state is."""

    values: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, is_fortran, data = state
        self.values = _frombuffer(data, kind, shape, "F" if is_fortran else "C").values


def _frombuffer(data: Any, kind: _Type, shape: tuple[int, ...], order: str) -> _Array:
    """Return the array of these bytes; Python 2 wrote them as text."""
    array = _Array()
    raw = data.encode("latin1") if isinstance(data, str) else bytes(data)
    array.values = np.frombuffer(raw, kind.type).reshape(shape, order="F" if order == "F" else "C")
    return array


def _scalar(kind: _Type, data: Any = b"") -> Any:
    """Return a NumPy scalar as a plain value."""
    return _frombuffer(data, kind, (1,), "C").values[0].item()  # pyright: ignore[reportOptionalSubscript]


def _encode(text: str, *_: object) -> bytes:
    """Return the bytes that protocols 0 to 2 write as text."""
    return text.encode("latin1")


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): lambda *_: _Array(),
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): dict,
    ("collections", "defaultdict"): lambda *_: {},
    **{
        (module, kind.__name__): kind for module in ("builtins", "__builtin__") for kind in (set, frozenset, list, dict)
    },
}
