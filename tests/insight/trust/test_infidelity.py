"""Against the definition, for models that are linear in the pixels."""

import numpy as np
import pytest
import tensorflow as tf

from harness.insight.trust.infidelity import infidelity, squares_of

SIDE = 6
LABELS = np.array([1, 0])
WEIGHTS = np.random.default_rng(5).standard_normal((SIDE * SIDE * 2, 2)).astype(np.float32)


def linear(images: tf.Tensor) -> tf.Tensor:
    return tf.reshape(images, (-1, SIDE * SIDE * 2)) @ WEIGHTS / 255


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 2)).astype(np.uint8)


def contributions(images: np.ndarray) -> np.ndarray:
    """Weight · pixel of the label, summed over channels: (n, height, width)."""
    weights = WEIGHTS.T[LABELS].reshape(images.shape) / 255
    return np.asarray((weights * images).sum(axis=-1), np.float32)


def test_the_shares_of_a_linear_model_are_without_fault_on_any_scale(images: np.ndarray) -> None:
    for scale in (1, 100, -3):
        found = infidelity(linear, scale * contributions(images), images, LABELS, squares=20)
        np.testing.assert_allclose(found, 0, atol=1e-9)


def test_by_hand(images: np.ndarray) -> None:
    maps = np.random.default_rng(1).standard_normal((2, SIDE, SIDE)).astype(np.float32)
    found = infidelity(linear, maps, images, LABELS, squares=20, seed=3)
    expected = []
    for image, of, label in zip(images, maps, LABELS, strict=True):
        told, lost = [], []
        for square in squares_of((SIDE, SIDE), 20, 3):
            without = image.astype(np.float64)
            without[square] = 0
            told.append(of[square].sum())
            lost.append(((image - without).reshape(-1) @ WEIGHTS / 255)[label])
        scale = np.mean(np.multiply(told, lost)) / np.mean(np.square(told))
        expected.append(np.mean((scale * np.array(told) - lost) ** 2))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_map_of_zeros_tells_nothing(images: np.ndarray) -> None:
    zeros = infidelity(linear, np.zeros((2, SIDE, SIDE), np.float32), images, LABELS, squares=20)
    some = infidelity(linear, np.ones((2, SIDE, SIDE), np.float32), images, LABELS, squares=20)
    assert (zeros >= some).all()


def test_squares_are_squares_within_the_image() -> None:
    for square in squares_of((7, 9), 50, 0):
        rows, columns = np.flatnonzero(square.any(axis=1)), np.flatnonzero(square.any(axis=0))
        assert len(rows) == len(columns) <= 3
        assert square.sum() == len(rows) ** 2
