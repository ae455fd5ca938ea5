"""Against curves worked out by hand, for a model whose logit is a pixel."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from harness.insight.saliency import gradient
from harness.insight.trust.controls import chance
from harness.insight.trust.faithfulness import BASELINES, STEPS, area, difference, faithfulness

SIDE = 28
LABELS = np.array([0])


def one_pixel(images: tf.Tensor) -> tf.Tensor:
    """Logits (3, 0) while the pixel at row 2, column 3 is white, (0, 0) when it is black."""
    value = images[:, 2, 3, 0] / 255 * 3
    return tf.stack([value, tf.zeros_like(value)], axis=1)


def sigmoid(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))


@pytest.fixture
def white() -> np.ndarray:
    return np.full((1, SIDE, SIDE, 1), 255, np.uint8)


def pointing_at(row: int, column: int) -> np.ndarray:
    maps = np.zeros((1, SIDE, SIDE), np.float32)
    maps[0, row, column] = 1
    return maps


def test_the_pixel_that_matters_goes_first(white: np.ndarray) -> None:
    found = faithfulness(one_pixel, pointing_at(2, 3), white, LABELS)
    np.testing.assert_allclose(found.deletion["black"].values[0], [sigmoid(3), *[0.5] * STEPS], rtol=1e-6)
    np.testing.assert_allclose(found.insertion["black"].values[0], [0.5, *[sigmoid(3)] * STEPS], rtol=1e-6)
    # Trapezoids: one step half as wide at the first value, the rest at the second.
    expected = (0.5 * sigmoid(3) + 0.5 * (STEPS - 0.5)) / STEPS
    assert area(found.deletion["black"]).mean == pytest.approx(expected, rel=1e-6)


def test_the_pixel_that_matters_goes_last(white: np.ndarray) -> None:
    found = faithfulness(one_pixel, -pointing_at(2, 3), white, LABELS)
    np.testing.assert_allclose(found.deletion["black"].values[0], [*[sigmoid(3)] * STEPS, 0.5], rtol=1e-6)


def test_every_step_moves_an_equal_part_once(white: np.ndarray) -> None:
    found = faithfulness(one_pixel, pointing_at(2, 3), white, LABELS)
    assert np.bincount(found.deletion["black"].moved_at.ravel()).tolist() == [0, *[SIDE * SIDE // STEPS] * STEPS]


def test_equal_pixels_go_in_an_order_drawn_by_the_seed_and_the_image_s_number() -> None:
    white = np.full((2, SIDE, SIDE, 1), 255, np.uint8)
    flat = np.zeros((2, SIDE, SIDE), np.float32)
    labels = np.array([0, 0])
    first, again, other = (
        faithfulness(one_pixel, flat, white, labels, seed=seed).deletion["black"].moved_at for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.9
    assert (first[0] != first[1]).mean() > 0.9
    assert first[0, 0].std() > 5  # and not row by row


def test_equal_pixels_go_in_one_order_for_all_methods(white: np.ndarray) -> None:
    one, another = np.zeros((2, 1, SIDE, SIDE), np.float32)
    one[0, :2], another[0, :2] = 1, np.arange(2 * SIDE).reshape(2, SIDE) + 1
    moved_at = [faithfulness(one_pixel, maps, white, LABELS).insertion["black"].moved_at for maps in (one, another)]
    np.testing.assert_array_equal(moved_at[0][0, 2:], moved_at[1][0, 2:])


def gaussian(side: int, centre: int, deviation: float) -> np.ndarray:
    """(side,) of a blurred bright pixel along one axis, what would fall outside mirrored back."""
    far = np.arange(-4 * side, 4 * side + 1)
    weights = np.exp(-(far**2) / (2 * deviation**2))
    at = np.arange(side)
    mirrored = [at - centre, at + 1 + centre, at - (2 * side - 1 - centre)]
    return np.asarray(sum(np.exp(-(d**2) / (2 * deviation**2)) for d in mirrored) / weights.sum())


def test_the_blur_is_a_gaussian_of_an_eighth_of_the_longer_side() -> None:
    images = np.zeros((2, 28, 20, 2), np.float32)
    images[1, 12, 5, 0] = 255
    expected = np.zeros_like(images)
    expected[1, :, :, 0] = 255 * np.outer(gaussian(28, 12, 3.5), gaussian(20, 5, 3.5))
    blurred = BASELINES["blur"](images)
    np.testing.assert_allclose(blurred, expected, atol=0.003)  # of 3.3 in the middle: SciPy ends at four deviations
    assert blurred[1, :, :, 0].sum() == pytest.approx(255, rel=1e-4)


def test_deletion_ends_at_the_blurred_image_and_insertion_begins_there() -> None:
    image = np.zeros((1, SIDE, SIDE, 1), np.uint8)
    image[0, 2, 3] = 255
    found = faithfulness(one_pixel, pointing_at(2, 3), image, LABELS)
    blurred = sigmoid(3 * gaussian(SIDE, 2, 3.5)[2] * gaussian(SIDE, 3, 3.5)[3])
    assert blurred > 0.515
    np.testing.assert_allclose(found.deletion["blur"].values[0], [sigmoid(3), *[blurred] * STEPS], rtol=1e-4)
    np.testing.assert_allclose(found.insertion["blur"].values[0], [blurred, *[sigmoid(3)] * STEPS], rtol=1e-4)


def test_the_mean_baseline_is_the_mean_of_these_images_channel_by_channel() -> None:
    images = np.zeros((2, 2, 2, 2), np.float32)
    images[0, 0, 0], images[1, 1, 0] = (8, 16), (0, 32)
    np.testing.assert_array_equal(BASELINES["mean"](images), np.full((2, 2, 2, 1), 1) * [1, 6])


def test_ours_less_theirs_is_taken_image_by_image() -> None:
    images = np.full((6, SIDE, SIDE, 1), 255, np.uint8)
    images[1:] = 100
    labels = np.zeros(6, np.int64)
    maps = np.concatenate([pointing_at(2, 3)] * 6)
    best, worst = (faithfulness(one_pixel, sign * maps, images, labels).deletion["black"] for sign in (1, -1))
    gain = difference(best, worst)
    assert gain.mean == pytest.approx((best.areas - worst.areas).mean())
    assert gain.high < 0


def test_an_image_is_deleted_alike_whatever_stands_beside_it(
    trained: keras.Model, digits: np.ndarray, predicted: np.ndarray
) -> None:
    maps = gradient(trained, digits, predicted)
    together = faithfulness(trained, maps, digits, predicted)
    rows = [7, 8, 9, 10, 11, 5]
    elsewhere = faithfulness(trained, maps[rows], digits[rows], predicted[rows])
    for kind in ("deletion", "insertion"):
        for baseline in ("black", "blur"):  # "mean" is of all the images
            one, other = getattr(together, kind)[baseline], getattr(elsewhere, kind)[baseline]
            np.testing.assert_allclose(one.values[5], other.values[5], rtol=1e-4, atol=1e-6)


def test_on_a_trained_model_the_gradient_beats_chance(
    trained: keras.Model, digits: np.ndarray, predicted: np.ndarray
) -> None:
    ours = faithfulness(trained, gradient(trained, digits, predicted), digits, predicted)
    theirs = faithfulness(trained, chance(trained, digits, predicted), digits, predicted)
    assert difference(ours.deletion["black"], theirs.deletion["black"]).high < 0
    assert difference(ours.insertion["black"], theirs.insertion["black"]).low > 0
