from typing import Any

import keras
import numpy as np
import pytest

from harness.insight.trust.smprt import smprt

LABELS = np.zeros(4, np.int64)


@pytest.fixture(scope="module")
def dense() -> keras.Model:
    """A linear model of 6 × 6 pixels."""
    inputs = keras.Input((6, 6, 1))
    return keras.Model(inputs, keras.layers.Dense(2, name="logits")(keras.layers.Flatten()(inputs)))


@pytest.fixture
def few() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 6, 6, 1)).astype(np.uint8)


def weights(logits: keras.Model, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    kernel = logits.get_weights()[0][:, 0].reshape(6, 6)
    return np.repeat(kernel[np.newaxis], len(images), axis=0)


def pixels(logits: Any, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.asarray(images[..., 0], np.float32)


def test_it_tells_the_image_from_the_model(dense: keras.Model, few: np.ndarray) -> None:
    before = [weight.copy() for weight in dense.get_weights()]
    found = smprt(dense, {"pixels": pixels, "weights": weights}, few, LABELS, copies=2)
    np.testing.assert_allclose(found["pixels"], 1)
    assert (found["weights"] < 0.6).all()
    for was, now in zip(before, dense.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_by_hand_the_maps_are_averaged_before_they_are_compared(dense: keras.Model, few: np.ndarray) -> None:
    seen: list[np.ndarray] = []

    def image_and_model(logits: keras.Model, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        seen.append(weights(logits, images, labels) * images[..., 0])
        return np.asarray(seen[-1], np.float32)

    found = smprt(dense, {"a": image_and_model}, few, LABELS, copies=3)["a"]
    assert len(seen) == 6  # three of the trained model, three of the one step of its cascade
    trained, random = np.abs(np.mean(seen[:3], axis=0)), np.abs(np.mean(seen[3:], axis=0))
    for image in range(4):
        ranks = [of[image].reshape(-1).argsort().argsort() for of in (trained, random)]
        assert found[image] == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-6)


def test_noise_no_longer_passes_for_dependence(dense: keras.Model, few: np.ndarray) -> None:
    """A map of the image's brightness in noise: the more copies, the more it is seen to be the image's alone."""

    def noisy(logits: keras.Model, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        fresh = np.random.default_rng(int(abs(logits.get_weights()[0]).sum() * 1e6 + abs(images).sum()))
        return np.asarray(images[..., 0] + fresh.normal(0, 200, images.shape[:3]), np.float32)

    one, many = (smprt(dense, {"a": noisy}, few, LABELS, copies=copies)["a"].mean() for copies in (1, 64))
    assert one < 0.4
    assert many > 0.8


def test_the_weights_are_drawn_from_the_first_layer_up() -> None:
    """Seen by a map that says which layers are still the trained ones."""
    inputs = keras.Input((2, 2, 1))
    x = keras.layers.Dense(3, name="second")(keras.layers.Dense(3, name="first")(keras.layers.Flatten()(inputs)))
    model = keras.Model(inputs, keras.layers.Dense(2, name="logits")(x))
    before = {layer.name: layer.get_weights()[0] for layer in model.layers if layer.weights}
    changed: list[list[str]] = []

    def spy(logits: keras.Model, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        changed.append([name for name in before if (logits.get_layer(name).get_weights()[0] != before[name]).any()])
        return np.zeros(images.shape[:3], np.float32)

    smprt(model, {"spy": spy}, np.zeros((4, 2, 2, 1), np.uint8), LABELS, copies=1)
    assert changed == [[], ["first"], ["first", "second"], ["first", "second", "logits"]]
