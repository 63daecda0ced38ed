"""Crops: the part of an image that a value of a feature map sees."""

import numpy as np
import tensorflow as tf

from fashionprobe.channels.receptive_field import ReceptiveField

Pair = tuple[int, int]


def windows(field: ReceptiveField, rows: np.ndarray, columns: np.ndarray, size: Pair) -> np.ndarray:
    """Return the windows (top, left, bottom, right) of places of a feature map, in pixels, int64 (places, 4).

    A window is the receptive field and may reach into the padding; along an axis on which the field is as large as the
    image or larger, it is the whole image.

    Args:
        field: The receptive field.
        rows: Rows of the places, int (places,).
        columns: Columns of the places, int (places,).
        size: (height, width) of the image in pixels.
    """
    boxes = np.stack([np.broadcast_to(side, np.shape(rows)) for side in field.box(rows, columns)], axis=1)
    for axis in (0, 1):
        if field.size[axis] >= size[axis]:
            boxes[:, axis], boxes[:, axis + 2] = 0, size[axis]
    return boxes


def crop(images: np.ndarray, numbers: np.ndarray, boxes: np.ndarray, size: Pair) -> np.ndarray:
    """Cut windows out of images; what lies outside the image is black.

    Args:
        images: float (batch, height, width, channels).
        numbers: Which image each window belongs to, int (windows,).
        boxes: (top, left, bottom, right) in pixels, int (windows, 4), all of one height and width.
        size: (height, width) of the result; a window that is larger is shrunk by area, then bilinearly.

    Returns:
        float32 (windows, *size, channels).
    """
    pixels = tf.convert_to_tensor(images, tf.float32)
    before = np.array(pixels.shape[1:3])
    window = boxes[0, 2:] - boxes[0, :2]
    if tuple(window) != tuple(size):
        after = np.maximum(np.round(before * size / window), 1).astype(int)
        pixels = tf.image.resize(pixels, after, method="area")
    after = np.array(pixels.shape[1:3])
    # A black frame keeps the pixels at the edge: a sample a hair outside an image would be black all of it.
    pixels = tf.pad(pixels, [[0, 0], [1, 1], [1, 1], [0, 0]])
    step = window / size
    # The centres of the first and the last sample, in pixels of the framed image.
    first = (boxes[:, :2] + step / 2) * after / before + 0.5
    last = (boxes[:, 2:] - step / 2) * after / before + 0.5
    corners = np.concatenate([first, last], axis=1) / np.tile(after + 1, 2)
    return tf.image.crop_and_resize(pixels, corners.astype(np.float32), numbers.astype(np.int32), size).numpy()
