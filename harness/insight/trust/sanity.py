"""Does a map depend on the model? The cascading randomisation of Adebayo et al. 2018, "Sanity Checks for Saliency Maps"
(arXiv 1810.03292), section 3.1.

The layers' weights are drawn anew, from the logits downwards, one layer after the other, and the maps made again. A
method that explains the model must then say something else; an edge detector does not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.saliency import Explain, Maps
from harness.insight.trust.interval import Interval, mean_over_images
from harness.insight.trust.redraw import draw_anew, weights_restored
from harness.insight.trust.similarity import foreground, spearman, ssim

HARDLY_CHANGED = 0.62
"""A `likeness` of this or more fails: halfway between guided backpropagation, which must fail, and the plain gradient,
which must pass. Measured with 24 images and 3 seeds on four trained models (`mnist` with seeds 0 and 1 and after 100
steps, and `mnist_two_pools`): guided backpropagation 0.72 to 0.90, an edge detector 1; gradient 0.22 to 0.53,
SmoothGrad 0.19 to 0.53, Grad-CAM 0.03 at most."""
SEEDS = 3
"""Cascades, each with weights of its own."""


@dataclass(frozen=True)
class Sanity:
    """How alike the maps are to those of the trained model, after each step of the cascade.

    Each image's mean over the seeds is taken first: the intervals are over images, given these draws of the weights,
    and leave out the spread between draws.
    """

    layers: tuple[str, ...]
    """Those with weights, from the logits down: after the k-th step the first k + 1 of them are random."""
    signed: tuple[Interval, ...]
    """Spearman's correlation of the maps as they are, a value a step; means over seeds and images."""
    absolute: tuple[Interval, ...]
    """Of their absolute values."""
    foreground: tuple[Interval, ...]
    """Of their absolute values where the image has something: a black background gives a map that multiplies by the
    pixels nearly all of its correlation. NaN where no image has two such pixels."""
    ssim: tuple[Interval, ...]

    @property
    def likeness(self) -> float:
        """The correlation's mean over the cascade: on the foreground, or with the signs where that is less.

        With the signs too where no image has a foreground.
        """
        on_foreground, with_signs = (np.mean([step.mean for step in kind]) for kind in (self.foreground, self.signed))
        return float(np.fmin(on_foreground, with_signs))

    @property
    def depends_on_model(self) -> bool:
        return self.likeness < HARDLY_CHANGED


def cascade(
    logits: keras.Model,
    methods: Mapping[str, Explain],
    images: NDArray[Any],
    labels: NDArray[Any],
    *,
    seeds: int = SEEDS,
    seed: int = 0,
    progress: Callable[[str], None] = lambda layer: None,
) -> dict[str, Sanity]:
    """Put methods through the cascade, on images (n, height, width, channels) and their labels (n,).

    Args:
        logits: the trained model; its weights are replaced meanwhile and put back, whatever happens.
        methods: by name, in the form of the saliency methods.
        seeds: how many cascades, each with weights of its own; `seed` draws them.
        progress: is given each layer's name as it is drawn anew.
    """
    trained = {name: method(logits, images, labels) for name, method in methods.items()}
    among = foreground(images)
    layers = layers_with_weights(logits)
    likeness: dict[str, list[list[_Likeness]]] = {name: [] for name in methods}
    for number in range(seeds):
        for of_steps in likeness.values():
            of_steps.append([])
        with weights_restored(logits):
            for place, layer in enumerate(layers):
                progress(layer.name)
                draw_anew(layer, (seed, number, place))
                for name, method in methods.items():
                    now = method(logits, images, labels)
                    likeness[name][-1].append(_Likeness.of(trained[name], now, among))
    return {name: _summary(tuple(layer.name for layer in layers), found) for name, found in likeness.items()}


def layers_with_weights(logits: keras.Model) -> list[keras.layers.Layer]:
    """In the order of the cascade, from the logits down; without Normalization, whose weights describe the data."""
    return [
        layer
        for layer in reversed(logits.layers)
        if layer.weights and not isinstance(layer, keras.layers.Normalization)
    ]


@dataclass(frozen=True)
class _Likeness:
    """Image by image, (n,)."""

    signed: NDArray[np.float64]
    absolute: NDArray[np.float64]
    foreground: NDArray[np.float64]
    ssim: NDArray[np.float64]

    @classmethod
    def of(cls, then: Maps, now: Maps, among: NDArray[np.bool_]) -> "_Likeness":
        sizes = np.abs(then), np.abs(now)
        signed = spearman(then, now)
        has_signs = bool((then < 0).any() or (now < 0).any())
        return cls(signed, spearman(*sizes) if has_signs else signed, spearman(*sizes, among), ssim(then, now))


def _summary(layers: tuple[str, ...], found: list[list[_Likeness]]) -> Sanity:
    def intervals(kind: str) -> tuple[Interval, ...]:
        steps = zip(*found, strict=True)
        return tuple(mean_over_images(np.mean([getattr(one, kind) for one in step], axis=0)) for step in steps)

    return Sanity(layers, *(intervals(kind) for kind in ("signed", "absolute", "foreground", "ssim")))
