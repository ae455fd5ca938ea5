"""Where pixels move: against plain loops, Pillow, and the distributions that are promised."""

import math
from typing import Any, Literal

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from harness.data.augment.geometric import crop, flip, matrix, random_resized_crop, rotation, scale, shear, transformed
from harness.data.random import Random

COLOURED = np.random.default_rng(0).integers(0, 256, (6, 9, 13, 3), np.uint8)


def random(count: int, stream: int = 2) -> Random:
    return Random(0, stream, tf.range(count, dtype=tf.int64))


def places(count: int, side: int) -> Any:
    """Images whose pixel holds its own place, row · side + column + 1."""
    return tf.tile(tf.reshape(tf.range(1.0, side**2 + 1), [1, side, side, 1]), [count, 1, 1, 1])


def test_half_of_the_images_are_flipped_and_the_others_as_they_were() -> None:
    count = 10_000
    result = flip(places(count, 2), random(count)).numpy()
    flipped = result[:, 0, 0, 0] == 2
    assert abs(flipped.mean() - 0.5) < 5 * 0.5 / math.sqrt(count)
    np.testing.assert_array_equal(result[flipped, :, :, 0], np.tile([[2, 1], [4, 3]], (flipped.sum(), 1, 1)))
    np.testing.assert_array_equal(result[~flipped, :, :, 0], np.tile([[1, 2], [3, 4]], (count - flipped.sum(), 1, 1)))


@pytest.mark.parametrize(("direction", "axis"), [("horizontal", 2), ("vertical", 1)])
def test_flips_turn_left_into_right_or_top_into_bottom(direction: str, axis: int) -> None:
    result = flip(tf.constant(COLOURED), random(6), direction, probability=1)
    assert result.dtype == tf.uint8
    np.testing.assert_array_equal(result, np.flip(COLOURED, axis))


@pytest.mark.parametrize(("fill", "mode"), [("zeros", "constant"), ("reflect", "reflect")])
def test_each_place_of_a_crop_is_as_likely(fill: str, mode: Literal["constant", "reflect"]) -> None:
    count, padding, side = 20_000, 2, 5
    padded = np.pad(np.arange(1.0, 26).reshape(5, 5), padding, mode=mode)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side)).reshape(-1, side * side)
    result = crop(places(count, side), random(count), padding, fill).numpy().reshape(count, -1)
    known = {window.tobytes(): number for number, window in enumerate(windows.astype(np.float32))}
    assert len(known) == 25
    times = np.bincount([known[image.tobytes()] for image in result], minlength=25)
    assert np.sum((times - count / 25) ** 2) / (count / 25) < 24 + 5 * np.sqrt(2 * 24)


def test_a_resized_crop_is_pillows() -> None:
    """Enlarged as Pillow enlarges a part of whole pixels: which one, is found among all that there are."""
    images = COLOURED[:, :9, :9]
    result = random_resized_crop(tf.constant(images), random(6), [0.2, 0.6]).numpy()
    for image, given in zip(images, result, strict=True):
        boxes = [
            (left, top, left + across, top + down)
            for across in range(2, 10)
            for down in range(2, 10)
            for left in range(10 - across)
            for top in range(10 - down)
        ]
        picture = Image.fromarray(image)
        worst = [
            np.abs(np.asarray(picture.crop(box).resize((9, 9), Image.Resampling.BILINEAR)) - given).max()
            for box in boxes
        ]
        left, top, right, bottom = boxes[int(np.argmin(worst))]
        assert min(worst) <= 1
        assert 0.15 < (right - left) * (bottom - top) / 81 < 0.7
        assert 0.5 < (right - left) / (bottom - top) < 2


def test_the_area_of_a_resized_crop_is_uniform_and_its_place_too() -> None:
    count, side = 2_000, 32
    ramps = tf.stack(
        [tf.broadcast_to(tf.range(32.0)[:, None], [32, 32]), tf.broadcast_to(tf.range(32.0), [32, 32])], -1
    )
    result = random_resized_crop(tf.tile(ramps[None], [count, 1, 1, 1]), random(count), [0.25, 0.5]).numpy()
    (top, bottom), (left, right) = (
        (result[:, 0, 0, 0], result[:, -1, 0, 0]),
        (result[:, 0, 0, 1], result[:, 0, -1, 1]),
    )
    area = (bottom - top + 1) * (right - left + 1) / side**2
    ratio = (right - left + 1) / (bottom - top + 1)
    assert area.min() > 0.23  # sides are whole pixels
    assert area.max() < 0.52
    assert abs(area.mean() - 0.375) < 5 * 0.25 / math.sqrt(12 * count)
    assert abs(np.log(ratio).mean()) < 5 * math.log(16 / 9) / math.sqrt(12 * count)
    assert ratio.min() > 0.68
    assert ratio.max() < 1.47
    assert abs((top / (side - 1 - (bottom - top))).mean() - 0.5) < 5 / math.sqrt(12 * count)
    assert (top == np.round(top)).all()


def test_an_image_too_long_for_every_try_gives_its_middle() -> None:
    image = tf.constant(np.arange(40, dtype=np.float32).reshape(1, 1, 40, 1))
    result = random_resized_crop(image, random(1), [1.0, 1.0], [2, 4]).numpy()
    assert result[0, 0, 0, 0] == 18  # 4 of 40 pixels
    assert result[0, 0, -1, 0] == 21


@pytest.mark.parametrize("angle", [0.0, 90.0, 37.0])
def test_turns_as_pillow_does(angle: float) -> None:
    images, radians = COLOURED[:, :, :9], tf.fill([6], tf.constant(math.radians(angle), tf.float64))
    linear = matrix(tf.cos(radians), tf.sin(radians), -tf.sin(radians), tf.cos(radians))
    result = transformed(tf.constant(images), linear).numpy()
    expected = [
        np.asarray(Image.fromarray(image).rotate(angle, Image.Resampling.BILINEAR), np.float32) for image in images
    ]
    inner = slice(2, -2)  # at the border Pillow takes the nearest pixel, and we blend with the zeros outside
    np.testing.assert_allclose(result[:, inner, inner], np.stack(expected)[:, inner, inner], atol=1.01)


def test_what_changes_nothing_is_exact() -> None:
    linear = tf.tile(tf.eye(2)[None], [6, 1, 1])
    np.testing.assert_array_equal(transformed(tf.constant(COLOURED), linear), COLOURED.astype(np.float32))


def moments(values: Any, half_width: float) -> None:
    """They are uniform in ± half_width, as far as mean, variance and range tell."""
    count = len(values)
    assert np.abs(values).max() <= half_width * 1.001
    assert np.abs(values).max() > half_width * 0.97
    assert abs(values.mean()) < 5 * half_width / math.sqrt(3 * count)
    assert np.var(values) == pytest.approx(half_width**2 / 3, rel=0.15)


def test_angles_and_factors_are_uniform() -> None:
    """Read off what becomes of a ramp: a map that is linear stays so, away from the border."""
    count, side = 1000, 41
    row, column = np.mgrid[:side, :side] - 20.0
    ramp = tf.constant(np.tile((np.stack([row, column], -1) + 100)[None], (count, 1, 1, 1)), tf.float32)
    middle, step = ramp.numpy()[0, 20, 20, 0], 8

    def slopes(images: Any) -> Any:
        """(n, 2, 2): where a step down and a step right lead in the image, in rows and columns."""
        images = images.numpy()
        down, right = images[:, 20 + step, 20] - middle, images[:, 20, 20 + step] - middle
        return np.stack([down, right], 1) / step

    turned = slopes(rotation(ramp, random(count), 30))
    np.testing.assert_allclose(np.linalg.det(turned), 1, atol=1e-4)
    moments(np.degrees(np.arcsin(turned[:, 0, 1])), 30)
    scaled = slopes(scale(ramp, random(count), [0.8, 1.25]))
    np.testing.assert_allclose(scaled[:, 0, 0], scaled[:, 1, 1], atol=1e-4)
    moments(np.log(scaled[:, 0, 0]), math.log(1.25))
    sheared = slopes(shear(ramp, random(count), 20))
    np.testing.assert_allclose(sheared[:, 1], np.tile([0, 1], (count, 1)), atol=1e-4)
    np.testing.assert_allclose(sheared[:, 0, 0], 1, atol=1e-4)
    moments(np.degrees(np.arctan(sheared[:, 0, 1])), 20)
