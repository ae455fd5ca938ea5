"""Policies that draw an operation for each image: RandAugment and TrivialAugment.

Each image has an operation of its own, and nothing branches: the operations are of three kinds, and each kind is
computed once for all images, with parameters that change nothing where an image has another operation.

    moved pixels    shear, translate, rotate: one affine map
    blends          brightness, colour, contrast, sharpness: base + factor · (image - base), each from its own base
    tables          posterize, solarize, autocontrast, equalize: a new value for each of 256, by image and channel

Against the papers' own code, which works on whole numbers: maps are bilinear and about the middle, and nothing is
rounded but what a table is asked for. On images that have not three channels, colour changes nothing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from harness.data.augment import colour
from harness.data.augment.geometric import matrix, transformed
from harness.data.random import Random

OPERATIONS = (
    *("identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate"),
    *("brightness", "color", "contrast", "sharpness"),
    *("posterize", "solarize", "autocontrast", "equalize"),
)
_STRONGEST = 30

Amount = Callable[[str, float], tf.Tensor]
"""(operation, at full strength) → (n,) float64, with its sign; 0 where an image has another operation."""


@dataclass(frozen=True)
class Strongest:
    """What each operation does at full strength; at none, nothing."""

    shear: float
    """Pixels sideways a pixel."""
    translate: tuple[float, float]
    """Pixels down, and right."""
    degrees: float
    blend: float
    """How far the factor of a blend is from 1."""
    bits: int
    """Of 8, that posterize takes away."""


def rand_augment(images: tf.Tensor, random: Random, operations: int = 2, magnitude: int = 9) -> tf.Tensor:
    """`operations` of the 14, each as likely, one after the other, all at the same magnitude of 30; float32.

    Cubuk et al. 2020, arXiv 1909.13719, §3; the operations' ranges are those of AutoAugment (arXiv 1805.09501,
    appendix), and half of the moves and blends go the other way.
    """
    height, width = images.shape[1:3]
    strongest = Strongest(0.3, (150 / 331 * height, 150 / 331 * width), 30, 0.9, 4)
    strength = tf.fill([tf.shape(images)[0]], magnitude / _STRONGEST)
    for _ in range(operations):
        operation, sign = random.integers(1, len(OPERATIONS))[:, 0], random.integers(1, 2)[:, 0]
        images = operated(images, operation, strength, sign * 2 - 1, strongest)
    return images


def trivial_augment(images: tf.Tensor, random: Random) -> tf.Tensor:
    """One of the 14 operations, each as likely, at one of 31 strengths, each as likely; float32.

    Müller, Hutter 2021, arXiv 2103.10158, with the ranges that it calls wide.
    """
    strongest = Strongest(0.99, (32, 32), 135, 0.99, 6)
    operation, sign = random.integers(1, len(OPERATIONS))[:, 0], random.integers(1, 2)[:, 0]
    strength = tf.cast(random.integers(1, _STRONGEST + 1)[:, 0], tf.float32) / _STRONGEST
    return operated(images, operation, strength, sign * 2 - 1, strongest)


def operated(
    images: tf.Tensor, operation: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor, strongest: Strongest
) -> tf.Tensor:
    """Each image after its own operation; float32.

    Args:
        images: (n, height, width, channels).
        operation: (n,) int32, places in OPERATIONS.
        strength: (n,) float32, 0 to 1.
        sign: (n,) int32, -1 or 1: for operations that go either way.
    """

    def amount(name: str, most: float) -> tf.Tensor:
        is_it = operation == OPERATIONS.index(name)
        return tf.where(is_it, tf.cast(strength, tf.float64) * tf.cast(sign, tf.float64) * most, 0.0)

    images = _moved(images, amount, strongest)
    images = _blended(images, amount, strongest)
    return _looked_up(images, operation, strength, strongest)


def _moved(images: tf.Tensor, amount: Amount, strongest: Strongest) -> tf.Tensor:
    angle = amount("rotate", math.radians(strongest.degrees))
    down, right = amount("shear_y", strongest.shear), amount("shear_x", strongest.shear)
    # An image is turned or sheared, never both: what it isn't adds nothing.
    linear = matrix(tf.cos(angle), tf.sin(angle) + down, right - tf.sin(angle), tf.cos(angle))
    by = [amount(f"translate_{axis}", most) for axis, most in zip("yx", strongest.translate, strict=True)]
    return transformed(images, linear, tf.cast(tf.round(tf.stack(by, axis=1)), tf.float32))


def _blended(images: tf.Tensor, amount: Amount, strongest: Strongest) -> tf.Tensor:
    bases = {"brightness": 0.0, "contrast": colour.mean_grey(images), "sharpness": colour.smooth(images)}
    if images.shape[-1] == 3:
        bases["color"] = colour.grey(images)
    base, change = tf.zeros_like(images), tf.zeros([], tf.float64)
    for name, of in bases.items():
        by = amount(name, strongest.blend)
        base = tf.where((by != 0)[:, None, None, None], of, base)
        change += by
    return colour.blended(images, base, tf.cast(1 + change, tf.float32)[:, None, None, None])


def _looked_up(images: tf.Tensor, operation: tf.Tensor, strength: tf.Tensor, strongest: Strongest) -> tf.Tensor:
    whole = tf.round(images)
    tables = {
        "posterize": colour.posterized(8 - tf.cast(tf.round(strength * strongest.bits), tf.int32)),
        "solarize": colour.solarized(256 - 255 * strength),
        "autocontrast": colour.autocontrasted(whole),
        "equalize": colour.equalized(whole),
    }
    table, is_one = tables["equalize"], tf.zeros_like(operation, tf.bool)
    for name, of in tables.items():
        is_it = operation == OPERATIONS.index(name)
        table = tf.where(is_it[:, None, None], of, table)
        is_one |= is_it
    return tf.where(is_one[:, None, None, None], colour.looked_up(whole, table), images)
