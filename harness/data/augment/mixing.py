"""Where two examples become one: (images, partners, random, **keywords) → (images, shares).

`partners` (n, height, width, channels) are what each image is mixed with; shares are (n,) float32, how much of the
example is its own. The label is mixed in the same shares: see `harness.data.pipeline.Batch.labelled`.
"""

import numpy as np
import tensorflow as tf
from scipy.special import betaincinv  # type: ignore[import-untyped]

from harness.data.augment.erasing import inside
from harness.data.random import Random

_QUANTILES = 4096


def mixup(
    images: tf.Tensor, partners: tf.Tensor, random: Random, alpha: float = 0.2, probability: float = 1.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """λ·image + (1 - λ)·partner with λ from Beta(alpha, alpha), drawn for each example (Zhang et al. 2018, arXiv
    1710.09412, eq. 1); float32."""
    share = _shares(random, alpha, probability)
    own = share[:, None, None, None]
    images, partners = tf.cast(images, tf.float32), tf.cast(partners, tf.float32)
    return own * images + (1 - own) * partners, share


def cutmix(
    images: tf.Tensor, partners: tf.Tensor, random: Random, alpha: float = 1.0, probability: float = 1.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """A rectangle of the partner's pixels is pasted, √(1 - λ) of each side long with λ from Beta(alpha, alpha), its
    middle uniform over the image (Yun et al. 2019, arXiv 1905.04899, eq. 1 and 2). The border cuts it, and the share is
    that of the pixels that stay."""
    height, width = images.shape[1:3]
    drawn = tf.cast(_shares(random, alpha, probability), tf.float64)
    sides = tf.cast(tf.sqrt(1 - drawn)[:, None] * [height, width], tf.int32)
    middle = tf.concat([random.integers(1, height), random.integers(1, width)], axis=1)
    corner = tf.maximum(middle - sides // 2, 0)
    end = tf.minimum(middle - sides // 2 + sides, [height, width])
    pasted = tf.reduce_prod(end - corner, axis=1)
    return (
        tf.where(inside(images, corner, end), tf.cast(partners, images.dtype), images),
        1 - tf.cast(pasted, tf.float32) / (height * width),
    )


def _shares(random: Random, alpha: float, probability: float) -> tf.Tensor:
    """(n,) float32 from Beta(alpha, alpha), by interpolation between its quantiles, and 1 where nothing is mixed."""
    quantiles = tf.constant(betaincinv(alpha, alpha, np.linspace(0, 1, _QUANTILES + 1)), tf.float32)
    place = random(1)[:, 0] * _QUANTILES
    below = tf.floor(place)
    index = tf.cast(below, tf.int32)
    low, high = tf.gather(quantiles, index), tf.gather(quantiles, index + 1)
    return tf.where(random(1)[:, 0] < probability, low + (place - below) * (high - low), 1.0)
