"""Does a map stay where it is when the image changes by what does not matter?"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.saliency import Explain, Maps
from harness.insight.trust.interval import Interval, mean_over_images
from harness.insight.trust.similarity import spearman

NOISE = 0.02
"""Standard deviation, as a share of the pixel range."""
_COPIES = 4


def stability(
    logits: keras.Model,
    methods: Mapping[str, Explain],
    images: NDArray[Any],
    labels: NDArray[Any],
    maps: Mapping[str, Maps],
    *,
    seed: int = 0,
) -> dict[str, Interval]:
    """By method the mean Spearman correlation of |map| with |map of a noisy copy|, with its interval over images.

    Args:
        images: (n, height, width, channels) pixels; the noise is N(0, (0.02 · 255)²), the copy clipped to 0 to 255.
        labels: (n,), what the model predicts. A copy of which it predicts anything else doesn't count.
        maps: by method, of the images themselves.
    """
    alike: dict[str, list[NDArray[np.float64]]] = {name: [] for name in methods}
    for copy in range(_COPIES):
        noise = np.random.default_rng((seed, copy)).normal(0, NOISE * 255, images.shape[1:])
        noisy = np.clip(images + noise, 0, 255).astype(np.float32)
        same = logits.predict_on_batch(noisy).argmax(axis=1) == labels
        for name, method in methods.items():
            likeness = spearman(np.abs(maps[name]), np.abs(method(logits, noisy, labels)))
            alike[name].append(np.where(same, likeness, np.nan))
    return {name: mean_over_images(_mean_of_known(np.stack(values))) for name, values in alike.items()}


def _mean_of_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(axis=0)
    counts = known.sum(axis=0)
    return np.asarray(np.where(counts > 0, total / np.maximum(counts, 1), np.nan))
