"""Parts that are lost: of the promised sizes, at the promised places."""

import math

import numpy as np
import tensorflow as tf

from harness.data.augment.erasing import cutout, random_erasing
from harness.data.random import Random

COUNT = 4000


def random(count: int = COUNT) -> Random:
    return Random(0, 2, tf.range(count, dtype=tf.int64))


def test_the_square_of_cutout_has_its_middle_anywhere() -> None:
    side, size = 7, 3
    result = cutout(tf.fill([COUNT, side, side, 2], tf.constant(9, tf.uint8)), random(), size).numpy()
    assert result.dtype == np.uint8
    assert set(np.unique(result)) == {0, 9}
    lost = result[..., 0] == 0
    np.testing.assert_array_equal(lost, result[..., 1] == 0)
    down, right = lost.any(axis=2), lost.any(axis=1)
    np.testing.assert_array_equal(lost, down[:, :, None] & right[:, None, :])  # a rectangle
    middles = [[(span.argmax() if span[0] == 0 else span.sum() - size) + 1 for span in axis] for axis in (down, right)]
    times = np.histogram2d(middles[0], middles[1], bins=np.arange(-0.5, side))[0]
    expected = COUNT / side**2
    assert np.sum((times - expected) ** 2) / expected < 48 + 5 * math.sqrt(2 * 48)


def test_what_is_erased_is_noise_in_a_rectangle_of_the_promised_share() -> None:
    side, channels = 24, 3
    images = tf.zeros([COUNT, side, side, channels], tf.uint8)
    result = random_erasing(images, random(), 0.5, [0.1, 0.3], [0.5, 2.0]).numpy()
    lost = (result > 0).any(axis=-1)
    erased = lost.any(axis=(1, 2))
    assert abs(erased.mean() - 0.5) < 5 * 0.5 / math.sqrt(COUNT)
    spans = [lost[erased].any(axis=axis).sum(axis=1) for axis in (2, 1)]
    share, ratio = spans[0] * spans[1] / side**2, spans[0] / spans[1]
    assert abs(share.mean() - 0.2) < 0.005
    assert share.min() > 0.08
    assert share.max() < 0.33
    assert abs(np.log(ratio).mean()) < 5 * math.log(4) / math.sqrt(12 * COUNT / 2)
    inner = result[erased][:, 11:13, 11:13][lost[erased][:, 11:13, 11:13]]
    counts = np.histogram(inner, bins=8, range=(0, 256))[0]
    assert np.sum((counts - counts.mean()) ** 2) / counts.mean() < 7 + 5 * math.sqrt(14)
    assert abs(np.corrcoef(inner.T)[np.triu_indices(3, 1)]).max() < 5 / math.sqrt(len(inner))


def test_what_fits_nowhere_is_not_erased() -> None:
    images = tf.ones([50, 4, 40, 1], tf.uint8)
    result = random_erasing(images, random(50), 1.0, [0.9, 1.0], [2.0, 3.0])
    np.testing.assert_array_equal(result, images)
