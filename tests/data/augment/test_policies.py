"""RandAugment and TrivialAugment: each operation does what it does alone, and each is as likely."""

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from harness.data.augment.policies import OPERATIONS, Strongest, operated, rand_augment, trivial_augment
from harness.data.random import Random

IMAGE = np.random.default_rng(0).integers(20, 150, (21, 21, 3), np.uint8)
PICTURE = Image.fromarray(IMAGE)
ZEROS = np.zeros((21, 21, 3))


def affine(*coefficients: float) -> Any:
    """Pillow's map about the middle, from (column, row) in the result to those in the image."""
    a, b, d, e = coefficients
    middle = 10.5  # Pillow's middles of pixels are at halves
    data = (a, b, middle - a * middle - b * middle, d, e, middle - d * middle - e * middle)
    return PICTURE.transform((21, 21), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)


def moved(down: int, right: int) -> Any:
    return np.roll(np.pad(IMAGE, ((9, 9), (9, 9), (0, 0))), (down, right), (0, 1))[9:-9, 9:-9]


TURNED = math.cos(math.radians(15)), math.sin(math.radians(15))
HALF = {
    "identity": PICTURE,
    "shear_x": affine(1, 0.15, 0, 1),
    "shear_y": affine(1, 0, 0.15, 1),
    "translate_x": moved(0, -4),
    "translate_y": moved(-5, 0),
    "rotate": affine(TURNED[0], -TURNED[1], TURNED[1], TURNED[0]),
    "brightness": ImageEnhance.Brightness(PICTURE).enhance(1.45),
    "color": ImageEnhance.Color(PICTURE).enhance(1.45),
    "contrast": ImageEnhance.Contrast(PICTURE).enhance(1.45),
    "sharpness": ImageEnhance.Sharpness(PICTURE).enhance(1.45),
    "posterize": ImageOps.posterize(PICTURE, 6),
    "solarize": ImageOps.solarize(PICTURE, 128),
    "autocontrast": ImageOps.autocontrast(PICTURE),
    "equalize": ImageOps.equalize(PICTURE),
}


def test_each_operation_is_pillows_at_half_strength() -> None:
    count = len(OPERATIONS)
    given = tf.constant(np.tile(IMAGE, (count, 1, 1, 1)))
    strongest = Strongest(0.3, (10, 8), 30, 0.9, 4)
    result = operated(given, tf.range(count), tf.fill([count], 0.5), tf.ones([count], tf.int32), strongest).numpy()
    inner = slice(3, -3)  # at the border Pillow takes the nearest pixel, and we blend with the zeros outside
    for name, image in zip(OPERATIONS, result, strict=True):
        expected = np.asarray(HALF[name], np.float32)
        np.testing.assert_allclose(image[inner, inner], expected[inner, inner], atol=2.01, err_msg=name)
        assert (name == "identity") == np.array_equal(image, IMAGE), name
    other = operated(given, tf.range(count), tf.fill([count], 0.5), -tf.ones([count], tf.int32), strongest).numpy()
    one_way = {"identity", "posterize", "solarize", "autocontrast", "equalize"}
    same = {name for name, one, two in zip(OPERATIONS, result, other, strict=True) if np.array_equal(one, two)}
    assert same == one_way


def test_nothing_at_no_strength() -> None:
    names = [name for name in OPERATIONS if name not in ("autocontrast", "equalize")]  # which have no strength
    operations = tf.constant([OPERATIONS.index(name) for name in names])
    every_value = np.arange(21 * 21 * 3).astype(np.uint8).reshape(21, 21, 3)
    given = tf.constant(np.tile(every_value, (len(names), 1, 1, 1)))
    result = operated(
        given, operations, tf.zeros([len(names)]), tf.ones([len(names)], tf.int32), Strongest(0.3, (9, 9), 30, 0.9, 4)
    )
    np.testing.assert_array_equal(result, given)


def test_on_grey_images_colour_changes_nothing() -> None:
    grey = tf.constant(IMAGE[None, :, :, :1])
    result = operated(
        grey,
        tf.constant([OPERATIONS.index("color")]),
        tf.ones([1]),
        tf.ones([1], tf.int32),
        Strongest(0, (0, 0), 0, 1, 4),
    )
    np.testing.assert_array_equal(result, grey)


@pytest.mark.parametrize("policy", [lambda images, random: rand_augment(images, random, operations=1), trivial_augment])
def test_each_operation_is_as_likely(policy: Any) -> None:
    """Told by what each does to pixels that it alone changes so: here, those that leave an image of one colour."""
    count = 14_000
    image = tf.fill([count, 3, 3, 3], tf.constant(200, tf.uint8))
    result = policy(image, Random(0, 2, tf.range(count, dtype=tf.int64))).numpy()
    border = result[:, [0, 0, 2, 2], [0, 2, 0, 2]]
    moved_share = ((border == 0).any(axis=(1, 2)) & (result[:, 1, 1] == 200).all(axis=1)).mean()
    assert moved_share <= 5 / 14 + 0.02
    unchanged = (result == 200).all(axis=(1, 2, 3)).mean()
    # identity, colour, contrast, sharpness, autocontrast and equalize leave it; strength 0 and steps of nothing too
    assert 6 / 14 - 0.02 < unchanged < 10 / 14
