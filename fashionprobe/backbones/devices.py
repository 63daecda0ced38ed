"""Devices: which there are, and how a training is spread over them."""

from typing import Literal

import tensorflow as tf


def strategy(name: Literal["none", "mirrored"]) -> tf.distribute.Strategy:
    """Return how a training is spread: "none" for one device, "mirrored" for all GPUs of this host.

    Every device gets a part of each batch, and the gradients are added up.
    """
    return tf.distribute.MirroredStrategy() if name == "mirrored" else tf.distribute.get_strategy()


def name() -> str:
    """Return the names of the GPUs, or CPU."""
    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    return ", ".join(gpus) or "CPU"
