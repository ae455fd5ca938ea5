import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.filters import ALIKE, duplicates

Weights = list[NDArray[np.float32]]


def model_of(weights: Weights, size: int = 28) -> keras.Model:
    kernel, _ = weights
    pixels = keras.Input((size, size, kernel.shape[2]))
    layer = keras.layers.Conv2D(kernel.shape[-1], kernel.shape[:2], activation="relu", name="conv")
    model = keras.Model(pixels, layer(pixels))
    layer.set_weights(weights)
    return model


def random_weights(channels: int = 1) -> Weights:
    random = np.random.default_rng(0)
    return [random.normal(size=(3, 3, channels, 6)).astype(np.float32), random.normal(size=6).astype(np.float32)]


def test_random_kernels_are_no_duplicates(digits: NDArray[np.uint8]) -> None:
    assert duplicates(model_of(random_weights()), digits) == {"conv": []}


def test_a_copy_is_found_whatever_its_size_and_its_bias(digits: NDArray[np.uint8]) -> None:
    kernel, bias = random_weights()
    kernel[..., 4] = 3 * kernel[..., 1]
    (pair,) = duplicates(model_of([kernel, bias]), digits)["conv"]
    assert (pair.first, pair.second) == (1, 4)
    np.testing.assert_allclose(pair.similarity, 1, rtol=1e-5)


def test_an_opposite_is_no_copy(digits: NDArray[np.uint8]) -> None:
    kernel, bias = random_weights()
    kernel[..., 4] = -kernel[..., 1]
    assert duplicates(model_of([kernel, bias]), digits) == {"conv": []}


def test_pairs_come_with_the_most_alike_first_and_their_similarity_is_the_smaller_of_the_two(
    digits: NDArray[np.uint8],
) -> None:
    kernel, bias = random_weights()
    kernel[..., 2] = kernel[..., 0] + 0.05 * kernel[..., 3]
    kernel[..., 5] = kernel[..., 1] + 0.02 * kernel[..., 3]
    found = duplicates(model_of([kernel, bias]), digits)["conv"]
    assert [(pair.first, pair.second) for pair in found] == [(1, 5), (0, 2)]
    windows = np.lib.stride_tricks.sliding_window_view(digits[..., 0].astype(np.float64), (3, 3), axis=(1, 2))
    for pair in found:
        one, other = (kernel[:, :, 0, number].astype(np.float64) for number in pair[:2])
        cosine = (one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum())
        said = [np.einsum("nijhw,hw->nij", windows, of).ravel() for of in (one, other)]
        np.testing.assert_allclose(pair.similarity, min(cosine, np.corrcoef(said)[0, 1]), rtol=1e-5)


def test_alike_in_their_weights_but_not_in_what_they_say() -> None:
    kernel = np.ones((3, 3, 1, 2), np.float32)
    kernel[:, 1, 0, 1] = 0.9  # a cosine of 0.998
    model = model_of([kernel, np.zeros(2, np.float32)], size=3)
    images = np.zeros((50, 3, 3, 1), np.uint8)
    images[:, :, 1] = np.arange(100, 150).reshape(50, 1, 1)
    images[:, :, 0] = 250 - images[:, :, 1]  # all that is left in the sum is what the 0.9 makes of the middle
    assert duplicates(model, images) == {"conv": []}
    assert len(duplicates(model, np.random.default_rng(0).integers(0, 256, (50, 3, 3, 1), np.uint8))["conv"]) == 1


def test_filters_that_say_the_same_everywhere_are_in_no_pair(digits: NDArray[np.uint8]) -> None:
    kernel, bias = random_weights()
    kernel[..., 4] = kernel[..., 1]
    model = model_of([kernel, bias])
    assert duplicates(model, np.zeros_like(digits)) == {"conv": []}


def test_colour_kernels_are_compared_in_all_channels(digits: NDArray[np.uint8]) -> None:
    kernel, bias = random_weights(channels=3)
    kernel[..., 4] = kernel[..., 1]
    kernel[..., 5] = kernel[..., 0]
    kernel[:, :, 2, 5] = 0
    found = duplicates(model_of([kernel, bias]), np.repeat(digits, 3, axis=-1))["conv"]
    assert [(pair.first, pair.second) for pair in found] == [(1, 4)]
    assert found[0].similarity > ALIKE
