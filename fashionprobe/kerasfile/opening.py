"""The only road from a file to a Keras model."""

import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashionprobe.errors import UserError
from fashionprobe.kerasfile import allowed, archive, sizes, weights

if TYPE_CHECKING:
    import keras

IN_MEMORY = 64 * 2**20
"""Bytes up to which weights are unpacked into memory and not to a temporary file."""


def header(path: Path, *, argument: str = "backbone") -> sizes.Graph:
    """Judge and measure the network in a `.keras` file without Keras, in a fraction of a second.

    Args:
        path: The file.
        argument: Name of the argument, for the error.

    Returns:
        Its graph.

    Raises:
        UserError: If the file names anything that is not on the lists of `allowed`, or is too large.
    """
    found = archive.read(path, argument=argument)
    return sizes.measure(allowed.clean(found.config, path, argument=argument), found, argument=argument)


def load_model(path: Path, *, trust: bool = False, argument: str = "backbone") -> "keras.Model":
    """Load the network of a `.keras` file, which a stranger may have written. It is not compiled.

    What Keras is given is a new file of what was judged, so that a configuration it reads differently, or a file that
    is exchanged meanwhile, changes nothing.

    Args:
        path: The file.
        trust: Skip all checks and let the file run code: lambdas, custom functions, anything that Keras finds by name.
        argument: Name of the argument, for the error.

    Raises:
        UserError: If the file is not a network of the layers, operations and settings that `allowed` lists, is larger
            than `sizes` and `weights` allow, or cannot be loaded by the installed Keras.
    """
    import keras

    if trust:
        return _load(path, path, argument, safe_mode=False)
    found = archive.read(path, argument=argument)
    config = allowed.clean(found.config, path, argument=argument)
    graph = sizes.measure(config, found, argument=argument)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model.keras"
        with (
            _named(copy),
            archive.opened(path, argument=argument) as source,
            tempfile.SpooledTemporaryFile(IN_MEMORY) as unpacked,
            zipfile.ZipFile(copy, "w") as target,
        ):
            _unpack(source, unpacked, found, argument)
            weights.check(unpacked, shown=path, argument=argument, most=3 * 8 * graph.weights + 2**20)
            unpacked.seek(0)
            target.writestr(archive.CONFIG, json.dumps(config))
            target.writestr("metadata.json", json.dumps({"keras_version": keras.__version__}))
            with target.open(archive.WEIGHTS, "w", force_zip64=True) as member:
                shutil.copyfileobj(unpacked, member, 2**20)
        return _load(copy, path, argument, safe_mode=True)


def check_weights(path: Path, *, argument: str = "weights") -> None:
    """Check a file of weights as far as its header tells, without Keras.

    Args:
        path: A `.weights.h5`, `.h5` or `.keras` file.
        argument: Name of the argument, for the error.

    Raises:
        UserError: If it is not such a file, refers to other files, or unpacks to far more than it holds.
    """
    if path.suffix == ".keras":
        with archive.opened(path, argument=argument):
            return
    weights.check(path, shown=path, argument=argument)


def load_weights(model: "keras.Model", path: Path, *, argument: str = "weights") -> None:
    """Load weights from a file that a stranger may have written.

    Args:
        model: The model that they are for.
        path: A `.weights.h5`, `.h5` or `.keras` file.
        argument: Name of the argument, for the error.

    Raises:
        UserError: If the file refers to other files or holds far more than the model takes.
        Exception: Whatever Keras raises where the weights do not fit the model.
    """
    most = 3 * 8 * model.count_params() + 2**20
    if path.suffix == ".keras":
        with archive.opened(path, argument=argument) as source, tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "model.weights.h5"
            with _named(copy), copy.open("w+b") as unpacked:
                size = source.getinfo(archive.WEIGHTS).file_size
                if size > most + 2**14 * len(model.layers):
                    raise archive.refused(argument, path, f"whose weights unpack to {size:,} bytes")
                _unpack(source, unpacked, archive.Header(path, {}, size), argument)
            weights.check(copy, shown=path, argument=argument, most=most)
            model.load_weights(copy)
        return
    weights.check(path, shown=path, argument=argument, most=most)
    model.load_weights(path)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file in an error of the disk, which has no name while bytes are written: it may be full."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _unpack(source: zipfile.ZipFile, target: io.IOBase, found: archive.Header, argument: str) -> None:
    """Unpack the weights, and no more bytes than the header announced."""
    left = found.weights_bytes
    try:
        with source.open(archive.WEIGHTS) as member:
            while piece := member.read(min(2**20, left + 1)):
                left -= len(piece)
                if left < 0:
                    raise archive.refused(argument, found.path, "whose weights are larger than it says")
                target.write(piece)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise archive.refused(argument, found.path, "which is damaged") from error
    target.seek(0)


def _load(path: Path, shown: Path, argument: str, *, safe_mode: bool) -> "keras.Model":
    import keras

    try:
        model: Any = keras.saving.load_model(path, compile=False, safe_mode=safe_mode)
        return model
    except Exception as error:
        reason = " ".join(str(error).replace(str(path), shown.name).split())[:200] or type(error).__name__
        raise UserError(
            argument, expected="a .keras file that the installed Keras can load", received=f"{str(shown)!r} ({reason})",
        ) from error  # fmt: skip
