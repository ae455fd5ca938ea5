"""Two examples in one: shares of the promised distribution, and pixels that agree with them."""

import math

import numpy as np
import pytest
import tensorflow as tf

from harness.data.augment.mixing import cutmix, mixup
from harness.data.random import Random

COUNT = 10_000


def random() -> Random:
    return Random(0, 2, tf.range(COUNT, dtype=tf.int64))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixup_blends_by_shares_from_a_beta_distribution(alpha: float) -> None:
    own, partner = tf.fill([COUNT, 1, 1, 1], tf.constant(200, tf.uint8)), tf.zeros([COUNT, 1, 1, 1], tf.uint8)
    images, shares = mixup(own, partner, random(), alpha)
    np.testing.assert_allclose(images[:, 0, 0, 0], 200 * shares, rtol=1e-6)
    values = np.asarray(shares, np.float64)
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(values.mean() - 0.5) < 5 * math.sqrt(variance / COUNT)
    assert np.var(values) == pytest.approx(variance, rel=0.05)
    assert values.min() >= 0
    assert values.max() <= 1


def test_a_share_of_the_examples_is_mixed() -> None:
    own, partner = tf.ones([COUNT, 12, 12, 1]), tf.zeros([COUNT, 12, 12, 1])
    for function in (mixup, cutmix):
        images, shares = function(own, partner, random(), probability=0.3)
        mixed = shares.numpy() < 1
        assert abs(mixed.mean() - 0.3) < 0.03  # of cutmix, few rectangles are empty
        np.testing.assert_array_equal(images[~mixed], own[~mixed])


def test_cutmix_pastes_a_rectangle_and_counts_its_pixels() -> None:
    side = 16
    own = tf.fill([COUNT, side, side, 1], tf.constant(7, tf.uint8))
    images, shares = cutmix(own, tf.zeros_like(own), random(), alpha=1.0)
    assert images.dtype == tf.uint8
    pasted = images.numpy()[..., 0] == 0
    np.testing.assert_allclose(shares, 1 - pasted.mean(axis=(1, 2)), atol=1e-6)
    down, right = pasted.any(axis=2), pasted.any(axis=1)
    np.testing.assert_array_equal(pasted, down[:, :, None] & right[:, None, :])
    # With its middle anywhere, a rectangle of a side's share s keeps s·(1 - s/4) of it on average; s² is uniform.
    squares = (np.arange(1000) + 0.5) / 1000
    whole = np.floor(np.sqrt(squares) * side) / side  # of whole pixels
    expected = np.mean(whole**2 * (1 - whole / 4) ** 2)
    assert abs(pasted.mean() - expected) < 0.02
