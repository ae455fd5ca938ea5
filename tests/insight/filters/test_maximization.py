from collections.abc import Callable

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from harness.errors import UserError
from harness.insight.filters import activation_maximization, class_optimal_images, strongest
from harness.insight.inference import images_at_once
from harness.insight.layers import before_activation, centre_unit

GREY = 127.5


def one_convolution(kernels: NDArray[np.float32], bias: float = 0.0, size: int = 9) -> keras.Model:
    """A model of one convolution with these kernels, (height, width, channels, filters), and a relu."""
    pixels = keras.Input((size, size, kernels.shape[2]))
    layer = keras.layers.Conv2D(kernels.shape[3], kernels.shape[:2], activation="relu", name="conv")
    model = keras.Model(pixels, layer(pixels))
    model.set_weights([kernels, np.full(kernels.shape[3], bias, np.float32)])
    return model


def kernels_of_both_signs(channels: int = 1, filters: int = 6) -> NDArray[np.float32]:
    random = np.random.default_rng(0)
    shape = (3, 3, channels, filters)
    kernels: NDArray[np.float32] = (random.uniform(0.5, 1.5, shape) * random.choice([-1, 1], shape)).astype(np.float32)
    return kernels


def sequential() -> keras.Model:
    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [
            keras.Input((20, 16, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(5, 3, activation="elu", name="first"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(7, 3, padding="same", activation="relu", name="second"),
            keras.layers.Flatten(),
            keras.layers.Dense(4),
        ]
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_the_patch_of_a_kernel_is_white_where_it_adds_and_black_where_it_subtracts(channels: int) -> None:
    kernels = kernels_of_both_signs(channels)
    found = activation_maximization(one_convolution(kernels), "conv", jitter=0)
    assert found.patches.dtype == found.scores.dtype == np.float32
    np.testing.assert_array_equal(found.patches, 255 * (np.moveaxis(kernels, -1, 0) > 0))
    np.testing.assert_allclose(found.scores, 255 * np.maximum(kernels, 0).sum(axis=(0, 1, 2)), rtol=1e-5)


def test_a_filter_that_a_relu_silences_has_its_patch_too() -> None:
    kernels = kernels_of_both_signs()
    found = activation_maximization(one_convolution(kernels, bias=-1e4), "conv")
    np.testing.assert_array_equal(found.patches, 255 * (np.moveaxis(kernels, -1, 0) > 0))
    assert (found.scores < 0).all()


@pytest.mark.parametrize(("build", "layer"), [(None, "conv_3"), (sequential, "first"), (sequential, "second")])
def test_the_score_is_what_the_model_says_of_the_returned_patch(
    cnn: keras.Model, build: Callable[[], keras.Model] | None, layer: str
) -> None:
    model = build() if build else cnn
    found = activation_maximization(model, layer, seeds=2, steps=5)
    filters = model.get_layer(layer).filters
    images = np.full((filters, *model.input_shape[1:]), GREY, np.float32)
    images[:, found.rows, found.columns] = found.patches
    units = keras.Model(model.inputs[0], centre_unit(before_activation(model, model.get_layer(layer))))
    np.testing.assert_allclose(found.scores, np.diag(units(images)), rtol=1e-5, atol=1e-5)
    assert found.patches.min() >= 0
    assert found.patches.max() <= 255


@pytest.mark.slow
def test_patches_excite_more_than_real_images_do(cnn: keras.Model, digits: NDArray[np.uint8]) -> None:
    real = strongest(cnn, digits)
    for layer, gain in {"conv_1": 1, "conv_2": 1.2, "conv_3": 1.5}.items():
        some = range(0, cnn.get_layer(layer).filters, 4)
        found = activation_maximization(cnn, layer, filters=some)
        assert (found.scores >= 0.99 * gain * real[layer].activations[some, 0]).all()


def test_more_starts_are_never_worse_and_of_each_filter_the_best_is_kept(cnn: keras.Model) -> None:
    one, three = (activation_maximization(cnn, "conv_2", filters=range(20), seeds=n, steps=8).scores for n in (1, 3))
    assert (three >= one).all()
    assert (three > one).any()
    assert (three == one).any()


def test_jitter_makes_a_patch_that_bears_being_shifted() -> None:
    kernels = np.zeros((9, 9, 1, 1), np.float32)
    kernels[::2], kernels[1::2] = 1, -1  # stripes of one pixel
    model = one_convolution(kernels, size=13)
    still, shifted = (activation_maximization(model, "conv", jitter=jitter, seeds=1) for jitter in (0, 2))
    assert shifted.scores < still.scores


def test_equal_seeds_give_equal_patches_and_the_model_is_left_alone(cnn: keras.Model) -> None:
    before = cnn.get_weights()
    first, again, other = (
        activation_maximization(cnn, "conv_2", filters=range(8), steps=5, seed=seed) for seed in (0, 0, 1)
    )
    assert first.patches.shape == (8, 8, 8, 1)
    np.testing.assert_array_equal(first.patches, again.patches)
    np.testing.assert_array_equal(first.scores, again.scores)
    assert not np.allclose(first.patches, other.patches)
    assert cnn.get_layer("conv_2").activation is keras.activations.relu
    for kept, weight in zip(before, cnn.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, weight)


def test_a_filters_patch_does_not_depend_on_the_other_filters() -> None:
    kernels = kernels_of_both_signs(filters=2)
    alone = activation_maximization(one_convolution(kernels[..., :1]), "conv", steps=4)
    together = activation_maximization(one_convolution(kernels), "conv", steps=4)
    np.testing.assert_allclose(together.patches[0], alone.patches[0], atol=1e-3)


def test_filters_go_one_after_the_other_where_memory_is_short() -> None:
    kernels = np.sign(kernels_of_both_signs(filters=4))
    model = one_convolution(kernels, size=1200)
    assert images_at_once(model) < 4
    found = activation_maximization(model, "conv", steps=3, seeds=1, jitter=0)
    np.testing.assert_array_equal(found.patches > GREY, np.moveaxis(kernels, -1, 0) > 0)


def test_what_answers_to_nothing_stays_as_it_began() -> None:
    model = one_convolution(np.zeros((3, 3, 1, 2), np.float32), bias=7)
    found = activation_maximization(model, "conv", steps=3, seeds=1)
    np.testing.assert_array_equal(found.scores, [7, 7])
    assert np.abs(found.patches - GREY).max() <= 20


def test_a_layer_that_is_not_there_is_refused(cnn: keras.Model) -> None:
    with pytest.raises(UserError, match="no convolutional layer 'dense'"):
        activation_maximization(cnn, "dense")


def test_the_image_of_a_class_is_what_its_weights_ask_for() -> None:
    pixels = keras.Input((4, 5, 3))
    model = keras.Model(pixels, keras.layers.Dense(3)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels))))
    weights = kernels_of_both_signs(filters=1).flat[0] * np.random.default_rng(1).choice([-1, 1], (60, 3))
    bias = np.array([0.5, -2, 1], np.float32)
    model.set_weights([weights, bias])
    found = class_optimal_images(model, np.array([2, 0]), jitter=0)
    np.testing.assert_array_equal(found.images, 255 * (weights.T[[2, 0]].reshape(2, 4, 5, 3) > 0))
    np.testing.assert_allclose(found.logits, np.maximum(weights, 0).sum(axis=0)[[2, 0]] + bias[[2, 0]], rtol=1e-5)
    logits = found.images.reshape(2, -1) / 255 @ weights + bias
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.probabilities, expected[[0, 1], [2, 0]], rtol=1e-4)


def test_the_logit_of_a_class_is_that_of_the_returned_image(cnn: keras.Model) -> None:
    found = class_optimal_images(cnn, np.arange(10), steps=10, seeds=1)
    assert found.images.shape == (10, 28, 28, 1)
    np.testing.assert_allclose(found.logits, np.diag(cnn(found.images)), rtol=1e-4, atol=1e-5)


def test_the_spread_over_starts_is_told() -> None:
    kernels = np.zeros((3, 3, 1, 2), np.float32)
    kernels[1, 1] = 1
    model = one_convolution(kernels, size=5)
    found = activation_maximization(model, "conv", seeds=4, steps=1, jitter=0)
    assert found.of_starts.shape == (2, 4)
    np.testing.assert_array_equal(found.of_starts.max(axis=1), found.scores)
    # One step of 30 pixel values from grey, black, white and grey again: the noise is 10 at most, and the total
    # variation takes 12 of the step at most, a tenth of it for each neighbour.
    assert (np.abs(found.of_starts - [157.5, 30, 255, 157.5]) <= 22).all()
    one = activation_maximization(model, "conv", seeds=1, steps=1, jitter=0)
    np.testing.assert_allclose(one.of_starts[:, 0], found.of_starts[:, 0], atol=1e-3)


def test_some_filters_alone_get_the_patches_that_they_get_among_all() -> None:
    model = one_convolution(kernels_of_both_signs(filters=5))
    some = activation_maximization(model, "conv", filters=range(0, 5, 2), steps=4)
    whole = activation_maximization(model, "conv", steps=4)
    np.testing.assert_allclose(some.patches, whole.patches[::2], atol=1e-3)
    np.testing.assert_allclose(some.scores, whole.scores[::2], rtol=1e-4)


def test_each_class_has_its_starts() -> None:
    pixels = keras.Input((4, 5, 3))
    model = keras.Model(pixels, keras.layers.Dense(3)(keras.layers.Flatten()(pixels)))
    found = class_optimal_images(model, np.array([2, 0]), seeds=3, steps=2)
    assert found.of_starts.shape == (2, 3)
    np.testing.assert_array_equal(found.of_starts.max(axis=1), found.logits)
