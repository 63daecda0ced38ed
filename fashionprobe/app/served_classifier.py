"""The network behind the page: predictions, heatmaps and feature maps of single pictures, each compiled once."""

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from fashionprobe.backbones import Backbone, on_pixels
from fashionprobe.errors import UserError, unknown_name
from fashionprobe.explain.activations import activations
from fashionprobe.explain.explained_model import ExplainFunction, probabilities
from fashionprobe.explain.heatmaps import heatmap
from fashionprobe.explain.methods import METHODS, explainer, quick_options, title
from fashionprobe.records import decode
from fashionprobe.records.image_files.inspect import window

QUICK = ("grad_cam", "layer_cam", "percentile_cam", "grad_cam_plus_plus", "guided_grad_cam", "gradient")
"""Methods that take about as long as a forward pass or two."""

HEATMAPS = 512
"""Heatmaps that are kept: some ten thousand bytes each."""


class ServedClassifier:
    """A classifier that many threads of a server may ask; it answers one at a time.

    Args:
        backbone: The classifier.
        classes: Names of its classes, in the order of its scores.
        fit: How pictures are brought to its input.

    Attributes:
        classes: Names of its classes.
        size: (height, width) of its input in pixels.
        fit: How pictures are brought to it.
        taps: Names of the layers that end its blocks.
        model: The network from RGB pixels in [0, 255]; flat.
    """

    def __init__(self, backbone: Backbone, classes: Sequence[str], fit: Literal["pad", "stretch"]) -> None:
        self.classes, self.size, self.taps = tuple(classes), backbone.size, backbone.taps
        self.fit: Literal["pad", "stretch"] = fit
        self.model: keras.Model = on_pixels(backbone)
        self._lock = threading.RLock()
        self._predict = probabilities(self.model)
        self._explainers: dict[str, ExplainFunction] = {}
        self._maps: dict[str, Callable[..., list[tf.Tensor]]] = {}

    def fitted(self, picture: np.ndarray) -> np.ndarray:
        """Return a picture, uint8 (height, width, 3), as the network takes it: float32 (1, *size, 3)."""
        return decode.fit(tf.constant(picture), self.size, self.fit).numpy()[None]

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return the probability of every class, float32 (batch, classes), of images that are fitted."""
        with self._lock:
            return self._predict(images)

    def heatmap(self, picture: np.ndarray, method: str, number: int) -> np.ndarray:
        """Return the heatmap of one class over a picture, without the padding that the network sees around it.

        Args:
            picture: uint8 (height, width, 3), RGB.
            method: Name of the method, as `fashionprobe see` has it.
            number: Number of the class.

        Returns:
            float32 (rows, columns) in [0, 1]: the part of the network's input in which the picture is.

        Raises:
            UserError: If there is no such method or class, or the network does not allow it.
        """
        raw = self.raw(picture, method, number)
        return self.cropped(heatmap(raw[None], self.size)[0], picture.shape)

    def raw(self, picture: np.ndarray, method: str, number: int) -> np.ndarray:
        """Return what a method says as it says it, with padding: float32 (rows, columns), or (*size, channels).

        Args:
            picture: uint8 (height, width, 3), RGB.
            method: Name of the method.
            number: Number of the class.

        Raises:
            UserError: If there is no such method or class, or the network does not allow it.
        """
        if not 0 <= number < len(self.classes):
            raise UserError("class", expected=f"in 0 to {len(self.classes) - 1}", received=number)
        with self._lock:
            return self._explainer(method)(self.fitted(picture), number)[0]

    def cropped(self, whole: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """Return the part of a map of the network's input, (*size), in which a picture of this shape is."""
        top, left, rows, columns = window(shape, self.size, self.fit)
        return whole[top : top + rows, left : left + columns]

    def feature_map(self, picture: np.ndarray, layer: str) -> np.ndarray:
        """Return how a layer responds to a picture, float32 (rows, columns, channels).

        Raises:
            UserError: If there is no such layer, or it has no feature map.
        """
        with self._lock:
            if layer not in self._maps:
                self._maps[layer] = activations(self.model, [layer])
            return self._maps[layer](self.fitted(picture))[0].numpy()[0]

    def _explainer(self, method: str) -> ExplainFunction:
        if method not in METHODS:
            raise unknown_name("method", method, METHODS)
        if method not in self._explainers:
            self._explainers[method] = explainer(method, self.model, **quick_options(method, self.size))
        return self._explainers[method]


def heading(method: str) -> str:
    """Return the name of a method as it stands at the start of a line."""
    name = title(method)
    return name[0].upper() + name[1:]


def remembered(
    classifier: ServedClassifier, picture_of: Callable[[int], np.ndarray]
) -> Callable[[int, str, int], np.ndarray]:
    """Return a function from number of an image, method and class to its heatmap, which remembers the last ones."""

    @lru_cache(maxsize=HEATMAPS)
    def found(item: int, method: str, number: int) -> np.ndarray:
        return classifier.heatmap(picture_of(item), method, number).astype(np.float16)

    return found
