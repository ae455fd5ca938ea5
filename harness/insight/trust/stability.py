"""Does a map stay where it is when the image changes by what does not matter?"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.saliency import Explain, Maps, views
from harness.insight.trust.interval import CORRELATION, Answer, Interval, is_above, mean_over_draws, mean_over_images
from harness.insight.trust.similarity import own_similarity, spearman

NOISE = 0.02
"""Standard deviation, as a share of the pixel range."""
COPIES = 4


@dataclass(frozen=True)
class Stability:
    """How alike the maps are to those of noisy copies of the images; means over copies, intervals over images and
    copies: what a method draws is the same for all images of a copy."""

    absolute: Interval
    """Spearman's correlation of |map| with |map of a noisy copy|."""
    own: Interval
    """The similarity of what is each image's own, without the map that all images share:
    `similarity.own_similarity`. The intervals of all methods asked about at once hold together."""
    null: float
    """What `own` is between an image's map and those of copies of other images."""
    redrawn: Interval | None
    """Spearman's correlation of |map| with |map of the same image by another seed|, where the method draws at random:
    what is missing to 1 is its Monte Carlo error, and not the image's noise. None where it doesn't draw."""

    @property
    def bound(self) -> float:
        """Halfway between the null and 1: half of what is the image's own is still there."""
        return (1 + self.null) / 2

    @property
    def stable(self) -> Answer:
        """Whether the map stays: yes where the interval of `own` lies above `bound`, no where it lies below."""
        return is_above(self.own, self.bound)


def stability(
    logits: keras.Model,
    methods: Mapping[str, Explain],
    images: NDArray[Any],
    labels: NDArray[Any],
    maps: Mapping[str, Maps],
    *,
    drawing: Collection[str] = (),
    seed: int = 0,
) -> dict[str, Stability]:
    """By method, how alike its maps of images are to those of noisy copies.

    A method that draws explains each copy, and the images once more, by a seed of their own: what it draws is no part
    of what stays.

    Args:
        images: (n, height, width, channels) pixels; the noise is N(0, (0.02 · 255)²), each image's own, and the copy
            clipped to 0 to 255.
        labels: (n,), what the model predicts. An image doesn't count where it predicts anything else of a copy.
        maps: by method, of the images themselves, as they are compared (`saliency.views`).
        drawing: the methods that draw at random and take `seed`, by name.
    """
    absolute: dict[str, list[NDArray[np.float64]]] = {name: [] for name in methods}
    own: dict[str, list[NDArray[np.float64]]] = {name: [] for name in methods}
    null: dict[str, list[float]] = {name: [] for name in methods}
    fresh = np.random.default_rng(seed).integers(1, 2**31, COPIES + 1).tolist()
    for copy in range(COPIES):
        noise = np.random.default_rng((seed, copy)).normal(0, NOISE * 255, images.shape)
        noisy = np.clip(images + noise, 0, 255).astype(np.float32)
        same = logits.predict_on_batch(noisy).argmax(axis=1) == labels
        for name, method in methods.items():
            then = maps[name]
            now = views(_by_seed(method, fresh[copy], name in drawing), logits, noisy, labels).compared
            alike = own_similarity(then, now)
            absolute[name].append(np.where(same, spearman(np.abs(then), np.abs(now)), np.nan))
            own[name].append(np.where(same, alike.same, np.nan))
            null[name].append(float(alike.others.mean()))
    redrawn = {
        name: spearman(np.abs(maps[name]), np.abs(_by_seed(methods[name], fresh[-1], True)(logits, images, labels)))
        for name in methods
        if name in drawing
    }
    return {
        name: Stability(
            mean_over_draws(np.stack(absolute[name]), CORRELATION),
            mean_over_draws(np.stack(own[name]), CORRELATION, together=len(methods)),
            float(np.mean(null[name])),
            mean_over_images(redrawn[name], CORRELATION) if name in redrawn else None,
        )
        for name in methods
    }


def _by_seed(method: Explain, seed: int, draws: bool) -> Explain:
    return cast("Explain", partial(method, seed=seed)) if draws else method  # type: ignore[call-arg]
