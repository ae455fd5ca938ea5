"""Where a part of the image is lost."""

from collections.abc import Sequence

import tensorflow as tf

from harness.data.augment.geometric import drawn_part
from harness.data.random import Random


def cutout(images: tf.Tensor, random: Random, size: int) -> tf.Tensor:
    """A square of `size` pixels is black, whose middle is uniform over the image; what is outside of it is lost
    (DeVries, Taylor 2017, arXiv 1708.04552)."""
    height, width = images.shape[1:3]
    middle = tf.concat([random.integers(1, height), random.integers(1, width)], axis=1)
    corner = middle - size // 2
    return tf.where(inside(images, corner, corner + size), tf.zeros([], images.dtype), images)


def random_erasing(
    images: tf.Tensor,
    random: Random,
    probability: float = 0.5,
    area: Sequence[float] = (0.02, 0.4),
    ratio: Sequence[float] = (0.3, 1 / 0.3),
) -> tf.Tensor:
    """In a share of the images a rectangle is uniform noise: its share of the image uniform in `area`, the logarithm of
    height / width uniform in that of `ratio`, its place uniform among those where it fits (Zhong et al. 2017, arXiv
    1708.04896, algorithm 1, which draws the ratio itself). Of ten tries the first that fits counts; else none."""
    height, width, channels = images.shape[1:]
    fits, part = drawn_part(random, height, width, area, ratio, wide=False)
    sides, corner = tf.cast(part[:, :2], tf.int32), tf.cast(part[:, 2:], tf.int32)
    is_erased = fits & (random(1)[:, 0] < probability)
    noise = tf.cast(tf.reshape(random.bytes(height * width * channels), tf.shape(images)), images.dtype)
    erased = inside(images, corner, corner + sides) & is_erased[:, None, None, None]
    return tf.where(erased, noise, images)


def inside(images: tf.Tensor, corner: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
    """Whether a pixel is in its image's rectangle, (n, height, width, 1) bool. `corner`, `end`: int32 (n, 2), the first
    row and column and those after the last; both may lie outside of the image."""
    rows, columns = (
        (tf.range(side) >= corner[:, axis, None]) & (tf.range(side) < end[:, axis, None])
        for axis, side in enumerate(images.shape[1:3])
    )
    return rows[:, :, None, None] & columns[:, None, :, None]
