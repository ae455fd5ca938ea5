"""Against curves worked out by hand, for a model whose logit is a pixel."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from harness.insight.saliency import gradient
from harness.insight.trust.controls import chance
from harness.insight.trust.faithfulness import STEPS, area, difference, faithfulness

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


def test_equal_pixels_go_in_an_order_drawn_by_the_seed(white: np.ndarray) -> None:
    flat = np.zeros((1, SIDE, SIDE), np.float32)
    first, again, other = (
        faithfulness(one_pixel, flat, white, LABELS, seed=seed).deletion["black"].moved_at for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.9
    assert first[0, 0].std() > 5  # and not row by row


def test_a_blurred_white_image_is_white(white: np.ndarray) -> None:
    found = faithfulness(one_pixel, pointing_at(2, 3), white, LABELS)
    np.testing.assert_allclose(found.deletion["blur"].values[0], sigmoid(3), rtol=1e-5)


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
    alone = faithfulness(trained, maps[5:6], digits[5:6], predicted[5:6])
    for kind in ("deletion", "insertion"):
        for baseline in ("black", "blur"):
            ours, single = getattr(together, kind)[baseline], getattr(alone, kind)[baseline]
            np.testing.assert_allclose(ours.values[5], single.values[0], rtol=1e-4, atol=1e-6)


def test_on_a_trained_model_the_gradient_beats_chance(
    trained: keras.Model, digits: np.ndarray, predicted: np.ndarray
) -> None:
    ours = faithfulness(trained, gradient(trained, digits, predicted), digits, predicted)
    theirs = faithfulness(trained, chance(trained, digits, predicted), digits, predicted)
    assert difference(ours.deletion["black"], theirs.deletion["black"]).high < 0
    assert difference(ours.insertion["black"], theirs.insertion["black"]).low > 0
