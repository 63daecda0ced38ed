"""Fashion-MNIST from the four IDX files in which it is published: grey garments of 28 x 28 pixels, ten classes.

Reference:
    Xiao, Rasul and Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms, 2017,
    https://arxiv.org/abs/1708.07747.
"""

import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd

from fashionprobe.errors import UserError
from fashionprobe.records.sources import Catalogue, idx
from fashionprobe.records.sources.drawing import content, png

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
"""The class of each label, 0 to 9."""

SIDE = 28
"""Height and width of the images in pixels."""

PREFIXES = {"train": "train", "test": "t10k"}
"""How the names of a split's two files begin."""

HOME = "https://github.com/zalandoresearch/fashion-mnist"

Part = tuple[np.ndarray, np.ndarray]
"""Images and labels of one split, uint8 (count, 28, 28) and uint8 (count,)."""


def catalogue(path: str | os.PathLike[str] | None = None) -> Catalogue:
    """List the images of Fashion-MNIST; those of files that are not gzipped stay on disk until they are read.

    Train and test are those of the files, and there is no val, which `train` needs. When a split is asked for, it is
    drawn from all images, train and test. To cut val off train alone and leave test to another record set, keep one
    of them: `--where "split == 'train'" --split 90,10,0`.

    Args:
        path: A folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same with `t10k`, each with or
            without `.gz`. None downloads them with Keras.

    Returns:
        Items with columns id (`train/000012`, counted from 0), class (`CLASSES`) and split (train or test); `read`
        returns grey PNG, light on black, the pixels as published.

    Raises:
        UserError: If the path is not a folder, a file is missing or damaged, images and labels do not fit together, or
            the download fails.
    """
    parts = _download() if path is None else _files(Path(path))

    def pixels(name: str) -> np.ndarray:
        split, _, row = name.partition("/")
        return parts[split][0][int(row)]

    return Catalogue(
        items=pd.concat([_items(split, labels) for split, (_, labels) in parts.items()], ignore_index=True),
        read=lambda name: png(pixels(name)),
        contents=lambda names: [content(pixels(name)) for name in names],
        by_pixels=True,
        stratify="class",
        fingerprint=_fingerprint(parts),
    )


def _items(split: str, labels: np.ndarray) -> pd.DataFrame:
    ids = [f"{split}/{row:06d}" for row in range(len(labels))]
    return pd.DataFrame({"id": ids, "class": np.array(CLASSES, object)[labels], "split": split})


def _files(folder: Path) -> dict[str, Part]:
    """Open the four files of a folder."""
    if not folder.is_dir():
        raise _missing(f"{str(folder)!r}, which is {'not a folder' if folder.exists() else 'not there'}")
    # All four are looked for before the first is read.
    found = {
        split: (_find(folder, f"{prefix}-images-idx3-ubyte"), _find(folder, f"{prefix}-labels-idx1-ubyte"))
        for split, prefix in PREFIXES.items()
    }
    return {
        split: _checked(idx.read(images, (SIDE, SIDE)), idx.read(labels, ()), str(labels))
        for split, (images, labels) in found.items()
    }


def _find(folder: Path, name: str) -> Path:
    for file in (folder / name, folder / f"{name}.gz"):
        if file.is_file():
            return file
    raise _missing(f"{str(folder)!r}, without {name} and {name}.gz")


def _missing(received: str) -> UserError:
    return UserError(
        "path", expected="a folder with the four files of Fashion-MNIST", received=received,
        remedy=f"Fetch them from {HOME}.",
    )  # fmt: skip


def _download() -> dict[str, Part]:
    import keras

    try:
        train, test = keras.datasets.fashion_mnist.load_data()
    except Exception as error:  # of many kinds: no connection, no space, a cut file
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__).rpartition(" -- ")[2]
        raise UserError(
            "path", expected="a folder with the four files of Fashion-MNIST, or a download that works",
            received=f"a failed download ({reason})",
            remedy=f"Fetch the four files from {HOME} and pass --path FOLDER.",
        ) from error  # fmt: skip
    # Keras checks nothing of what it downloads.
    return {
        "train": _checked(*train, "train-labels-idx1-ubyte.gz"),
        "test": _checked(*test, "t10k-labels-idx1-ubyte.gz"),
    }


def _checked(images: np.ndarray, labels: np.ndarray, where: str) -> Part:
    """Refuse labels that do not belong to the images."""
    if len(images) != len(labels):
        raise UserError(
            where, expected=f"labels of {len(images):,} images", received=f"{len(labels):,} labels",
            remedy="Take images and labels of one download.",
        )  # fmt: skip
    if labels.max() >= len(CLASSES):
        row = int(np.argmax(labels >= len(CLASSES)))
        raise UserError(
            where, expected=f"labels from 0 to {len(CLASSES) - 1}", received=f"{labels[row]}, the label of row {row}",
            remedy="Check that the files are those of Fashion-MNIST.",
        )  # fmt: skip
    return images, labels


def _fingerprint(parts: dict[str, Part]) -> str:
    """Return the SHA-256 of what the files hold: the same for gzipped, unpacked and downloaded ones."""
    digest = hashlib.sha256()
    for images, labels in parts.values():
        digest.update(f"{images.shape}".encode())
        digest.update(np.ascontiguousarray(images).data)
        digest.update(np.ascontiguousarray(labels).data)
    return digest.hexdigest()
