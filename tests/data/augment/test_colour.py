"""Pixels that change in value: against Pillow, and the distributions that are promised."""

import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from harness.data.augment import colour
from harness.data.random import Random

# Dark and narrow in range, so that a stretch changes them; the last is of one colour.
IMAGES = np.concatenate(
    [
        np.random.default_rng(0).integers(20, 150, (5, 19, 23, 3), np.uint8) // np.array([1, 2, 3], np.uint8),
        np.full((1, 19, 23, 3), 77, np.uint8),
    ]
)
PICTURES = [Image.fromarray(image) for image in IMAGES]
FLOATS = IMAGES.astype(np.float32)


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7])
@pytest.mark.parametrize("name", ["Brightness", "Contrast", "Color", "Sharpness"])
def test_blends_are_pillows(name: str, factor: float) -> None:
    bases = {
        "Brightness": 0.0,
        "Contrast": colour.mean_grey(FLOATS),
        "Color": colour.grey(FLOATS),
        "Sharpness": colour.smooth(FLOATS),
    }
    result = colour.blended(FLOATS, bases[name], tf.fill([6, 1, 1, 1], factor))
    expected = [np.asarray(getattr(ImageEnhance, name)(picture).enhance(factor), np.float32) for picture in PICTURES]
    np.testing.assert_allclose(result, expected, atol=2)  # Pillow rounds greys and means, and then again
    if factor == 1:
        np.testing.assert_array_equal(result, FLOATS)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_posterize_is_pillows(bits: int) -> None:
    result = colour.looked_up(FLOATS, tf.tile(colour.posterized(tf.fill([6], bits)), [1, 3, 1]))
    np.testing.assert_array_equal(result, [ImageOps.posterize(picture, bits) for picture in PICTURES])


@pytest.mark.parametrize("threshold", [0, 60, 256])
def test_solarize_is_pillows(threshold: int) -> None:
    table = tf.tile(colour.solarized(tf.fill([6], float(threshold))), [1, 3, 1])
    np.testing.assert_array_equal(
        colour.looked_up(FLOATS, table), [ImageOps.solarize(picture, threshold) for picture in PICTURES]
    )


def test_autocontrast_and_equalize_are_pillows() -> None:
    stretched = colour.looked_up(FLOATS, colour.autocontrasted(FLOATS))
    np.testing.assert_allclose(stretched, [np.asarray(ImageOps.autocontrast(picture)) for picture in PICTURES], atol=1)
    spread = colour.looked_up(FLOATS, colour.equalized(FLOATS))
    np.testing.assert_array_equal(spread, [ImageOps.equalize(picture) for picture in PICTURES])
    assert not np.array_equal(spread[0], IMAGES[0])


def test_factors_are_uniform() -> None:
    count, strength = 10_000, 0.4
    images = tf.tile(tf.constant([[[[100, 50, 75]]]], tf.uint8), [count, 1, 1, 1])
    of_each = {}
    for stream, function in enumerate((colour.brightness, colour.contrast, colour.saturation)):
        result = function(images, Random(0, stream, tf.range(count, dtype=tf.int64)), strength).numpy()[:, 0, 0]
        differences = result[:, 0] - result[:, 1]
        factors = differences / 50
        assert abs(factors.mean() - 1) < 5 * strength / math.sqrt(3 * count)
        assert np.var(factors) == pytest.approx(strength**2 / 3, rel=0.1)
        assert 0.6 <= factors.min() < 0.61
        assert 1.39 < factors.max() <= 1.4001
        of_each[function] = factors
    assert np.abs(np.corrcoef(list(of_each.values()))[np.triu_indices(3, 1)]).max() < 5 / math.sqrt(count)
