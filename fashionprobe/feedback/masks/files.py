"""Masks that somebody drew elsewhere: PNG files, and which image each mask of a file is about."""

import os
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from fashionprobe.errors import UserError

Found = tuple[str, np.ndarray]
"""What a file calls an image, and its mask, bool (height, width), True where masked."""

_LISTED = 5


def read_folder(folder: Path) -> list[Found]:
    """Read the masks of a folder of PNG files, and of the folders in it.

    Args:
        folder: The folder. The name of a file, with the folders below this one, and without `.png`, is the image's.

    Returns:
        The masks, sorted by name.

    Raises:
        UserError: If there is no such folder, no PNG file in it, or one is not a mask.
    """
    if not folder.is_dir():
        received = f"'{folder}', {'a file' if folder.exists() else 'which does not exist'}"
        raise UserError("path", expected="a folder of PNG files", received=received)
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".png" and path.is_file())
    visible = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not visible:
        raise UserError("path", expected="a folder of PNG files", received=f"'{folder}', without one")
    return [(path.relative_to(folder).with_suffix("").as_posix(), read_png(path)) for path in visible]


def read_png(path: Path) -> np.ndarray:
    """Read one mask: bool (height, width), True where the file is white.

    Args:
        path: A grey PNG file of 8 bits a pixel that holds 0 and 255 alone, or one of 1 bit a pixel.

    Raises:
        UserError: If it is anything else.
    """
    from PIL import Image

    expected = "a grey PNG file of 8 bits that holds 0 and 255 alone, or one of 1 bit"
    remedy = "Save it as 8-bit grey, 255 where masked and 0 elsewhere."
    try:
        with Image.open(path, formats=("PNG",)) as opened:
            mode, pixels = opened.mode, np.asarray(opened)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or "no PNG file, or a damaged one"
        raise UserError(str(path), expected=expected, received=reason, remedy=remedy) from error
    if mode not in ("1", "L"):
        raise UserError(str(path), expected=expected, received=f"pixels of kind {mode}", remedy=remedy)
    return pixels if mode == "1" else binary(pixels, str(path), (255,), expected=expected, remedy=remedy)


def binary(values: np.ndarray, argument: str, ones: Collection[int], *, expected: str, remedy: str = "") -> np.ndarray:
    """Return a mask as bool, when it holds 0 and one other value alone.

    Args:
        values: bool, int or float (height, width).
        argument: What is read, for the error.
        ones: The other values that are allowed, one at a time.
        expected: What the error says is expected.
        remedy: What it says is to be done.

    Raises:
        UserError: If it holds other values; they are listed.
    """
    if values.dtype == bool:
        return values
    found = np.unique(values)
    if not any(np.isin(found, (0, one)).all() for one in ones):
        shown = ", ".join(f"{value:g}" for value in found[:_LISTED])
        more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        raise UserError(argument, expected=expected, received=f"the values {shown}{more}", remedy=remedy)
    return values != 0


def by_id(found: Iterable[Found], ids: Collection[str]) -> dict[str, np.ndarray]:
    """Bring masks under the ids of their images; several masks of one image become their union.

    Args:
        found: Masks under the names that a file gives their images: an id, or an id without its suffix or with
            another one, such as `gun/B1.png` for `gun/B1.jpg`.
        ids: The ids of the images.

    Returns:
        The mask of each image that has one, in the order of `ids`.

    Raises:
        UserError: If a name fits no image or several, if two masks of an image differ in size, or if there is no mask
            at all.
    """
    stems: dict[str, list[str]] = {}
    for name in ids:
        stems.setdefault(_stem(_spelled(name)), []).append(name)
    known, unknown, masks = {_spelled(name): name for name in ids}, [], {}
    for given, mask in found:
        name = _spelled(given)
        candidates = [known[name]] if name in known else stems.get(name) or stems.get(_stem(name), [])
        if len(candidates) > 1:
            received = f"{name}, which may be {' or '.join(candidates)}"
            raise UserError("path", expected="masks that each name one image", received=received)
        if not candidates:
            unknown.append(name)
            continue
        masks[candidates[0]] = _union(candidates[0], masks.get(candidates[0]), mask)
    if unknown:
        listed = ", ".join(unknown[:_LISTED]) + (" ..." if len(unknown) > _LISTED else "")
        example = next(iter(ids), "")
        raise UserError(
            "path", expected="masks of images of the record set, named by their ids",
            received=f"{len(unknown)} unknown: {listed}",
            remedy=f"An id is {example}; as a file of a folder its mask is {_stem(example)}.png." if example else "",
        )  # fmt: skip
    if not masks:
        raise UserError("path", expected="one mask or more", received="none")
    return {name: masks[name] for name in ids if name in masks}


def _spelled(name: str) -> str:
    """Return a name in NFC: a Mac spells the names of files otherwise."""
    return unicodedata.normalize("NFC", name)


def _stem(name: str) -> str:
    """Return a name without its suffix; folders stay."""
    return os.fspath(PurePosixPath(name).with_suffix("")) if PurePosixPath(name).suffix else name


def _union(name: str, first: np.ndarray | None, second: np.ndarray) -> np.ndarray:
    if first is None:
        return second
    if first.shape != second.shape:
        sizes = " and ".join(f"{mask.shape[0]} x {mask.shape[1]}" for mask in (first, second))
        raise UserError("path", expected=f"masks of one size for image {name}", received=f"{sizes} (height x width)")
    return first | second
