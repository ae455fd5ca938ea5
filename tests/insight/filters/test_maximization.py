import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.filters import activation_maximization, feature_maps, first_kernels


def answers(model: keras.Model, layer: str, patches: NDArray[np.float32]) -> NDArray[np.float32]:
    """The middle unit of filter i for patch i, where the layer is the first one: computed by hand."""
    kernel, bias = model.get_layer(layer).get_weights()
    units: NDArray[np.float32] = np.einsum("fhwc,hwcf->f", patches / 255, kernel) + bias
    return units


def test_first_kernels(cnn: keras.Model) -> None:
    kernels = first_kernels(cnn)
    assert kernels.shape == (32, 3, 3, 1)
    np.testing.assert_array_equal(kernels[5, :, :, 0], cnn.get_layer("conv_1").get_weights()[0][:, :, 0, 5])


def test_activation_maximization_excites_each_filter(cnn: keras.Model) -> None:
    patches = activation_maximization(cnn, "conv_1")
    assert patches.shape == (32, 3, 3, 1)
    assert patches.dtype == np.float32
    assert patches.min() >= 0
    assert patches.max() <= 255
    random = np.random.default_rng(0).uniform(0, 255, (200, 3, 3, 1)).astype(np.float32)
    best_random = np.max([answers(cnn, "conv_1", np.repeat(patch[None], 32, axis=0)) for patch in random], axis=0)
    assert (answers(cnn, "conv_1", patches) > best_random).mean() > 0.9


def test_activation_maximization_follows_its_seed_and_leaves_the_model_alone(cnn: keras.Model) -> None:
    before = cnn.get_weights()
    first, again, other = (activation_maximization(cnn, "conv_2", steps=5, seed=seed) for seed in (0, 0, 1))
    assert first.shape == (64, 8, 8, 1)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert cnn.get_layer("conv_2").activation is keras.activations.relu
    for kept, weight in zip(before, cnn.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, weight)


def test_feature_maps(cnn: keras.Model, images: NDArray[np.uint8]) -> None:
    maps = feature_maps(cnn, images)
    assert {layer: values.shape for layer, values in maps.items()} == {
        "conv_1": (6, 32, 26, 26),
        "conv_2": (6, 64, 11, 11),
        "conv_3": (6, 64, 3, 3),
    }
    patch = images[4, 10:13, 7:10].astype(np.float32)
    expected = np.maximum(answers(cnn, "conv_1", np.repeat(patch[None], 32, axis=0)), 0)
    np.testing.assert_allclose(maps["conv_1"][4, :, 10, 7], expected, rtol=1e-4, atol=1e-6)
