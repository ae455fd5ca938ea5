"""How much can a map change where the image hardly does? Max-sensitivity, of Yeh et al. 2019, "On the (In)fidelity and
Sensitivity of Explanations" (arXiv 1901.09392), its SENS_MAX."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.saliency import Explain, Maps

RADIUS = 0.02
"""Of the pixel range."""
COPIES = 10


def max_sensitivity(
    logits: keras.Model,
    method: Explain,
    maps: Maps,
    images: NDArray[Any],
    labels: NDArray[Any],
    *,
    radius: float = RADIUS,
    copies: int = COPIES,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Per image (n,), lower is better; 0 for a map that never changes, which is no merit by itself:

        max over y of ‖Φ(y) - Φ(x)‖₂ / ‖Φ(x)‖₂,    ‖y - x‖_∞ ≤ radius · 255

    As in the authors' code the maximum is that of copies drawn uniformly from the cube, so it grows with their number,
    and is divided by the size of the image's own map. Copies are clipped to 0 to 255, and the label stays, whatever
    the model says of them. NaN where the image's own map is zero. The method is taken as it is: one that draws noise by
    a fixed seed, as SmoothGrad does, has the same noise for every copy, and is calmer for it.

    Args:
        method: makes the maps of the copies, and has made `maps`, (n, height, width), of the images.
        images: (n, height, width, channels) pixels.
        seed: draws the copies; each image gets noise of its own.
    """
    random = np.random.default_rng(seed)
    worst = np.zeros(len(images))
    for _ in range(copies):
        noise = random.uniform(-radius * 255, radius * 255, images.shape)
        copy = np.clip(images + noise, 0, 255).astype(np.float32)
        worst = np.maximum(worst, _norm(method(logits, copy, labels) - maps))
    sizes = _norm(maps)
    return np.where(sizes > 0, worst / np.where(sizes > 0, sizes, 1), np.nan)


def _norm(maps: Maps) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.linalg.norm(maps.reshape(len(maps), -1).astype(np.float64), axis=1)
    return result
