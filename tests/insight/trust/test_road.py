"""Imputation against the paper's equations, and removal in the order of a map."""

import numpy as np
import tensorflow as tf

from harness.insight.trust.road import SHARES, imputed, road


def test_a_lone_missing_pixel_is_the_weighted_mean_of_its_neighbours() -> None:
    image = np.arange(18, dtype=np.float32).reshape(3, 3, 2) ** 2
    missing = np.zeros((3, 3), np.bool_)
    missing[1, 1] = True
    direct = image[0, 1] + image[1, 0] + image[1, 2] + image[2, 1]
    diagonal = image[0, 0] + image[0, 2] + image[2, 0] + image[2, 2]
    filled = imputed(image, missing)
    np.testing.assert_allclose(filled[1, 1], direct / 6 + diagonal / 12, rtol=1e-6)
    np.testing.assert_array_equal(filled[~missing], image[~missing])


def test_in_the_corner_the_weights_of_the_neighbours_there_are_scaled_to_one() -> None:
    image = np.arange(9, dtype=np.float32).reshape(3, 3, 1)
    missing = np.zeros((3, 3), np.bool_)
    missing[0, 0] = True
    expected = (image[0, 1] / 6 + image[1, 0] / 6 + image[1, 1] / 12) / (1 / 6 + 1 / 6 + 1 / 12)
    np.testing.assert_allclose(imputed(image, missing)[0, 0], expected, rtol=1e-6)


def test_missing_neighbours_count_with_what_they_are_filled_in_with() -> None:
    image = np.random.default_rng(0).random((5, 6, 1)).astype(np.float32)
    missing = np.random.default_rng(1).random((5, 6)) < 0.7
    filled = imputed(image, missing)[..., 0]
    for row, column in np.argwhere(missing):
        total = weights = 0.0
        for r in range(max(row - 1, 0), min(row + 2, 5)):
            for c in range(max(column - 1, 0), min(column + 2, 6)):
                if (r, c) != (row, column):
                    weight = 1 / 6 if r == row or c == column else 1 / 12
                    total, weights = total + weight * filled[r, c], weights + weight
        np.testing.assert_allclose(filled[row, column], total / weights, rtol=1e-4)


def left_half(images: tf.Tensor) -> tf.Tensor:
    """Class 0 while the left half is bright on average."""
    mean = tf.reduce_mean(images[:, :, :5], axis=(1, 2, 3))
    return tf.stack([(mean - 100) / 10, tf.zeros_like(mean)], axis=1)


def test_removing_what_counts_changes_the_prediction_and_removing_the_rest_does_not() -> None:
    images = np.zeros((2, 10, 10, 1), np.uint8)
    images[:, :, :5] = 200
    maps = np.zeros((2, 10, 10), np.float32)
    maps[:, :, :5] = 5 - np.arange(5)
    found = road(left_half, maps, images, np.array([0, 0]))
    assert found.most_first.kept.shape == found.least_first.probability.shape == (2, len(SHARES))
    assert found.most_first.kept[:, 0].all()
    assert not found.most_first.kept[:, 5:].any()
    assert found.least_first.kept[:, :5].all()
    assert (found.least_first.probability.mean(axis=1) > found.most_first.probability.mean(axis=1) + 0.2).all()


def test_the_same_seed_removes_alike() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 10, 10, 1)).astype(np.uint8)
    flat = np.zeros((2, 10, 10), np.float32)
    one, again, other = (road(left_half, flat, images, np.array([0, 0]), seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.most_first.probability, again.most_first.probability)
    assert (one.most_first.probability != other.most_first.probability).any()
