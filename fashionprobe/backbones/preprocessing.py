"""What a backbone's weights expect of the pixels."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Preprocessing:
    """What the weights expect of the pixels: `(rgb - mean) * scale`, then channels reversed when `bgr`.

    Attributes:
        mean: Subtracted from red, green and blue, in [0, 255].
        scale: Factor for red, green and blue.
        bgr: Whether the weights want blue first.
    """

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bgr: bool = False

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Apply it to RGB images, (..., 3), values in [0, 255]."""
        result = (np.asarray(images, np.float32) - np.asarray(self.mean, np.float32)) * np.asarray(
            self.scale, np.float32
        )
        return result[..., ::-1] if self.bgr else result


PREPROCESSING = {
    "none": Preprocessing(),
    "tf": Preprocessing(mean=(127.5, 127.5, 127.5), scale=(1 / 127.5, 1 / 127.5, 1 / 127.5)),
    "caffe": Preprocessing(mean=(123.68, 116.779, 103.939), bgr=True),
    "torch": Preprocessing(
        mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
        scale=(1 / (0.229 * 255), 1 / (0.224 * 255), 1 / (0.225 * 255)),
    ),
}
"""The conventions of `keras.applications`, by the names that Keras gives them."""


def probe(preprocess_input: Callable[[np.ndarray], np.ndarray]) -> Preprocessing:
    """Read mean, scale and channel order off a `preprocess_input` function, which is affine in each channel."""
    colours = 255.0 * np.concatenate([np.zeros((1, 3)), np.eye(3)])
    black, *primary = preprocess_input(colours[:, None, None, :].copy())[:, 0, 0, :].astype(float)
    bgr = bool(np.argmax(np.abs(primary[0] - black)) == 2)
    scale = [float(np.abs(response - black).max()) / 255.0 for response in primary]
    offset = black[::-1] if bgr else black
    mean = [-float(start) / slope + 0.0 for start, slope in zip(offset, scale, strict=True)]
    return Preprocessing(mean=(mean[0], mean[1], mean[2]), scale=(scale[0], scale[1], scale[2]), bgr=bgr)
