"""Each map against the paper's formula on a model of 4×4 positions, worked out in NumPy."""

from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from harness.insight.saliency.cams import gradcam, gradcam_plus_plus, layercam, scorecam

Images = NDArray[np.uint8]
Labels = NDArray[np.int32]


class ByHand:
    """Two feature maps of as many positions as there are pixels, and two logits that are linear in them."""

    def __init__(self, relu_layer: bool) -> None:
        pixels = keras.Input((4, 4, 1))
        features = keras.layers.Conv2D(2, 1, activation=None if relu_layer else "relu")(pixels)
        features = keras.layers.ReLU()(features) if relu_layer else features
        self.model = keras.Model(pixels, keras.layers.Dense(2, use_bias=False)(keras.layers.Flatten()(features)))
        random = np.random.default_rng(0)
        self.dense = random.normal(size=(32, 2)).astype(np.float32)
        self.model.set_weights([np.array([[[[1.0, -2.0]]]]), np.array([-3.0, 9.0]), self.dense])
        self.image = random.integers(0, 10, (1, 4, 4, 1))
        self.activations = self.features(self.image[0])

    def features(self, image: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.maximum(image * np.array([1.0, -2.0]) + np.array([-3.0, 9.0]), 0)

    def gradient(self, label: int) -> NDArray[np.float64]:
        return self.dense[:, label].reshape(4, 4, 2)


@pytest.fixture(params=[False, True], ids=["relu in the layer", "relu as a layer"])
def by_hand(request: pytest.FixtureRequest) -> ByHand:
    return ByHand(request.param)


@pytest.mark.parametrize("label", [0, 1])
def test_gradcam_by_hand(by_hand: ByHand, label: int) -> None:
    weights = by_hand.gradient(label).mean(axis=(0, 1))
    expected = np.maximum((by_hand.activations * weights).sum(axis=-1), 0)
    maps = gradcam(by_hand.model, by_hand.image, np.array([label]))
    np.testing.assert_allclose(maps[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("label", [0, 1])
def test_gradcam_plus_plus_by_hand(by_hand: ByHand, label: int) -> None:
    g, activations = by_hand.gradient(label), by_hand.activations
    alpha = g**2 / (2 * g**2 + g**3 * activations.sum(axis=(0, 1)))
    alpha /= alpha.sum(axis=(0, 1))
    weights = (alpha * np.maximum(g, 0)).sum(axis=(0, 1))
    maps = gradcam_plus_plus(by_hand.model, by_hand.image, np.array([label]))
    np.testing.assert_allclose(maps[0], np.maximum((activations * weights).sum(axis=-1), 0), rtol=1e-4, atol=1e-6)


def test_gradcam_plus_plus_does_not_overflow_where_a_logit_is_large(by_hand: ByHand) -> None:
    by_hand.model.set_weights([*by_hand.model.get_weights()[:2], 100 * by_hand.dense])
    assert by_hand.model(by_hand.image).numpy().max() > 100  # e^100 is beyond float32
    assert np.isfinite(gradcam_plus_plus(by_hand.model, by_hand.image, np.array([0]))).all()


@pytest.mark.parametrize("label", [0, 1])
def test_layercam_by_hand(by_hand: ByHand, label: int) -> None:
    expected = (np.maximum(by_hand.gradient(label), 0) * by_hand.activations).sum(axis=-1)
    maps = layercam(by_hand.model, by_hand.image, np.array([label]))
    np.testing.assert_allclose(maps[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("label", [0, 1])
def test_scorecam_by_hand(by_hand: ByHand, label: int) -> None:
    expected = np.zeros((4, 4))
    for feature_map in np.moveaxis(by_hand.activations, -1, 0):
        mask = (feature_map - feature_map.min()) / np.ptp(feature_map)
        logits = by_hand.features(by_hand.image[0] * mask[..., np.newaxis]).reshape(-1) @ by_hand.dense
        probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        expected += probabilities[label] * feature_map
    maps = scorecam(by_hand.model, by_hand.image, np.array([label]))
    np.testing.assert_allclose(maps[0], np.maximum(expected, 0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", [gradcam, gradcam_plus_plus, layercam, scorecam])
def test_a_map_is_stretched_to_the_image_corner_on_corner(method: Any) -> None:
    """2×3 positions, which differ in what they are worth, on 4×7 pixels of three channels."""
    pixels = keras.Input((4, 7, 3))
    pooled = keras.layers.AveragePooling2D((2, 2))(pixels)
    features = keras.layers.Conv2D(1, 1, activation="relu", use_bias=False)(pooled)
    model = keras.Model(pixels, keras.layers.Dense(2, use_bias=False)(keras.layers.Flatten()(features)))
    model.set_weights([np.ones((1, 1, 3, 1)), np.full((6, 2), 0.5)])
    image = np.random.default_rng(0).integers(1, 255, (1, 4, 7, 3))
    positions = image[:, :, :6].reshape(2, 2, 3, 2, 3).mean(axis=(1, 3)).sum(axis=-1)
    rows = np.stack([np.interp(np.linspace(0, 2, 7), [0, 1, 2], row) for row in positions])
    expected = np.stack([rows[0] + share * (rows[1] - rows[0]) for share in np.linspace(0, 1, 4)])
    maps = method(model, image, np.array([0]))[0]
    np.testing.assert_allclose(maps / maps.max(), expected / expected.max(), rtol=1e-4)


@pytest.mark.parametrize("method", [gradcam, gradcam_plus_plus, layercam, scorecam])
def test_another_layer_gives_another_map(method: Any, cnn: keras.Model, images: Images, labels: Labels) -> None:
    last = method(cnn, images, labels)
    np.testing.assert_array_equal(method(cnn, images, labels, layer="conv_3"), last)
    assert not np.allclose(method(cnn, images, labels, layer="conv_2"), last)
