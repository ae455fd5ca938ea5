"""Gradient ascent on the pixels: an image for each unit of a model, until the unit can't be excited more."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from harness.insight.filters.batches import images_at_once
from harness.insight.layers import image_shape

_GREY = 127.5
_SHADES = (_GREY, 0.0, 255.0)
"""What the starts begin from, in turn: a model that knows black grounds only may not find its way from grey."""
_NOISE = 10.0
"""On top of the shade, uniform between plus and minus this many pixel values."""
_STEP = 30.0
"""Of the first step, in pixel values where the gradient has its mean size; it falls linearly to 0."""
_SMOOTHNESS = 0.1
"""Weight of the total variation, in mean gradients of the unit by a pixel. A pixel's four neighbours can pull at it
with four times that: less than a mean gradient, so that they don't override what the unit wants of it."""
_STILL = 0.25
"""The last share of the steps, without jitter: what was blurred by it becomes sharp."""

_Run = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class Ascended(NamedTuple):
    images: NDArray[np.float32]
    """(units, height, width, channels) pixels from 0 to 255, of the window."""
    scores: NDArray[np.float32]
    """(units,): what the unit says of that image, with grey around the window."""


def ascend(
    model: keras.Model,
    units: NDArray[np.integer],
    window: tuple[slice, slice],
    *,
    seeds: int,
    seed: int,
    steps: int,
    jitter: int,
) -> Ascended:
    """For each of the units the image that excites it most, the best of several starts.

    Each step goes along the gradient, divided by its mean size over the pixels that have one, less that of the total
    variation (Mahendran and Vedaldi 2015, arXiv 1412.0035, section 3), and clips the pixels to 0 to 255. Jitter
    (Mordvintsev et al. 2015, "Inceptionism"): before each step the image is shifted by up to `jitter` pixels, the other
    way round after it. Many units go at once, as many as memory allows; an image depends on its unit and the seed
    alone.

    Args:
        model: functional, from raw pixels to (n, units).
        units: (n,) which of them.
        window: the rows and columns that are returned; the rest is grey when the image is scored.
        seeds: how many starts; `seed` draws their noise, and the jitter.
    """
    shape = image_shape(model)
    run = _compiled(model, window, steps, jitter)
    chunk = images_at_once(model)
    parts = []
    for first in range(0, len(units), chunk):
        some = units[first : first + chunk]
        best = _start(run, shape, some, seed, 0)
        for number in range(1, seeds):
            other = _start(run, shape, some, seed, number)
            better = other.scores > best.scores
            best = Ascended(
                np.where(better[:, None, None, None], other.images, best.images),
                np.where(better, other.scores, best.scores),
            )
        parts.append(best)
    return Ascended(*map(np.concatenate, zip(*parts, strict=True)))


def _start(run: _Run, shape: tuple[int, int, int], units: NDArray[np.integer], seed: int, number: int) -> Ascended:
    noise = [np.random.default_rng((seed, number, unit)).uniform(-_NOISE, _NOISE, shape) for unit in units.tolist()]
    start = tf.constant(np.clip(_SHADES[number % len(_SHADES)] + np.array(noise), 0, 255), tf.float32)
    images, scores = run(start, tf.constant(units, tf.int32), tf.constant([seed, number], tf.int32))
    return Ascended(images.numpy(), scores.numpy())


def _compiled(model: keras.Model, window: tuple[slice, slice], steps: int, jitter: int) -> _Run:
    shape = image_shape(model)
    inside = np.zeros((*shape[:2], 1), bool)
    inside[window] = True

    def excitation(images: tf.Tensor, units: tf.Tensor) -> tf.Tensor:
        return tf.gather(model(images), units, batch_dims=1)

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[
            tf.TensorSpec((None, *shape), tf.float32),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((2,), tf.int32),
        ]
    )
    def run(images: tf.Tensor, units: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        for step in tf.range(steps):
            left = 1 - tf.cast(step, tf.float32) / steps
            reach = tf.where(left > _STILL, jitter, 0)
            draw = tf.stack([seed[0], seed[1] * steps + step])
            shift = tf.random.stateless_uniform([2], draw, -reach, reach + 1, tf.int32)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(images)
                score = excitation(tf.roll(images, shift, axis=(1, 2)), units)
            direction = _scaled(tape.gradient(score, images)) - _SMOOTHNESS * _variation_gradient(images)
            images = tf.clip_by_value(images + left * _STEP * direction, 0.0, 255.0)
        images = tf.where(inside, images, _GREY)
        return images[:, window[0], window[1]], excitation(images, units)

    # Traced here: TensorFlow takes functions that are made and called again and again for a mistake, and says so.
    return run.get_concrete_function()  # type: ignore[no-any-return]


def _scaled(gradient: tf.Tensor) -> tf.Tensor:
    size = tf.reduce_sum(tf.abs(gradient), axis=(1, 2, 3), keepdims=True)
    count = tf.math.count_nonzero(gradient, axis=(1, 2, 3), keepdims=True, dtype=tf.float32)
    return tf.math.divide_no_nan(gradient * count, size)


def _variation_gradient(images: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        variation = tf.image.total_variation(images)
    return tape.gradient(variation, images)
