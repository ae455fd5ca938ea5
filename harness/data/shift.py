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
    """Move each image; what comes in from outside is zero.

    Args:
        images: (n, height, width, channels).
        by: int32 (n, 2), pixels down and right.
    """
    down, right = tf.unstack(tf.cast(by, tf.float32), axis=1)
    zero, one = tf.zeros_like(down), tf.ones_like(down)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([one, zero, -right, zero, one, -down, zero, zero], axis=1),
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )
