"""State dicts in files of torch, read without torch and without the machine that runs pickles.

A pickle is a program. Here its instructions are read as data: those that build numbers, text, tuples, lists and dicts
are followed, of names only those in `STORAGES` and `_CALLS` are known, and nothing is imported or called. Both formats
are read: the zip of today and the *legacy* one, three pickles of greetings, that of the dict, the list of its storages
and then their numbers.

Reference:
    The formats are those of `torch.save`, https://pytorch.org/docs/stable/notes/serialization.html.
"""

import io
import math
import mmap
import pickletools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fashionprobe.errors import UserError

STORAGES = {
    "torch FloatStorage": "<f4", "torch DoubleStorage": "<f8", "torch HalfStorage": "<f2", "torch LongStorage": "<i8",
    "torch IntStorage": "<i4", "torch ShortStorage": "<i2", "torch CharStorage": "<i1", "torch ByteStorage": "<u1",
    "torch BoolStorage": "?",
}  # fmt: skip
"""The kinds of storage by their names in a pickle, as types of NumPy; all numbers are little-endian."""

MAX_PICKLE_BYTES = 16 * 2**20
"""Most bytes of one pickle; that of ResNet-152 has 180,000."""

MAX_BYTES = 8 * 10**9
"""Largest file that is read."""

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""What a legacy file begins with."""


@dataclass(frozen=True)
class _Name:
    """A name in a pickle that is known; it is never looked up."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """Numbers that stand elsewhere in the file."""

    dtype: str
    key: str
    count: int

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.count * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class _View:
    """A tensor: a strided view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """Return the tensor, copied out of the numbers of its storage."""
        last = self.offset + sum((size - 1) * step for size, step in zip(self.shape, self.strides, strict=True))
        if min((self.offset, *self.shape, *self.strides)) < 0 or math.prod(self.shape) > len(numbers):
            raise ValueError("a tensor larger than its storage")
        if math.prod(self.shape) and last >= len(numbers):
            raise ValueError("a tensor that reaches out of its storage")
        steps = [step * numbers.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, steps).copy()


def read(path: Path, *, argument: str = "weights") -> dict[str, np.ndarray]:
    """Read a state dict.

    Args:
        path: A `.pth` or `.pt` file; a dict of tensors, or one that holds it as `state_dict`.
        argument: Name of the argument, for the error.

    Returns:
        The arrays by their names in torch, in the order of the file; without the prefix `module.` of data parallel
        training.

    Raises:
        UserError: If it is something else, names anything beyond tensors, is damaged, or too large.

    Example:
        weights = torchfile.read(Path("resnet18-f37072fd.pth"))["fc.weight"]
    """
    if path.stat().st_size > MAX_BYTES:
        raise _refused(argument, path, f"of {path.stat().st_size:,} bytes (at most {MAX_BYTES:,} are read)")
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            views, numbers = (_zip if zipfile.is_zipfile(path) else _legacy)(path, data)
            arrays = {name: view.of(numbers(view.storage)) for name, view in views.items()}
            # The numbers may be views of the file, which is closed here.
            del numbers
    except _Unknown as error:
        raise _refused(argument, path, f"which holds {error}") from error
    except (
        ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, EOFError, zipfile.BadZipFile,
        NotImplementedError, RuntimeError, StopIteration,
    ) as error:  # fmt: skip
        raise _refused(argument, path, "which is damaged, or not a state dict of torch") from error
    if not arrays:
        raise _refused(argument, path, "without a single tensor")
    return arrays


class _Unknown(Exception):
    """Something that a state dict has no need of."""


_Numbers = Callable[[_Storage], np.ndarray]


def _legacy(path: Path, data: mmap.mmap) -> tuple[dict[str, _View], _Numbers]:
    if [_Pickle(data).value(), _Pickle(data).value()] != [MAGIC, PROTOCOL]:
        raise ValueError("another format")
    if not _Pickle(data).value()["little_endian"]:
        raise ValueError("big-endian numbers")
    pickled = _Pickle(data)
    views, starts = _tensors(pickled.value()), {}
    for key in _Pickle(data).value():
        storage = pickled.storages[key]
        if int.from_bytes(data.read(8), "little") != storage.count:
            raise ValueError("a storage of another size")
        starts[key] = data.tell()
        data.seek(storage.size, 1)

    def numbers(storage: _Storage) -> np.ndarray:
        start = starts[storage.key]
        return np.frombuffer(data[start : start + storage.size], storage.dtype)

    return views, numbers


def _zip(path: Path, data: mmap.mmap) -> tuple[dict[str, _View], _Numbers]:
    archive = zipfile.ZipFile(path)
    [pickled] = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
    folder = pickled.rpartition("/")[0]

    def member(name: str, most: int) -> bytes:
        found = archive.getinfo(name)
        # torch never packs: what is packed may unpack to anything.
        if found.compress_type != zipfile.ZIP_STORED or found.file_size > most:
            raise ValueError("a member of another size")
        return archive.read(found)

    if f"{folder}/byteorder" in archive.namelist() and member(f"{folder}/byteorder", 16) != b"little":
        raise ValueError("big-endian numbers")
    views = _tensors(_Pickle(io.BytesIO(member(pickled, MAX_PICKLE_BYTES))).value())

    def numbers(storage: _Storage) -> np.ndarray:
        return np.frombuffer(member(f"{folder}/data/{storage.key}", storage.size), storage.dtype, storage.count)

    return views, numbers


def _tensors(value: Any) -> dict[str, _View]:
    """Return the tensors of a state dict by name."""
    value = value.get("state_dict", value)
    return {name.removeprefix("module."): view for name, view in value.items() if isinstance(view, _View)}


def _storage(_: str, kind: _Name, key: str, place: str, count: int, *view: None) -> _Storage:
    if any(each is not None for each in view) or not (isinstance(key, str) and isinstance(count, int) and count >= 0):
        raise ValueError("a storage that is part of another")
    return _Storage(STORAGES[kind.name], key, count)


def _rebuild_tensor(storage: _Storage, offset: int, shape: tuple, strides: tuple, *_: Any) -> _View:
    if not isinstance(storage, _Storage) or not all(isinstance(each, int) for each in (offset, *shape, *strides)):
        raise ValueError("a tensor of something else")
    return _View(storage, offset, shape, strides)


def _ordered(pairs: Any = ()) -> dict[str | int, Any]:
    return {_key(key): value for key, value in pairs}


def _key(key: Any) -> str | int:
    """Let only names be keys: the hash of tuples within tuples can take for ever."""
    if not isinstance(key, str | int):
        raise ValueError("a key that is not a name")
    return key


_CALLS: dict[str, Callable[..., Any]] = {
    "collections OrderedDict": _ordered,
    "torch._utils _rebuild_tensor": _rebuild_tensor,
    "torch._utils _rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils _rebuild_parameter": lambda view, *_: view,
}
"""What a state dict calls, and what is done in its place."""


class _Pickle:
    """One pickle, from the place where a file stands to its end; the file then stands behind it."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.storages: dict[str, _Storage] = {}
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def value(self) -> Any:
        """Return what it builds."""
        start = self.file.tell()
        window = io.BytesIO(self.file.read(MAX_PICKLE_BYTES))
        for instruction, argument, _ in pickletools.genops(window):
            self._follow(instruction.name, argument)
        self.file.seek(start + window.tell())
        return self._stack.pop()

    def _follow(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            stack.append(argument)
        elif name in _BUILDERS:
            stack.append(_BUILDERS[name]())
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self._memo[argument])
        elif name == "TUPLE":
            stack.append(self._since_mark())
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(self._last(int(name[-1])))
        elif name in ("APPEND", "APPENDS"):
            items = self._last(1) if name == "APPEND" else self._since_mark()
            stack[-1].extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            self._set_items(self._last(2) if name == "SETITEM" else self._since_mark())
        elif name not in ("PROTO", "FRAME", "STOP"):
            self._call(name, argument)

    def _call(self, name: str, argument: Any) -> None:
        """Follow an instruction by which a pickle could run code."""
        stack = self._stack
        if name == "GLOBAL":
            stack.append(_known(argument))
        elif name == "STACK_GLOBAL":
            stack.append(_known(" ".join(self._last(2))))
        elif name == "REDUCE":
            call, arguments = self._last(2)
            if call.name not in _CALLS:
                raise _Unknown(f"a call of {call.name.replace(' ', '.')}")
            stack.append(_CALLS[call.name](*arguments))
        elif name == "BINPERSID":
            storage = _storage(*stack.pop())
            stack.append(self.storages.setdefault(storage.key, storage))
        elif name == "BUILD" and isinstance(stack[-2], dict):
            # The versions of modules, which torch keeps as an attribute of the dict.
            stack.pop()
        else:
            raise _Unknown(f"the instruction {name}")

    def _since_mark(self) -> tuple:
        """Take off all that came after the last mark, and the mark."""
        place = next(place for place in range(len(self._stack) - 1, -1, -1) if self._stack[place] is _MARK)
        taken = tuple(self._stack[place + 1 :])
        del self._stack[place:]
        return taken

    def _last(self, count: int) -> tuple:
        """Take off the last ones."""
        taken = tuple(self._stack[-count:])
        del self._stack[-count:]
        return taken

    def _set_items(self, items: tuple) -> None:
        for key, value in zip(items[::2], items[1::2], strict=True):
            self._stack[-1][_key(key)] = value


_MARK = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "MARK": _MARK, "EMPTY_TUPLE": ()}
_LITERALS = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE")
_BUILDERS = {"EMPTY_DICT": dict, "EMPTY_LIST": list}


def _known(name: str) -> _Name:
    if name not in STORAGES and name not in _CALLS:
        shown = name.replace(" ", ".")
        raise _Unknown(f"the name {shown if shown.isprintable() and len(shown) < 80 else ascii(shown[:77])}")
    return _Name(name)


def _refused(argument: str, path: Path, why: str) -> UserError:
    return UserError(
        argument, expected="a state dict of torch: tensors by name, and nothing else", received=f"{str(path)!r}, {why}"
    )
