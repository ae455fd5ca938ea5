"""The list of a config, applied in order."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from harness.config.augment import AugmentSection, Crop, Cutout, OwnAugmentation, Saturation, Shift
from harness.config.data import DataSection
from harness.config.section import did_you_mean
from harness.data.augment.colour import brightness, contrast, saturation
from harness.data.augment.erasing import cutout, random_erasing
from harness.data.augment.geometric import crop, flip, random_resized_crop, rotation, scale, shear, shift
from harness.data.augment.mixing import cutmix, mixup
from harness.data.augment.policies import rand_augment, trivial_augment
from harness.data.images import Images
from harness.data.pipeline import Batch
from harness.data.random import Random
from harness.errors import ConfigError
from harness.imports import load_object, reason
from harness.keras_internals import function_graph

_SHIPPED: dict[str, Callable[..., tf.Tensor]] = {
    "shift": shift,
    "flip": flip,
    "crop": crop,
    "random_resized_crop": random_resized_crop,
    "rotation": rotation,
    "scale": scale,
    "shear": shear,
    "brightness": brightness,
    "contrast": contrast,
    "saturation": saturation,
    "cutout": cutout,
    "random_erasing": random_erasing,
    "rand_augment": rand_augment,
    "trivial_augment": trivial_augment,
}
_MIXING: dict[str, Callable[..., tuple[tf.Tensor, tf.Tensor]]] = {"mixup": mixup, "cutmix": cutmix}

_IMAGES_TRIED = 64
"""Training images on which a function of the user's own is tried."""
_FIRST_STREAM = 2
_PARTNERS_STREAM = 500
"""Behind these, one for each entry of the list: of an example's own image, and of the one that it is mixed with."""


class Augmentation:
    """What a config says is done to training examples.

    Pixels stay uint8 as long as whole pixels are moved, copied or blackened; from the first entry on that computes they
    are float32, and rounded once, in the end.

    An example has one partner, whichever entries mix it in. The partner is augmented by the entries before the last of
    these, with draws of its own.
    """

    def __init__(self, data: DataSection, seed: int) -> None:
        """Raises ConfigError where a function of the user's own can't be imported."""
        first = 0 if data.shift else 1  # of `augment`, behind what `shift` is short for
        self._entries = [
            (entry.name, _function(entry, f"data.augment[{number + first - 1}].name"))
            for number, entry in enumerate(data.augmentations)
        ]
        self._seed = seed
        mixing = [number for number, (name, _) in enumerate(self._entries) if name in _MIXING]
        self._last_mixing = mixing[-1] if mixing else -1

    def __call__(self, batch: Batch) -> Batch:
        """The batch, its images augmented; its positions say how. Where it mixes, with the partners that it needs, and
        then with shares."""
        images, partners = batch.images, batch.partner_images
        shares = tf.ones_like(batch.weights)
        for number, (name, function) in enumerate(self._entries):
            random = Random(self._seed, _FIRST_STREAM + number, batch.positions)
            if name in _MIXING:
                images, share = function(images, partners, random)
                shares *= share
                continue
            images = function(images, random)
            if number < self._last_mixing:
                partners = function(partners, Random(self._seed, _PARTNERS_STREAM + number, batch.positions))
        batch = batch._replace(images=_as_pixels(images))
        return batch if self._last_mixing < 0 else batch._replace(shares=shares)


def augmented(images: tf.Tensor, positions: tf.Tensor, seed: int, data: DataSection) -> tf.Tensor:
    """What training would see of images that stood at these positions of its stream, (n, height, width, channels)
    uint8.

    Args:
        images: (n, height, width, channels) uint8. Where they are mixed, each is with the one behind it, the last with
            the first.
        positions: (n,) int64.
        seed: the run's.
        data: the config's section.
    """
    labels = tf.zeros_like(positions)
    partners = tf.roll(images, -1, axis=0)
    batch = Batch(images, labels, tf.ones(tf.shape(positions)), positions, partners, labels)
    return Augmentation(data, seed)(batch).images


def check(data: DataSection, image_shape: tuple[int, int, int]) -> None:
    """Raise ConfigError where an entry doesn't fit images (height, width, channels), or a function of the user's own
    gives something else than such images. Nothing is computed: it is looked at in a graph."""
    side = min(image_shape[:2])
    if data.shift >= side:
        raise ConfigError(f"data.shift: {data.shift} moves images of {side} pixels out of sight: at most {side - 1}")
    for number, entry in enumerate(data.augment):
        key = f"data.augment[{number}]"
        if isinstance(entry, Shift) and entry.pixels >= side:
            raise ConfigError(
                f"{key}.pixels: {entry.pixels} moves images of {side} pixels out of sight: at most {side - 1}"
            )
        if isinstance(entry, Crop) and entry.padding >= side:
            raise ConfigError(
                f"{key}.padding: {entry.padding} is too much for images of {side} pixels: at most {side - 1}"
            )
        most = 2 * max(image_shape[:2]) - 2  # a pixel more, and it covers all wherever its middle is
        if isinstance(entry, Cutout) and entry.size > most:
            raise ConfigError(
                f"{key}.size: a square of {entry.size} pixels covers all of an image of "
                f"{image_shape[0]}×{image_shape[1]}: at most {most}"
            )
        if isinstance(entry, Saturation) and image_shape[2] != 3:
            raise ConfigError(
                f"{key}: saturation is for images of three channels, and these have {image_shape[2]}: leave it out"
            )
        if isinstance(entry, OwnAugmentation):
            _check_own(entry, key, image_shape)


def check_pixels(data: DataSection, seed: int, images: Images) -> None:
    """Raise ConfigError where a function of the user's own makes plainly no pixels of the first of these training
    images (n, height, width, channels) uint8: what is not finite, or lies between 0 and 1, would be black as a pixel.
    Unlike `check` it computes, so the devices have to be chosen; without such a function nothing is read."""
    own = {f"data.augment[{n}]": entry for n, entry in enumerate(data.augment) if isinstance(entry, OwnAugmentation)}
    if not own:
        return
    tried = images[:_IMAGES_TRIED]
    positions = tf.range(len(tried), dtype=tf.int64)
    for key, entry in own.items():
        given = _function(entry, f"{key}.name")(tried, Random(seed, _FIRST_STREAM, positions)).numpy()
        if not np.isfinite(given).all():
            raise ConfigError(
                f"{key}: {entry.name} returns values that are not finite: it must return pixels from 0 to 255"
            )
        if given.max() <= 1 < tried.max():
            raise ConfigError(
                f"{key}: {entry.name} returns values from {given.min():.3g} to {given.max():.3g} for images of up to "
                f"{tried.max()}: it must return pixels from 0 to 255"
            )


def _function(entry: AugmentSection, key: str) -> Callable[..., Any]:
    """(images, random) → images, or what mixing is; with the keywords of the entry."""
    keywords = entry.model_dump(exclude={"name"})
    if isinstance(entry, OwnAugmentation):
        own = load_object(entry.name, key)
        if not callable(own):
            raise ConfigError(f"{key}: {entry.name} is {own!r}, which can't be called: name a function")
        return lambda images, random: own(tf.cast(images, tf.float32), random, **keywords)
    return partial((_SHIPPED | _MIXING)[entry.name], **keywords)


def _as_pixels(images: tf.Tensor) -> tf.Tensor:
    """uint8, rounded where they are not."""
    if images.dtype == tf.uint8:
        return images
    return tf.cast(tf.clip_by_value(tf.round(images), 0, 255), tf.uint8)


def _check_keywords(entry: OwnAugmentation, key: str) -> None:
    """Raise ConfigError where the function has no parameter for a key of its entry."""
    try:
        parameters = inspect.signature(load_object(entry.name, key)).parameters
    except ValueError:  # written in C, which may not say
        return
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        return
    named = [name for name, each in parameters.items() if each.kind is not inspect.Parameter.POSITIONAL_ONLY]
    known = [name for name in named if name not in list(parameters)[:2]]  # the images, and the draws
    for keyword in entry.arguments:
        if keyword not in known:
            others = f"; known: {', '.join(known)}" if known else "; it takes none"
            raise ConfigError(
                f"{key}.{keyword}: {entry.name} has no such argument{did_you_mean(keyword, known) or others}"
            )


def _check_own(entry: OwnAugmentation, key: str, image_shape: tuple[int, int, int]) -> None:
    function = _function(entry, f"{key}.name")
    _check_keywords(entry, key)
    count = max(image_shape) + 1  # no number of images can be taken for a side
    wanted = f"float32 images of shape {(count, *image_shape)}, as they were"
    with function_graph():
        images = tf.compat.v1.placeholder(tf.float32, (count, *image_shape))
        positions = tf.compat.v1.placeholder(tf.int64, (count,))
        given = f"{key}: {entry.name}, given images of shape {tuple(images.shape)},"
        try:
            result = function(images, Random(0, 0, positions))
        except Exception as error:  # noqa: BLE001  the user's own code, which may do anything
            raise ConfigError(
                f"{given} fails: {reason(error)}. It is called with (images, random, **keywords), the keywords being "
                "those of its entry"
            ) from None
        if not tf.is_tensor(result):
            raise ConfigError(f"{given} returns {type(result).__name__}: it must return a tensor of {wanted}")
        if result.shape != images.shape or result.dtype != tf.float32:
            raise ConfigError(f"{given} returns {result.dtype.name} of shape {result.shape}: it must return {wanted}")
