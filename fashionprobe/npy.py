"""`.npy` files that grow row by row and survive a kill."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from fashionprobe.artifacts import COMMITTED, write_text


class RowWriter:
    """Appends rows to several `.npy` files of known length, in step.

    The rows are appended instead of written through a memory map: on a full disk an append raises an error, a memory
    map kills the process. Readers open the files with `numpy.load(path, mmap_mode="r")`.

    Args:
        folder: Where the files are.
        columns: Number of columns of each file, by name.
        rows: Number of rows that each will have.
        step: Rows of one append. What an earlier writer left is kept only if its step was the same, so that a
            resumed file is made of the same steps as an undisturbed one.
        dtype: Type of the numbers, as NumPy writes it.

    Attributes:
        done: Rows that are there.
    """

    def __init__(self, folder: Path, columns: Mapping[str, int], rows: int, *, step: int, dtype: str = "<f4") -> None:
        self._folder, self._step, self._dtype = folder, step, np.dtype(dtype)
        self.done = self._committed()
        bytes_of = {name: width * self._dtype.itemsize for name, width in columns.items()}
        if not all(_holds(folder / name, self.done * row) for name, row in bytes_of.items()):
            self.done = 0
        self._files: list[BinaryIO] = []
        for name, width in columns.items():
            path = folder / name
            file = path.open("r+b" if self.done else "w+b")
            header = {"descr": dtype, "fortran_order": False, "shape": (rows, width)}
            np.lib.format.write_array_header_1_0(file, header)
            # Rows after the last commit may be half written.
            file.seek(self.done * bytes_of[name], os.SEEK_CUR)
            file.truncate()
            self._files.append(file)

    def append(self, arrays: Sequence[np.ndarray]) -> None:
        """Write the next rows: one (rows, columns) array a file."""
        for file, array in zip(self._files, arrays, strict=True):
            file.write(np.ascontiguousarray(array, self._dtype).data)
        self.done += len(arrays[0])

    def commit(self) -> None:
        """Make sure that the rows so far are on disk, and note it."""
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
        write_text(self._folder / COMMITTED, json.dumps({"rows": self.done, "step": self._step}))

    def _committed(self) -> int:
        try:
            note = json.loads((self._folder / COMMITTED).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return 0
        return note["rows"] if note["step"] == self._step else 0

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()


def _holds(path: Path, size: int) -> bool:
    """Return whether a file has room for so many bytes: a note whose file was cut or removed counts for nothing."""
    return path.is_file() and path.stat().st_size > size
