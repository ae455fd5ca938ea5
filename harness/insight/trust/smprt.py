"""Does a map depend on the model, once its noise is averaged away? The smooth model parameter randomisation test.

Hedström et al. 2024, "Sanity Checks Revisited: An Exploration to Repair the Model Parameter Randomisation Test"
(arXiv 2401.06465): a noisy map changes with every new draw of the weights because it is noisy, and not because it
depends on them, so that the plain test ranks noisy methods first.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.saliency import Explain, Maps, views
from harness.insight.trust.redraw import draw_anew, layers_with_weights, weights_restored
from harness.insight.trust.similarity import spearman

COPIES = 10
"""Noisy copies of an image. The paper takes 50, which makes five times as many maps."""
NOISE = 0.1
"""Standard deviation as a share of the image's own range, as in the authors' code."""


def smprt(
    logits: keras.Model,
    methods: Mapping[str, Explain],
    images: NDArray[Any],
    labels: NDArray[Any],
    *,
    copies: int = COPIES,
    seed: int = 0,
) -> dict[str, NDArray[np.float64]]:
    """By method, per image (n,): how alike the smooth maps of the trained and of the random model are; lower is better.

        mean over the cascade of Spearman(|ē|, |ê|),    ē = 1/copies · Σ_k Φ(x + N(0, (0.1 · range)²)),  ê likewise

    ē is of the trained model, and ê of one whose weights are drawn anew from the first layer up to some layer, all
    layers in turn: the authors' order, where the plain test goes down from the logits. So the layer at the pixels is
    random in every step. A CAM's maps are of its cells (`saliency.views`). Both are of the same noisy copies, which are
    not clipped. One draw of the weights.

    Args:
        logits: functional; its weights are replaced meanwhile and put back, whatever happens.
        methods: by name.
        images: (n, height, width, channels) pixels.
        labels: (n,)
    """
    ranges = images.max(axis=(1, 2, 3), keepdims=True) - images.min(axis=(1, 2, 3), keepdims=True).astype(np.float32)
    random = np.random.default_rng(seed)
    noisy = [(images + NOISE * ranges * random.standard_normal(images.shape)).astype(np.float32) for _ in range(copies)]

    def smooth(method: Explain) -> Maps:
        # In double precision and only then back, so that the sum does not depend on the order of the copies.
        total = sum(views(method, logits, copy, labels).compared.astype(np.float64) for copy in noisy)
        return np.asarray(np.abs(total / copies), np.float32)

    trained = {name: smooth(method) for name, method in methods.items()}
    layers = layers_with_weights(logits)
    alike = {name: np.zeros(len(images)) for name in methods}
    with weights_restored(logits):
        for place, layer in reversed(list(enumerate(layers))):
            draw_anew(layer, (seed, place))
            for name, method in methods.items():
                alike[name] += spearman(trained[name], smooth(method)) / len(layers)
    return alike
