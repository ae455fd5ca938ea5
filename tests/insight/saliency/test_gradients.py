from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from harness.errors import UserError
from harness.insight.saliency.gradients import (
    gradient,
    gradient_times_input,
    guided_backpropagation,
    integrated_gradients,
    smoothgrad,
)

Images = NDArray[np.uint8]
Labels = NDArray[np.int32]
Differences = Callable[[NDArray[Any], tuple[int, int]], NDArray[np.float64]]

PIXELS = [(2, 3), (7, 10), (6, 6), (10, 1), (5, 8)]


def convolutions(dtype: str) -> keras.Model:
    """From 12×12 pixels to ten logits."""
    pixels = keras.Input((12, 12, 1), dtype=dtype)
    x = keras.layers.Rescaling(1 / 255, dtype=dtype)(pixels)
    x = keras.layers.Conv2D(6, 3, activation="relu", dtype=dtype)(x)
    x = keras.layers.MaxPooling2D(dtype=dtype)(x)
    x = keras.layers.Conv2D(8, 3, activation="relu", bias_initializer="ones", dtype=dtype)(x)
    x = keras.layers.Flatten(dtype=dtype)(x)
    return keras.Model(pixels, keras.layers.Dense(10, dtype=dtype)(x))


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(1)
    return convolutions("float32")


@pytest.fixture
def images() -> Images:
    """Noise, so that no two pixels of a pooling window are equal and every gradient is unique."""
    return np.random.default_rng(0).integers(0, 256, (6, 12, 12, 1), dtype=np.uint8)


@pytest.fixture
def differences(model: keras.Model, labels: Labels) -> Differences:
    """From images (n, height, width, 1), as many as there are labels or several times as many, and a pixel to what the
    labels' logits gain there, (n,): central differences in float64, of the same model."""
    exact = convolutions("float64")
    exact.set_weights(model.get_weights())

    def of(images: NDArray[Any], pixel: tuple[int, int]) -> NDArray[np.float64]:
        step = np.zeros(images.shape)
        step[:, *pixel] = 1e-4
        found = (exact(images + step) - exact(images - step)).numpy() / 2e-4
        return np.asarray(found[np.arange(len(images)), np.resize(labels, len(images))], np.float64)

    return of


def test_gradient_agrees_with_finite_differences(
    model: keras.Model, images: Images, labels: Labels, differences: Differences
) -> None:
    maps = gradient(model, images, labels)
    for pixel in PIXELS:
        np.testing.assert_allclose(maps[:, *pixel], np.abs(differences(images, pixel)), rtol=1e-3, atol=1e-9)


def test_gradient_times_input_agrees_with_finite_differences(
    model: keras.Model, images: Images, labels: Labels, differences: Differences
) -> None:
    maps = gradient_times_input(model, images, labels)
    for pixel in PIXELS:
        expected = images[:, *pixel, 0] * differences(images, pixel)
        np.testing.assert_allclose(maps[:, *pixel], expected, rtol=1e-3, atol=1e-7)


def test_smoothgrad_agrees_with_finite_differences(
    model: keras.Model, images: Images, labels: Labels, differences: Differences
) -> None:
    maps = smoothgrad(model, images, labels, samples=3, noise=0.1, seed=7)
    for pixel in PIXELS:
        expected = np.mean([differences(copies, pixel) for copies in noisy(images, 0.1, 7, 3)], axis=0)
        np.testing.assert_allclose(maps[:, *pixel], np.abs(expected), rtol=1e-3, atol=1e-8)


def test_integrated_gradients_agree_with_finite_differences(
    model: keras.Model, images: Images, labels: Labels, differences: Differences
) -> None:
    """The model is piecewise linear, and 400 points of the path are as good as any integral of it."""
    maps = integrated_gradients(model, images, labels, baseline=60.0)
    path = np.concatenate([60 + share * (images - 60.0) for share in (np.arange(400) + 0.5) / 400])
    for pixel in PIXELS[:2]:
        mean = differences(path, pixel).reshape(400, len(images)).mean(axis=0)
        expected = (images[:, *pixel, 0] - 60.0) * mean
        np.testing.assert_allclose(maps[:, *pixel], expected, rtol=0.1, atol=0.02 * np.abs(maps).max())


def noisy(images: Images, noise: float, seed: int, samples: int) -> list[NDArray[np.float64]]:
    """SmoothGrad's copies, the noise a share of each image's own range."""
    ranges = np.ptp(images, axis=(1, 2, 3), keepdims=True)
    draws = [tf.random.stateless_normal(images.shape[1:], (seed, sample)).numpy() for sample in range(samples)]
    return [images + noise * ranges * draw for draw in draws]


def test_gradient_takes_the_largest_channel() -> None:
    pixels = keras.Input((2, 2, 3))
    model = keras.Model(pixels, keras.layers.Dense(2, use_bias=False)(keras.layers.Flatten()(pixels)))
    weights = np.arange(24, dtype=np.float32).reshape(12, 2) - 15
    model.set_weights([weights])
    maps = gradient(model, np.ones((1, 2, 2, 3), np.uint8), np.array([1]))
    np.testing.assert_allclose(maps[0], np.abs(weights[:, 1]).reshape(2, 2, 3).max(axis=-1))


def test_smoothgrad_without_noise_is_the_gradient(model: keras.Model, images: Images, labels: Labels) -> None:
    maps = smoothgrad(model, images, labels, samples=3, noise=0.0)
    np.testing.assert_allclose(maps, gradient(model, images, labels), rtol=1e-5, atol=1e-9)


def test_smoothgrad_is_the_size_of_the_mean_gradient_over_noisy_copies(
    model: keras.Model, images: Images, labels: Labels
) -> None:
    images[1:3] //= 4  # whose range is another
    total = np.zeros(images.shape, np.float32)
    for copies in noisy(images, 0.1, 7, 4):
        copies = tf.constant(copies, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(copies)
            score = tf.gather(model(copies), labels, batch_dims=1)
        total += tape.gradient(score, copies)
    maps = smoothgrad(model, images, labels, samples=4, noise=0.1, seed=7)
    np.testing.assert_allclose(maps, np.abs(total / 4).max(axis=-1), rtol=1e-3, atol=1e-7)


def test_smoothgrad_lets_gradients_of_opposite_signs_cancel_out() -> None:
    # The gradient of Σ (pixel - image)² is 2 · noise, whose mean over 50 copies is 1/√50 of its size.
    image = np.random.default_rng(0).integers(0, 2, (1, 28, 28, 1)) * 90
    maps = smoothgrad(lambda images: tf.reduce_sum((images - image) ** 2, axis=(1, 2)), image, np.array([0]))
    size = 2 * 0.2 * 90 * np.sqrt(2 / np.pi)
    assert maps.mean() == pytest.approx(size / np.sqrt(50), rel=0.1)


def test_smoothgrad_takes_any_function_of_images() -> None:
    maps = smoothgrad(lambda images: tf.reduce_sum(3 * images, axis=(1, 2)), np.ones((2, 4, 5, 1)), np.array([0, 0]))
    np.testing.assert_allclose(maps, np.full((2, 4, 5), 3.0), rtol=1e-6)


def test_smoothgrad_follows_its_seed(model: keras.Model, images: Images, labels: Labels) -> None:
    first, again, other = (smoothgrad(model, images, labels, samples=2, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_gradient_times_input_of_a_linear_model_shares_out_its_logit() -> None:
    pixels = keras.Input((2, 2, 3))
    model = keras.Model(pixels, keras.layers.Dense(2, use_bias=False)(keras.layers.Flatten()(pixels)))
    weights = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
    model.set_weights([weights])
    images = np.random.default_rng(1).integers(0, 256, (2, 2, 2, 3))
    for method in (gradient_times_input, integrated_gradients):
        maps = method(model, images, np.array([1, 0]))
        expected = [(images[i].reshape(4, 3) * weights[:, 1 - i].reshape(4, 3)).sum(axis=1) for i in (0, 1)]
        np.testing.assert_allclose(maps.reshape(2, 4), expected, rtol=1e-4)


def test_gradient_times_input_agrees_with_the_gradient(model: keras.Model, images: Images, labels: Labels) -> None:
    maps = gradient_times_input(model, images, labels)
    np.testing.assert_allclose(np.abs(maps), images[..., 0] * gradient(model, images, labels), rtol=1e-3, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "baseline"), [(100, 128.0), (7, 0.0)])
def test_integrated_gradients_add_up_to_what_the_logit_gains(
    steps: int, baseline: float, trained: keras.Model, digits: Images
) -> None:
    """Of every class, whether the model predicts it or not."""
    images, labels = np.repeat(digits[:3], 10, axis=0), np.tile(np.arange(10), 3)
    sums = integrated_gradients(trained, images, labels, baseline=baseline, steps=steps).sum(axis=(1, 2))
    start = trained(np.full(images.shape, baseline, np.float32)).numpy()
    gains = (trained(images.astype(np.float32)).numpy() - start)[np.arange(len(labels)), labels]
    assert np.abs(gains).min() > 0.01
    assert np.all(np.abs(sums - gains) <= 0.0101 * np.maximum(np.abs(gains), 0.1))


def test_integrated_gradients_of_a_square_are_its_integral() -> None:
    images = np.array([[[[3.0], [5.0]]]])
    maps = integrated_gradients(lambda pixels: tf.reduce_sum(pixels**2, axis=(1, 2)), images, np.array([0]))
    np.testing.assert_allclose(maps[0, 0], [9, 25], rtol=1e-4)


def relu_within(pixels: Any) -> Any:
    return keras.layers.Dense(1, activation="relu", use_bias=False)(pixels)


def relu_layer(pixels: Any) -> Any:
    return keras.layers.ReLU()(keras.layers.Dense(1, use_bias=False)(pixels))


def relu_activation_layer(pixels: Any) -> Any:
    return keras.layers.Activation("relu")(keras.layers.Dense(1, use_bias=False)(pixels))


def relu_operation(pixels: Any) -> Any:
    return keras.ops.relu6(keras.layers.Dense(1, use_bias=False)(pixels) / 2) * 2


@pytest.mark.parametrize("hidden_of", [relu_within, relu_layer, relu_activation_layer, relu_operation])
def test_guided_backpropagation_by_hand(hidden_of: Callable[[Any], Any]) -> None:
    """A gradient is passed on by a relu where it and the relu's input are positive."""
    pixels = keras.Input((1, 4, 1))
    hidden = hidden_of(pixels)
    model = keras.Model(pixels, keras.layers.Dense(1, use_bias=False)(keras.layers.Flatten()(hidden)))
    model.set_weights([np.array([[2.0]]), np.array([[1.0], [-1.0], [3.0], [-3.0]])])
    images = np.array([[[[5.0], [5.0], [-5.0], [-5.0]]]])
    np.testing.assert_allclose(guided_backpropagation(model, images, np.array([0]))[0, 0], [2, 0, 0, 0])
    np.testing.assert_allclose(gradient(model, images, np.array([0]))[0, 0], [2, 2, 0, 0], err_msg="it is unchanged")


def test_guided_backpropagation_of_a_model_without_relus_is_refused() -> None:
    pixels = keras.Input((2, 2, 1))
    model = keras.Model(pixels, keras.layers.Dense(2, "tanh")(keras.layers.Flatten()(pixels)))
    with pytest.raises(UserError, match="has no relu"):
        guided_backpropagation(model, np.ones((1, 2, 2, 1)), np.array([0]))


def test_guided_backpropagation_goes_through_normalization_as_the_model_does() -> None:
    normalization = keras.layers.Normalization()
    normalization.adapt(np.random.default_rng(0).normal(100, 30, (50, 3, 3, 1)))
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Flatten(), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((3, 3, 1)), normalization, *layers])
    plain = keras.Sequential([keras.Input((3, 3, 1)), *layers])
    images = np.random.default_rng(1).normal(100, 30, (2, 3, 3, 1)).astype(np.float32)
    deviation = np.sqrt(normalization.variance.numpy().item())
    np.testing.assert_allclose(
        guided_backpropagation(model, images, np.array([0, 1])),
        guided_backpropagation(plain, normalization(images).numpy(), np.array([0, 1])) / deviation,
        rtol=1e-5,
    )
