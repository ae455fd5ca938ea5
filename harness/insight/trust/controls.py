"""Maps that do not look at the model: what a method has to be better than. In the form of the saliency methods."""

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import sobel  # type: ignore[import-untyped]

from harness.insight.saliency import Logits, Maps


def edges(logits: Logits, images: NDArray[Any], labels: NDArray[Any]) -> Maps:
    """The Sobel gradient's magnitude of the mean over channels: an edge detector."""
    greys = images.mean(axis=-1, dtype=np.float32)
    return np.stack([np.hypot(sobel(grey, axis=0), sobel(grey, axis=1)) for grey in greys])


def constant(logits: Logits, images: NDArray[Any], labels: NDArray[Any]) -> Maps:
    """Every pixel alike."""
    return np.ones(images.shape[:3], np.float32)


def chance(logits: Logits, images: NDArray[Any], labels: NDArray[Any], *, seed: int = 0) -> Maps:
    """Uniform noise, drawn by `seed` and the image."""
    seeds = [zlib.crc32(np.ascontiguousarray(image).tobytes()) for image in images]
    return np.stack([np.random.default_rng([seed, of]).random(images.shape[1:3], np.float32) for of in seeds])
