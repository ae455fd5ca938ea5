"""Occlusion and RISE: what a model says of an image of which only parts are seen."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from harness.insight.inference import infer
from harness.insight.saliency.chunks import Logits, Maps, in_chunks
from harness.models.logits import probabilities

_AT_ONCE = 128
_VALUES = 2**22
"""Of as many copies of an image as the model is shown at a time: for large images there are fewer."""
_WINDOWS = 5
"""That part of the image's sides is the window's. On MNIST windows of a seventh delete and insert no better, and there
are twice as many of them."""
_CELLS = 7
"""Of a mask's grid, along each side."""
_OPEN = 0.5
"""The share of cells that let the image through."""


def portions(masks: int, image_shape: tuple[int, ...]) -> Iterator[slice]:
    """Parts of the masks, of nearly equal size, that fit into memory with an image of that shape under each."""
    most = max(1, min(_AT_ONCE, _VALUES // int(np.prod(image_shape))))
    parts = -(-masks // most)
    size = -(-masks // parts)
    return (slice(start, start + size) for start in range(0, masks, size))


def logits_under(logits: Logits, image: tf.Tensor, seen: NDArray[Any], shade: float = 0.0) -> NDArray[np.float32]:
    """The logits under each mask, (masks, classes).

    Args:
        image: (height, width, channels), float32.
        seen: (masks, height, width), from 0 for pixels that `shade` stands for to 1 for those that are as they are.
    """
    found = _output(logits, image, tf.constant(seen, tf.float32), tf.constant(shade, tf.float32))
    return np.asarray(found, np.float32)


@tf.function(autograph=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
def _output(logits: Logits, image: tf.Tensor, seen: tf.Tensor, shade: tf.Tensor) -> tf.Tensor:
    return infer(logits, shade + seen[..., tf.newaxis] * (image - shade))


def occlusion(logits: Logits, images: NDArray[Any], labels: NDArray[Any], *, shade: float = 0.0) -> Maps:
    """Occlusion, signed, in logits: by how much the logit falls where a window of `shade` hides the pixel.

        mean over the windows that cover the pixel of (logit of the image - logit of the image under the window)

    Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks" (arXiv 1311.2901), section 4.2. The
    window is a fifth of the image's sides and moves by half of its own, so that it takes some 80 forward passes an
    image, whatever its size. Where the map is negative the logit rises without what stands there.
    """

    def maps(images: tf.Tensor, labels: tf.Tensor) -> NDArray[Any]:
        covers = windows(*images.shape[1:3])
        seen = np.concatenate([np.ones((1, *covers.shape[1:]), bool), ~covers])
        coverage = covers.sum(axis=0)
        result = []
        for image, label in zip(images, labels, strict=True):
            parts = portions(len(seen), image.shape)
            outputs = np.concatenate([logits_under(logits, image, seen[part], shade)[:, label] for part in parts])
            result.append(np.tensordot(outputs[0] - outputs[1:], covers, axes=1) / coverage)
        return np.stack(result)

    return in_chunks(logits, maps, images, labels)


def windows(height: int, width: int) -> NDArray[np.bool_]:
    """What each window covers, (windows, height, width); together they cover everything."""
    rows, columns = _spans(height), _spans(width)
    return (rows[:, np.newaxis, :, np.newaxis] & columns[:, np.newaxis, :]).reshape(-1, height, width)


def _spans(side: int) -> NDArray[np.bool_]:
    """What each place of the window covers along one side, (places, side): from half to half, the last at the end."""
    length = max(1, round(side / _WINDOWS))
    starts = np.append(np.arange(0, side - length, -(-length // 2)), side - length)
    pixels = np.arange(side)
    return (starts[:, np.newaxis] <= pixels) & (pixels < starts[:, np.newaxis] + length)


def rise(logits: Logits, images: NDArray[Any], labels: NDArray[Any], *, masks: int = 1000, seed: int = 0) -> Maps:
    """RISE: the label's mean probability over masked images, weighed by how much of the pixel each mask lets through.

        Σ_k p(image · M_k) · M_k(pixel) / Σ_k M_k(pixel)

    Petsiuk et al. 2018, "RISE" (arXiv 1806.07421), equation 6, with E[M] as the mean over the masks that were drawn,
    pixel by pixel, so that a pixel that they happen to let through more often does not stand out. A mask is a grid of
    7 by 7 cells, each open with probability 1/2, stretched by bilinear interpolation to a size one cell larger than the
    image and cut out at a random place (section 3.2). The masks are drawn from `seed`, the same ones for every image.
    A forward pass a mask.
    """
    random = np.random.default_rng(seed)
    grids = (random.random((masks, _CELLS, _CELLS)) < _OPEN).astype(np.float32)
    shifts = random.random((masks, 2))

    def maps(images: tf.Tensor, labels: tf.Tensor) -> NDArray[Any]:
        total, coverage = np.zeros(images.shape[:3]), np.zeros(images.shape[1:3])
        for part in portions(masks, images.shape[1:]):
            seen = stretched(grids[part], shifts[part], *images.shape[1:3])
            coverage += seen.sum(axis=0)
            for index, (image, label) in enumerate(zip(images, labels, strict=True)):
                outputs = probabilities(logits, logits_under(logits, image, seen))[:, label]
                total[index] += np.tensordot(outputs, seen, axes=1)
        return np.divide(total, coverage, out=np.zeros_like(total), where=coverage > 0)

    return in_chunks(logits, maps, images, labels)


def stretched(grids: NDArray[np.float32], shifts: NDArray[np.float64], height: int, width: int) -> NDArray[np.float32]:
    """Masks (n, height, width) of grids (n, cells, cells) and shifts (n, 2), shares of a cell from 0 to 1."""
    rows, columns = (
        _weights(side, grids.shape[1], shift) for side, shift in zip((height, width), shifts.T, strict=True)
    )
    return np.asarray(rows @ grids @ columns.transpose(0, 2, 1), np.float32)


def _weights(side: int, cells: int, shifts: NDArray[np.float64]) -> NDArray[np.float32]:
    """How much of each cell goes into each pixel along one side, (n, side, cells)."""
    cell = -(-side // cells)
    pixels = np.arange(side) + np.floor(shifts * cell)[:, np.newaxis]
    places = (pixels + 0.5) * cells / ((cells + 1) * cell) - 0.5
    distances = np.clip(places, 0, cells - 1)[..., np.newaxis] - np.arange(cells)
    return np.asarray(np.maximum(0, 1 - np.abs(distances)), np.float32)
