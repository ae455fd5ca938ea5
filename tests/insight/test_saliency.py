from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from harness.errors import UserError
from harness.insight.saliency import METHODS, gradcam, gradient, smoothgrad
from harness.models.build import build

Images = NDArray[np.uint8]
Labels = NDArray[np.int32]


def test_gradient_agrees_with_finite_differences(cnn: keras.Model, images: Images, labels: Labels) -> None:
    exact = build("cnn", (28, 28, 1), 10, seed=1, dtype="float64")
    exact.set_weights(cnn.get_weights())
    maps = gradient(cnn, images, labels)
    for row, column in [(2, 3), (7, 20), (14, 14), (21, 9), (13, 17)]:
        step = np.zeros(images.shape)
        step[:, row, column] = 1e-4
        difference = (exact(images + step) - exact(images - step)).numpy() / 2e-4
        expected = np.abs(difference[np.arange(len(labels)), labels])
        np.testing.assert_allclose(maps[:, row, column], expected, rtol=1e-3, atol=1e-9)


def test_gradient_takes_the_largest_channel() -> None:
    pixels = keras.Input((2, 2, 3))
    model = keras.Model(pixels, keras.layers.Dense(2, use_bias=False)(keras.layers.Flatten()(pixels)))
    weights = np.arange(24, dtype=np.float32).reshape(12, 2) - 15
    model.set_weights([weights])
    maps = gradient(model, np.ones((1, 2, 2, 3), np.uint8), np.array([1]))
    np.testing.assert_allclose(maps[0], np.abs(weights[:, 1]).reshape(2, 2, 3).max(axis=-1))


def test_smoothgrad_without_noise_is_the_gradient(cnn: keras.Model, images: Images, labels: Labels) -> None:
    maps = smoothgrad(cnn, images, labels, samples=3, noise=0.0)
    np.testing.assert_allclose(maps, gradient(cnn, images, labels), rtol=1e-5, atol=1e-9)


def test_smoothgrad_is_the_mean_over_noisy_copies(cnn: keras.Model, images: Images, labels: Labels) -> None:
    copies = [images + 0.1 * 255 * tf.random.stateless_normal((28, 28, 1), (7, sample)).numpy() for sample in range(4)]
    expected = np.mean([gradient(cnn, copy, labels) for copy in copies], axis=0)
    maps = smoothgrad(cnn, images, labels, samples=4, noise=0.1, seed=7)
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-8)


def test_smoothgrad_takes_any_function_of_images() -> None:
    maps = smoothgrad(lambda images: tf.reduce_sum(3 * images, axis=(1, 2)), np.ones((2, 4, 5, 1)), np.array([0, 0]))
    np.testing.assert_allclose(maps, np.full((2, 4, 5), 3.0), rtol=1e-6)


def test_smoothgrad_follows_its_seed(cnn: keras.Model, images: Images, labels: Labels) -> None:
    first, again, other = (smoothgrad(cnn, images, labels, samples=2, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_gradcam_by_hand() -> None:
    pixels = keras.Input((4, 4, 1))
    features = keras.layers.Conv2D(2, 1, activation="relu")(pixels)
    model = keras.Model(pixels, keras.layers.Dense(2, use_bias=False)(keras.layers.Flatten()(features)))
    random = np.random.default_rng(0)
    dense = random.normal(size=(32, 2)).astype(np.float32)
    model.set_weights([np.array([[[[1.0, -2.0]]]]), np.array([-3.0, 9.0]), dense])
    image = random.integers(0, 10, (1, 4, 4, 1))

    activations = np.maximum(image[0] * np.array([1.0, -2.0]) + np.array([-3.0, 9.0]), 0)
    for label in (0, 1):
        weights = dense[:, label].reshape(4, 4, 2).mean(axis=(0, 1))
        expected = np.maximum((activations * weights).sum(axis=-1), 0)
        np.testing.assert_allclose(gradcam(model, image, np.array([label]))[0], expected, rtol=1e-5, atol=1e-6)


def test_gradcam_is_stretched_to_the_image(cnn: keras.Model, images: Images, labels: Labels) -> None:
    maps = gradcam(cnn, images, labels)
    assert maps.shape == (6, 28, 28)
    assert maps.max() > 0


@pytest.mark.parametrize("method", METHODS)
def test_batched_is_one_by_one(method: str, cnn: keras.Model) -> None:
    random = np.random.default_rng(2)
    images = random.integers(0, 256, (70, 28, 28, 1), dtype=np.uint8)
    labels = random.integers(0, 10, 70)
    explain = partial(smoothgrad, samples=3) if method == "smoothgrad" else METHODS[method]
    maps = explain(cnn, images, labels)
    assert maps.shape == (70, 28, 28)
    assert maps.dtype == np.float32
    for index in (0, 63, 64, 69):
        alone = explain(cnn, images[index : index + 1], labels[index : index + 1])
        np.testing.assert_allclose(maps[index], alone[0], rtol=1e-3, atol=1e-6 * maps.max())


@pytest.mark.parametrize("method", METHODS)
def test_refuses_labels_that_do_not_fit(method: str, cnn: keras.Model, images: Images) -> None:
    with pytest.raises(UserError, match="one label an image"):
        METHODS[method](cnn, images, np.array([1, 2]))
    with pytest.raises(UserError, match="height"):
        METHODS[method](cnn, images[..., 0], np.zeros(6, int))
