"""Images and a network that the tests of `explain` share."""

import keras
import numpy as np
import pytest
from networks import build


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Four images, float32 (4, 16, 16, 3) in [0, 1]."""
    return np.random.default_rng(0).random((4, 16, 16, 3), dtype=np.float32)


@pytest.fixture(scope="session")
def network() -> keras.Model:
    """The network with a Softmax layer; tests only read it."""
    return build("layer")


@pytest.fixture(scope="session")
def logits() -> keras.Model:
    """The same network without the softmax; tests only read it."""
    return build("logits")
