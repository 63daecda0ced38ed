"""Image files, read as records are read: any of the known formats, upright, brought to one size."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf

from fashionprobe.errors import UserError
from fashionprobe.records import decode
from fashionprobe.records.image_files import inspect
from fashionprobe.records.image_files.info import BadImage, Resizing

EXPECTED = "an image file: JPEG, PNG, GIF, BMP or WEBP"


def read_files(
    paths: Sequence[str],
    size: tuple[int, int],
    fit: Literal["pad", "stretch"] = "pad",
    *,
    resizing: Resizing | None = None,
) -> np.ndarray:
    """Read image files.

    Args:
        paths: JPEG, PNG, GIF, BMP or WEBP files.
        size: (height, width) of the images in pixels.
        fit: Keep the aspect ratio and pad with white, or stretch.
        resizing: How the record set that they are compared with was resized when it was made, if it was: they go the
            same way, JPEG compression included.

    Returns:
        float32 (files, *size, 3), RGB in [0, 255].

    Raises:
        UserError: If a file is not there, or is not an image that can be read.
    """
    return np.stack([fitted(_bytes(Path(path)), path, size, fit, resizing=resizing) for path in paths])


def fitted(
    data: bytes, name: str, size: tuple[int, int], fit: Literal["pad", "stretch"], *, resizing: Resizing | None = None
) -> np.ndarray:
    """Do with the bytes of one image file what `read_files` does; float32 (*size, 3).

    Raises:
        UserError: If they are not images that can be read.
    """
    return decode.fit(_decoded(data, name, resizing), size, fit).numpy()


def picture(path: str) -> np.ndarray:
    """Read an image file in its own size, uint8 (height, width, 3), RGB, upright.

    Raises:
        UserError: If the file is not there, or is not an image that can be read.
    """
    return _decoded(_bytes(Path(path)), path).numpy()


def decoded(data: bytes, name: str) -> np.ndarray:
    """Decode the bytes of an image file in its own size, uint8 (height, width, 3), RGB, upright.

    Args:
        data: A JPEG, PNG, GIF, BMP or WEBP file.
        name: Its name, for the error.

    Raises:
        UserError: If they are not images that can be read.
    """
    return _decoded(data, name).numpy()


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        received = f"{str(path)!r}, a folder" if path.is_dir() else f"{str(path)!r}, which does not exist"
        raise UserError("images", expected=EXPECTED, received=received)
    return path.read_bytes()


def _decoded(data: bytes, name: str, resizing: Resizing | None = None) -> tf.Tensor:
    try:
        with inspect.quiet():
            info = inspect.inspect(data, decode=True)
            if resizing is not None:
                data = inspect.resize(data, resizing.size, resizing.fit, info)
                info = inspect.inspect(data)
        return decode.decode(
            tf.constant(data), tf.constant(info.orientation), formats={info.format},
            orientations={info.orientation}, alpha=info.has_alpha,
        )  # fmt: skip
    except (BadImage, tf.errors.InvalidArgumentError) as error:
        reason = str(error) if isinstance(error, BadImage) else "damaged"
        raise UserError("images", expected=EXPECTED, received=f"{name!r} ({reason})") from error
