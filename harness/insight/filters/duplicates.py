"""Filters that do the same: alike in their kernels and in what they say."""

from collections.abc import Collection
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.inference import batches, infer
from harness.insight.layers import before_activation, convolutions

ALIKE = 0.98
"""Filters are duplicates when their similarity is above this. For a correlation r one filter says r² of the other's
variance: all but 4 % of it."""


class Duplicates(NamedTuple):
    """Two filters of one layer that do the same."""

    first: int
    second: int
    """Filter numbers, the larger one second."""
    similarity: float
    """The cosine of the kernels, or the correlation of the activations where that is less."""


def duplicates(
    model: keras.Model, images: NDArray[Any], layers: Collection[str] | None = None
) -> dict[str, list[Duplicates]]:
    """Pairs of filters of a convolutional layer that are alike, the most alike first.

    Both the cosine of their kernels (all weights, without the bias) and the correlation of what they say (before the
    activation, over all positions of all images) are above `ALIKE`: two kernels that differ may do the same on these
    images, and two whose weights are alike may differ in what is left of the images where they look. A multiple of
    another kernel counts; a filter that says the same everywhere is in no pair.

    Args:
        model: functional, from raw pixels.
        images: (n, height, width, channels), n of at least 1.
        layers: the names of Conv2D layers; all of them where it is None.

    Returns:
        By layer, from the pixels upwards.

    Raises:
        UserError: the model has no Conv2D layer.
    """
    looked_at = [layer for layer in convolutions(model) if layers is None or layer.name in layers]
    return {layer.name: _of_layer(model, layer, images) for layer in looked_at}


def _of_layer(model: keras.Model, layer: keras.layers.Conv2D, images: NDArray[Any]) -> list[Duplicates]:
    kernels = layer.kernel.numpy().astype(np.float64).reshape(-1, layer.filters)
    cosines = _scaled(kernels.T @ kernels)
    pairs = np.argwhere(np.triu(cosines > ALIKE, 1))
    if not len(pairs):
        return []  # mostly so: no image needs to be looked at
    filters, places = np.unique(pairs, return_inverse=True)
    correlations = _correlations(keras.Model(model.inputs[0], before_activation(model, layer)), filters, images)
    found = [
        Duplicates(int(one), int(other), min(float(cosines[one, other]), float(correlations[tuple(place)])))
        for (one, other), place in zip(pairs, places.reshape(pairs.shape), strict=True)
    ]
    return sorted((pair for pair in found if pair.similarity > ALIKE), key=lambda pair: -pair.similarity)


def _correlations(part: keras.Model, filters: NDArray[np.intp], images: NDArray[Any]) -> NDArray[np.float64]:
    """Of some filters of the model's feature maps, over all positions of all images."""
    count, sums, products = 0, np.zeros(len(filters)), np.zeros((len(filters), len(filters)))
    for _, some in batches(part, images):
        units = infer(part, some).numpy()[..., filters].reshape(-1, len(filters)).astype(np.float64)
        count, sums, products = count + len(units), sums + units.sum(axis=0), products + units.T @ units
    return _scaled(products / count - np.outer(sums, sums) / count**2)


def _scaled(products: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divided by the roots of the diagonal, to lie between -1 and 1; zero where the diagonal is."""
    lengths = np.sqrt(np.maximum(np.diag(products), 0))
    bounds = np.outer(lengths, lengths)
    scaled: NDArray[np.float64] = np.divide(products, bounds, out=np.zeros_like(products), where=bounds > 0)
    return scaled
