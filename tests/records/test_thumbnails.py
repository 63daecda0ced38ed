import io

import numpy as np
import pytest
from PIL import Image

from fashionprobe.records.thumbnails import thumbnail


@pytest.mark.parametrize(
    ("shape", "size"),
    [((144, 100), (50, 72)), ((60, 80), (80, 60)), ((720, 1), (1, 72)), ((72, 72), (72, 72))],
)
def test_thumbnails_keep_their_proportions_and_are_never_enlarged(shape, size):
    picture = Image.open(io.BytesIO(thumbnail(np.zeros((*shape, 3), np.uint8))))
    assert (picture.format, picture.size) == ("JPEG", size)


def test_colours_stay():
    image = np.full((200, 200, 3), (200, 30, 60), np.uint8)
    picture = np.asarray(Image.open(io.BytesIO(thumbnail(image, height=20))))
    np.testing.assert_allclose(picture.mean(axis=(0, 1)), [200, 30, 60], atol=3)
