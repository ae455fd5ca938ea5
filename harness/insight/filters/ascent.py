"""Gradient ascent on the pixels: an image for each unit of a model, until the unit can't be excited more."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from harness.insight.inference import images_at_once, infer
from harness.insight.layers import image_shape

_GREY = 127.5
_SHADES = (_GREY, 0.0, 255.0)
"""What the starts begin from, in turn: a model that knows black grounds only may not find its way from grey."""
_NOISE = 10.0
"""On top of the shade, uniform between plus and minus this many pixel values."""
_STEP = 30.0
"""Of the first step, in pixel values where the gradient has its mean size; it falls linearly to 0."""
_SMOOTHNESS = 0.1
"""Weight of the total variation at the first step, beside a gradient of mean size 1. A pixel's four neighbours can pull
at it with four times that: less than the unit does, so that they don't override what it wants of most pixels."""
_STILL = 0.25
"""The last share of the steps, without jitter: what was blurred by it becomes sharp."""
_BEYOND = 4
"""Pixels around those that jitter brings before a unit, which are smoothed as they would be in the whole image."""

_Run = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class Ascended(NamedTuple):
    """For each unit the image that its best start came to."""

    images: NDArray[np.float32]
    """(units, height, width, channels) pixels from 0 to 255, of the window."""
    scores: NDArray[np.float32]
    """(units,): what the unit says of that image, with grey around the window."""
    of_starts: NDArray[np.float32]
    """(units, starts): the score that each start came to, of which `scores` is the highest: where they lie far apart, a
    further start may well find more."""


def ascend(
    model: keras.Model,
    units: NDArray[np.integer],
    shape: tuple[int, int, int],
    window: tuple[slice, slice],
    *,
    seeds: int,
    seed: int,
    steps: int,
    jitter: int,
) -> Ascended:
    """For each of the units the image that excites it most, the best of several starts.

    Each step goes along the root of the gradient's size, so that pixels that matter less get where they should be too,
    less the gradient of the total variation, which fades away (Mahendran and Vedaldi 2015, arXiv 1412.0035, section 3),
    and clips the pixels to 0 to 255. Jitter (Mordvintsev et al. 2015, "Inceptionism"): at each step the image that the
    model is shown is shifted by up to `jitter` pixels, what leaves it on one side coming in on the other. Many starts
    go at once, as many as memory allows; an image depends on its unit and the seed alone.

    Where the model takes the window alone, of the pixels around it only those that jitter brings in are there besides,
    and a few more.

    Args:
        model: functional, from raw pixels to (n, units): those of the image, or of the window alone.
        units: (n,) which of them.
        shape: the image's height, width and channels.
        window: the rows and columns that are returned; the rest is grey when the image is scored.
        seeds: how many starts; `seed` draws their noise, and the jitter.
    """
    alone = image_shape(model) != shape
    margin = jitter + _BEYOND if alone else 0
    rows, columns = window
    if alone:  # the canvas continues at the image's other side
        places = (np.arange(of.start - margin, of.stop + margin) for of in window)
        canvas = np.ix_(*(place % side for place, side in zip(places, shape[:2], strict=True)))
        rows = columns = slice(None)
    else:
        canvas = np.ix_(*map(np.arange, shape[:2]))
    run = _compiled(model, (rows, columns), steps, jitter, margin)
    best = np.zeros((len(units), *np.empty(shape)[window].shape), np.float32)
    of_starts = np.full((len(units), seeds), -np.inf, np.float32)
    starts = [(place, unit, number) for place, unit in enumerate(units.tolist()) for number in range(seeds)]
    chunk = images_at_once(model)
    for first in range(0, len(starts), chunk):
        some = starts[first : first + chunk]
        began = np.stack([_start(shape, seed, unit, number)[canvas] for _, unit, number in some])
        images, scores = run(began, tf.constant([unit for _, unit, _ in some]), tf.constant(seed))
        for (place, _, number), image, score in zip(some, images.numpy(), scores.numpy(), strict=True):
            if score > of_starts[place].max():
                best[place] = image
            of_starts[place, number] = score
    return Ascended(best, of_starts.max(axis=1), of_starts)


def _start(shape: tuple[int, int, int], seed: int, unit: int, number: int) -> NDArray[np.float32]:
    noise = np.random.default_rng((seed, unit, number)).uniform(-_NOISE, _NOISE, shape)
    return np.clip(_SHADES[number % len(_SHADES)] + noise, 0, 255).astype(np.float32)


def _compiled(model: keras.Model, window: tuple[slice, slice], steps: int, jitter: int, margin: int) -> _Run:
    """From images with that margin around what the model takes, their units and the seed to the windows and scores."""
    height, width, channels = image_shape(model)
    middle = slice(margin, margin + height), slice(margin, margin + width)
    inside = np.zeros((height, width, 1), bool)
    inside[window] = True

    def excitation(images: tf.Tensor, units: tf.Tensor) -> tf.Tensor:
        return tf.gather(infer(model, images), units, batch_dims=1)

    # Without AutoGraph, whose translation of all that is called takes longer than the tracing.
    @tf.function(  # type: ignore[untyped-decorator]
        autograph=False,
        input_signature=[
            tf.TensorSpec((None, height + 2 * margin, width + 2 * margin, channels), tf.float32),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((), tf.int32),
        ],
    )
    def run(images: tf.Tensor, units: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        def climbed(step: tf.Tensor, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            left = 1 - tf.cast(step, tf.float32) / steps
            reach = tf.where(left > _STILL, jitter, 0)
            shift = tf.random.stateless_uniform([2], tf.stack([seed, step]), -reach, reach + 1, tf.int32)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(images)
                shown = tf.roll(images, shift, axis=(1, 2))[:, middle[0], middle[1]]
                score = excitation(shown, units)
            # Smooth at first, and in the end what the unit wants.
            direction = _scaled(tape.gradient(score, images)) - left * _SMOOTHNESS * _variation_gradient(images)
            return step + 1, tf.clip_by_value(images + left * _STEP * direction, 0.0, 255.0)

        _, images = tf.while_loop(lambda step, images: step < steps, climbed, [0, images])
        images = tf.where(inside, images[:, middle[0], middle[1]], _GREY)
        return images[:, window[0], window[1]], excitation(images, units)

    # Traced here: TensorFlow takes functions that are made and called again and again for a mistake, and says so.
    return run.get_concrete_function()  # type: ignore[no-any-return]


def _scaled(gradient: tf.Tensor) -> tf.Tensor:
    """The root of each value, in mean sizes, with its sign; the mean is over the pixels that have a gradient."""
    total = tf.reduce_sum(tf.abs(gradient), axis=(1, 2, 3), keepdims=True)
    count = tf.math.count_nonzero(gradient, axis=(1, 2, 3), keepdims=True, dtype=tf.float32)
    return tf.sign(gradient) * tf.sqrt(tf.math.divide_no_nan(tf.abs(gradient) * count, total))


def _variation_gradient(images: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        variation = tf.image.total_variation(images)
    return tape.gradient(variation, images)
