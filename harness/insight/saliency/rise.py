"""RISE: the mean probability over random masks that let a pixel through."""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from harness.insight.saliency.chunks import Logits, Maps, in_chunks
from harness.insight.saliency.masked import logits_under, portions
from harness.models.logits import probabilities

_CELLS = 7
"""Of a mask's grid, along each side."""
_OPEN = 0.5
"""The share of cells that let the image through."""


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
                says = probabilities(logits, logits_under(logits, image, seen))[:, label]
                total[index] += np.tensordot(says, seen, axes=1)
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
