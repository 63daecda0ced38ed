"""Image files made by Pillow, for the tests of several modules."""

import io

import pytest
from PIL import Image

from fashionprobe.records.image_files import inspect


def picture(size=(40, 30), mode="RGB"):
    """A smooth picture whose corners all differ, so that no turn looks like another."""
    ramp = Image.linear_gradient("L")
    blue = Image.radial_gradient("L").crop((0, 0, 200, 160)).resize(ramp.size)
    return Image.merge("RGB", (ramp, ramp.rotate(90), blue)).resize(size).convert(mode)


def encode(image, kind="JPEG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif(orientation, thumbnail=b""):
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags[0x010F] = "A camera"
    return tags.tobytes() + thumbnail


def refusal(data, **options):
    with pytest.raises(inspect.BadImage) as caught:
        inspect.inspect(data, **options)
    return str(caught.value)
