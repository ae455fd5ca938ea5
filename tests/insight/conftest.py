import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from harness.data import sources
from harness.models.build import build


@pytest.fixture(scope="session")
def cnn() -> keras.Model:
    """The default model from pixels to logits, untrained."""
    return build("cnn", (28, 28, 1), 10, seed=1)


@pytest.fixture
def images() -> NDArray[np.uint8]:
    """Noise, so that no two pixels of a pooling window are equal and every gradient is unique."""
    return np.random.default_rng(0).integers(0, 256, (6, 28, 28, 1), dtype=np.uint8)


@pytest.fixture
def labels() -> NDArray[np.int32]:
    return np.array([3, 1, 4, 1, 5, 9], np.int32)


@pytest.fixture(scope="session")
def digits() -> NDArray[np.uint8]:
    """The first 300 test images of MNIST."""
    return sources.load("mnist").x_test[:300]
