from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from harness.data import sources
from harness.models.cnn import build


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
def trained(made_once: Callable[..., Path]) -> keras.Model:
    """The default model after a hundred steps on real digits: nine in ten are right."""
    model = build("cnn", (28, 28, 1), 10, seed=0)

    def make(folder: Path) -> None:
        mnist = sources.load("mnist")
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(0.003), loss, jit_compile=False)  # XLA takes longer than the training
        model.fit(mnist.x_train[:6400], mnist.y_train[:6400], batch_size=64, epochs=1, shuffle=False, verbose=0)
        model.save_weights(folder / "model.weights.h5")

    model.load_weights(made_once("trained", make) / "model.weights.h5")
    return keras.Model(model.inputs[0], model.outputs[0])


@pytest.fixture(scope="session")
def digits() -> NDArray[np.uint8]:
    """24 real test images."""
    return sources.load("mnist").x_test[:24]


@pytest.fixture(scope="session")
def predicted(trained: keras.Model, digits: NDArray[np.uint8]) -> NDArray[np.int64]:
    """What the trained model says of the digits."""
    classes: NDArray[np.int64] = trained.predict_on_batch(digits.astype(np.float32)).argmax(axis=1)
    return classes
