"""Random shifts of images, on the device, as a function of (seed, position)."""

import tensorflow as tf

from harness.data.random import bits

_STREAM = 2


def offsets(positions: tf.Tensor, seed: int, pixels: int) -> tf.Tensor:
    """Shifts for the examples at `positions` (n,) int64: int32 (n, 2), down and right, uniform in -pixels … pixels."""
    choices = tf.constant(2 * pixels + 1, tf.uint64)
    counter = tf.expand_dims(positions * 2, 1) + tf.range(2, dtype=tf.int64)
    return tf.cast(bits(seed, _STREAM, counter) % choices, tf.int32) - pixels


def shift(images: tf.Tensor, by: tf.Tensor) -> tf.Tensor:
    """Move each image; what comes in from outside is zero. Written as one gather, which XLA can compile.

    Args:
        images: (n, height, width, channels).
        by: int32 (n, 2), pixels down and right.
    """
    count, (height, width, channels) = tf.shape(images)[0], images.shape[1:]
    row = tf.range(height) - by[:, :1]
    column = tf.range(width) - by[:, 1:]
    inside = _within(row, height)[:, :, None] & _within(column, width)[:, None, :]
    image = tf.range(count)[:, None, None] * (height * width)
    pixel = image + tf.clip_by_value(row, 0, height - 1)[:, :, None] * width
    pixel += tf.clip_by_value(column, 0, width - 1)[:, None, :]
    moved = tf.gather(tf.reshape(images, [-1, channels]), pixel)
    return tf.where(inside[..., None], moved, tf.zeros([], images.dtype))


def _within(index: tf.Tensor, size: int) -> tf.Tensor:
    return (index >= 0) & (index < size)
