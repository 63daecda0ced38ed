"""The network that is corrected: its last feature map and its scores in one forward pass."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fashionprobe.backbones.graph import origin
from fashionprobe.errors import UserError
from fashionprobe.explain.cam import open_at, pooled_map
from fashionprobe.explain.explained_model import Network, find_layer, logits

HEAD = "GlobalAveragePooling2D and one Dense layer"


class Correctable:
    """A classifier opened for correction.

    Its layers are those of `model`, so that training changes it; only a model with models inside is copied, flat.

    Args:
        model: A flat classifier that ends in a softmax, or in logits.

    Attributes:
        model: The flat model, which training changes.
        dense: The dense layer of a network that ends in global average pooling and one dense layer, else None.
        tap: Name of the layer whose map is penalised: what is pooled, or the last layer with a feature map.
        shape: (rows, columns, channels) of that map.
        classes: Number of classes.

    Raises:
        UserError: If the model is not a softmax classifier, has no feature map, or takes images of any size.
    """

    def __init__(self, model: keras.Model) -> None:
        opened = Network(model)
        if opened.squashing != "softmax" or (opened.classes or 0) < 2:
            raise UserError(
                "backbone", expected="a classifier with a softmax over two classes or more",
                received=f"{model.name}, which ends in a {opened.squashing} of {opened.classes} outputs",
            )  # fmt: skip
        self._name = model.name
        self.model, self.classes = opened.model, int(opened.classes or 0)
        if None in self.model.input_shape[1:]:
            raise UserError(
                "backbone", expected="a classifier of images of one size", received=f"input {self.model.input_shape}",
                remedy="Build it again with the size of the images in keras.Input.",
            )  # fmt: skip
        self._softmaxed = opened.dense
        self.dense: Any = None
        try:
            self.dense, tensor = pooled_map(self.model)
            self.tap = origin(tensor).name
        except UserError:
            _, self.tap = open_at(self.model, None)
            tensor = self.model.get_layer(self.tap).output
        self.shape = tuple(int(side) for side in tensor.shape[1:])
        self._trunk = keras.Model(self.model.input, [tensor, opened.last])
        spec = tf.TensorSpec((None, *self.model.input_shape[1:]), tf.float32)
        self._random = [each for each in self.model.variables if each.path.endswith("seed_generator_state")]
        self._run = tf.function(self._infer, input_signature=[spec], autograph=False)

    def __call__(self, images: tf.Tensor, *, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Run the network.

        Args:
            images: float32 (batch, height, width, 3), RGB in [0, 255].
            training: Whether dropout and batch normalisation work as in training.

        Returns:
            The feature map, float32 (batch, rows, columns, channels), and the logits, float32 (batch, classes).
        """
        feature_map, last = self._trunk(images, training=training)
        return tf.cast(feature_map, tf.float32), logits(last, self._softmaxed)

    def probabilities(self, images: np.ndarray, *, batch_size: int = 64) -> np.ndarray:
        """Return class probabilities, float32 (batch, classes), a portion at a time.

        Args:
            images: uint8 or float32 (batch, height, width, 3), RGB in [0, 255].
            batch_size: Images a portion.
        """
        return self.infer(images, batch_size=batch_size)[0]

    def infer(self, images: np.ndarray, *, batch_size: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """Return class probabilities, float32 (batch, classes), and the means of the feature map, (batch, channels)."""
        starts = range(0, len(images), batch_size)
        parts = [self._run(tf.cast(images[start : start + batch_size], tf.float32)) for start in starts]
        if not parts:
            return np.zeros((0, self.classes), np.float32), np.zeros((0, self.shape[-1]), np.float32)
        probabilities, means = zip(*parts, strict=True)
        return np.concatenate(probabilities), np.concatenate(means)

    def _infer(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        feature_map, scores = self(images, training=False)
        return tf.nn.softmax(scores), tf.reduce_mean(feature_map, axis=(1, 2))

    def kernel(self) -> tf.Tensor:
        """Return the dense kernel, float32 (channels, classes).

        Raises:
            UserError: If the network has no such head.
        """
        self.need_head()
        return tf.cast(self.dense.kernel, tf.float32)

    def need_head(self, argument: str = "loss") -> None:
        """Refuse what needs a head of class activation mapping where there is none.

        Raises:
            UserError: If the network does not end in global average pooling and one dense layer.
        """
        if self.dense is None:
            works = "ce, pas, pasa, rrr or a replacement" if argument == "loss" else "kept"
            raise UserError(
                argument, expected=f"{works} for a network that does not end in {HEAD}",
                received=f"one that reads the weights of that layer; {self._name} ends otherwise",
            )  # fmt: skip

    def reseed(self, seed: int) -> None:
        """Start what is random in training, such as dropout, from a seed; weights do not hold how far it has come."""
        drawn = np.random.default_rng(seed).integers(2**30, size=(len(self._random), 2))
        for state, values in zip(self._random, drawn, strict=True):
            state.assign(values.astype(state.dtype))

    def freeze(self, tap: str | None) -> None:
        """Keep the weights of all layers up to this one, and its batch statistics; None trains everything.

        Raises:
            UserError: If there is no such layer.
        """
        kept = set()
        if tap is not None:
            kept = set(keras.Model(self.model.input, find_layer(self.model, tap, argument="freeze").output).layers)
        for layer in self.model.layers:
            layer.trainable = layer not in kept
