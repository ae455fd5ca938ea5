import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from harness.data.shift import offsets, shift
from harness.data.sources import Split


def moved(image: NDArray[np.uint8], down: int, right: int) -> NDArray[np.uint8]:
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
    by = offsets(tf.range(count, dtype=tf.int64), 4, pixels).numpy()
    assert by.dtype == np.int32
    pairs = np.zeros((choices, choices))
    np.add.at(pairs, (by[:, 0] + pixels, by[:, 1] + pixels), 1)  # IndexError or a wrapped corner if out of range
    assert by.min() == -pixels
    assert by.max() == pixels
    expected = count / choices**2
    freedom = choices**2 - 1
    assert np.sum((pairs - expected) ** 2) / expected < freedom + 5 * np.sqrt(2 * freedom)


def test_offsets_of_neighbours_are_independent() -> None:
    count = 50_000
    down, right = offsets(tf.range(count, dtype=tf.int64), 4, 2).numpy().T
    for one, other in [(down, right), (down[1:], down[:-1]), (right[1:], right[:-1]), (down[1:], right[:-1])]:
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(count)


def test_golden_offsets() -> None:
    by = offsets(tf.constant([0, 1, 2, 3, 10**12], tf.int64), 0, 2).numpy()
    assert by.tolist() == [[-2, -2], [1, -1], [-1, 0], [2, 2], [2, 0]]


def test_an_examples_offset_does_not_depend_on_its_batch() -> None:
    together = offsets(tf.range(100, dtype=tf.int64), 9, 3).numpy()
    alone = np.concatenate([offsets(tf.constant([position], tf.int64), 9, 3).numpy() for position in (0, 41, 99)])
    np.testing.assert_array_equal(alone, together[[0, 41, 99]])


@pytest.mark.parametrize("by", [(0, 0), (1, 0), (0, 1), (-2, 3), (5, -4), (-27, 27), (28, 0), (0, -40)])
def test_images_move_down_and_right_with_zeros_coming_in(numbered: Split, by: tuple[int, int]) -> None:
    images = numbered.images[:3]
    result = shift(tf.constant(images), tf.constant([by] * 3, tf.int32)).numpy()
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, [moved(image, *by) for image in images])


def test_each_image_moves_by_its_own_offset() -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 9, 13, 3), dtype=np.uint8)  # wide, and in colour
    by = offsets(tf.range(40, dtype=tf.int64), 2, 4)
    expected = [moved(image, *offset) for image, offset in zip(images, by.numpy(), strict=True)]
    np.testing.assert_array_equal(shift(tf.constant(images), by).numpy(), expected)
