import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from harness.insight.saliency.gradients import (
    gradient,
    gradient_times_input,
    guided_backpropagation,
    integrated_gradients,
    smoothgrad,
)
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


def test_smoothgrad_is_the_size_of_the_mean_gradient_over_noisy_copies(
    cnn: keras.Model, images: Images, labels: Labels
) -> None:
    total = np.zeros(images.shape, np.float32)
    for sample in range(4):
        copies = tf.constant(images + 0.1 * 255 * tf.random.stateless_normal((28, 28, 1), (7, sample)).numpy())
        with tf.GradientTape() as tape:
            tape.watch(copies)
            score = tf.gather(cnn(copies), labels, batch_dims=1)
        total += tape.gradient(score, copies)
    maps = smoothgrad(cnn, images, labels, samples=4, noise=0.1, seed=7)
    np.testing.assert_allclose(maps, np.abs(total / 4).max(axis=-1), rtol=1e-3, atol=1e-7)


def test_smoothgrad_lets_gradients_of_opposite_signs_cancel_out() -> None:
    # The gradient of Σ pixel² is 2 · noise here, whose mean over 50 copies is 1/√50 of its size.
    maps = smoothgrad(lambda images: tf.reduce_sum(images**2, axis=(1, 2)), np.zeros((1, 28, 28, 1)), np.array([0]))
    size = 2 * 0.2 * 255 * np.sqrt(2 / np.pi)
    assert maps.mean() == pytest.approx(size / np.sqrt(50), rel=0.1)


def test_smoothgrad_takes_any_function_of_images() -> None:
    maps = smoothgrad(lambda images: tf.reduce_sum(3 * images, axis=(1, 2)), np.ones((2, 4, 5, 1)), np.array([0, 0]))
    np.testing.assert_allclose(maps, np.full((2, 4, 5), 3.0), rtol=1e-6)


def test_smoothgrad_follows_its_seed(cnn: keras.Model, images: Images, labels: Labels) -> None:
    first, again, other = (smoothgrad(cnn, images, labels, samples=2, seed=seed) for seed in (0, 0, 1))
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


def test_gradient_times_input_agrees_with_the_gradient(cnn: keras.Model, images: Images, labels: Labels) -> None:
    maps = gradient_times_input(cnn, images, labels)
    np.testing.assert_allclose(np.abs(maps), images[..., 0] * gradient(cnn, images, labels), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("baseline", [0.0, 128.0])
def test_integrated_gradients_add_up_to_what_the_logit_gains(
    baseline: float, cnn: keras.Model, images: Images, labels: Labels
) -> None:
    sums = integrated_gradients(cnn, images, labels, baseline=baseline).sum(axis=(1, 2))
    start = cnn(np.full(images.shape, baseline, np.float32)).numpy()
    gains = (cnn(images.astype(np.float32)).numpy() - start)[np.arange(len(labels)), labels]
    assert np.all(np.abs(sums - gains) < 0.01 * np.abs(gains))


def test_integrated_gradients_of_a_square_are_its_integral() -> None:
    images = np.array([[[[3.0], [5.0]]]])
    maps = integrated_gradients(lambda pixels: tf.reduce_sum(pixels**2, axis=(1, 2)), images, np.array([0]))
    np.testing.assert_allclose(maps[0, 0], [9, 25], rtol=1e-4)


def test_guided_backpropagation_by_hand() -> None:
    """A gradient is passed on by a relu where it and the relu's input are positive."""
    pixels = keras.Input((1, 4, 1))
    hidden = keras.layers.Dense(1, activation="relu", use_bias=False)(pixels)
    model = keras.Model(pixels, keras.layers.Dense(1, use_bias=False)(keras.layers.Flatten()(hidden)))
    model.set_weights([np.array([[2.0]]), np.array([[1.0], [-1.0], [3.0], [-3.0]])])
    images = np.array([[[[5.0], [5.0], [-5.0], [-5.0]]]])
    np.testing.assert_allclose(guided_backpropagation(model, images, np.array([0]))[0, 0], [2, 0, 0, 0])
    np.testing.assert_allclose(gradient(model, images, np.array([0]))[0, 0], [2, 2, 0, 0], err_msg="it is unchanged")
