"""Occlusion: what the logit loses where a window hides a part of the image."""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from harness.insight.saliency.chunks import Logits, Maps, in_chunks
from harness.insight.saliency.masked import logits_under, portions

_WINDOWS = 5
"""That part of the image's sides is the window's. On MNIST windows of a seventh delete and insert no better, and there
are twice as many of them."""


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
            says = np.concatenate([logits_under(logits, image, seen[part], shade)[:, label] for part in parts])
            result.append(np.tensordot(says[0] - says[1:], covers, axes=1) / coverage)
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
