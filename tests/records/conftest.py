"""Small pictures and small sources on disk."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HEADER = "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,productDisplayName"


def _photo(number=0, kind="JPEG", size=(12, 16), **options):
    """An encoded picture of (width, height); another number gives other bytes."""
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def photo():
    return _photo


def _row(name, title="Brand Women Blue Top", colour="Blue", kind="Tops"):
    return f"{name},Women,Apparel,Topwear,{kind},{colour},Summer,2012,Casual,{title}"


@pytest.fixture
def row():
    return _row


@pytest.fixture
def put(tmp_path):
    """Write files below a folder, `{name: bytes or text}`, and return the folder."""

    def write(files, folder="source"):
        root = tmp_path / folder
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return root

    return write


@pytest.fixture
def put_zip(tmp_path):
    """Write a zip file of `{name: bytes or text}` and return its path."""

    def write(files, name="source.zip"):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry, content in files.items():
                archive.writestr(entry, content)
        return tmp_path / name

    return write


@pytest.fixture
def shop(put):
    """A catalogue of Kaggle's kind with 24 products: colours Red, Green, Blue in turn, a year each."""

    def write(count=24, folder="shop", **options):
        files = {f"images/{number}.jpg": _photo(number, **options) for number in range(count)}
        colours = ("Red", "Green", "Blue")
        rows = [_row(number, colour=colours[number % 3], title=f"Top {number}, new") for number in range(count)]
        files["styles.csv"] = "\n".join([HEADER, *rows]) + "\n"
        return put(files, folder)

    return write


@pytest.fixture
def tree_of():
    """Return {name: bytes} of all files below a folder, locks left out."""

    def read(folder):
        files = (path for path in Path(folder).rglob("*") if path.is_file() and path.suffix != ".lock")
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    return read
