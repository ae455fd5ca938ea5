"""Where pixels change in value. Nothing here is rounded, but greys where a mean is taken over them, and pixels that are
looked up in a table."""

import tensorflow as tf

from harness.data.random import Random

_LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue in grey (ITU-R BT.601)."""
_LEVELS = 256


def brightness(images: tf.Tensor, random: Random, strength: float) -> tf.Tensor:
    """Multiplied by a factor uniform in 1 - strength … 1 + strength; float32."""
    return blended(images, 0.0, _factor(random, strength))


def contrast(images: tf.Tensor, random: Random, strength: float) -> tf.Tensor:
    """Distances from the image's mean grey multiplied by a factor uniform in 1 - strength … 1 + strength; float32."""
    return blended(images, mean_grey(images), _factor(random, strength))


def saturation(images: tf.Tensor, random: Random, strength: float) -> tf.Tensor:
    """Distances of each pixel from its grey multiplied by a factor uniform in 1 - strength … 1 + strength; float32."""
    return blended(images, grey(images), _factor(random, strength))


def blended(images: tf.Tensor, base: tf.Tensor | float, factor: tf.Tensor) -> tf.Tensor:
    """base + factor · (image - base), cut to 0 … 255. `factor`: (n, 1, 1, 1); 1 leaves an image as it is, exactly."""
    images = tf.cast(images, tf.float32)
    return tf.where(factor == 1, images, tf.clip_by_value(base + factor * (images - base), 0.0, 255.0))


def grey(images: tf.Tensor) -> tf.Tensor:
    """(n, height, width, 1) float32: luma of three channels, the mean of any other number of them."""
    images = tf.cast(images, tf.float32)
    channels = images.shape[-1]
    shares = _LUMA if channels == 3 else [1 / channels] * channels
    return tf.add_n([share * images[..., channel : channel + 1] for channel, share in enumerate(shares)])


def mean_grey(images: tf.Tensor) -> tf.Tensor:
    """(n, 1, 1, 1) float32, the mean of the greys as whole numbers: their sum is exact in any order, and so doesn't
    depend on how many images are summed side by side."""
    height, width = images.shape[1:3]
    whole = tf.cast(tf.round(grey(images)), tf.int32)
    return tf.cast(tf.reduce_sum(whole, axis=[1, 2, 3], keepdims=True), tf.float32) / (height * width)


def smooth(images: tf.Tensor) -> tf.Tensor:
    """Each pixel's mean with its eight neighbours, itself counting five times; those at the border as they are. What
    sharpness is measured from, in the Python Imaging Library."""
    images = tf.cast(images, tf.float32)
    height, width = images.shape[1:3]
    if min(height, width) < 3:
        return images
    around = [images[:, down : height - 2 + down, right : width - 2 + right] for down in range(3) for right in range(3)]
    inner = (tf.add_n(around) + 4 * around[4]) / 13
    border = [[0, 0], [1, 1], [1, 1], [0, 0]]
    is_inner = tf.pad(tf.ones_like(inner, tf.bool), border)
    return tf.where(is_inner, tf.pad(inner, border), images)


def posterized(bits: tf.Tensor) -> tf.Tensor:
    """The table (n, 1, 256) that keeps the highest `bits` (n,) int32 of 8."""
    step = tf.gather(tf.constant([2.0**power for power in range(9)]), 8 - bits)[:, None, None]
    return tf.floor(_values() / step) * step


def solarized(threshold: tf.Tensor) -> tf.Tensor:
    """The table (n, 1, 256) that inverts values from `threshold` (n,) float32 on."""
    return tf.where(_values() >= threshold[:, None, None], 255 - _values(), _values())


def autocontrasted(images: tf.Tensor) -> tf.Tensor:
    """The tables (n, channels, 256) that stretch each channel to 0 … 255; of one value alone, that change nothing."""
    low, high = (reduce(images, axis=[1, 2])[..., None] for reduce in (tf.reduce_min, tf.reduce_max))
    low, high = tf.where(high > low, low, 0.0), tf.where(high > low, high, 255.0)
    return tf.clip_by_value((_values() - low) * (255 / (high - low)), 0.0, 255.0)


def equalized(images: tf.Tensor) -> tf.Tensor:
    """The tables (n, channels, 256) that spread each channel's values evenly, as the Python Imaging Library does.

    `images`: float32 (n, height, width, channels), of whole numbers. A histogram is a product of two matrices, of which
    of 16 the higher and the lower four bits of each pixel are: it is exact, and needs no scatter, whose order of
    addition on a GPU is undefined or slow.
    """
    channels = images.shape[-1]
    pixels = tf.reshape(tf.transpose(tf.cast(images, tf.int32), [0, 3, 1, 2]), [tf.shape(images)[0], channels, -1])
    high, low = (tf.one_hot(part, 16) for part in (pixels // 16, pixels % 16))
    counts = tf.reshape(tf.matmul(high, low, transpose_a=True), [-1, channels, _LEVELS])
    whole = tf.cast(counts, tf.int32)
    pixels_of_last = tf.reduce_max(tf.where(whole > 0, tf.range(_LEVELS), 0), axis=-1, keepdims=True)
    step = (tf.reduce_sum(whole, -1, keepdims=True) - tf.gather(whole, pixels_of_last, batch_dims=2)) // 255
    table = (step // 2 + tf.cumsum(whole, axis=-1, exclusive=True)) // tf.maximum(step, 1)
    return tf.where(step > 0, tf.cast(tf.minimum(table, 255), tf.float32), _values())


def looked_up(images: tf.Tensor, tables: tf.Tensor) -> tf.Tensor:
    """Each pixel's value by the table (n, channels, 256) of its image and channel. `images`: of whole numbers."""
    count, channels = tf.shape(images)[0], images.shape[-1]
    table = tf.range(count)[:, None, None, None] * channels + tf.range(channels)
    return tf.gather(tf.reshape(tables, [-1]), table * _LEVELS + tf.cast(images, tf.int32))


def _values() -> tf.Tensor:
    return tf.range(_LEVELS, dtype=tf.float32)


def _factor(random: Random, strength: float) -> tf.Tensor:
    return 1 + strength * (2 * random(1)[:, :, None, None] - 1)
