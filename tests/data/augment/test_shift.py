import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from harness.config.data import DataSection
from harness.data.augment import augmented
from harness.data.augment.geometric import moved
from harness.data.sources import Split


def offsets(positions: tf.Tensor, seed: int, pixels: int, short: bool = True) -> NDArray[np.int64]:
    """How far training moves the images at these positions, (n, 2) down and right: seen by a single bright pixel."""
    side = 2 * pixels + 1
    given = {"shift": pixels} if short else {"augment": [{"name": "shift", "pixels": pixels}]}
    data = DataSection.model_validate(given)
    image = np.zeros((len(positions), side, side, 1), np.uint8)
    image[:, pixels, pixels] = 255
    seen = augmented(tf.constant(image), positions, seed, data).numpy().reshape(len(positions), -1)
    assert (seen.sum(axis=1) == 255).all()
    return np.stack(np.unravel_index(seen.argmax(axis=1), (side, side)), axis=1) - pixels


def by_hand(image: NDArray[np.uint8], down: int, right: int) -> NDArray[np.uint8]:
    """The image moved, with zeros coming in."""
    height, width = image.shape[:2]
    result = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                result[row, column] = image[row - down, column - right]
    return result


@pytest.mark.parametrize("pixels", [1, 2, 5])
def test_offsets_are_uniform_on_both_axes_and_independent(pixels: int) -> None:
    count, choices = 50_000, 2 * pixels + 1
    by = offsets(tf.range(count, dtype=tf.int64), 4, pixels)
    pairs = np.zeros((choices, choices))
    np.add.at(pairs, (by[:, 0] + pixels, by[:, 1] + pixels), 1)  # IndexError or a wrapped corner if out of range
    assert by.min() == -pixels
    assert by.max() == pixels
    expected = count / choices**2
    freedom = choices**2 - 1
    assert np.sum((pairs - expected) ** 2) / expected < freedom + 5 * np.sqrt(2 * freedom)


def test_offsets_of_neighbours_are_independent() -> None:
    count = 50_000
    down, right = offsets(tf.range(count, dtype=tf.int64), 4, 2).T
    for one, other in [(down, right), (down[1:], down[:-1]), (right[1:], right[:-1]), (down[1:], right[:-1])]:
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(count)


@pytest.mark.parametrize("short", [True, False])
def test_golden_offsets(short: bool) -> None:
    """Those of version 0.1.0, whose runs can be resumed; also where the list says it."""
    by = offsets(tf.constant([0, 1, 2, 3, 10**12], tf.int64), 0, 2, short)
    assert by.tolist() == [[-2, -2], [1, -1], [-1, 0], [2, 2], [2, 0]]


def test_an_examples_offset_does_not_depend_on_its_batch() -> None:
    together = offsets(tf.range(100, dtype=tf.int64), 9, 3)
    alone = np.concatenate([offsets(tf.constant([position], tf.int64), 9, 3) for position in (0, 41, 99)])
    np.testing.assert_array_equal(alone, together[[0, 41, 99]])


@pytest.mark.parametrize("by", [(0, 0), (1, 0), (0, 1), (-2, 3), (5, -4), (-27, 27), (28, 0), (0, -40)])
def test_images_move_down_and_right_with_zeros_coming_in(numbered: Split, by: tuple[int, int]) -> None:
    images = numbered.images[:3]
    result = moved(tf.constant(images), tf.constant([by] * 3, tf.int32)).numpy()
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, [by_hand(image, *by) for image in images])


def test_each_image_moves_by_its_own_offset() -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 9, 13, 3), dtype=np.uint8)  # wide, and in colour
    by = np.random.default_rng(1).integers(-4, 5, (40, 2), dtype=np.int32)
    expected = [by_hand(image, *offset) for image, offset in zip(images, by, strict=True)]
    np.testing.assert_array_equal(moved(tf.constant(images), tf.constant(by)).numpy(), expected)
