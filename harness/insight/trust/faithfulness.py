"""Does a map say which pixels matter? Deletion and insertion, as in Petsiuk et al. 2018, "RISE" (arXiv 1806.07421).

The pixels are taken away, or brought in, in the order of the map, the most important first. Where the map is right the
probability of the class falls early, or rises early.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped]

from harness.insight.saliency import Logits, Maps
from harness.insight.trust.forward import predict, probability
from harness.insight.trust.interval import PROBABILITY, Interval, mean_over_images

STEPS = 28
"""Equal parts in which the pixels go."""
_BLUR = 1 / 8
"""Of the longer side: the Gaussian's standard deviation. A digit is then a cloud."""


def _black(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.zeros_like(images)


def _blurred(images: NDArray[np.float32]) -> NDArray[np.float32]:
    deviation = _BLUR * max(images.shape[1:3])
    result: NDArray[np.float32] = gaussian_filter(images, (0, deviation, deviation, 0))
    return result


def _mean(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.broadcast_to(images.mean(axis=(0, 1, 2)), images.shape).copy()


Baseline = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From images to what stands where their pixels are missing."""

BASELINES: Mapping[str, Baseline] = {"black": _black, "mean": _mean, "blur": _blurred}
""""mean" is these images' mean, channel by channel."""


class Curves(NamedTuple):
    """What taking pixels away, or bringing them in, does to the probability of the label."""

    values: NDArray[np.float32]
    """(n, STEPS + 1), from none of the pixels to all."""
    moved_at: NDArray[np.uint8]
    """(n, height, width): the step, from 1, at which each pixel goes."""

    @property
    def areas(self) -> NDArray[np.float64]:
        """(n,), under the curves, the shares of pixels from 0 to 1: the mean probability."""
        return np.asarray(np.trapezoid(self.values, dx=1 / STEPS, axis=1), np.float64)


class Faithfulness(NamedTuple):
    """By baseline. Lower areas are better for deletion, higher ones for insertion."""

    deletion: Mapping[str, Curves]
    insertion: Mapping[str, Curves]


def faithfulness(
    logits: Logits, maps: Maps, images: NDArray[Any], labels: NDArray[Any], *, seed: int = 0
) -> Faithfulness:
    """Delete and insert the pixels of images (n, height, width, channels) in the order of maps (n, height, width).

    From the largest value to the least, signed maps too; equal ones in an order drawn by `seed` and the image's number,
    alike for every method.
    """
    pixels = images.astype(np.float32)
    moved_at = _moved_at(maps, seed)
    deletion, insertion = {}, {}
    for name, baseline in BASELINES.items():
        missing = baseline(pixels)
        deletion[name] = Curves(_curves(logits, pixels, missing, moved_at, labels), moved_at)
        insertion[name] = Curves(_curves(logits, missing, pixels, moved_at, labels), moved_at)
    return Faithfulness(deletion, insertion)


def deletion_to_black(
    logits: Logits, maps: Maps, images: NDArray[Any], labels: NDArray[Any], *, seed: int = 0
) -> Curves:
    """The first of these curves alone: `faithfulness(…).deletion["black"]`."""
    pixels = images.astype(np.float32)
    moved_at = _moved_at(maps, seed)
    return Curves(_curves(logits, pixels, _black(pixels), moved_at, labels), moved_at)


def area(curves: Curves) -> Interval:
    """The mean area under the curves over the images, with its interval."""
    return mean_over_images(curves.areas, PROBABILITY)


def difference(ours: Curves, theirs: Curves) -> Interval:
    """Our areas less theirs, image by image."""
    return mean_over_images(ours.areas - theirs.areas)


def ranks(maps: Maps, seed: int = 0) -> NDArray[np.intp]:
    """Of the pixels of maps (n, height, width), 0 for the largest value.

    Equal ones come in an order drawn by `seed` and the image's number, alike for every method.
    """
    count = maps[0].size
    result = np.empty((len(maps), count), np.intp)
    for image, values in enumerate(maps.reshape(len(maps), count)):
        # Of its own for each image, so that the luck of the order averages out over them.
        ties = np.random.default_rng((seed, image)).random(count)
        result[image, np.lexsort((ties, -values))] = np.arange(count)
    return result.reshape(maps.shape)


def _moved_at(maps: Maps, seed: int) -> NDArray[np.uint8]:
    return np.asarray(1 + ranks(maps, seed) * STEPS // maps[0].size, np.uint8)


def _curves(
    logits: Logits,
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    moved_at: NDArray[np.uint8],
    labels: NDArray[Any],
) -> NDArray[np.float32]:
    count = len(before) * (STEPS + 1)

    def partly_moved(numbers: NDArray[np.intp]) -> NDArray[np.float32]:
        of, step = np.divmod(numbers, STEPS + 1)
        moved = (moved_at[of] <= step[:, np.newaxis, np.newaxis])[..., np.newaxis]
        return np.where(moved, after[of], before[of])

    values = probability(logits, predict(logits, partly_moved, count), np.repeat(labels, STEPS + 1))
    return values.reshape(len(before), STEPS + 1)
