import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from harness.insight.saliency import rise
from harness.insight.saliency.perturbation import stretched
from harness.models.logits import IndependentLogits


def test_stretched_masks_are_cut_from_a_bilinear_enlargement() -> None:
    random = np.random.default_rng(0)
    grids = (random.random((5, 7, 7)) < 0.5).astype(np.float32)
    shifts = random.random((5, 2))
    found = stretched(grids, shifts, 28, 40)
    assert found.shape == (5, 28, 40)
    cells = 4, 6
    enlarged = tf.image.resize(grids[..., np.newaxis], (8 * cells[0], 8 * cells[1]), "bilinear").numpy()[..., 0]
    for mask, large, shift in zip(found, enlarged, shifts, strict=True):
        row, column = (int(share * cell) for share, cell in zip(shift, cells, strict=True))
        np.testing.assert_allclose(mask, large[row : row + 28, column : column + 40], atol=1e-5)


def test_masks_let_half_of_each_pixel_through() -> None:
    random = np.random.default_rng(0)
    masks = stretched((random.random((4000, 7, 7)) < 0.5).astype(np.float32), random.random((4000, 2)), 28, 28)
    np.testing.assert_allclose(masks.mean(axis=0), 0.5, atol=0.04)
    assert masks.min() == 0
    assert masks.max() == 1


def test_is_the_mean_probability_over_the_masks_by_what_they_let_through(
    cnn: keras.Model, images: NDArray[np.uint8], labels: NDArray[np.int32]
) -> None:
    maps = rise(cnn, images[:2], labels[:2], masks=20, seed=3)
    random = np.random.default_rng(3)
    masks = stretched((random.random((20, 7, 7)) < 0.5).astype(np.float32), random.random((20, 2)), 28, 28)
    for image, label, found in zip(images, labels, maps, strict=False):
        says = keras.ops.softmax(cnn(image * masks[..., np.newaxis])).numpy()[:, label]
        expected = sum(said * mask for said, mask in zip(says, masks, strict=True)) / masks.sum(axis=0)
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_independent_classes_are_weighed_by_their_sigmoids(images: NDArray[np.uint8]) -> None:
    flat = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    flat.set_weights([np.full((784, 3), 1e-5), np.array([1.0, 2, -1])])
    independent = keras.Model(flat.inputs[0], IndependentLogits()(flat.outputs[0]))
    means = [rise(independent, images[:1], np.array([label]), masks=20).mean() for label in range(3)]
    assert means == pytest.approx(1 / (1 + np.exp(-np.array([1.5, 2.5, -0.5]))), abs=0.05)
    assert rise(flat, images[:1], np.array([1]), masks=20).mean() < means[1] - 0.1


def test_finds_the_pixels_that_are_seen_and_follows_its_seed() -> None:
    def logits(images: tf.Tensor) -> tf.Tensor:
        seen = tf.reduce_mean(images[:, 4:8, 16:20, 0], axis=(1, 2)) / 20
        return tf.stack([seen, tf.zeros_like(seen)], axis=1)

    image = np.full((1, 28, 28, 1), 200, np.uint8)
    first, again, other = (rise(logits, image, np.array([0]), masks=400, seed=seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    inside = first[4:8, 16:20].mean()
    assert inside > first.mean() + 4 * first[12:].std()
