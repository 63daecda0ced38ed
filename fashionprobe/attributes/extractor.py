"""Images in, descriptors out: the first step of a scikit-learn pipeline."""

import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from fashionprobe import backbones
from fashionprobe.backbones import descriptors
from fashionprobe.errors import UserError
from fashionprobe.records import decode
from fashionprobe.records.image_files.read import read_files

EXPECTED = "paths of image files, or RGB images in [0, 255], (images, height, width, 3)"


class DescriptorExtractor(TransformerMixin, BaseEstimator):
    """The global-average-pooled feature maps of chosen blocks of a network that is not trained any further.

    Args:
        backbone: "mini", "resnet50", any other name of `keras.applications`, or the path of a `.keras` file.
        blocks: Numbers of the blocks, from 1; all of them by default.
        weights: "pretrained", "random", or the path of a weights file.
        size: (height, width) of the input in pixels; the network's own by default, else 224 x 224.
        resize: How images are brought to that size: "pad" keeps the aspect ratio and pads with white, or "stretch".
        batch_size: Images that go through the network at once.
        seed: Seed of random weights.

    Attributes:
        backbone_: The network.
        blocks_: The numbers of the blocks.

    Example:
        make_pipeline(DescriptorExtractor("mini", [5]), AttributeClassifier("whiten")).fit(paths, labels)
    """

    def __init__(
        self, backbone: str = "resnet50", blocks: Sequence[int] | None = None, *, weights: str = "pretrained",
        size: tuple[int, int] | None = None, resize: Literal["pad", "stretch"] = "pad", batch_size: int = 32,
        seed: int = 0,
    ) -> None:  # fmt: skip
        self.backbone = backbone
        self.blocks = blocks
        self.weights = weights
        self.size = size
        self.resize: Literal["pad", "stretch"] = resize
        self.batch_size = batch_size
        self.seed = seed

    def fit(self, X: Any, y: Any = None) -> "DescriptorExtractor":
        """Load the network; nothing is learned from `X`, which is only checked, nor from `y`.

        Raises:
            UserError: If these are not images, or there is no such network or block.
        """
        _checked(X)
        self.backbone_ = backbones.load(
            str(self.backbone), weights=self.weights, size=self.size, seed=self.seed
        )  # fmt: skip
        self.blocks_ = tuple(self.blocks or range(1, len(self.backbone_.taps) + 1))
        self._forward = descriptors.extractor(self.backbone_, self.blocks_)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the descriptors of images, those of all blocks side by side.

        Args:
            X: Paths of image files; or RGB images in [0, 255], an array (images, height, width, 3) or a list of
                (height, width, 3).

        Returns:
            float32 (images, channels).

        Raises:
            UserError: If these are not images, or a file cannot be read.
        """
        check_is_fitted(self)
        found = []
        for batch in self._batches(_checked(X)):
            # All batches of one shape: the last bits of a descriptor may depend on it.
            maps = self._extract(tf.constant(descriptors.same_shape(batch, self.batch_size)))
            found.append(np.concatenate([each.numpy() for each in maps], axis=1)[: len(batch)])
        return np.concatenate(found)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return names such as "block5_channel0", in the order of the columns."""
        check_is_fitted(self)
        channels = descriptors.channels(self.backbone_, self.blocks_)
        names = [f"block{block}_channel{number}" for block, count in zip(self.blocks_, channels, strict=True)
                 for number in range(count)]  # fmt: skip
        return np.array(names, object)

    def __getstate__(self) -> dict[str, Any]:
        # A compiled function cannot be stored; it is made again from the network.
        state: Any = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_forward"}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _extract(self, images: tf.Tensor) -> list[tf.Tensor]:
        if not hasattr(self, "_forward"):
            self._forward = descriptors.extractor(self.backbone_, self.blocks_)
        return self._forward(images)

    def _batches(self, images: list[Any]) -> Iterator[np.ndarray]:
        size = self.backbone_.size
        for start in range(0, len(images), self.batch_size):
            batch = images[start : start + self.batch_size]
            yield np.stack([
                read_files([os.fspath(image)], size, self.resize)[0] if isinstance(image, str | os.PathLike)
                else decode.fit(tf.constant(image, tf.float32), size, self.resize).numpy()
                for image in batch
            ])  # fmt: skip


def _checked(X: Any) -> list[Any]:
    """Return the images as a list of paths or of arrays (height, width, 3).

    Raises:
        UserError: If they are neither.
    """
    if isinstance(X, str | os.PathLike):
        raise UserError("X", expected=EXPECTED, received=repr(X), remedy="Of one file make a list: [path].")
    shape = getattr(X, "shape", None)
    if shape is not None and len(shape) not in (1, 4):
        remedy = "Add the batch axis: images[None]." if len(shape) == 3 else ""
        raise UserError("X", expected=EXPECTED, received=f"an array of shape {tuple(shape)}", remedy=remedy)
    images = list(X)
    for image in images:
        if isinstance(image, str | os.PathLike):
            continue
        if getattr(image, "shape", ())[2:] != (3,):
            received = f"one of shape {image.shape}" if hasattr(image, "shape") else type(image).__name__
            raise UserError("X", expected=EXPECTED, received=received)
    if not images:
        raise UserError("X", expected=EXPECTED, received="none")
    return images
